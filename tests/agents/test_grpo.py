"""GRPO: its gradient where that is known, its groups, and what has no part in its steps."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pydantic
import pytest
from jax import Array

from rl_es import registry
from rl_es.agents import grpo
from rl_es.agents._grpo import GRPO, EpisodeBatch, GRPOState, Recording, group_advantages
from rl_es.config import split_traced
from rl_es.errors import UserError
from rl_es.evolution.fitness_shaping import finite_fitness
from rl_es.interfaces import Box, Discrete, EnvSpec, Limit, Observation, ProblemSpec, Transition
from rl_es.rollout.config import PolicyConfig
from rl_es.rollout.evaluation import make_evaluator
from rl_es.rollout.policy import make_policy
from rl_es.training.learner import Evolution

KEY = jax.random.key(7)
NEVER = np.zeros((), bool)


@dataclass(frozen=True)
class Bandit:
    """One step that pays for the arm; `contexts` of them, observed one-hot. Arm 0 may break."""

    pays: tuple[tuple[float, ...], ...] = ((1.0, 0.0, -2.0, 4.0),)  # [contexts, arms]

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec("bandit", (len(self.pays),), Discrete(len(self.pays[0])), 1)

    def reset(self, key: Array) -> tuple[Array, Observation]:
        context = jax.random.randint(key, (), 0, len(self.pays), jnp.int32)
        return context, Observation(jax.nn.one_hot(context, len(self.pays)))

    def step(self, key: Array, state: Array, action: Array) -> Transition:
        reward = jnp.asarray(self.pays, jnp.float32)[state, action]
        _, observation = self.reset(key)
        return Transition(state, observation, reward, ~NEVER, NEVER)


@dataclass(frozen=True)
class Prompt:
    """A prompt of two forced tokens and an answer of up to two; action 0 ends it, 1 pays.

    An observation is the number of the step, one-hot. After the end all is not finite, and no
    action is allowed.
    """

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec("prompt", (4,), Discrete(3), 4)

    def reset(self, key: Array) -> tuple[Any, Observation]:
        start = (jnp.zeros((), jnp.int32), jnp.zeros((), bool), jax.random.randint(key, (), 0, 2))
        return start, self.observe(*start)

    def step(self, key: Array, state: Any, action: Array) -> Transition:
        t, over, first = state
        ends = over | ((t >= 2) & (action == 0)) | (t >= 3)
        reward = jnp.where(over, jnp.nan, jnp.where((t >= 2) & (action == 1), 1.0, 0.0))
        reward = jnp.where((t < 2) & (action != (first + t) % 3), -jnp.inf, reward)
        state = (t + 1, ends, first)
        return Transition(state, self.observe(*state), reward, ends & (t < 3), t >= 3)

    def observe(self, t: Array, over: Array, first: Array) -> Observation:
        values = jnp.where(over, jnp.nan, jax.nn.one_hot(t, 4))
        forced = jnp.arange(3) == (first + t) % 3
        return Observation(values, jnp.where(t < 2, forced, True) & ~over)


@dataclass(frozen=True)
class Aim:
    """Pays minus the squared distance of real actions to the first observation, for five steps."""

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec("aim", (1,), Box(np.full(1, -9, "f4"), np.full(1, 9, "f4")), 5)

    def reset(self, key: Array) -> tuple[Any, Observation]:
        goal = jax.random.choice(key, jnp.array([-1.0, 1.0]))
        return (goal, jnp.zeros((), jnp.int32)), Observation(goal[None])

    def step(self, key: Array, state: Any, action: Array) -> Transition:
        goal, t = state
        reward = -jnp.square(action[0] - goal)
        return Transition((goal, t + 1), Observation(jnp.zeros(1)), reward, NEVER, t >= 4)


LINEAR = {"network": "linear"}


def learner(
    env: Any, policy: dict[str, Any] = LINEAR, normalise: bool = False, **settings: Any
) -> tuple[GRPO, GRPOState]:
    """The learner, and its state at the start."""
    config = grpo.Hyperparameters(**settings)
    network = make_policy(PolicyConfig(**policy), env.spec)
    built: Any = grpo.make_learner(config, env, network, normalise)
    hyper = {name: jnp.float32(value) for name, value in split_traced(config)[1].items()}
    return built, built.init(jax.random.key(1), hyper)


def sampled(built: GRPO, state: GRPOState) -> tuple[EpisodeBatch, np.ndarray]:
    """An iteration's episodes, and their returns [E]."""
    outcome, recording = jax.jit(built.sample)(state, KEY)
    return built.batch(state, recording, finite_fitness(outcome.returns)), np.asarray(
        outcome.returns
    )


