"""Evaluation in a simulator on the host, against a plain loop over one episode at a time."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es.interfaces import Box, EnvSpec, NativeStep, Observation, Snapshot
from rl_es.rollout.config import PolicyConfig, WrapperConfig
from rl_es.rollout.evaluation import make_native_evaluator
from rl_es.rollout.normalisation import Statistics, normalise
from rl_es.rollout.policy import make_policy

BOX = Box(np.full(2, -1, np.float32), np.full(2, 1, np.float32))
SPEC = EnvSpec("walk", (2,), BOX, 12)


class Walk:
    """Two places a state; actions move them; the reward is their sum; it ends beyond 2.

    An episode that is over must not be stepped: its reward would not be a number.
    """

    title, episode_length = "walk", 12

    def reset(self, seeds: Sequence[int]):
        state = np.array([[0.1 * seed, -0.2 * seed] for seed in seeds])
        return state, state.copy()

    def step(self, state: np.ndarray, actions: np.ndarray):
        after = state + 0.5 * actions
        over = np.abs(state).max(1) > 2
        rewards = np.where(over, np.nan, after.sum(1))
        return NativeStep(after, after.copy(), rewards, np.abs(after).max(1) > 2)


def one_by_one(policy, snapshot, key, seeds, limit, repeats):
    """Returns [E] and lengths [E]."""
    host = Walk()
    returns, lengths = [], []
    for seed, own in zip(seeds, jax.random.split(key, len(seeds)), strict=True):
        state, observed = host.reset([seed])
        carried, total, action = policy.initial_state(), 0.0, np.zeros(2)
        for t in range(limit):
            if t % repeats == 0:
                values = normalise(snapshot.statistics, Observation(jnp.float32(observed[0])))
                step = jax.random.fold_in(own, np.uint32(t // repeats))
                carried, action = policy.act(snapshot.params, carried, values, step)
            state, observed, rewards, over = host.step(state, np.asarray(action)[None])
            total += rewards[0]
            if over[0]:
                break
        returns.append(total)
        lengths.append(t + 1)
    return returns, lengths


STATISTICS = Statistics(jnp.float32(10), jnp.array([0.3, -0.4]), jnp.array([20.0, 5.0]))


@pytest.mark.parametrize(
    ("policy", "wrappers", "limit", "statistics"),
    [
        ({"network": "linear", "head": "deterministic"}, {}, 12, None),
        ({"network": "mlp", "head": "gaussian"}, {}, 12, STATISTICS),
        ({"network": "gru", "widths": (4,)}, {"reward_scale": 3.0}, 12, None),
        ({"network": "mlp"}, {"action_repeat": 5}, 12, None),
        ({"network": "mlp"}, {"action_repeat": 5, "episode_length": 3}, 15, None),
        ({"network": "mlp"}, {"episode_length": 4}, 4, None),
    ],
)
def test_it_is_a_loop_over_episodes(policy, wrappers, limit, statistics):
    made = make_policy(PolicyConfig(**policy), SPEC)
    snapshot = Snapshot(made.init(jax.random.key(3)), statistics)
    config = WrapperConfig(**wrappers)
    seeds, key = [1, 2, 3, 5, 10], jax.random.key(4)
    expected, lengths = one_by_one(made, snapshot, key, seeds, limit, config.action_repeat)
    assert set(lengths) == {4} if limit == 4 else len(set(lengths)) > 1
    result = make_native_evaluator(Walk(), made, config)(key, seeds, snapshot)
    np.testing.assert_allclose(result, expected, rtol=1e-5)
