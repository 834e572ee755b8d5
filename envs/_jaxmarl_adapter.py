"""A task of JaxMARL's MPE as the engine's `Environment` of several agents, without a time limit.

JaxMARL's dictionaries by agent become arrays with a leading axis of agents, in JaxMARL's order.
Agents that JaxMARL moves itself (the preys of facmac) are part of the environment.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.envs._adapter import box, cast, state_types, valid_action, without_printing
from rl_es.interfaces import Discrete, EnvSpec, EnvState, Observation, Transition
from rl_es.rollout.wrappers import implicit_promotion

with without_printing():
    from jaxmarl.environments import spaces
    from jaxmarl.registration import make


def make_environment(name: str, action_type: str = "discrete") -> Any:
    """Returns JaxMARL's own environment of a name."""
    settings = {} if "facmac" in name else {"action_type": action_type.capitalize()}
    with implicit_promotion():
        return make(name.removeprefix("jaxmarl/"), **settings)


class MPEEnvironment:
    """A task of MPE, without a time limit."""

    def __init__(self, name: str, action_type: str):
        self._env = env = make_environment(name, action_type)
        self._scripted = list(getattr(env, "good_agents", ()))
        self._agents = [agent for agent in env.agents if agent not in self._scripted]
        self._is_team = len(self._agents) > 1
        kinds = [env.action_spaces[agent] for agent in self._agents]
        self._actions = [
            kind.n if isinstance(kind, spaces.Discrete) else kind.shape[0] for kind in kinds
        ]
        most = max(self._actions)
        is_discrete = isinstance(kinds[0], spaces.Discrete)
        self._mask = None
        if is_discrete and min(self._actions) < most:
            self._mask = np.arange(most) < np.array(self._actions)[:, None]
        # Under jit JaxMARL's Python runs once for all programs that step or reset this environment.
        self._reset, self._step = jax.jit(self._reset_once), jax.jit(self._step_once)
        # JaxMARL states wrong lengths for the larger teams of facmac.
        start = jax.eval_shape(lambda: self._reset(jax.random.key(0)))[0]
        self._length = max(start[agent].shape[0] for agent in self._agents)
        roles = tuple(agent.rpartition("_")[0] for agent in self._agents)
        self.spec = EnvSpec(
            name=name,
            observation_shape=(len(self._agents), self._length)[not self._is_team :],
            action_space=Discrete(most) if is_discrete else box(0.0, 1.0, (most,)),
            episode_length=None,
            agents=roles if self._is_team else (),
        )
        action = jnp.zeros(self.spec.action_shape, jnp.int32 if is_discrete else jnp.float32)
        self._types = state_types(
            lambda: self._reset(jax.random.key(0))[1],
            lambda state: self._step(jax.random.key(0), state, action)[1],
        )

    def reset(self, key: Array) -> tuple[EnvState, Observation]:
        observations, state = self._reset(key)
        return cast(self._types, state), self._observation(observations)

    def step(self, key: Array, state: EnvState, action: Array) -> Transition:
        action = valid_action(self.spec.action_space, action)
        observations, state, rewards = self._step(key, state, action)
        return Transition(
            state=cast(self._types, state),
            observation=self._observation(observations),
            reward=jnp.asarray(sum(rewards), jnp.float32),
            terminated=jnp.zeros((), bool),
            truncated=jnp.zeros((), bool),
        )

    def _reset_once(self, key: Array) -> tuple[Any, Any]:
        with implicit_promotion():
            return self._env.reset(key)

    def _step_once(self, key: Array, state: EnvState, action: Array) -> tuple[Any, Any, list[Any]]:
        rows = action if self._is_team else action[None]
        actions = {
            agent: jnp.minimum(row, count - 1) if row.ndim == 0 else row[:count]
            for agent, row, count in zip(self._agents, rows, self._actions, strict=True)
        }
        actions |= dict.fromkeys(self._scripted, jnp.zeros_like(rows[0]))
        with implicit_promotion():
            observations, state, rewards, _, _ = self._env.step_env(key, state, actions)
        return observations, state, [rewards[agent] for agent in self._agents]

    def _observation(self, observations: Any) -> Observation:
        rows = [jnp.asarray(observations[agent], jnp.float32) for agent in self._agents]
        values = jnp.stack([jnp.pad(row, (0, self._length - row.shape[0])) for row in rows])
        mask = None if self._mask is None else jnp.asarray(self._mask)
        return Observation(values if self._is_team else values[0], mask)
