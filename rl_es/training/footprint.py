"""What a run needs in memory, from shapes alone: nothing is compiled, so that chunks can be chosen.

A rough estimate that XLA mostly stays below: noise twice, what is perturbed directly for both
members as well, particles three times (before, after, between), every array that a policy computes.
What a physics engine needs within a step is not known from outside.
"""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rl_es.evolution.keys import PAIRS_PER_KEY
from rl_es.interfaces import Episode, Learner
from rl_es.rollout.unroll import start
from rl_es.training.learner import Evolution
from rl_es.training.program import scalars

_FLOAT = 4


def size(shapes: Any) -> int:
    """Bytes of a pytree of arrays or of their shapes."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))


class PairBytes(NamedTuple):
    """Bytes of one antithetic pair.

    Attributes:
      held: between generations, of every pair: what is remembered of it and its particles, both as
        they were and as they become.
      evaluated: while it is evaluated, of the pairs of a chunk.
    """

    held: int
    evaluated: int


def pair_bytes(learner: Learner, settings: Mapping[str, float]) -> PairBytes:
    """What a pair needs, or the whole learner where it has none; `settings`: the traced ones."""
    if not isinstance(learner, Evolution):
        return PairBytes(2 * size(_state(learner, settings)), 3 * _seen(learner))
    agent, env, policy = learner.agent, learner.env, learner.policy

    def drawn() -> Any:
        key = jax.random.key(0)
        state = agent.init(policy.init(key), scalars(settings))
        fresh = jnp.ones((PAIRS_PER_KEY,), bool)
        return agent.ask(key[None], state, agent.remember(PAIRS_PER_KEY), fresh)

    noise, memory = jax.eval_shape(drawn)
    persistent = jax.eval_shape(lambda: learner.unfolding.particles(jnp.arange(PAIRS_PER_KEY)))
    episodes = agent.segment.episodes if isinstance(agent.segment, Episode) else 1
    particle = size(jax.eval_shape(lambda: start(env, policy, jax.random.key(0))))
    spec = policy.parameters
    products = sum(matrix.inputs * matrix.outputs for matrix in spec.matrices.values())
    direct = 2 * _FLOAT * (spec.size - products)
    rollout = direct + 2 * episodes * (3 * particle + _activations(learner))
    return PairBytes(
        held=2 * size((memory, persistent)) // PAIRS_PER_KEY,
        evaluated=2 * size(noise) // PAIRS_PER_KEY + rollout,
    )


def _state(learner: Learner, settings: Mapping[str, float]) -> Any:
    return jax.eval_shape(lambda: learner.init(jax.random.key(0), scalars(settings)))


def _seen(learner: Learner) -> int:
    """Bytes of all observations of a generation."""
    observation = jax.eval_shape(lambda: learner.env.reset(jax.random.key(0))[1])
    return learner.generation_steps * size(observation)


def _activations(learner: Evolution) -> int:
    """Bytes of all arrays that a policy computes on its way to one action."""
    env, policy = learner.env, learner.policy

    def example() -> Any:
        key = jax.random.key(0)
        return policy.init(key), policy.initial_state(), env.reset(key)[1], key

    traced = jax.make_jaxpr(policy.act)(*jax.eval_shape(example)).jaxpr
    return sum(size(variable.aval) for one in traced.eqns for variable in one.outvars)


def device_memory(devices: int) -> int:
    """Bytes that a device may fill: half of this machine's share, or of an accelerator's own."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if limit := stats.get("bytes_limit"):
        return limit // 2
    return _machine_memory() // 2 // devices


def _machine_memory() -> int:
    """Bytes that this process may use: the machine's, or what its container allows."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(physical, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # there is no container, or it sets no limit
        return physical
