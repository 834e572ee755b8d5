"""Running statistics of observations against NumPy over every observation that was seen alive."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es.agents import full_rank_es
from rl_es.config import split_traced
from rl_es.interfaces import Box, EnvSpec, Limit, Observation, ProblemSpec, Transition
from rl_es.rollout.config import PolicyConfig
from rl_es.rollout.evaluation import make_evaluator
from rl_es.rollout.normalisation import (
    CLIP,
    add_moments,
    batch_moments,
    empty_statistics,
    merge_moments,
    normalise,
)
from rl_es.rollout.policy import make_policy
from rl_es.training.learner import Evolution
from rl_es.training.program import Compiler
from rl_es.training.sharding import Placement, to_host

rng = np.random.default_rng(0)
SEGMENTS = [rng.normal([3.0, -50.0], [0.5, 20.0], (200, 2)).astype(np.float32) for _ in range(4)]
ALIVE = [rng.random(200) < 0.6 for _ in SEGMENTS]


def all_of(values, alive):
    return jnp.array(values), jnp.array(alive)


def check(statistics, values, rtol=1e-4):
    assert float(statistics.count) == len(values)
    np.testing.assert_allclose(statistics.mean, values.mean(0), rtol=rtol)
    np.testing.assert_allclose(statistics.m2 / statistics.count, values.var(0), rtol=rtol)


def test_merged_statistics_are_those_of_all_that_was_alive():
    statistics, observed = empty_statistics((2,)), []
    for values, alive in zip(SEGMENTS, ALIVE, strict=True):
        statistics = merge_moments(statistics, batch_moments(statistics, *all_of(values, alive)))
        observed.append(values[alive])
        check(statistics, np.concatenate(observed))


def test_moments_of_shards_add_up():
    start = merge_moments(
        empty_statistics((2,)),
        batch_moments(empty_statistics((2,)), *all_of(SEGMENTS[0], ALIVE[0])),
    )
    parts = [batch_moments(start, *all_of(*part)) for part in zip(SEGMENTS, ALIVE, strict=True)]
    full = batch_moments(start, *all_of(np.concatenate(SEGMENTS), np.concatenate(ALIVE)))
    summed = add_moments(add_moments(parts[3], parts[1]), add_moments(parts[0], parts[2]))
    for result in (merge_moments(start, summed), merge_moments(start, full)):
        check(
            result,
            np.concatenate(
                [SEGMENTS[0][ALIVE[0]], np.concatenate(SEGMENTS)[np.concatenate(ALIVE)]]
            ),
        )


def test_under_vmap_each_lane_keeps_its_own():
    values, alive = jnp.array(SEGMENTS), jnp.array(ALIVE)
    start = jax.vmap(lambda _: empty_statistics((2,)))(jnp.arange(4))
    first = jax.vmap(merge_moments)(start, jax.vmap(batch_moments)(start, values, alive))
    second = jax.vmap(merge_moments)(
        first, jax.vmap(batch_moments)(first, values[::-1], alive[::-1])
    )
    for lane in range(4):
        both = [SEGMENTS[i][ALIVE[i]] for i in (lane, 3 - lane)]
        check(jax.tree.map(lambda leaf, lane=lane: leaf[lane], second), np.concatenate(both))


def test_a_segment_in_which_nothing_is_alive_changes_nothing():
    start = merge_moments(
        empty_statistics((2,)),
        batch_moments(empty_statistics((2,)), *all_of(SEGMENTS[0], ALIVE[0])),
    )
    none = batch_moments(start, *all_of(np.full_like(SEGMENTS[1], np.nan), np.zeros(200, bool)))
    for before, after in zip(
        jax.tree.leaves(start), jax.tree.leaves(merge_moments(start, none)), strict=True
    ):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_an_observation_that_is_not_finite_is_not_counted(bad):
    """Nor one whose square is not; all of it is left out, not its bad number alone."""
    values = SEGMENTS[0].copy()
    values[[3, 60]], values[100, 1] = bad, bad
    alive = np.ones(200, bool)
    result = merge_moments(
        empty_statistics((2,)), batch_moments(empty_statistics((2,)), *all_of(values, alive))
    )
    check(result, np.delete(values, [3, 60, 100], axis=0))


@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_many_segments_far_from_zero(offset):
    """The frozen mean is the origin of the sums, so that they stay exact enough in float32."""
    statistics = empty_statistics(())
    everything = rng.normal(offset, 1.0, (50, 4000)).astype(np.float32)
    for values in everything:
        sums = batch_moments(statistics, jnp.array(values), jnp.ones(4000, bool))
        statistics = merge_moments(statistics, sums)
    assert float(statistics.mean) == pytest.approx(everything.mean(), abs=1e-3)
    assert float(statistics.m2 / statistics.count) == pytest.approx(everything.var(), rel=0.01)


def test_normalised_observations_have_mean_zero_and_deviation_one():
    values = np.concatenate(SEGMENTS)
    statistics = merge_moments(
        empty_statistics((2,)),
        batch_moments(empty_statistics((2,)), jnp.array(values), jnp.ones(len(values), bool)),
    )
    mask = jnp.array([True, False])
    result = jax.vmap(lambda x: normalise(statistics, Observation(x, mask)))(jnp.array(values))
    np.testing.assert_allclose(result.values.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(result.values.std(0), 1, rtol=1e-3)
    assert result.action_mask.all(0).tolist() == [True, False]
    far = normalise(statistics, Observation(jnp.array([1e6, -1e6])))
    np.testing.assert_array_equal(far.values, [CLIP, -CLIP])


def test_without_statistics_observations_stay_as_they_are():
    observed = Observation(jnp.array([2.0, -3e4]))
    assert normalise(None, observed) is observed
    np.testing.assert_array_equal(
        normalise(empty_statistics((2,)), observed).values, observed.values
    )


@dataclass(frozen=True)
class Noisy:
    """Observes N(offset, 1), and nothing else happens."""

    offset: float

    @property
    def spec(self):
        return EnvSpec("noisy", (1,), Box(np.zeros(1, np.float32), np.ones(1, np.float32)), 50)

    def reset(self, key):
        return jnp.zeros((), jnp.int32), self._observe(key)

    def step(self, key, state, action):
        over = state + 1 >= self.spec.episode_length
        return Transition(state + 1, self._observe(key), action[0], jnp.zeros((), bool), over)

    def _observe(self, key):
        return Observation(self.offset + jax.random.normal(key, (1,)))


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
@pytest.mark.parametrize(
    "placement", [Placement(), Placement(chunks=2), Placement(shards=2, chunks=2)]
)
def test_training_far_from_zero_sees_the_deviation(offset, placement):
    """From the first generation on, in chunks and on two devices."""
    policy = make_policy(PolicyConfig(network="mlp", widths=(4,)), Noisy(offset).spec)
    config = full_rank_es.Hyperparameters(population=512)
    strategy = full_rank_es.make(config, ProblemSpec(policy.parameters, 50))
    evolution = replace(
        Evolution(strategy, Noisy(offset), policy, True), sharding=placement.population
    )
    settings = split_traced(config)[1]
    evaluate = make_evaluator(Noisy(offset), policy, 1)
    program = Compiler().compile(evolution, settings, 1, evaluate, "", placement)
    hyper = {name: np.full(program.lanes, value, np.float32) for name, value in settings.items()}
    state = program.init(np.zeros(program.lanes, np.uint32), hyper)
    for generations, total in ((1, 1), (2, 3)):
        limit = Limit(np.full(program.lanes, generations, np.int32), np.full(1, 10**8))
        state, _ = program.advance(state, limit)
        statistics = jax.tree.map(lambda leaf: leaf[0], to_host(program.snapshot(state).statistics))
        assert statistics.count == total * 512 * 50
        deviation = np.sqrt(statistics.m2 / statistics.count)
        np.testing.assert_allclose(deviation, 1.0, rtol=0.02)
        np.testing.assert_allclose(statistics.mean, offset, atol=0.1)
