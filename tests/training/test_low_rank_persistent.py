"""PES and NRES with full-rank and low-rank noise, where episodes end as their state says.

Each is held against its own smoothing: the expectation of half the difference of a pair's returns
times the noise of the whole episode, sampled in NumPy. PES draws a noise per window, NRES one per
episode; of rank R the noise of a matrix is A B^T / sqrt(R).
"""

from dataclasses import dataclass
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es.evolution.noise_memory import (
    DenseAccumulator,
    EpisodeNoise,
    FreshNoise,
    HeldB,
    NoiseHistory,
    NoiseKeys,
)
from rl_es.evolution.strategy import make_perturbation
from rl_es.interfaces import EnvSpec, Episode, Observation, Persistent
from rl_es.rollout.config import PolicyConfig
from rl_es.rollout.policy import make_policy
from tests.toys import Drift, box
from tests.training import frozen
from tests.training.frozen import SIGMA

WEIGHTS = np.array([[0.2], [0.35]], np.float32)  # of the state, and of a constant


@dataclass(frozen=True)
class Seen(Drift):
    """The drifting system, which shows its state and a constant."""

    @property
    def spec(self):
        return EnvSpec("seen", (2,), box(1), self.horizon)

    def reset(self, key):
        state, _ = super().reset(key)
        return state, self._show(state)

    def step(self, key, state, action):
        after = super().step(key, state, action)
        return after._replace(observation=self._show(after.state))

    def _show(self, state):
        return Observation(jnp.stack([state[0], jnp.ones(())]))


ENV = Seen()
POLICY = make_policy(PolicyConfig(network="linear", head="deterministic"), ENV.spec)
(KERNEL,) = POLICY.parameters.matrices


def learner(segment, rank, memory, pairs=frozen.PAIRS, env=ENV, factors="normal"):
    noise = make_perturbation(POLICY.parameters, rank, factors)
    return frozen.learner(env, POLICY, noise, segment, memory, pairs)


def per_cycle(evolution):
    """The estimate [2] of a cycle's gradient, and its standard error."""
    return frozen.per_cycle(evolution, WEIGHTS, 400)


def returns(weights):
    """Episode returns [n] of weights [T, 2, n], and how many steps they took."""
    x = np.full(weights.shape[2:], ENV.start)
    alive, total, steps = np.ones(x.shape, bool), np.zeros(x.shape), np.zeros(x.shape, int)
    for state, constant in weights:
        x = ENV.decay * x + state * x + constant
        total += np.where(alive, 1 - x**2 / 2 + x, 0.0)
        steps += alive
        alive &= x <= ENV.edge
    return total, steps


def draw(rng, rank, n, factors="normal"):
    """Unit noise [2, n] of the 2 x 1 matrix; of rank 2, b is orthogonal, and a is a sign."""
    if rank is None:
        return rng.normal(size=(2, n))
    a, b = rng.normal(size=(rank, 1, n)), rng.normal(size=(rank, 2, n))
    if factors != "normal":
        a = np.sign(a)
        b /= np.sqrt(np.square(b).sum(1, keepdims=True) / 2)
    if factors == "orthogonal":  # the second at a right angle to the first, either way
        b[1] = np.stack([-b[0, 1], b[0, 0]]) * np.sign(b[1, :1])
    return (a * b).sum(0) / np.sqrt(rank)


@cache
def smoothed_gradient(rank, per_episode, factors="normal", samples=6_000_000):
    """[2] the expectation of what is estimated, and its standard error."""
    rng, means = np.random.default_rng(1), []
    for _ in range(20):
        n = samples // 20
        draws = [draw(rng, rank, n, factors) for _ in range(1 if per_episode else ENV.horizon)]
        noise = np.stack(draws * (ENV.horizon if per_episode else 1))
        theta = WEIGHTS[None, :, :1]
        differences = returns(theta + SIGMA * noise)[0] - returns(theta - SIGMA * noise)[0]
        total_noise = draws[0] if per_episode else noise.sum(0)
        means.append((differences / 2 * total_noise).mean(1) / SIGMA)
    return np.mean(means, 0), np.std(means, 0, ddof=1) / np.sqrt(len(means))


def test_episodes_end_early_and_late():
    rng = np.random.default_rng(0)
    noise = np.stack([draw(rng, 1, 100_000) for _ in range(ENV.horizon)])
    _, steps = returns(WEIGHTS[None, :, :1] + SIGMA * noise)
    assert min((steps == n).mean() for n in (1, 2, 3)) > 0.02


EXACT = {
    "pes": (DenseAccumulator(), None, False),
    "pes rank 1, dense": (DenseAccumulator(), 1, False),
    "pes rank 1, list": (NoiseHistory(3), 1, False),
    "pes rank 1, keys": (NoiseKeys(3), 1, False),
    "pes rank 4": (NoiseHistory(3), 4, False),
    "nres": (EpisodeNoise(), None, True),
    "nres rank 1": (EpisodeNoise(), 1, True),
    "nres rank 4": (EpisodeNoise(), 4, True),
    "pes rank 1 sphere, dense": (DenseAccumulator(), 1, False, "sphere"),
    "pes rank 1 sphere, list": (NoiseHistory(3), 1, False, "sphere"),
    "pes rank 1 sphere, keys": (NoiseKeys(3), 1, False, "sphere"),
    "pes rank 2 orthogonal": (NoiseHistory(3), 2, False, "orthogonal"),
    "nres rank 1 sphere": (EpisodeNoise(), 1, True, "sphere"),
}


