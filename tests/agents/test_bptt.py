"""Truncated backpropagation: its gradient, what a window cuts, and what it refuses."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jax.flatten_util import ravel_pytree

from rl_es import registry
from rl_es.agents import bptt
from rl_es.agents._bptt import Backpropagation, shorten
from rl_es.config import split_traced
from rl_es.envs._unrolled.influence_balancing import SIZE, InfluenceBalancing
from rl_es.envs._unrolled.linear import Linear
from rl_es.errors import UserError
from rl_es.interfaces import Discrete, EnvSpec, Limit, Observation, Transition
from rl_es.rollout.config import PolicyConfig, WrapperConfig
from rl_es.rollout.policy import make_policy
from rl_es.training.learner import Evolution
from rl_es.training.task import Task, make_training_setup
from tests.toys import Breaking, Drift, ParameterPolicy, box

KEY = jax.random.key(3)
EGG: dict[str, Any] = {"network": "egg", "widths": (8,), "head": "deterministic"}
PARAMETERS = PolicyConfig(network="parameters")
MOST = jnp.int32(2**30)
OWN_ACTION = ParameterPolicy()


def learner(env: Any, policy: Any = OWN_ACTION, **settings: Any) -> Backpropagation:
    made: Any = bptt.make_learner(bptt.Hyperparameters(**settings), env, policy, False)
    return made


def hyper(**settings: Any) -> dict[str, Array]:
    traced = split_traced(bptt.Hyperparameters(**settings))[1]
    return {name: jnp.float32(value) for name, value in traced.items()}


def theta(value: float) -> dict[str, Array]:
    return {"theta": jnp.full(1, value)}


def first_gradient(made: Backpropagation, params: Any) -> np.ndarray:
    """The gradient [n] of the first window."""
    gradient, _ = jax.jit(made.gradient)(params, made.start(KEY), KEY, None)
    return np.asarray(ravel_pytree(gradient)[0])


def trained(made: Backpropagation, windows: int, params: Any = None, **settings: Any) -> Any:
    """State and rows after some windows."""
    state = made.init(KEY, hyper(**settings))
    state = state if params is None else state.replace(params=params)
    return jax.jit(made.advance)(state, Limit(jnp.int32(windows), MOST))


# --- the gradient -------------------------------------------------------------------------------


@pytest.mark.parametrize("edge", [np.inf, 0.9, 0.5])
@pytest.mark.parametrize("window", [6, 50])
def test_a_window_as_long_as_the_episode_has_the_gradient_of_its_return(
    edge: float, window: int
) -> None:
    """Where the edge is passed the episode ends early, and later rewards have no part in it."""
    env, value, step = Drift(horizon=6, edge=edge), 0.31, 1e-5
    actions = np.full(6, value) + step * np.array([[1.0], [-1.0]])
    above, below = env.returns(actions.T)
    gradient = first_gradient(learner(env, window=window, particles=3), theta(value))
    np.testing.assert_allclose(gradient, [(above - below) / (2 * step)], rtol=1e-4)


@pytest.mark.parametrize("window", [1, 4, 10])
def test_steps_before_a_window_have_no_part_in_its_gradient(window: int) -> None:
    """The return is linear in the weights: the gradient is a sum of outer products."""
    env = Linear("linear", steps=10, size=3, decay=0.8)
    policy = make_policy(PolicyConfig(network="linear", head="deterministic"), env.spec)
    made = learner(env, policy, window=window, particles=2, optimiser="sgd", lr=1.0)
    state, _ = trained(made, -(-10 // window), lr=1.0)
    start, _ = trained(made, 0)
    expected = np.zeros((3, 3))
    for t in range(10):
        for k in range(t - t % window, t + 1):
            outer = np.outer(env._observations[k], env._reward_weights[t])
            expected += np.float64(0.8) ** (t - k) * outer
    change = ravel_pytree(state.params)[0] - ravel_pytree(start.params)[0]
    np.testing.assert_allclose(change.reshape(3, 3), expected, rtol=1e-3, atol=1e-4)


DIFFERENTIABLE = {
    "toy regression": ("unrolled/toy_regression", {}, PARAMETERS),
    "lorenz": ("unrolled/lorenz", {}, PARAMETERS),
    "learning-rate decay": ("unrolled/learning_rate_decay", {"widths": [8]}, PARAMETERS),
    "sgd": ("unrolled/sgd", {}, PARAMETERS),
    "many hyper-parameters": ("unrolled/many_hyperparameters", {"width": 8}, PARAMETERS),
    "learned optimiser": (
        "unrolled/learned_optimiser",
        {"widths": [4], "step_scale": 0.01},
        PolicyConfig(network="shared_mlp", widths=(8,), head="deterministic"),
    ),
    "recurrent": (
        "unrolled/linear",
        {"decay": 0.9, "response": "tanh"},
        PolicyConfig(network="gru", widths=(8,), head="deterministic"),
    ),
    "pendulum": ("Pendulum-v1", {}, PolicyConfig(widths=(8,))),
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_the_gradient_agrees_with_finite_differences(name: str) -> None:
    task = Task.from_options(*DIFFERENTIABLE[name][:2], WrapperConfig(), DIFFERENTIABLE[name][2])
    env = task.environment()
    made = learner(env, task.make_policy(env), window=4, particles=4)
    params, restore = ravel_pytree(made.policy.init(KEY))

    @jax.jit
    def objective(params: Array) -> Array:
        return made.objective(restore(params), made.start(KEY), KEY, None)[0]

    gradient = jax.grad(objective)(params)
    norm = float(jnp.linalg.norm(gradient))
    step = 0.03 * gradient / norm
    slope = float(objective(params + step) - objective(params - step)) / 0.06
    # Inner gradients of rectified units jump, by which differences miss the slope a little.
    assert norm > 0 and slope == pytest.approx(norm, rel=0.03)


def sensitivities(window: int) -> np.ndarray:
    """Derivatives [window] of x_0 by theta after each step of influence balancing, from rest."""
    signs = np.where(np.arange(SIZE) < 10, 1.0, -1.0)
    x, derivatives = np.zeros(SIZE), []
    for _ in range(window):
        x = 0.5 * (x + np.append(x[1:], 0)) + signs
        derivatives.append(x[0])
    return np.array(derivatives)


@pytest.mark.parametrize(("window", "sign"), [(1, 1), (10, 1), (100, 1), (150, -1), (500, -1)])
def test_a_short_window_balances_influences_the_wrong_way(window: int, sign: int) -> None:
    """Particles at rest: the loss falls with theta, and short windows say that it rises with it.

    At theta = 0.5 the state at rest has x_0 = -3, below the 1 that is wanted: every step's reward
    has the derivative (1 - x_0) times a sensitivity, which is positive at first and -6 in the end.
    """
    made = learner(InfluenceBalancing("balance", 1), window=window, particles=1)
    rest, matrix = theta(0.5), 0.5 * (np.eye(SIZE) - np.eye(SIZE, k=1))
    signs = np.where(np.arange(SIZE) < 10, 1.0, -1.0)
    x = jnp.asarray(np.linalg.solve(matrix, 0.5 * signs), jnp.float32)
    particles = made.start(KEY)
    particles = particles._replace(env=particles.env._replace(x=x[None]))
    (gradient,) = jax.jit(made.gradient)(rest, particles, KEY, None)[0]["theta"]
    expected = (1 - float(x[0])) * sensitivities(window).sum()
    np.testing.assert_allclose(gradient, expected, rtol=1e-3)
    assert np.sign(expected) == sign and sensitivities(500)[-1] == pytest.approx(-6)


# --- particles ----------------------------------------------------------------------------------


def test_particles_live_on_and_start_anew_with_a_window() -> None:
    """Episodes of 7 steps in windows of 3: the third has one step, and two that count nothing."""
    horizon, window, lr = 7, 3, 0.02
    made = learner(
        Drift(horizon=horizon, edge=np.inf), window=window, particles=2, optimiser="sgd", lr=lr
    )
    x, t, value, steps = 0.2, 0, 0.1, 0
    for number in range(1, 8):
        x, t = (0.2, 0) if t >= horizon else (x, t)
        slope, gradient = 0.0, 0.0  # of x by theta
        for _ in range(min(window, horizon - t)):
            x, t, slope, steps = 0.7 * x + value, t + 1, 0.7 * slope + 1, steps + 2
            gradient += (1 - x) * slope
        value += lr * gradient
        state, rows = trained(made, number, theta(0.1), lr=lr)
        np.testing.assert_allclose(state.params["theta"], [value], rtol=1e-5)
        assert rows.env_steps == steps and rows.episodes == 2 * (number // 3)
        assert state.fresh.all() == (t >= horizon)


@dataclass(frozen=True)
class Root:
    """One step that pays the action's root; steps after it differentiate a root at 0."""

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec("root", (1,), box(1), 5)

    def reset(self, key: Array) -> tuple[Any, Observation]:
        return jnp.zeros((), jnp.int32), Observation(jnp.zeros(1))

    def step(self, key: Array, state: Any, action: Array) -> Transition:
        reward = jnp.sqrt(jnp.where(state == 0, action[0], 0.0 * action[0]))
        over = jnp.ones((), bool)
        return Transition(state + 1, Observation(jnp.zeros(1)), reward, over, ~over)


