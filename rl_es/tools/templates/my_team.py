"""Points on a plane that have to reach as many places, one point at each, as a team.

    python run_benchmark.py check ./my_team.py:MyTeam    whether it keeps what the engine relies on
    python run_benchmark.py run my_team.yaml             a comparison of agents on it

An environment is pure functions of one instance. The engine compiles them, runs thousands of
instances side by side, resets an instance when its episode ends, and counts no reward after that.
Every agent has its own observation and its own action; the reward is the whole team's.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.config import Config, static
from rl_es.interfaces import Box, EnvSpec, Observation, Transition

AGENTS = 3


class TeamState(NamedTuple):
    """All that changes. Keep nothing in the object: it is traced once, and then only compiled."""

    positions: Array  # [agents, 2] float32
    places: Array  # [agents, 2] float32
    time: Array  # [] int32


class MyTeam:
    """Rewards fall with the distance of each place to the nearest point."""

    class Options(Config):
        """What a sweep file can set: `options: {speed: 0.2}`."""

        speed: float = static(0.1, "distance of a step", gt=0)
        episode_length: int = static(25, "steps after which an episode is truncated", ge=1)

    def __init__(self, options: Options):
        self.options = options
        self.spec = EnvSpec(
            name="my_team",
            observation_shape=(AGENTS, 4 * AGENTS),  # one row an agent, all of one length
            action_space=Box(np.full(2, -1, np.float32), np.full(2, 1, np.float32)),  # of one agent
            episode_length=options.episode_length,
            agents=("point",) * AGENTS,  # the role of each; `policy: {sharing: roles}` reads it
        )

    def reset(self, key: Array) -> tuple[TeamState, Observation]:
        """Starts an episode. Draw from `key` only, and split it if you draw twice."""
        start, goal = jax.random.split(key)
        positions = jax.random.uniform(start, (AGENTS, 2), minval=-1.0, maxval=1.0)
        places = jax.random.uniform(goal, (AGENTS, 2), minval=-1.0, maxval=1.0)
        state = TeamState(positions, places, jnp.zeros((), jnp.int32))
        return state, self.observe(state)

    def step(self, key: Array, state: TeamState, action: Array) -> Transition:
        """One step, of all agents: `action` is [agents, 2], and may lie outside of its space."""
        move = jnp.clip(action, -1.0, 1.0) * self.options.speed
        after = TeamState(state.positions + move, state.places, state.time + 1)
        between = after.places[:, None] - after.positions[None]  # [places, agents, 2]
        distances = jnp.sqrt(jnp.square(between).sum(-1))
        return Transition(
            state=after,
            observation=self.observe(after),
            reward=-distances.min(1).sum(),  # one number: the team's
            terminated=jnp.zeros((), bool),
            truncated=after.time >= self.options.episode_length,
        )

    def observe(self, state: TeamState) -> Observation:
        """Returns each agent's view [agents, 4 * agents]: points and places, from where it is."""
        others = state.positions[None] - state.positions[:, None]
        places = state.places[None] - state.positions[:, None]
        return Observation(jnp.concatenate([others, places], 1).reshape(AGENTS, -1))
