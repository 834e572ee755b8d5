"""A batch of environments that reset themselves where an episode ends, and count what was played.

rejax expects a step that resets by itself and gives observation, state, reward, done and a
dictionary.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import spaces
from jax import Array

from rl_es.evolution.tree import where_new
from rl_es.interfaces import Discrete, Environment, EnvState, Observation


@struct.dataclass
class Played:
    """The states of N environments, and counts of what happened in them since `opened`.

    Attributes:
      env: [N, ...] states.
      running: [N] return so far of the episode that is being played.
      steps: [N] int32, environment steps.
      episodes: [N] int32, episodes that ended.
      returns: [N] sum of the returns of these.
      best: [N] highest of these returns, -inf where no episode ended.
    """

    env: EnvState
    running: Array
    steps: Array
    episodes: Array
    returns: Array
    best: Array


def opened(env: EnvState, running: Array) -> Played:
    """Counts that start at zero, for environments in these states."""
    nothing, zeros = jnp.zeros(running.shape, jnp.int32), jnp.zeros(running.shape)
    return Played(env, running, nothing, nothing, zeros, jnp.full(running.shape, -jnp.inf))


@dataclass(frozen=True)
class AutoReset:
    """N copies of an environment; keys, states, actions and results have a leading [N].

    Attributes:
      env: one of them.
      lanes: name of the vmapped axis around it, if runs are vmapped.
    """

    env: Environment
    lanes: str | None = None

    def action_space(self, params: Any = None) -> spaces.Box | spaces.Discrete:
        """The action space as rejax reads it."""
        space = self.env.spec.action_space
        if isinstance(space, Discrete):
            return spaces.Discrete(space.n)
        low, high = jnp.asarray(space.low), jnp.asarray(space.high)
        return spaces.Box(low, high, space.shape)

    def observation_space(self, params: Any = None) -> spaces.Box:
        """The observation space as rejax reads it."""
        return spaces.Box(-jnp.inf, jnp.inf, self.env.spec.observation_shape)

    def reset(self, keys: Array, params: Any = None) -> tuple[Observation, Played]:
        """Starts all of them. Consumes the keys."""
        state, observation = jax.vmap(self.env.reset)(keys)
        return observation, opened(state, jnp.zeros(keys.shape))

    def step(
        self, keys: Array, state: Played, actions: Array, params: Any = None
    ) -> tuple[Observation, Played, Array, Array, dict[str, Any]]:
        """One step of each. Where an episode ends, the observation is the next episode's first."""
        step_keys, reset_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
        after = jax.vmap(self.env.step)(step_keys, state.env, actions)
        done = after.terminated | after.truncated
        running = state.running + after.reward

        def anew() -> Any:
            fresh = jax.vmap(self.env.reset)(reset_keys)
            return where_new(done, fresh, same)

        # Where episodes are long most steps end none, and a reset can cost more than a step. Under
        # vmap a condition that differs between lanes runs both branches: all lanes share one.
        same = after.state, after.observation
        ended = done.any().astype(jnp.int32)
        ended = ended if self.lanes is None else jax.lax.pmax(ended, self.lanes)
        env, observation = jax.lax.cond(ended > 0, anew, lambda: same)
        played = Played(
            env=env,
            running=jnp.where(done, 0.0, running),
            steps=state.steps + jnp.asarray(after.steps, jnp.int32),
            episodes=state.episodes + done.astype(jnp.int32),
            returns=state.returns + jnp.where(done, running, 0.0),
            best=jnp.where(done, jnp.maximum(state.best, running), state.best),
        )
        return observation, played, after.reward, done, {}