def test_steps_after_the_end_do_not_spoil_the_gradient() -> None:
    assert np.isnan(jax.grad(lambda a: 0 * jnp.sqrt(0.0 * a))(4.0))
    np.testing.assert_allclose(first_gradient(learner(Root(), window=5), theta(4.0)), [0.25])


# --- what is not finite -------------------------------------------------------------------------


@dataclass(frozen=True)
class Chance:
    """Pays minus the squared distance to 2; in half of the episodes a number that is not finite."""

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec("chance", (1,), box(1), None)

    def reset(self, key: Array) -> tuple[Any, Observation]:
        return jax.random.bernoulli(key), Observation(jnp.zeros(1))

    def step(self, key: Array, state: Any, action: Array) -> Transition:
        never = jnp.zeros((), bool)
        reward = jnp.where(state, jnp.nan, -jnp.square(action[0] - 2))
        return Transition(state, Observation(jnp.zeros(1)), reward, never, never)


def test_particles_that_break_down_do_not_count_and_start_anew() -> None:
    made = learner(Chance(), window=1, particles=16, optimiser="sgd", lr=0.1)
    start, _ = trained(made, 0)
    state, rows = trained(made, 1, lr=0.1)
    broken = np.asarray(start.particles.env)
    assert 0 < broken.sum() < 16 and rows.nonfinite_members == broken.sum()
    np.testing.assert_allclose(state.params["theta"], [0.1 * 2 * 2], rtol=1e-6)
    np.testing.assert_array_equal(state.fresh, broken)
    assert rows.population_mean == -4


