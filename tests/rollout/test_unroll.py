"""Unrolls against loops in Python over episodes whose every number follows from the reset key."""

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es.errors import UserError
from rl_es.evolution.fitness_shaping import STATELESS_SHAPINGS, LaggedScale
from rl_es.evolution.optimiser import sgd
from rl_es.evolution.perturbation import FullRank, block_keys, pair_keys
from rl_es.evolution.strategy import EvolutionStrategy
from rl_es.interfaces import EnvSpec, Episode, Observation, Persistent, Snapshot, Transition
from rl_es.rollout.config import PolicyConfig
from rl_es.rollout.evaluation import make_evaluator, make_recorder, read_trajectory
from rl_es.rollout.normalisation import Statistics
from rl_es.rollout.policy import make_policy
from rl_es.rollout.unroll import CHUNK, single_step, start_particle, unroll_episodes, unroll_window
from rl_es.training.learner import Evolution
from tests.toys import Countdown, Drift, ParameterPolicy, box

HYPER = ("lr", "lr_decay", "sigma", "sigma_decay", "weight_decay", "momentum")
PAIRS, EPISODES = 70, 2  # more pairs than one key is for


@dataclass(frozen=True)
class Sighted(Countdown):
    """A countdown that shows its length and the time, and pays the sum of the action."""

    @property
    def spec(self):
        return EnvSpec("sighted", (2,), box(2), self.limit)

    def reset(self, key):
        state, _ = super().reset(key)
        return state, self._seen(state)

    def step(self, key, state, action):
        after = super().step(key, state, action)
        return after._replace(observation=self._seen(after.state), reward=action[0] + action[1])

    def _seen(self, state):
        return Observation(jnp.stack([state[1], state[0]]).astype(jnp.float32))


@dataclass(frozen=True)
class Chance:
    """Pays numbers drawn from the reset key and from each step's key."""

    steps: int = 3

    @property
    def spec(self):
        return EnvSpec("chance", (1,), box(1), self.steps)

    def reset(self, key):
        return (jax.random.uniform(key), jnp.int32(0)), Observation(jnp.zeros(1))

    def step(self, key, state, action):
        drawn, t = state
        reward = drawn + 10 * jax.random.uniform(key)
        over = t + 1 >= self.steps
        return Transition(
            (drawn, t + 1), Observation(jnp.zeros(1)), reward, jnp.zeros((), bool), over
        )


@dataclass(frozen=True, eq=False)
class Reflex(ParameterPolicy):
    """The action is what is seen."""

    def act(self, params, state, observation, key):
        return state, observation.values


@dataclass(frozen=True, eq=False)
class Clock(ParameterPolicy):
    """The action is the number of steps since the episode's start, which the policy carries."""

    def initial_state(self):
        return jnp.zeros(())

    def act(self, params, state, observation, key):
        return state + 1, jnp.stack([state, jnp.zeros(())])


def learner(env, policy, segment=None, shaping=None, **settings):
    agent = EvolutionStrategy(
        2 * PAIRS,
        FullRank(policy.parameters),
        segment or Episode(EPISODES),
        shaping or STATELESS_SHAPINGS["raw"],
        sgd,
    )
    return Evolution(agent, env, policy, **settings)


def run(learner, generations=1):
    """The states before each generation and after the last, and each segment."""
    hyper = {name: jnp.full((), 0.1) for name in HYPER}
    states, segments = [jax.jit(learner.init)(jax.random.key(3), hyper)], []
    step = jax.jit(learner.generation)
    for _ in range(generations):
        state, segment, _ = step(states[-1])
        states.append(state)
        segments.append(jax.device_get(segment))
    return states, segments


@functools.cache
def countdown_lengths(key_data: tuple, longest: int, limit: int) -> np.ndarray:
    """[H, E] steps of a generation's episodes, from its reset keys one by one."""
    key = jax.random.wrap_key_data(jnp.array(key_data, jnp.uint32))
    _, reset_key, _ = jax.random.split(key, 3)
    keys = pair_keys(block_keys(reset_key, PAIRS), PAIRS, EPISODES)
    reset = jax.jit(Countdown(longest, limit).reset)
    lengths = [[int(reset(keys[h, e])[0][1]) for e in range(EPISODES)] for h in range(PAIRS)]
    return np.minimum(lengths, limit)


def lengths_of(state, env) -> np.ndarray:
    key = jax.random.fold_in(state.key, state.generation)
    return countdown_lengths(
        tuple(np.asarray(jax.random.key_data(key)).tolist()), env.longest, env.limit
    )


