"""A jumanji environment as the engine's `Environment`: the raw one, without jumanji's wrappers.

jumanji does not tell an episode whose time is over from one that the task has ended. Its time
limits are lifted here, so that every end is a termination. The state is jumanji's own without its
key: every step is given a new one.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jumanji.registration import make

from rl_es.envs._adapter import cast, no_action, state_types, valid_action
from rl_es.interfaces import Discrete, EnvSpec, EnvState, Observation, Transition
from rl_es.rollout.wrappers import implicit_promotion

NEVER = int(np.iinfo(np.int32).max)


def make_environment(name: str, **settings: Any) -> Any:
    """The environment that jumanji itself has under a name."""
    with implicit_promotion():
        return make(name.removeprefix("jumanji/"), **settings)


class JumanjiEnvironment:
    """One of jumanji's environments of one discrete action; it has no time limit.

    Args:
      name: one of the suite's.
      steps: observed numbers of steps are divided by it.
    """

    def __init__(self, name: str, steps: int):
        env = make_environment(name)
        self._env = make_environment(name, time_limit=NEVER) if hasattr(env, "time_limit") else env
        self._steps = steps
        space = Discrete(int(env.action_spec.num_values))
        self._types = state_types(
            lambda: self._reset(jax.random.key(0))[0],
            lambda state: self._step(jax.random.key(0), state, no_action(space))[0],
        )
        _, observation = jax.eval_shape(lambda: self.reset(jax.random.key(0)))
        self.spec = EnvSpec(
            name=name,
            observation_shape=observation.values.shape,
            action_space=space,
            episode_length=None,
            rewards_after_end=True,
        )

    def reset(self, key: Array) -> tuple[EnvState, Observation]:
        state, start = self._reset(key)
        return cast(self._types, state), self._observed(start)

    def step(self, key: Array, state: EnvState, action: Array) -> Transition:
        state, after = self._step(key, state, valid_action(self.spec.action_space, action))
        return Transition(
            state=cast(self._types, state),
            observation=self._observed(after),
            reward=jnp.asarray(after.reward, jnp.float32),
            terminated=jnp.asarray(after.last(), bool),
            truncated=jnp.zeros((), bool),
        )

    def _reset(self, key: Array) -> tuple[EnvState, Any]:
        with implicit_promotion():
            state, start = self._env.reset(key)
        return state.replace(key=None), start

    def _step(self, key: Array, state: EnvState, action: Array) -> tuple[EnvState, Any]:
        with implicit_promotion():
            state, after = self._env.step(state.replace(key=key), action)
        return state.replace(key=None), after

    def _observed(self, timestep: Any) -> Observation:
        shown = timestep.observation._asdict()
        mask = jnp.asarray(shown.pop("action_mask"), bool)
        if "step_count" in shown:
            shown["step_count"] = shown["step_count"].astype(jnp.float32) / self._steps
        parts = [jnp.asarray(part, jnp.float32) for part in jax.tree.leaves(list(shown.values()))]
        if len(parts) == 1:
            return Observation(parts[0][..., None], mask)
        return Observation(jnp.concatenate([part.reshape(-1) for part in parts]), mask)