@dataclass(frozen=True)
class Kink:
    """Pays minus the size of the action, by a root that has no derivative at 0."""

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec("kink", (1,), box(1), None)

    def reset(self, key: Array) -> tuple[Any, Observation]:
        return jnp.zeros(()), Observation(jnp.zeros(1))

    def step(self, key: Array, state: Any, action: Array) -> Transition:
        never = jnp.zeros((), bool)
        reward = -jnp.sqrt(jnp.square(action[0]))
        return Transition(state, Observation(jnp.zeros(1)), reward, never, never)


@pytest.mark.parametrize("env", [Kink(), Breaking(edge=0.5, length=None)], ids=["kink", "broken"])
def test_a_window_without_a_finite_gradient_changes_nothing(env: Any) -> None:
    made = learner(env, window=2, particles=4, weight_decay=0.1)
    before, _ = trained(learner(Drift(), window=2, particles=4, weight_decay=0.1), 3)
    moved = theta(0.0)
    start = made.init(KEY, hyper(weight_decay=0.1))
    start = start.replace(optimiser=before.optimiser, params=moved, updates=before.updates)
    state, rows = jax.jit(made.advance)(start, Limit(jnp.int32(3), MOST))
    arrays = (state.params, state.optimiser, state.updates)
    jax.tree.map(np.testing.assert_array_equal, arrays, (moved, before.optimiser, jnp.int32(3)))
    assert rows.nonfinite_members == 3 * 4 and rows.update_norm == 0
    assert rows.generations == 3 and state.fresh.all()


@pytest.mark.parametrize(("longest", "norm"), [(0.0, 5.0), (2.0, 2.0), (9.0, 5.0)])
@pytest.mark.parametrize("scale", [1.0, 1e30, 1e-30])
def test_a_long_gradient_is_shortened(longest: float, norm: float, scale: float) -> None:
    gradient = {"a": scale * jnp.array([3.0, 0.0]), "b": scale * jnp.array(-4.0)}
    result = jax.jit(shorten)(gradient, jnp.float32(scale * longest))
    np.testing.assert_allclose(result["a"], [scale * 3 * norm / 5, 0], rtol=1e-6)
    np.testing.assert_allclose(result["b"], -scale * 4 * norm / 5, rtol=1e-6)
    assert not np.any(shorten({"a": jnp.zeros(2)}, jnp.float32(1.0))["a"])


# --- runs ---------------------------------------------------------------------------------------


def pendulum(**policy: Any) -> Any:
    """The learner of a short Pendulum, with observations normalised."""
    task = Task.from_options(
        "Pendulum-v1",
        {},
        WrapperConfig(episode_length=12),
        PolicyConfig(widths=(8,), normalise_observations=True, **policy),
    )
    config = bptt.Hyperparameters(particles=4, window=5)
    return make_training_setup(task, "bptt", config, 2).learner