def gradient(built: GRPO, state: GRPOState, batch: EpisodeBatch, params: Any = None) -> Any:
    params = state.params if params is None else params
    function = jax.jit(jax.grad(built.objective))
    return function(params, batch, state.statistics, state.hyper)


def weights(tree: Any) -> np.ndarray:
    """The matrix of a linear policy."""
    return np.asarray(tree["network"]["Dense_0"]["kernel"], np.float64)


def softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


# --- the gradient -------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["none", "group", "global"])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_the_gradient_of_a_bandit_is_the_policy_gradient_of_what_was_sampled(
    scale: str, temperature: float
) -> None:
    """In closed form: the mean of advantage times (one-hot of the arm minus the probabilities)."""
    env = Bandit(((1.0, 0.0, -2.0, 4.0), (0.0, 3.0, 1.0, 1.0)))
    built, state = learner(env, prompts=8, group=6, scale=scale, temperature=temperature)
    batch, returns = sampled(built, state)
    groups = returns.astype(np.float64).reshape(8, 6)
    advantages = groups - groups.mean(1, keepdims=True)
    if scale != "none":
        variance = groups.var() if scale == "global" else groups.var(1, keepdims=True)
        advantages /= np.sqrt(variance + 1e-8)
    arms, contexts = np.eye(4)[batch.recording.action[0]], batch.recording.observation.values[0]
    shares = softmax(np.asarray(contexts) @ weights(state.params) / temperature)
    scores = (arms - shares) / temperature
    expected = np.einsum("e,ec,ea->ca", advantages.ravel(), contexts, scores) / 48
    np.testing.assert_allclose(weights(gradient(built, state, batch)), expected, atol=2e-6)
    assert np.abs(expected).max() > 0.05


def test_the_expected_gradient_is_that_of_the_return() -> None:
    """Each return is part of its group's mean, which leaves 1 - 1 / G of the gradient."""
    built, state = learner(Bandit(), prompts=4096, group=4, scale="none")
    batch, _ = sampled(built, state)
    pays, share = np.array(Bandit.pays[0]), softmax(weights(state.params))[0]
    exact = share * (pays - share @ pays)
    samples = np.asarray(batch.advantages[0])[:, None] * (
        np.eye(4)[batch.recording.action[0]] - share
    )
    error = samples.reshape(4096, 4, 4).mean(1).std(0) / 64
    distance = weights(gradient(built, state, batch))[0] - (1 - 1 / 4) * exact
    assert (np.abs(distance) < 4 * error).all() and (np.abs(exact) > 10 * error).any()


@pytest.mark.parametrize("average", ["steps", "horizon"])
@pytest.mark.parametrize("coefficient", [0.0, 0.3])
def test_forced_steps_and_padding_have_no_part(average: str, coefficient: float) -> None:
    """Rows of the matrix belong to steps: those of the prompt get a gradient of exactly 0."""
    built, state = learner(Prompt(), prompts=4, group=8, average=average, kl_coef=coefficient)
    shift = 0.3 * jnp.sin(jnp.arange(12.0).reshape(4, 3))
    params = jax.tree.map(lambda leaf: leaf + shift, state.params)
    state = state.replace(params=params)  # pyright: ignore[reportAttributeAccessIssue]
    batch, returns = sampled(built, state)
    steps = batch.recording
    lengths = np.asarray(steps.alive.sum(0))
    assert set(lengths) == {3, 4} and np.isfinite(returns).all() and len(set(returns)) > 1
    assert not np.asarray(steps.log_prob[:2]).any() and not np.asarray(steps.is_choice[:2]).any()
    result = weights(gradient(built, state, batch))
    assert not result[:2].any() and np.abs(result[2:]).min() > 1e-4

    reference = np.log(softmax(weights(learner(Prompt())[1].params)))
    logs = np.log(softmax(weights(params)))
    expected = np.zeros((4, 3))
    for e, length in enumerate(lengths):
        for t in range(2, length):
            action = int(steps.action[t, e])
            ratio = np.exp(reference[t, action] - logs[t, action])
            weight = float(batch.advantages[0, e]) + coefficient * (ratio - 1)
            score = np.eye(3)[action] - np.exp(logs[t])
            expected[t] += weight * score / (length - 2 if average == "steps" else 4) / 32
    np.testing.assert_allclose(result, expected, atol=2e-6)


