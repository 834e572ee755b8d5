"""What is traced otherwise for an accelerator than for a CPU, and what a device computes.

On a CPU, jax is made to say that it runs on a GPU: what would be compiled there is then compiled
for the CPU. `python -m benchmarks.gpu_check` runs this file on a GPU.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es import registry
from rl_es.config import split_traced
from rl_es.interfaces import Limit
from rl_es.rollout.config import PolicyConfig, WrapperConfig
from rl_es.training.compilation import compile_function, scalar_leaves
from rl_es.training.learner import Evolution
from rl_es.training.task import Task, make_training_setup


@pytest.fixture
def accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs are traced as for an accelerator."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")


def learner_of(agent: str, **settings: Any) -> tuple[Evolution, Any]:
    """Returns a learner on a pendulum of ten steps, and its traced settings."""
    task = Task.from_options(
        "Pendulum-v1", {}, WrapperConfig(episode_length=10), PolicyConfig(widths=(8,))
    )
    config = registry.agents.load(agent).Hyperparameters(population=256, **settings)
    learner = make_training_setup(task, agent, config, 1).learner
    assert isinstance(learner, Evolution)
    return learner, scalar_leaves(split_traced(config)[1])


def train(agent: str, generations: int, **settings: Any) -> np.ndarray:
    """Returns the parameters [size] before training, and after some generations: [2, size]."""
    learner, hyper = learner_of(agent, **settings)
    limit = Limit(jnp.int32(generations), jnp.int32(2**30))

    def run(key: jax.Array) -> Any:
        start = learner.init(key, hyper)
        states = start, learner.advance(start, limit)[0]
        return [learner.snapshot(state).params for state in states]

    key = jax.random.key(3)
    params = compile_function(run, key).call(key)
    return np.stack([np.concatenate([np.ravel(x) for x in jax.tree.leaves(p)]) for p in params])


@pytest.mark.parametrize(
    ("agent", "generations", "settings"),
    [
        ("eggroll", 1, {"rank": 4, "factors": "normal"}),
        ("full_rank_es", 1, {}),
        ("random_search", 1, {}),
        ("pes", 2, {"window": 5, "rank": 2, "shaping": "raw"}),
    ],
)
def test_a_generation_is_that_of_a_cpu(
    agent: str, generations: int, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    with jax.default_device(jax.devices("cpu")[0]):
        start, on_cpu = train(agent, generations, **settings)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    same_start, elsewhere = train(agent, generations, **settings)
    change = np.abs(on_cpu - start).max()
    assert change > 1e-3
    np.testing.assert_allclose(same_start, start, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(elsewhere, on_cpu, rtol=0, atol=1e-3 * change)


def test_a_float32_product_has_float32_digits() -> None:
    """With TF32 the largest error would be about 1e-3 of the largest element."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((256, 256)).astype(np.float32) for _ in range(2))
    product = np.asarray(compile_function(jnp.matmul, a, b).call(a, b))
    exact = a.astype(np.float64) @ b
    assert np.abs(product - exact).max() < 1e-5 * np.abs(exact).max()


@pytest.mark.usefixtures("accelerator")
def test_products_are_compiled_with_float32_digits_for_an_accelerator() -> None:
    x = jnp.ones((4, 4))
    program = jax.make_jaxpr

    def precisions(function: Callable[..., Any]) -> Any:
        traced: list[Any] = []

        def trace(x: jax.Array) -> jax.Array:
            traced.extend(
                equation.params["precision"] for equation in program(function)(x).jaxpr.eqns
            )
            return function(x)

        compile_function(trace, x)
        return traced

    highest = (jax.lax.Precision.HIGHEST,) * 2
    lowest = (jax.lax.Precision.DEFAULT,) * 2
    assert precisions(lambda x: x @ x) == [highest]
    stated = precisions(lambda x: jnp.matmul(x, x, precision=jax.lax.Precision.DEFAULT))
    assert stated == [lowest]