def test_runs_that_share_a_call_and_runs_that_go_on() -> None:
    made = pendulum(network="gru")
    limit = Limit(jnp.int32(4), MOST)
    seeds = jax.vmap(jax.random.key)(jnp.arange(3, dtype=jnp.uint32))

    def run(key: Array) -> Any:
        state, _ = made.advance(made.init(key, hyper()), limit)
        return made.advance(state, limit)[0]

    together, advance = jax.jit(jax.vmap(run))(seeds), jax.jit(made.advance)
    for seed, key in enumerate(seeds):
        start = made.init(key, hyper())
        single, _ = advance(advance(start, limit)[0], limit)
        through, rows = advance(start, Limit(jnp.int32(8), MOST))
        jax.tree.map(np.testing.assert_array_equal, single.params, through.params)
        for shared, own in zip(
            jax.tree.leaves((together.params, together.statistics)),
            jax.tree.leaves((single.params, single.statistics)),
            strict=True,
        ):
            np.testing.assert_allclose(shared[seed], own, rtol=2e-3, atol=2e-4)
        assert rows.generations == 8 and float(rows.env_steps) == float(through.statistics.count)


def test_it_starts_from_the_parameters_of_an_evolution_strategy() -> None:
    module = registry.agents.load("open_es")
    task = Task.from_options("Pendulum-v1", {}, WrapperConfig(), PolicyConfig(widths=(8,)))
    strategy: Any = make_training_setup(task, "open_es", module.Hyperparameters(), 1).learner
    assert isinstance(strategy, Evolution)
    numbers = {
        name: jnp.float32(x) for name, x in split_traced(module.Hyperparameters())[1].items()
    }
    config = bptt.Hyperparameters()
    own = make_training_setup(task, "bptt", config, 1).learner.init(KEY, hyper()).params
    jax.tree.map(np.testing.assert_array_equal, own, strategy.init(KEY, numbers).agent.params)


# --- what it refuses ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Looping(Kink):
    """A step whose number of iterations depends on the action."""

    def step(self, key: Array, state: Any, action: Array) -> Transition:
        value = jax.lax.while_loop(lambda x: x < 1, lambda x: 2 * x + 1, action[0])
        return super().step(key, state, value[None])


@dataclass(frozen=True)
class Rounding(Kink):
    """Only the action's sign counts."""

    def step(self, key: Array, state: Any, action: Array) -> Transition:
        return super().step(key, state, jnp.sign(action) + jnp.floor(state))


@dataclass(frozen=True)
class Late(Kink):
    """Pays for the action before."""

    def step(self, key: Array, state: Any, action: Array) -> Transition:
        return super().step(key, state, state[None])._replace(state=action[0])


@dataclass(frozen=True)
class Button(Kink):
    """Two buttons."""

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec("button", (1,), Discrete(2), None)


@pytest.mark.parametrize(
    ("env", "window", "message"),
    [
        (Button(), 5, "button has discrete actions, through which no gradient passes; choose"),
        (Looping(), 5, r"kink cannot be differentiated \(Reverse-mode differentiation does not"),
        (Rounding(), 5, "no reward of kink in a window of 5 depends .* strategy, which needs no"),
        (Rounding(), 1, "no reward of kink in a window of 1 depends .* strategy, which needs no"),
        (Late(), 1, "no reward of kink in a window of 1 depends .* give a window of 2 or more"),
    ],
)
def test_what_no_gradient_passes_through_is_refused(env: Any, window: int, message: str) -> None:
    with pytest.raises(UserError, match=f"^bptt: {message}"):
        learner(env, window=window)


def test_where_some_gradient_passes_it_is_not_refused() -> None:
    learner(Late(), window=2)
    learner(Kink(), window=1)


@pytest.mark.parametrize(
    ("name", "options", "config", "passes"),
    [
        ("unrolled/learning_rate_decay", {"widths": [4]}, PARAMETERS, True),
        ("unrolled/learning_rate_decay", {"objective": "accuracy"}, PARAMETERS, False),
        ("text/python_docs", {}, PolicyConfig(network="gru", head="deterministic"), True),
        ("text/python_docs", {"loss": "tables"}, PolicyConfig(head="deterministic"), False),
        ("text/python_docs", {}, PolicyConfig(**EGG), False),
        ("text/python_docs", {}, PolicyConfig(integers=False, **EGG), True),
        ("text/python_docs", {}, PolicyConfig(straight_through=True, **EGG), True),
    ],
    ids=["loss", "accuracy", "exact", "tables", "integers", "real numbers", "straight through"],
)
def test_accuracies_tables_and_integers_have_no_gradient(
    name: str, options: dict[str, Any], config: PolicyConfig, passes: bool
) -> None:
    task = Task.from_options(name, options, WrapperConfig(), config)
    if passes:
        make_training_setup(task, "bptt", bptt.Hyperparameters(), 1)
    else:
        with pytest.raises(UserError, match=f"no reward of {name} in a window of 50"):
            make_training_setup(task, "bptt", bptt.Hyperparameters(), 1)
