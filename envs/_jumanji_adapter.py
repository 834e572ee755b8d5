"""A jumanji environment as the engine's `Environment`: the raw one, without jumanji's wrappers.

jumanji does not distinguish an episode whose time is over from one that the task has ended. Its
time limits are lifted here, so that every end is a termination. The state is jumanji's own without
its key: every step gets a new one.
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
    """Returns jumanji's own environment of a name."""
    with implicit_promotion():
        return make(name.removeprefix("jumanji/"), **settings)


class JumanjiEnvironment:
    """An environment of jumanji with one discrete action a step, without a time limit.

    Args:
      name: A name of the suite.
      steps: Divisor of observed numbers of steps.
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
        return cast(self._types, state), self._observation(start)

    def step(self, key: Array, state: EnvState, action: Array) -> Transition:
        state, after = self._step(key, state, valid_action(self.spec.action_space, action))
        return Transition(
            state=cast(self._types, state),
            observation=self._observation(after),
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

    def _observation(self, timestep: Any) -> Observation:
        fields = timestep.observation._asdict()
        mask = jnp.asarray(fields.pop("action_mask"), bool)
        if "step_count" in fields:
            fields["step_count"] = fields["step_count"].astype(jnp.float32) / self._steps
        arrays = [jnp.asarray(leaf, jnp.float32) for leaf in jax.tree.leaves(list(fields.values()))]
        if len(arrays) == 1:
            return Observation(arrays[0][..., None], mask)
        return Observation(jnp.concatenate([array.reshape(-1) for array in arrays]), mask)
