"""A point on a plane that has to reach the middle, and stay there.

    python run_benchmark.py check ./my_env.py:MyEnv      whether it keeps what the engine relies on
    python run_benchmark.py run my_env.yaml              a comparison of agents on it

An environment is pure functions of one instance. The engine compiles them, runs thousands of
instances side by side, resets an instance when its episode ends, and counts no reward after that.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.config import Config, static
from rl_es.interfaces import Box, EnvSpec, Observation, Transition


class State(NamedTuple):
    """All that changes. Keep nothing in the object: it is traced once, and then only compiled."""

    position: Array  # [2] float32
    time: Array  # [] int32


class MyEnv:
    """Rewards fall with the distance to the middle; leaving the plane ends the episode."""

    class Options(Config):
        """What a sweep file can set: `options: {speed: 0.2}`."""

        speed: float = static(0.1, "distance of a step", gt=0)
        episode_length: int = static(100, "steps after which an episode is truncated", ge=1)

    def __init__(self, options: Options):
        self.options = options
        self.spec = EnvSpec(
            name="my_env",
            observation_shape=(2,),
            action_space=Box(np.full(2, -1, np.float32), np.full(2, 1, np.float32)),
            episode_length=options.episode_length,
        )

    def reset(self, key: Array) -> tuple[State, Observation]:
        """Starts an episode. Draw from `key` only, and split it if you draw twice."""
        position = jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0)
        state = State(position, jnp.zeros((), jnp.int32))
        return state, Observation(position)

    def step(self, key: Array, state: State, action: Array) -> Transition:
        """One step. `if` on arrays becomes jnp.where; actions may lie outside of their space."""
        ended = jnp.abs(state.position).max() > 2.0  # before: then it stays, and gives nothing
        move = jnp.clip(action, -1.0, 1.0) * self.options.speed
        position = jnp.where(ended, state.position, state.position + move)
        after = State(position, state.time + 1)
        distance = jnp.sqrt(jnp.square(position).sum())
        terminated = jnp.abs(position).max() > 2.0
        return Transition(
            state=after,
            observation=Observation(position),
            reward=jnp.where(ended, 0.0, 1.0 - distance),
            terminated=terminated,
            truncated=(after.time >= self.options.episode_length) & ~terminated,
        )