@dataclass(frozen=True)
class Hollow(Countdown):
    """A countdown whose state has an array without elements, as simulators' states have."""

    def reset(self, key):
        state, observation = super().reset(key)
        return (*state, jnp.zeros((0, 3))), observation

    def step(self, key, state, action):
        after = super().step(key, state[:2], action)
        return after._replace(state=(*after.state, state[2]))


@pytest.mark.parametrize(
    "env",
    [Countdown(), Countdown(70, 53), Hollow()],
    ids=["one chunk", "three", "an empty array"],
)
def test_real_steps_and_rewards_are_counted(env):
    """Rewards after an episode's end, of a thousand each, count nothing."""
    states, segments = run(learner(env, ParameterPolicy()), 2)
    for state, segment in zip(states, segments, strict=False):
        lengths = lengths_of(state, env)
        assert lengths.min() < env.limit == lengths.max()
        assert segment.steps == 2 * lengths.sum()
        assert segment.episodes == 2 * PAIRS * EPISODES
        assert segment.ended.all()
        returns = segment.returns.reshape(PAIRS, 2)
        np.testing.assert_array_equal(returns, np.stack([lengths.mean(1)] * 2, 1))


def test_partners_share_reset_and_step_keys():
    """And nobody else does: not other pairs, not the next generation."""
    _, segments = run(learner(Chance(), ParameterPolicy()), 2)
    returns = np.stack([segment.returns.reshape(PAIRS, 2) for segment in segments])
    np.testing.assert_array_equal(returns[:, :, 0], returns[:, :, 1])
    assert len(np.unique(returns)) == 2 * PAIRS


def test_each_episode_and_each_step_has_a_key_of_its_own():
    env, policy = Chance(), ParameterPolicy()
    step = single_step(env, policy, policy.init(jax.random.key(0)), None)
    keys = jax.random.split(jax.random.key(1), 5)
    particles = jax.vmap(lambda key: start_particle(env, policy, key))(keys)
    totals = [unroll_window(step, particles, keys, steps).returns for steps in (1, 2, 3)]
    rewards = np.diff(np.stack([np.zeros(5), *totals]), axis=0) - np.asarray(particles.env[0])
    assert len(np.unique(rewards.round(4))) == 15


def unrolled(env, horizon, early_stop):
    policy = ParameterPolicy()
    step = single_step(env, policy, policy.init(jax.random.key(0)), None)
    keys = jax.random.split(jax.random.key(1), 50)
    particles = jax.vmap(lambda key: start_particle(env, policy, key))(keys)
    return (unroll_episodes if early_stop else unroll_window)(step, particles, keys, horizon)


@pytest.mark.parametrize("horizon", [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 3])
def test_chunks_give_what_one_scan_gives(horizon):
    env = Countdown(2 * horizon, horizon)
    stopped, complete = unrolled(env, horizon, True), unrolled(env, horizon, False)
    np.testing.assert_array_equal(stopped.returns, complete.returns)
    np.testing.assert_array_equal(stopped.lengths, complete.lengths)
    assert stopped.particles.done.all() and complete.particles.done.all()
    assert horizon <= int(stopped.particles.env[0].max()) <= horizon + 2


def test_an_unroll_stops_when_all_are_done():
    """A particle's clock goes on to the end of the chunk, and no further."""
    result = unrolled(Countdown(5, 1000), 1000, True)
    np.testing.assert_array_equal(result.particles.env[0], CHUNK)
    assert result.lengths.max() == 5


def test_a_window_leaves_the_unfinished_alive():
    result = unrolled(Countdown(10, 8), 4, False)
    lengths = np.asarray(result.particles.env[1])
    np.testing.assert_array_equal(result.particles.done, lengths <= 4)
    np.testing.assert_array_equal(result.lengths, np.minimum(lengths, 4))


def test_statistics_are_of_all_observations_seen_alive_and_frozen_in_a_segment():
    env = Sighted()
    states, segments = run(learner(env, Reflex(), normalise_observations=True), 2)
    observed, mean, std = [], np.zeros(2), np.ones(2)
    for before, after, segment in zip(states, states[1:], segments, strict=False):
        returns = np.zeros((PAIRS, EPISODES))
        _, reset_key, _ = jax.random.split(jax.random.fold_in(before.key, before.generation), 3)
        keys = pair_keys(block_keys(reset_key, PAIRS), PAIRS, EPISODES)
        drawn = np.asarray(jax.vmap(jax.vmap(lambda key: env.reset(key)[0][1]))(keys))
        for h, e in np.ndindex(drawn.shape):
            shown_values = [(drawn[h, e], t) for t in range(min(drawn[h, e], env.limit))]
            returns[h, e] = ((np.array(shown_values) - mean) / std).sum()
            observed += 2 * shown_values  # of both partners
        # What the policy saw was normalised by the statistics from before the segment.
        np.testing.assert_allclose(
            segment.returns, np.repeat(returns.mean(1), 2), rtol=1e-4, atol=1e-4
        )
        mean, std = np.mean(observed, 0), np.std(observed, 0)
        assert float(after.statistics.count) == len(observed)
        np.testing.assert_allclose(after.statistics.mean, mean, rtol=1e-5)
        np.testing.assert_allclose(
            np.sqrt(after.statistics.m2 / after.statistics.count), std, rtol=1e-5
        )


