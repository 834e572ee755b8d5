"""A batch of environments in the form that rejax expects.

They reset themselves, and their counts are kept.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import spaces
from jax import Array

from rl_es.evolution.perturbation import select_fresh
from rl_es.interfaces import Discrete, Environment, EnvState, Observation


class StepOutcome(NamedTuple):
    """What a step led to before environments were reset.

    Attributes:
      observation: [N] observations of the states that the steps led to.
      terminated: [N] bool, the task ended; False where only the time limit was reached.
    """

    observation: Observation
    terminated: Array


@struct.dataclass
class RolloutState:
    """The states of N environments, and counts since `open_rollout`.

    Attributes:
      env: [N, ...] states.
      running: [N] returns so far of the current episodes.
      steps: [N] int32, number of environment steps.
      episodes: [N] int32, number of episodes that ended.
      returns: [N] sum of the returns of these.
      best: [N] highest of these returns; -inf if no episode ended.
      outcome: Of the last step; None where it is not kept.
    """

    env: EnvState
    running: Array
    steps: Array
    episodes: Array
    returns: Array
    best: Array
    outcome: StepOutcome | None = None


def open_rollout(env: EnvState, running: Array, outcome: StepOutcome | None = None) -> RolloutState:
    """Returns a state whose counts are zero, for environments in these states."""
    counts, zeros = jnp.zeros(running.shape, jnp.int32), jnp.zeros(running.shape)
    best = jnp.full(running.shape, -jnp.inf)
    return RolloutState(env, running, counts, counts, zeros, best, outcome)


@dataclass(frozen=True)
class AutoReset:
    """N copies of an environment; keys, states, actions and results have a leading [N].

    Attributes:
      env: The environment.
      lanes: Name of the vmapped axis of runs, if they are vmapped.
      keeps_outcome: Keep the `StepOutcome` of the last step in the state.
    """

    env: Environment
    lanes: str | None = None
    keeps_outcome: bool = False

    def action_space(self, params: Any = None) -> spaces.Box | spaces.Discrete:
        """Returns the action space in rejax's form."""
        space = self.env.spec.action_space
        if isinstance(space, Discrete):
            return spaces.Discrete(space.n)
        low, high = jnp.asarray(space.low), jnp.asarray(space.high)
        return spaces.Box(low, high, space.shape)

    def observation_space(self, params: Any = None) -> spaces.Box:
        """Returns the observation space in rejax's form."""
        return spaces.Box(-jnp.inf, jnp.inf, self.env.spec.observation_shape)

    def reset(self, keys: Array, params: Any = None) -> tuple[Observation, RolloutState]:
        """Starts an episode in each. Consumes the keys."""
        state, observation = jax.vmap(self.env.reset)(keys)
        outcome = StepOutcome(observation, jnp.zeros(keys.shape, bool))
        outcome = outcome if self.keeps_outcome else None
        return observation, open_rollout(state, jnp.zeros(keys.shape), outcome)

    def step(
        self, keys: Array, state: RolloutState, actions: Array, params: Any = None
    ) -> tuple[Observation, RolloutState, Array, Array, dict[str, Any]]:
        """Takes one step in each. At an episode's end the observation is the first of the next."""
        step_keys, reset_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
        after = jax.vmap(self.env.step)(step_keys, state.env, actions)
        done = after.terminated | after.truncated
        running = state.running + after.reward
        next_states = after.state, after.observation

        def reset_done() -> Any:
            return select_fresh(done, jax.vmap(self.env.reset)(reset_keys), next_states)

        # Where episodes are long, most steps end none, and a reset can cost more than a step. Under
        # vmap a condition that differs between lanes runs both branches: all lanes share one.
        any_end = done.any().astype(jnp.int32)
        any_end = any_end if self.lanes is None else jax.lax.pmax(any_end, self.lanes)
        env, observation = jax.lax.cond(any_end > 0, reset_done, lambda: next_states)
        outcome = StepOutcome(after.observation, after.terminated) if self.keeps_outcome else None
        next_state = RolloutState(
            env=env,
            running=jnp.where(done, 0.0, running),
            steps=state.steps + jnp.asarray(after.steps, jnp.int32),
            episodes=state.episodes + done.astype(jnp.int32),
            returns=state.returns + jnp.where(done, running, 0.0),
            best=jnp.where(done, jnp.maximum(state.best, running), state.best),
            outcome=outcome,
        )
        return observation, next_state, after.reward, done, {}
