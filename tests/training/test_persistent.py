"""Persistent unrolls against an enumerated gradient, on a system that ends where its state says so.

`Drift` has three steps and one parameter, its action. With windows of one step and fresh noise in
each, the return smoothed as PES smooths it is an integral over three actions, summed on a grid; its
derivative is known to many digits.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rl_es.evolution.fitness_shaping import LaggedScale
from rl_es.evolution.noise_memory import DenseAccumulator
from rl_es.evolution.perturbation import FullRank, block_keys
from rl_es.evolution.strategy import EvolutionStrategy
from rl_es.interfaces import Environment, Episode, Persistent, Segment
from rl_es.training.learner import Evolution, TrainState
from tests.toys import Countdown, Drift, ParameterPolicy
from tests.training import frozen
from tests.training.frozen import HYPER, PAIRS, SIGMA

THETA = 0.35
POLICY = ParameterPolicy()


def learner(env: Environment, segment: Episode | Persistent, memory=None, pairs=PAIRS) -> Evolution:
    return frozen.learner(env, POLICY, FullRank(POLICY.parameters), segment, memory, pairs)


def start(evolution: Evolution) -> TrainState:
    return frozen.start(evolution, THETA)


def per_cycle(evolution: Evolution) -> tuple[float, float]:
    """The estimate of a cycle's gradient, and its standard error."""
    mean, error = frozen.per_cycle(evolution, THETA, 800)
    return mean.item(), error.item()