def test_beyond_a_clipped_ratio_there_is_no_gradient() -> None:
    """An arm of positive advantage that has become likely, and one of negative, unlikely."""
    built, state = learner(Bandit(((0.0, 1.0),)), prompts=4, group=8)
    batch, _ = sampled(built, state)
    moved = {"network": {"Dense_0": {"kernel": jnp.array([[-4.0, 4.0]]) + weights(state.params)}}}
    moved = jax.tree.map(jnp.float32, moved)
    assert not weights(gradient(built, state, batch, moved)).any()
    back = jax.tree.map(jnp.negative, moved)
    assert weights(gradient(built, state, batch, back)).any()


# --- advantages ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["none", "group", "global"])
def test_a_group_of_equal_returns_has_no_advantage(scale: str) -> None:
    returns = jnp.array([0.1, 0.1, 0.1, -1234.5, -1234.5, -1234.5, 1.0, 2.0, 6.0])
    advantages = np.asarray(group_advantages(finite_fitness(returns), 3, scale)).reshape(3, 3)
    assert not advantages[:2].any() and np.diff(advantages[2]).min() > 0
    np.testing.assert_allclose(advantages.sum(1), 0, atol=1e-6)


@pytest.mark.parametrize("scale", ["none", "group", "global"])
def test_returns_that_are_not_finite_do_not_count(scale: str) -> None:
    returns = jnp.array([1.0, 5.0, jnp.nan, jnp.inf, jnp.nan, jnp.nan])
    advantages = np.asarray(group_advantages(finite_fitness(returns), 3, scale))
    size = 2.0 if scale == "none" else 1.0
    np.testing.assert_allclose(advantages, [-size, size, 0, 0, 0, 0], rtol=1e-5)


def test_episodes_that_break_down_are_left_out() -> None:
    built, state = learner(Bandit(((np.nan, 0.0, 1.0),)), prompts=8, group=8, lr=0.05)
    state, rows = jax.jit(built.advance)(state, Limit(jnp.int32(40), jnp.int32(2**30)))
    assert rows.nonfinite_members > 0 and rows.population_best == 1
    logits = weights(state.params)[0]
    assert np.isfinite(logits).all() and logits[2] > logits[1] + 2


# --- episodes -----------------------------------------------------------------------------------


def test_groups_share_their_start_and_nothing_else() -> None:
    built, state = learner(Aim(), {"network": "gru", "widths": (4,)}, prompts=16, group=4)
    batch, _ = sampled(built, state)
    starts = np.asarray(batch.recording.observation.values[0]).reshape(16, 4)
    assert (starts == starts[:, :1]).all() and len(set(starts[:, 0])) == 2
    actions = np.asarray(batch.recording.action[0]).reshape(16, 4)
    assert len(np.unique(actions)) == actions.size


POLICIES: list[tuple[Any, dict[str, Any]]] = [
    (Aim(), {"widths": (4,)}),
    (Aim(), {"network": "gru", "widths": (4,), "head": "deterministic"}),
    (Prompt(), {"network": "gru", "widths": (4,)}),
]


