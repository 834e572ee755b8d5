"""Leaving out pairs that are done: nothing of an outcome changes but the order of moments' sums."""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import gymnax
from rl_es.evolution.perturbation import FullRank, LowRank, block_keys, pair_keys
from rl_es.interfaces import EnvSpec, Observation, SeparateMembers, Transition
from rl_es.rollout import segments
from rl_es.rollout.config import PolicyConfig
from rl_es.rollout.normalisation import initial_statistics
from rl_es.rollout.policy import make_policy
from rl_es.rollout.segments import (
    BLOCK_PARTICLES,
    FEWEST_BLOCKS,
    MOST_BLOCKS,
    count_blocks,
    unroll_population,
)
from rl_es.rollout.unroll import CHUNK, start_particle
from tests.toys import ParameterPolicy, box

PAIRS = 48


@dataclass(frozen=True)
class Ladder:
    """Episode lengths 1, 1, ..., `limit`: one pair in sixteen survives. The clock never stops."""

    limit: int = 8 * CHUNK

    @property
    def spec(self):
        return EnvSpec("ladder", (1,), box(1), self.limit)

    def reset(self, key):
        number = jax.random.key_data(key)[-1]
        length = jnp.where(number % 16 == 0, self.limit, 1)
        return (jnp.int32(0), length), Observation(jnp.zeros(1))

    def step(self, key, state, action):
        t, length = state
        over = t + 1 >= length
        state = t + 1, length
        return Transition(
            state, Observation(jnp.zeros(1)), jnp.ones(()), over & (length == 1), over
        )


def start(env, policy, pairs, episodes):
    """Particles [H, 2, E] and keys [H, E]."""
    keys = pair_keys(block_keys(jax.random.key(7), pairs), pairs, episodes)
    first = jax.vmap(jax.vmap(lambda key: start_particle(env, policy, key)))(keys)
    return jax.tree.map(lambda leaf: jnp.stack([leaf, leaf], 1), first), keys


@functools.cache
def task(network: str) -> Any:
    env = gymnax.make("CartPole-v1", gymnax.Options())
    config = {"network": network, "widths": [16], "normalise_observations": True}
    return env, make_policy(PolicyConfig.model_validate(config), env.spec)


def unroll_cartpole(network: str, population: str, episodes: int, seeds: int = 0) -> Any:
    """The outcome of untrained policies, and the statistics' mean that moments are about."""
    env, policy = task(network)

    def run(key, lanes=None):
        params = policy.init(key)
        spec = policy.parameters
        perturbation = FullRank(spec) if population == "full rank" else LowRank(spec, rank=1)
        noise = perturbation.draw(block_keys(key, PAIRS), PAIRS)
        members = perturbation.members(params, noise, jnp.float32(0.3))
        if population == "separate":
            members = SeparateMembers(
                jax.tree.map(
                    lambda centre, e: centre + 0.3 * jnp.stack([e, -e], 1),
                    params,
                    perturbation.dense(noise),
                )
            )
        particles, keys = start(env, policy, PAIRS, episodes)
        statistics = initial_statistics(env, policy)
        return unroll_population(env, policy, members, particles, keys, statistics, lanes)

    with jax.numpy_rank_promotion("allow"):
        if not seeds:
            return jax.device_get(jax.jit(run)(jax.random.key(2)))
        keys = jax.random.split(jax.random.key(2), seeds)
        over_lanes = jax.vmap(functools.partial(run, lanes="lanes"), axis_name="lanes")
        return jax.device_get(jax.jit(over_lanes)(keys))


def all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "count_blocks", lambda pairs, episodes: 1)


def assert_same_outcome(blocks: Any, whole: Any) -> None:
    lengths = whole.lengths
    assert np.median(lengths) < CHUNK < lengths.max(), "no member survives most"
    np.testing.assert_array_equal(blocks.returns, whole.returns)
    np.testing.assert_array_equal(blocks.lengths, lengths)
    assert blocks.particles.done.all()
    np.testing.assert_array_equal(blocks.moments.count, whole.moments.count)
    for name in ("mean", "m2"):
        sums = (getattr(outcome.moments, name) for outcome in (blocks, whole))
        np.testing.assert_allclose(*sums, rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize(
    ("population", "episodes"),
    [("low rank", 1), ("low rank", 3), ("full rank", 1), ("separate", 3)],
)
def test_an_outcome_is_that_of_all_pairs_at_once(
    population: str, episodes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert count_blocks(PAIRS, episodes) > 1
    blocks = unroll_cartpole("mlp", population, episodes)
    all_at_once(monkeypatch)
    assert_same_outcome(blocks, unroll_cartpole("mlp", population, episodes))


def test_a_recurrent_policy_keeps_its_state(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = unroll_cartpole("gru", "low rank", 1)
    all_at_once(monkeypatch)
    assert_same_outcome(blocks, unroll_cartpole("gru", "low rank", 1))


def test_lanes_stop_together(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = unroll_cartpole("mlp", "low rank", 1, seeds=3)
    all_at_once(monkeypatch)
    assert_same_outcome(blocks, unroll_cartpole("mlp", "low rank", 1, seeds=3))


def test_pairs_that_are_done_take_no_more_steps() -> None:
    """But those that fill the last block that has a pair that is alive."""
    env, policy, pairs = Ladder(), ParameterPolicy(), 512
    members = SeparateMembers({"theta": jnp.zeros((pairs, 2, 1))})
    particles, keys = start(env, policy, pairs, 1)
    outcome = jax.jit(lambda: unroll_population(env, policy, members, particles, keys))()
    clock, length = (np.asarray(leaf)[:, 0, 0] for leaf in outcome.particles.env)
    survive = length == env.limit
    assert 0 < survive.sum() < pairs // 8
    assert (clock[survive] == env.limit).all()
    size = pairs // count_blocks(pairs, 1)
    idle = (clock[~survive] > CHUNK).sum()
    assert idle == -survive.sum() % size
    np.testing.assert_array_equal(outcome.lengths[:, 0, 0], np.where(survive, env.limit, 1))


@pytest.mark.parametrize("episodes", [1, 4])
@pytest.mark.parametrize("pairs", [*range(1, 70), 500, 512, 2048, 4096])
def test_blocks_divide_a_population(pairs: int, episodes: int) -> None:
    blocks = count_blocks(pairs, episodes)
    assert pairs % blocks == 0 and blocks <= MOST_BLOCKS
    assert blocks == 1 or (
        blocks >= FEWEST_BLOCKS and 2 * episodes * pairs // blocks >= BLOCK_PARTICLES
    )


def test_an_accelerator_steps_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert count_blocks(512, 1) == MOST_BLOCKS
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert count_blocks(512, 1) == 1