def test_a_carried_state_starts_anew_with_each_episode():
    env = Sighted(longest=1_000_000, limit=6)
    _, segments = run(learner(env, Clock()), 2)
    for segment in segments:
        np.testing.assert_array_equal(segment.returns, sum(range(6)))
    windows = learner(env, Clock(), Persistent(3), LaggedScale(2))
    _, segments = run(windows, 4)
    result = [set(segment.returns) for segment in segments]
    assert result == [{0 + 1 + 2}, {3 + 4 + 5}, {0 + 1 + 2}, {3 + 4 + 5}]
    assert [bool(segment.ended.all()) for segment in segments] == [False, True, False, True]


DRIFT = Drift(horizon=12, decay=0.9, edge=1.5)
GAUSSIAN = make_policy(PolicyConfig(network="gru", widths=(4,)), DRIFT.spec)


def test_evaluation_depends_on_its_key_alone():
    evaluate = jax.jit(make_evaluator(DRIFT, GAUSSIAN, 8))
    snapshot = Snapshot(GAUSSIAN.init(jax.random.key(0)))
    first, again, other = (evaluate(jax.random.key(seed), snapshot) for seed in (1, 1, 2))
    assert first.shape == (8,)
    np.testing.assert_array_equal(first, again)
    assert len(np.unique([*first, *other])) > 12


def test_evaluation_needs_episodes_that_end():
    class Endless(Countdown):
        spec = EnvSpec("endless", (1,), box(1), None)

    with pytest.raises(UserError, match="endless: it never ends; give it an episode_length"):
        make_evaluator(Endless(), ParameterPolicy(), 1)(
            jax.random.key(0), Snapshot({"theta": jnp.zeros(1)})
        )


def test_a_trajectory_is_the_evaluated_episode_step_by_step():
    """Same reset and step keys, same return; the kind of end is told."""
    snapshot = Snapshot(GAUSSIAN.init(jax.random.key(0)))
    step = single_step(DRIFT, GAUSSIAN, snapshot.params, None)

    @jax.jit
    def unrolled(key):
        reset_key, step_key = jax.random.split(key)
        particles = jax.vmap(lambda key: start_particle(DRIFT, GAUSSIAN, key))(reset_key[None])
        return unroll_episodes(step, particles, step_key[None], DRIFT.horizon)

    ends, record = set(), jax.jit(make_recorder(DRIFT, GAUSSIAN))
    for seed in range(6):
        episode = read_trajectory(record(jax.random.key(seed), snapshot))
        complete = unrolled(jax.random.key(seed))
        assert len(episode.rewards) == int(complete.lengths[0])
        assert episode.rewards.sum() == pytest.approx(float(complete.returns[0]), rel=1e-5)
        assert DRIFT.returns(episode.actions[:, 0]) == pytest.approx(
            episode.rewards.sum(), rel=1e-4
        )
        last = 0.9 * episode.observations[-1, 0] + episode.actions[-1, 0]
        assert episode.terminated == (last > DRIFT.edge)
        assert episode.terminated or len(episode.rewards) == DRIFT.horizon
        assert episode.observations[0, 0] == np.float32(DRIFT.start)
        ends.add(episode.terminated)
    assert ends == {True, False}


def test_a_trajectory_sees_what_the_policy_saw_only_through_statistics():
    """Observations are shown as the environment gives them, and acted on normalised."""
    statistics = Statistics(jnp.float32(100), jnp.array([4.0, 1.0]), jnp.array([400.0, 100.0]))
    record = jax.jit(make_recorder(Sighted(), Reflex()))
    episode = read_trajectory(
        record(jax.random.key(0), Snapshot({"theta": jnp.zeros(1)}, statistics))
    )
    np.testing.assert_allclose(
        episode.actions, (episode.observations - [4.0, 1.0]) / [2.0, 1.0], rtol=1e-5
    )
    np.testing.assert_array_equal(episode.observations[:, 1], np.arange(len(episode.rewards)))