@pytest.mark.parametrize(("env", "policy"), POLICIES)
def test_a_replay_has_the_recorded_probabilities(env: Any, policy: dict[str, Any]) -> None:
    normalise = isinstance(env, Aim)
    built, state = learner(env, policy, normalise, temperature=0.7)
    state, _ = jax.jit(built.generation)(state)
    batch, _ = sampled(built, state)
    recording: Recording = batch.recording
    logs = jax.jit(built.log_probs)(state.params, recording, state.statistics, state.hyper)
    logs = np.where(recording.alive, logs, 0)
    np.testing.assert_allclose(logs, recording.log_prob, atol=2e-5)
    assert np.abs(logs).max() > 0.1 and np.isfinite(logs).all()
    if normalise and state.statistics is not None:
        assert float(state.statistics.count) == 5 * built.episodes


@pytest.mark.parametrize(("env", "policy"), POLICIES)
def test_recomputed_steps_have_the_same_gradient(env: Any, policy: dict[str, Any]) -> None:
    gradients = []
    for recompute in (False, True):
        built, state = learner(env, policy, recompute=recompute)
        batch, _ = sampled(built, state)
        gradient_of = jax.jit(jax.grad(built.objective))
        gradients.append(gradient_of(state.params, batch, state.statistics, state.hyper))
    leaves, others = map(jax.tree.leaves, gradients)
    assert any(np.abs(leaf).max() > 1e-3 for leaf in leaves)
    for leaf, other in zip(leaves, others, strict=True):
        np.testing.assert_allclose(other, leaf, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("env", "policy"), POLICIES)
def test_it_learns(env: Any, policy: dict[str, Any]) -> None:
    built, state = learner(env, policy, epochs=2, lr=0.02, prompts=8)
    evaluate = jax.jit(make_evaluator(env, built.policy, 256))
    before = evaluate(KEY, built.snapshot(state)).mean()
    state, rows = jax.jit(built.advance)(state, Limit(jnp.int32(60), jnp.int32(2**30)))
    snapshot = built.snapshot(state)
    after = evaluate(KEY, snapshot).mean()
    assert set(snapshot.params) == set(built.policy.parameters.shapes)
    assert rows.episodes == 60 * 128 and after > before
    # Without a memory of the goal each later step costs its variance, 1.
    best = 2.0 if isinstance(env, Prompt) else 0.0 if "network" in policy else -4.0
    assert best - after < 1


# --- runs ---------------------------------------------------------------------------------------


def test_how_calls_are_cut_changes_no_number() -> None:
    built, state = learner(Aim(), {"widths": (4,)}, True, prompts=4, group=4, kl_coef=0.1)
    advance = jax.jit(built.advance)

    def run(*generations: int) -> Any:
        after = state
        for count in generations:
            after, _ = advance(after, Limit(jnp.int32(count), jnp.int32(2**30)))
        return after.replace(key=None)

    jax.tree.map(np.testing.assert_array_equal, run(3), run(1, 2))


def test_it_starts_where_an_evolution_strategy_of_the_same_seed_does() -> None:
    built, state = learner(Aim(), {"widths": (4,)})
    module = registry.agents.load("open_es")
    strategy = module.make(module.Hyperparameters(), ProblemSpec(built.policy.parameters, 5))
    numbers = {n: jnp.float32(v) for n, v in split_traced(module.Hyperparameters())[1].items()}
    other = Evolution(strategy, Aim(), built.policy).init(jax.random.key(1), numbers)
    jax.tree.map(np.testing.assert_array_equal, state.params, other.agent.params)


def test_what_it_cannot_train_is_refused() -> None:
    endless = EnvSpec("endless", (1,), Discrete(2), None)
    for spec, policy, reason in (
        (Aim().spec, {"init": "zeros"}, "grpo: from init: zeros no gradient"),
        (endless, {}, "environment endless: it never ends; give it an episode_length"),
    ):
        env = type("Env", (), {"spec": spec})()
        with pytest.raises(UserError, match=reason):
            learner(env, policy)
    with pytest.raises(pydantic.ValidationError, match="minibatches: 3 .* a divisor of 32"):
        grpo.Hyperparameters(prompts=4, group=8, minibatches=3)
