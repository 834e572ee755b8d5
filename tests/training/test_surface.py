"""Surfaces: the right point everywhere, however many are evaluated at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es.errors import UserError
from rl_es.rollout.config import PolicyConfig, SurfaceConfig, WrapperConfig
from rl_es.sweep import surfaces
from rl_es.training.task import Task

PARAMETERS = PolicyConfig(network="parameters")
GRID = SurfaceConfig(low=(-4.0, -5.0), high=(2.0, 1.0), points=(3, 4))


def task(name: str = "unrolled/toy_regression", policy: PolicyConfig = PARAMETERS) -> Task:
    return Task.from_options(name, {}, WrapperConfig(), policy)


def test_the_second_parameter_is_fastest() -> None:
    points = surfaces.grid_points(GRID)
    assert points.dtype == np.float32 and points.shape == (12, 2)
    np.testing.assert_array_equal(points[:4], [[-4, -5], [-4, -3], [-4, -1], [-4, 1]])
    np.testing.assert_array_equal(points[[4, -1]], [[-1, -5], [2, 1]])


@pytest.mark.parametrize("chunk", [5, 64])
def test_each_point_has_its_own_return(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the environment stepped by hand; with chunks of five the last one is not full."""
    monkeypatch.setattr(surfaces, "CHUNK", chunk)
    points = surfaces.grid_points(GRID)
    returns = np.concatenate(list(surfaces.evaluate_points(task(), points, episodes=2)))
    env = task().evaluation_environment()

    def by_hand(point: jax.Array) -> jax.Array:
        def step(state: object, _: None) -> tuple[object, jax.Array]:
            after = env.step(jax.random.key(0), state, point)
            return after.state, after.reward

        state, _ = env.reset(jax.random.key(0))
        return jax.lax.scan(step, state, None, length=env.spec.episode_length)[1].sum()

    expected = jax.vmap(by_hand)(jnp.asarray(points))
    assert returns.shape == (12, 2) and returns.dtype == np.float64
    np.testing.assert_allclose(returns, np.asarray(expected)[:, None] * np.ones(2), rtol=1e-5)
    assert len(np.unique(returns[:, 0])) == 12


def test_a_vector_is_cut_in_the_trees_order() -> None:
    shape = jax.ShapeDtypeStruct((1,), jnp.float32)
    params = surfaces.unflatten_parameters({"b": shape, "a": shape}, jnp.array([1.0, 2.0]))
    assert jax.tree.map(float, jax.tree.map(lambda leaf: leaf[0], params)) == {"a": 1.0, "b": 2.0}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (task("unrolled/influence_balancing"), "of two parameters; .*influence_balancing has 1"),
        (task(policy=PolicyConfig(network="linear")), "that of unrolled/toy_regression has 4"),
        (
            task(policy=PolicyConfig(network="parameters", normalise_observations=True)),
            "does not normalise observations",
        ),
    ],
)
def test_what_is_no_function_of_two_parameters_is_refused(wrong: Task, message: str) -> None:
    surfaces.check_surface(task())
    with pytest.raises(UserError, match=message):
        surfaces.check_surface(wrong)