def normal_grid(points: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of a standard normal variable, and their weights."""
    axis = np.linspace(-5, 5, points)
    weight = np.exp(-(axis**2) / 2)
    return axis, weight / weight.sum()


@cache
def smoothed_gradient(env: Drift, per_window: bool) -> float:
    """d/d theta of the expected return, noise drawn each step or once an episode."""
    if not per_window:
        axis, weight = normal_grid(200_001)
        returns = env.returns(THETA + SIGMA * np.stack([axis] * env.horizon))
        return float((weight * returns * axis).sum() / SIGMA)
    axis, weight = normal_grid(401)
    second, third = np.meshgrid(axis, axis, indexing="ij")
    total = 0.0
    for first, share in zip(axis, weight, strict=True):
        noise = np.stack([np.full_like(second, first), second, third])
        returns = env.returns(THETA + SIGMA * noise)
        total += share * (weight[:, None] * weight * returns * noise.sum(0)).sum()
    return float(total / SIGMA)


def test_the_grid_agrees_with_sampling():
    """The reference itself, checked another way: finite differences of sampled returns."""
    env, rng = Drift(), np.random.default_rng(0)
    noise = SIGMA * rng.normal(size=(env.horizon, 2_000_000))
    h = 0.02
    difference = (env.returns(THETA + h + noise) - env.returns(THETA - h + noise)) / (2 * h)
    error = difference.std() / np.sqrt(difference.size)
    assert smoothed_gradient(env, per_window=True) == pytest.approx(
        difference.mean(), abs=4 * error + 5e-3
    )


def test_episodes_end_early_and_late():
    """The system does what the tests need: some pairs end on the first step, some never do."""
    env = Drift()
    noise = SIGMA * np.random.default_rng(0).normal(size=(env.horizon, 10_000))
    x, lengths = np.full(10_000, env.start), np.zeros(10_000)
    alive = np.ones(10_000, bool)
    for step in noise:
        x = env.decay * x + THETA + step
        lengths += alive
        alive &= x <= env.edge
    shares = [(lengths == n).mean() for n in (1, 2, 3)]
    assert min(shares) > 0.05


@pytest.mark.parametrize("window", [1, 2])
def test_pes_is_unbiased(window: int):
    env = Drift()
    truth = smoothed_gradient(env, per_window=True)
    mean, error = per_cycle(learner(env, Persistent(window), DenseAccumulator()))
    if window == 2:  # two steps share a noise: its own smoothing, sampled
        rng = np.random.default_rng(1)
        e = rng.normal(size=(2, 8_000_000))
        noise = np.stack([e[0], e[0], e[1]])
        differences = env.returns(THETA + SIGMA * noise) - env.returns(THETA - SIGMA * noise)
        truth = float((differences / 2 * e.sum(0)).mean() / SIGMA)
    assert error < 0.02 * abs(truth)
    assert mean == pytest.approx(truth, abs=4 * error + 2e-3 * abs(truth))


def test_truncated_windows_are_biased():
    env = Drift()
    truth = smoothed_gradient(env, per_window=True)
    mean, error = per_cycle(learner(env, Persistent(1, start="centre")))
    assert error < 0.02 * abs(truth)
    assert abs(mean - truth) > 10 * error
    assert abs(mean - truth) > 0.1 * abs(truth)


def test_pes_without_its_memory_is_biased():
    """The accumulator is what makes it unbiased: the same unroll without it is not."""
    env = Drift()
    truth = smoothed_gradient(env, per_window=True)
    mean, error = per_cycle(learner(env, Persistent(1)))
    assert abs(mean - truth) > max(10 * error, 0.1 * abs(truth))


def test_whole_episodes_are_unbiased_in_their_own_smoothing():
    env = Drift()
    truth = smoothed_gradient(env, per_window=False)
    mean, error = per_cycle(learner(env, Episode()))
    assert error < 0.02 * abs(truth)
    assert mean == pytest.approx(truth, abs=4 * error + 2e-3 * abs(truth))


def test_a_pair_resets_when_both_members_are_done_and_only_at_a_boundary():
    """Windows of 3 steps on lengths that both partners share: each pair idles to the boundary."""
    env = Countdown(longest=10, limit=8)
    evolution = learner(env, Persistent(3), DenseAccumulator(), pairs=64)
    state = start(evolution)
    step = jax.jit(evolution.generation)
    before = state.fresh
    assert bool(before.all())
    lengths = None
    elapsed = np.zeros(64, int)
    for _ in range(12):
        fresh = np.asarray(state.fresh)
        state, segment, _ = step(state)
        length = np.minimum(np.asarray(state.particles.particles.env[1])[:, 0, 0], env.limit)
        if lengths is not None:
            np.testing.assert_array_equal(length[~fresh], lengths[~fresh])  # not reset inside
        elapsed = np.where(fresh, 0, elapsed)
        steps_alive = np.clip(length - elapsed, 0, 3)
        np.testing.assert_array_equal(
            segment.returns.reshape(-1, 2), np.stack([steps_alive] * 2, 1)
        )
        assert int(segment.steps) == 2 * steps_alive.sum()
        elapsed, lengths = elapsed + 3, length
        np.testing.assert_array_equal(segment.ended, elapsed >= length)


def test_the_accumulator_starts_anew_with_the_episode():
    """After a reset it holds the new window's score alone; before, the sum of its episode's."""
    env = Countdown(longest=10, limit=8)
    evolution = learner(env, Persistent(3), DenseAccumulator(), pairs=64)
    state, draws, scores = start(evolution), [], np.zeros(64)
    step = jax.jit(evolution.generation)
    for generation in range(8):
        fresh = np.asarray(state.fresh)
        key = jax.random.split(jax.random.fold_in(state.key, generation), 3)[0]
        unit = evolution.agent.perturbation.draw(block_keys(key, 64), 64)["theta"][:, 0]
        state, _, _ = step(state)
        scores = np.where(fresh, 0, scores) + np.asarray(unit) / SIGMA
        np.testing.assert_allclose(state.memory["theta"][:, 0], scores, rtol=1e-5, atol=1e-5)
        draws.append(unit)
    assert float(np.std(draws)) == pytest.approx(1, abs=0.2)


def test_truncated_counts_the_steps_of_its_centre():
    """Both members and the centre: three particles' steps a pair and window."""
    env = Countdown(longest=1000, limit=1000)
    evolution = learner(env, Persistent(5, start="centre"), pairs=8)
    state = start(evolution)
    state, segment, _ = jax.jit(evolution.generation)(state)
    lengths = np.asarray(state.particles.env[1])[:, 0]
    assert int(segment.steps) == 3 * np.minimum(lengths, 5).sum()


def test_lagged_scale_looks_at_earlier_windows_only():
    shaping = LaggedScale(cycle=2)
    state = shaping.init(pairs=2)

    def segment_of(difference: float) -> Segment:
        returns = jnp.asarray([difference, 0.0, 0.0, difference])
        return Segment(returns, jnp.zeros(2, bool), jnp.int32(0), jnp.int32(0))

    assert not bool(shaping.ready(state))
    state = shaping.observe(state, segment_of(2.0))
    assert not bool(shaping.ready(state))
    state = shaping.observe(state, segment_of(4.0))
    assert bool(shaping.ready(state))
    assert float(state.mean_square) == pytest.approx((2.0 + 8.0) / 2)
    weights = shaping.weigh(state, jnp.asarray([10.0, -10.0]))
    np.testing.assert_allclose(weights, np.array([10.0, -10.0]) / np.sqrt(5.0), rtol=1e-6)
    for _ in range(100):
        state = shaping.observe(state, segment_of(0.0))
    assert float(state.mean_square) == pytest.approx(0, abs=0.1)


def test_lagged_scale_is_ready_when_every_pair_has_ended_once():
    """Where episodes end long before the time limit, so does the wait for the first update."""
    shaping = LaggedScale(cycle=1000)
    state = shaping.init(pairs=2)
    for ended, ready in (([True, False], False), ([True, False], False), ([False, True], True)):
        segment = Segment(jnp.arange(4.0), jnp.asarray(ended), jnp.int32(0), jnp.int32(0))
        state = shaping.observe(state, segment)
        assert bool(shaping.ready(state)) == ready


def test_no_update_in_the_first_cycle():
    env = Drift()
    agent = EvolutionStrategy(
        64, FullRank(POLICY.parameters), Persistent(1), LaggedScale(3),
        lambda hyper, lr: optax.adam(0.1), pair_memory=DenseAccumulator(),
    )  # fmt: skip
    evolution = Evolution(agent, env, POLICY)
    state = start(evolution)
    step = jax.jit(evolution.generation)
    thetas_and_norms = []
    for _ in range(5):
        state, _, metrics = step(state)
        thetas_and_norms.append((float(state.agent.params["theta"][0]), float(metrics.update_norm)))
    theta = np.float32(THETA)
    assert [m[0] for m in thetas_and_norms[:3]] == [theta] * 3 and [
        m[1] for m in thetas_and_norms[:3]
    ] == [0.0] * 3
    assert thetas_and_norms[3][0] != theta
    # Adam starts when updates do: its first step is lr, bias-corrected.
    assert abs(thetas_and_norms[3][0] - theta) == pytest.approx(0.1, rel=1e-3)


def test_sigma_decay_accumulates_scores():
    """The accumulator sums E_t / sigma_t with each window's own sigma."""
    env = Countdown(longest=1000, limit=1000)
    evolution = learner(env, Persistent(2), DenseAccumulator(), pairs=8)
    hyper = {name: jnp.float32(value) for name, value in HYPER.items()}
    hyper["sigma_decay"] = jnp.float32(0.5)
    state = evolution.init(jax.random.key(0), hyper)
    scores = 0.0
    for generation in range(3):
        key = jax.random.split(jax.random.fold_in(state.key, generation), 3)[0]
        unit = evolution.agent.perturbation.draw(block_keys(key, 8), 8)["theta"]
        scores = scores + np.asarray(unit) / (SIGMA * 0.5**generation)
        state, _, _ = jax.jit(evolution.generation)(state)
    np.testing.assert_allclose(state.memory["theta"], scores, rtol=1e-5)
