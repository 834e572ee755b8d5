"""An environment in the style of gymnax as the engine's `Environment`.

`step_env` and `is_truncated` are called, never gymnax's own `step`, which resets on every call. Its
terminations are free of time limits in all registered environments.

What departs from gymnax: an observation that is one of n categories (FrozenLake) is given one-hot;
actions outside the space become the nearest inside; MountainCarContinuous stops at its left wall.
"""

import dataclasses
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces
from gymnax.environments.classic_control.continuous_mountain_car import ContinuousMountainCar
from jax import Array

from rl_es.envs._adapter import box, cast, no_action, state_types, valid_action
from rl_es.interfaces import Discrete, EnvSpec, EnvState, Observation, Transition
from rl_es.rollout.wrappers import implicit_promotion


class WalledMountainCar(ContinuousMountainCar):
    """MountainCarContinuous whose left wall stops the car.

    gymnax stops a car that moves left beyond the goal, not one that hits the minimum position.
    """

    def step_env(
        self, key: Array, state: Any, action: Any, params: Any
    ) -> tuple[Array, Any, Array, Array, dict[Any, Any]]:
        # Without a goal gymnax's step neither stops the car nor ends: both are decided here.
        endless = params.replace(goal_position=jnp.inf)
        _, next_state, reward, _, info = super().step_env(key, state, action, endless)
        at_wall = (next_state.position == params.min_position) & (next_state.velocity < 0)
        next_state = dataclasses.replace(
            next_state, velocity=jnp.where(at_wall, 0.0, next_state.velocity)
        )
        terminated = self.is_terminated(next_state, params)
        return self.get_obs(next_state), next_state, reward + 100.0 * terminated, terminated, info


def make_environment(name: str) -> tuple[Any, Any]:
    """Returns gymnax's own environment of a name, and its parameters."""
    with implicit_promotion():
        if name == "MountainCarContinuous-v0":
            environment = WalledMountainCar()
            return environment, environment.default_params
        return gymnax.make(name)


class GymnaxEnvironment:
    """An environment of gymnax, or one in the style of its versions 0.0.x or 1.x.

    `step_env` may return five values, the fourth of which is `done`, or six, with a truncation.
    Where the environment has no `is_truncated`, as before 1.0, `done` includes the time limit: it
    counts as a truncation if the time is over and the state itself is not terminal.
    """

    def __init__(self, name: str, env: Any, params: Any):
        """Wraps an environment with these parameters."""
        self._env, self._params = env, params
        with implicit_promotion():
            actions = self._env.action_space(self._params)
            observations = self._env.observation_space(self._params)
        categories = isinstance(observations, spaces.Discrete)
        self._categories = observations.n if categories else None
        space = (
            Discrete(actions.n)
            if isinstance(actions, spaces.Discrete)
            else box(actions.low, actions.high, actions.shape)
        )
        self._types = state_types(
            lambda: self._reset(jax.random.key(0))[1],
            lambda state: self._step(jax.random.key(0), state, no_action(space))[1],
        )
        observation, _ = jax.eval_shape(lambda: self.reset(jax.random.key(0))[1])
        self.spec = EnvSpec(
            name=name,
            observation_shape=observation.shape,
            action_space=space,
            episode_length=self._limit(),
            rewards_after_end=True,
        )

    def reset(self, key: Array) -> tuple[EnvState, Observation]:
        observation, state = self._reset(key)
        return cast(self._types, state), self._observation(observation)

    def step(self, key: Array, state: EnvState, action: Array) -> Transition:
        action = valid_action(self.spec.action_space, action)
        observation, state, reward, terminated, over = self._step(key, state, action)
        terminated = jnp.asarray(terminated, bool)
        return Transition(
            state=cast(self._types, state),
            observation=self._observation(observation),
            reward=jnp.asarray(reward, jnp.float32),
            terminated=terminated,
            truncated=jnp.asarray(over, bool) & ~terminated,
        )

    def _reset(self, key: Array) -> tuple[Any, Any]:
        with implicit_promotion():
            return self._env.reset_env(key, self._params)

    def _step(self, key: Array, state: EnvState, action: Array) -> tuple[Any, Any, Any, Any, Any]:
        with implicit_promotion():
            values = self._env.step_env(key, state, action, self._params)
            observation, state, reward, terminated = values[:4]
            if hasattr(self._env, "is_truncated"):
                over = self._env.is_truncated(state, self._params)
            elif len(values) == 6:
                over = values[4]
            else:
                terminated, over = self._split_done(state, terminated)
        return observation, state, reward, terminated, over

    def _split_done(self, state: EnvState, done: Array) -> tuple[Array, Array]:
        """Returns (terminated, truncated) of an environment whose `done` includes both."""
        limit = self._limit()
        if limit is None:
            return done, jnp.zeros((), bool)
        endless = self._params.replace(max_steps_in_episode=np.iinfo(np.int32).max)
        over = done & (state.time >= limit) & ~self._env.is_terminal(state, endless)
        return done & ~over, over

    def _limit(self) -> int | None:
        """Returns the time limit in steps; None if the parameters state none."""
        limit = getattr(self._params, "max_steps_in_episode", None)
        return None if limit is None else int(limit)

    def _observation(self, observation: Array) -> Observation:
        if self._categories is not None:
            return Observation(jax.nn.one_hot(observation, self._categories, dtype=jnp.float32))
        return Observation(jnp.asarray(observation, jnp.float32))