@pytest.mark.parametrize("name", EXACT)
def test_unbiased_in_its_own_smoothing(name):
    memory, rank, per_episode, factors = (*EXACT[name], "normal")[:4]
    truth, truth_error = smoothed_gradient(rank, per_episode, factors)
    mean, error = per_cycle(learner(Persistent(1), rank, memory, factors=factors))
    assert (error < 0.05 * np.linalg.norm(truth)).all()
    np.testing.assert_array_less(np.abs(mean - truth), 4 * np.hypot(error, truth_error) + 1e-3)


@pytest.mark.parametrize("rank", [None, 1])
def test_without_the_hold_or_the_sum_it_is_biased(rank):
    """The test above would find it: the same windows, each weighted by its own noise alone."""
    truth, _ = smoothed_gradient(rank, per_episode=False)
    mean, error = per_cycle(learner(Persistent(1), rank, FreshNoise()))
    assert (np.abs(mean - truth) > 8 * error).any()


def test_held_factors_differ_from_independent_ones():
    """`held-B` estimates something else where returns are neither linear nor quadratic."""
    truth, _ = smoothed_gradient(1, per_episode=False)
    mean, error = per_cycle(learner(Persistent(1), 1, HeldB()))
    assert (np.abs(mean - truth) > 6 * error).any()


@pytest.mark.parametrize("rank", [None, 1, 4])
@pytest.mark.parametrize("window", [1, 2])
def test_nres_windows_add_up_to_the_episode(rank, window):
    """Sample by sample: the estimates of an episode's windows are the episodic antithetic one.

    All pairs start at once and the system is deterministic, so that the first windows are those of
    one episode, and the noise of its first window is that of a whole-episode generation.
    """
    windows = learner(Persistent(window), rank, EpisodeNoise(), pairs=70)
    state, total = frozen.start(windows, WEIGHTS), 0.0
    step = jax.jit(windows.generation)
    counted = jnp.ones((70,), bool)
    for _ in range(-(-ENV.horizon // window)):
        # A pair that has ended starts anew: from then on it counts no more.
        state, segment, _ = step(state)
        memory, returns = state.memory, np.asarray(segment.returns).reshape(-1, 2)
        weights = np.where(counted, returns[:, 0] - returns[:, 1], 0.0)
        update = windows.agent.perturbation.contract(memory.unit, jnp.asarray(weights, jnp.float32))
        total += np.asarray(jax.tree.leaves(update)[0])
        counted = counted & ~segment.ended
    assert not counted.any()
    episodes = learner(Episode(), rank, FreshNoise(), pairs=70)
    after, _, _ = jax.jit(episodes.generation)(frozen.start(episodes, WEIGHTS))
    (episodic,) = jax.tree.leaves(after.agent.optimiser)
    np.testing.assert_allclose(total / (140 * SIGMA), episodic, rtol=1e-4, atol=1e-5)


def test_nres_draws_nothing_in_between():
    """A pair keeps its noise to the end of its episode, and takes another for the next."""
    evolution = learner(Persistent(1), 1, EpisodeNoise(), pairs=64)
    state, step = frozen.start(evolution, WEIGHTS), jax.jit(evolution.generation)
    before = None
    for _ in range(6):
        fresh = np.asarray(state.fresh)
        state, _, _ = step(state)
        a = np.asarray(state.memory.unit[KERNEL].a)[:, 0, 0]
        if before is not None:
            np.testing.assert_array_equal(a[~fresh], before[~fresh])
            assert (a[fresh] != before[fresh]).all()
        before = a


def test_staggered_pairs_are_in_all_phases():
    """First episodes are cut to 1, 2, 3 windows, and nothing else: the estimate stays unbiased."""
    env = Seen(edge=1e9)  # nobody ends early
    evolution = learner(Persistent(1, staggered=True), None, DenseAccumulator(), 6, env)
    state, step, ends = frozen.start(evolution, WEIGHTS), jax.jit(evolution.generation), []
    for _ in range(9):
        state, segment, _ = step(state)
        ends.append(np.asarray(segment.ended))
    for pair in range(6):
        first = 1 + pair % 3
        expected = [g for g in range(1, 10) if g >= first and (g - first) % 3 == 0]
        assert [g + 1 for g in range(9) if ends[g][pair]] == expected


def test_staggering_does_not_bias():
    truth, truth_error = smoothed_gradient(None, per_episode=False)
    mean, error = per_cycle(learner(Persistent(1, staggered=True), None, DenseAccumulator()))
    np.testing.assert_array_less(np.abs(mean - truth), 4 * np.hypot(error, truth_error) + 1e-3)
