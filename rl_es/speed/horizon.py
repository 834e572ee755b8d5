"""A workload's environment, and episodes that all last to the time limit.

With a full horizon every contestant takes exactly P x E x T steps, whatever its policies do.
"""

import jax.numpy as jnp
from flax import struct
from jax import Array

from rl_es import registry
from rl_es.errors import UserError
from rl_es.interfaces import Environment, EnvState, Observation, Transition
from rl_es.rollout.wrappers import wrap
from rl_es.speed.schema import Horizon
from rl_es.speed.workloads import Workload


@struct.dataclass
class Ongoing:
    """The state of a `FullHorizon`."""

    inner: EnvState
    over: Array  # [] bool: the environment itself has ended the episode
    steps: Array  # [] int32, since the reset


class FullHorizon:
    """Ends no episode before the time limit; rewards stop where the environment would have ended.

    That keeps returns a function of the states. XLA deletes what no output depends on, so a reward
    that is always 1 would let it delete the physics, and the rollout would cost nothing.
    """

    def __init__(self, env: Environment):
        self.env = env
        self.spec = env.spec

    def reset(self, key: Array) -> tuple[EnvState, Observation]:
        state, observation = self.env.reset(key)
        return Ongoing(state, jnp.zeros((), bool), jnp.zeros((), jnp.int32)), observation

    def step(self, key: Array, state: EnvState, action: Array) -> Transition:
        transition = self.env.step(key, state.inner, action)
        steps, limit = state.steps + 1, self.spec.episode_length
        return transition._replace(
            state=Ongoing(transition.state, state.over | transition.terminated, steps),
            reward=jnp.where(state.over, 0.0, transition.reward),
            terminated=jnp.zeros((), bool),
            truncated=jnp.zeros((), bool) if limit is None else steps >= limit,
        )


def environment(workload: Workload, horizon: Horizon) -> Environment:
    """A fresh environment of a workload, with this horizon.

    Raises:
      UserError: it has no time limit.
    """
    world = workload.world
    suite = registry.environment_suite(world.name)
    made = suite.make(world.name, suite.Options(**workload.options))
    env = wrap(FullHorizon(made) if horizon == "full" else made, world.wrappers)
    if env.spec.episode_length is None:
        raise UserError(
            f"environment {world.shown}: it has no time limit, so its episodes have no length "
            "to be timed over; give it an episode_length"
        )
    return env
