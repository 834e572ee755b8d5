"""Evaluation in another simulator: physics on the host, the policy in one compiled call a step."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.interfaces import Native, Observation, Policy, Snapshot
from rl_es.rollout.config import WrapperConfig
from rl_es.rollout.normalisation import normalise

# (snapshot, what the policy carries [E, ...], observations [E, D], keys [E], step) -> carried on
# [E, ...], actions [E, A]
Act = Callable[..., tuple[Any, Array]]


def batched(policy: Policy) -> Act:
    """The policy on a batch of episodes, compiled. Keys are those of whole episodes."""

    def act(snapshot: Snapshot, carried: Any, values: Array, keys: Array, step: Array) -> Any:
        def one(carried: Any, values: Array, key: Array) -> tuple[Any, Array]:
            seen = normalise(snapshot.statistics, Observation(values))
            return policy.act(snapshot.params, carried, seen, jax.random.fold_in(key, step))

        return jax.vmap(one)(carried, values, keys)

    return jax.jit(act)


def native_evaluator(
    native: Native, policy: Policy, wrappers: WrapperConfig
) -> Callable[[Array, Sequence[int], Snapshot], np.ndarray]:
    """A function (key, seeds [E], snapshot) -> [E] float64 returns of whole episodes.

    The key is of the policy and consumed, the seeds are of the episodes' starts. Repeated actions
    and the time limit are as in the environment; rewards are not scaled. A return is not a number
    where the simulation broke down.
    """
    act = batched(policy)
    repeats = wrappers.action_repeat
    length = wrappers.episode_length
    limit = native.episode_length if length is None else length * repeats

    def evaluate(key: Array, seeds: Sequence[int], snapshot: Snapshot) -> np.ndarray:
        episodes = len(seeds)
        keys = jax.random.split(key, episodes)
        carried = jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, (episodes, *leaf.shape)), policy.initial_state()
        )
        state, seen = native.reset(seeds)
        actions = np.zeros(0)
        returns = np.zeros(episodes)
        alive = np.arange(episodes)
        for t in range(limit):
            if t % repeats == 0:
                values, step = seen.astype(np.float32), np.uint32(t // repeats)
                carried, chosen = act(snapshot, carried, values, keys, step)
                actions = np.asarray(chosen)
            after = native.step(state[alive], actions[alive])
            state[alive], seen[alive] = after.state, after.observations
            returns[alive] += after.rewards
            alive = alive[~after.terminated]
            if not alive.size:
                break
        return returns

    return evaluate
