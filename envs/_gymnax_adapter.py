"""An environment in the style of gymnax as the engine's `Environment`.

`reset_env` and `step_env` are called, never gymnax's own `step`, which resets on every call.

People write such classes in many ways. What a class means is read from what the class itself
defines: a class of today's gymnax inherits a time limit of 1 step and `is_truncated` from gymnax's
base classes, whether it asks for them or not.

- Time limit: the first of `LIMITS` that the parameters, or else the object, state themselves.
- Ends: `step_env` may return termination and truncation (six values), or termination alone, as in
  gymnax 1.x, where `is_truncated` tells the limit. Otherwise `done` may include the time limit, as
  in gymnax 0.0.x: the step is taken a second time with the limit lifted, and an end that is then
  missing is a truncation. XLA merges what the two steps have in common. Where no limit is stated,
  `_time_limits` looks for one in the step.
- Spaces: anything with `n` is discrete, anything with `low` and `high` is a box.
- Observations of several arrays become one vector; `action_mask` among them is the mask.

What departs from gymnax: an observation that is one of n categories (FrozenLake) is given one-hot;
actions outside the space become the nearest inside; MountainCarContinuous stops at its left wall.
"""

import contextlib
import copy
import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import environment
from gymnax.environments.classic_control.continuous_mountain_car import ContinuousMountainCar
from gymnax.wrappers.purerl import GymnaxWrapper
from jax import Array

from rl_es.envs._adapter import (
    box,
    cast,
    common_types,
    describe_arrays,
    no_action,
    observe_arrays,
    valid_action,
)
from rl_es.errors import UserError
from rl_es.interfaces import Box, Discrete, EnvSpec, EnvState, Observation, Transition
from rl_es.rollout.wrappers import implicit_promotion

LIMITS = (
    "max_steps_in_episode", "max_episode_steps", "max_steps", "max_timesteps", "episode_length",
    "max_episode_length", "horizon", "time_limit", "max_time_steps", "num_steps", "max_t",
)  # fmt: skip
SECONDS = ("horizon", "time_limit", "max_t")  # of these limits where they are no whole numbers
TRANSPARENT_WRAPPERS = ("LogWrapper", "FlattenObservationWrapper")
NEVER = np.iinfo(np.int32).max  # a time limit that no episode reaches


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
    """An environment of gymnax, or one in the style of its versions 0.0.x or 1.x."""

    def __init__(self, name: str, env: Any, params: Any):
        """Wraps an environment with these parameters, which may be None.

        Raises:
          UserError: says what the class lacks, and the line to write.
        """
        self._env, self._params = _complete(name, env), params
        limit, limit_note, self._endless = find_limit(self._env, params)
        with implicit_promotion():
            space = find_space(self._env, "action_space", params)
            self._first_action = int(getattr(space, "start", 0))
            self._action_space = convert_action_space(name, self._env, space)
            categories = getattr(find_space(self._env, "observation_space", params), "n", None)
        start = jax.eval_shape(lambda: self._reset(jax.random.key(0)))
        _check_values(name, "reset_env", start, (2,), "observation, state")
        outcome = jax.eval_shape(self._example_step, start[1])
        _check_values(name, "step_env", outcome, (4, 5, 6), "observation, state, reward, done, {}")
        try:
            self._types = common_types(start[1], outcome[1])
        except TypeError as error:
            raise UserError(f"{name}: {error}") from None
        is_number = getattr(start[0], "shape", None) == ()
        self._categories = categories if is_number else None  # else it is one-hot already
        self._rule = _end_rule(self._env, limit, start[1], len(outcome))
        arrays = describe_arrays(start[0])
        self.spec = EnvSpec(
            name=name,
            observation_shape=jax.eval_shape(self._observation, start[0]).values.shape,
            action_space=self._action_space,
            episode_length=limit,
            rewards_after_end=True,
            notes=(limit_note, *((f"observation: {arrays}",) if arrays else ())),
        )

    def reset(self, key: Array) -> tuple[EnvState, Observation]:
        observation, state = self._reset(key)
        return cast(self._types, state), self._observation(observation)

    def step(self, key: Array, state: EnvState, action: Array) -> Transition:
        action = valid_action(self._action_space, action)
        observation, after, reward, done, *others = self._step(key, state, action)
        with implicit_promotion():
            if self._rule == "truncation":
                terminated, over = done, others[0]
            elif self._rule == "is_truncated":
                terminated, over = done, self._env.is_truncated(after, self._params)
            elif self._rule == "limit lifted":
                again = jax.random.clone(key)  # the same draws: it is the same step
                terminated, over = self._step(again, state, action, endless=True)[3], done
            else:
                terminated, over = done, False
        terminated = jnp.asarray(terminated, bool).reshape(())
        return Transition(
            state=cast(self._types, after),
            observation=self._observation(observation),
            reward=jnp.asarray(reward, jnp.float32).reshape(()),
            terminated=terminated,
            truncated=jnp.asarray(over, bool).reshape(()) & ~terminated,
        )

    def _reset(self, key: Array) -> tuple[Any, Any]:
        with implicit_promotion():
            return _call(self._env.reset_env, (key,), self._params)

    def _step(
        self, key: Array, state: EnvState, action: Array, endless: bool = False
    ) -> tuple[Any, ...]:
        env, params = self._endless if endless else (self._env, self._params)
        action = action + self._first_action if self._first_action else action
        with implicit_promotion():
            return _call(env.step_env, (key, state, action), params)

    def _example_step(self, state: EnvState) -> tuple[Any, ...]:
        """Takes a step; called in a trace only: outside it would compile."""
        return self._step(jax.random.key(0), state, no_action(self._action_space))

    def _observation(self, observation: Any) -> Observation:
        if self._categories is not None:
            return Observation(jax.nn.one_hot(observation, self._categories, dtype=jnp.float32))
        return observe_arrays(observation)


def _complete(name: str, env: Any) -> Any:
    """Returns an environment, unwrapped, on which the methods of gymnax's base class work.

    Gradients pass through its steps where its class can let them.

    Those of gymnax 1.x, such as `discount`, call `is_terminated`; classes of 0.0.x define
    `is_terminal` in its place. Wrappers of gymnax act in `step`, which resets: those that only
    record or flatten are taken off.

    Raises:
      UserError: another wrapper would be lost.
    """
    while isinstance(env, GymnaxWrapper):
        wrapper = type(env).__name__
        if wrapper not in TRANSPARENT_WRAPPERS:
            raise UserError(
                f"{name}: {wrapper} acts in step, which is not called; name the environment itself"
            )
        env = env._env
    if _defines(env, "is_terminal") and not _defines(env, "is_terminated"):
        env = copy.copy(env)
        object.__setattr__(env, "is_terminated", env.is_terminal)
    # gymnax cuts the gradient between steps unless it is asked for; values are the same.
    if getattr(env, "supports_transition_gradients", False):
        env = env.with_transition_gradients()
    return env


def _defines(env: Any, name: str) -> bool:
    """Tells whether a class defines a method itself: gymnax's base class has all of them."""
    classes = type(env).__mro__
    return any(name in vars(kind) for kind in classes if kind is not environment.Environment)


def _end_rule(env: Any, limit: int | None, state: Any, values: int) -> str:
    """Returns how termination and truncation are told apart; see the module."""
    if values == 6:
        return "truncation"
    if _defines(env, "is_truncated"):
        return "is_truncated"
    if limit is None:
        return "termination"
    inherits = hasattr(env, "is_truncated") and hasattr(state, "time")
    return "is_truncated" if inherits and not _defines(env, "is_terminal") else "limit lifted"


def _call(function: Callable[..., Any], arguments: tuple[Any, ...], params: Any) -> Any:
    """Calls a method with the parameters behind its arguments, if it takes any."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    accepted = [p for p in inspect.signature(function).parameters.values() if p.kind in kinds]
    return function(*arguments, *((params,) if len(accepted) > len(arguments) else ()))


def _check_values(name: str, method: str, values: Any, counts: tuple[int, ...], line: str) -> None:
    """Refuses a method that returns something else than a tuple of so many values."""
    if not isinstance(values, tuple | list) or len(values) not in counts:
        returned = f"{len(values)} values" if isinstance(values, tuple | list) else "one value"
        raise UserError(f"{name}: {method} returns {returned}; write: return {line}")


def find_limit(env: Any, params: Any) -> tuple[int | None, str, tuple[Any, Any]]:
    """Returns the time limit in steps that a class states, where, and both without the limit.

    The limit is None if neither the parameters nor the environment state one. Without the limit, in
    (env, params), it is one that no episode reaches.
    """
    for owner, words in ((params, "its parameters"), (env, "the environment")):
        for field in LIMITS:
            if (steps := _limit_value(owner, field)) is not None:
                endless = _replace_field(owner, field)
                pair = (env, endless) if owner is params else (endless, params)
                return steps, f"limit {steps:,}: {field} of {words}", pair
    note = f"no time limit: neither its parameters nor the environment state {LIMITS[0]}"
    return None, note, (env, params)


def _limit_value(owner: Any, field: str) -> int | None:
    """Returns a limit that an object states itself; None for one that it merely inherits."""
    value: Any = owner.get(field) if isinstance(owner, Mapping) else getattr(owner, field, None)
    if isinstance(value, bool) or np.shape(value) != ():
        return None
    if isinstance(owner, environment.EnvParams) and field == LIMITS[0]:
        own = any(
            field in vars(kind).get("__annotations__", {})
            for kind in type(owner).__mro__
            if kind is not environment.EnvParams
        )
        if not own and value == environment.EnvParams().max_steps_in_episode:
            return None
    try:
        steps = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if field in SECONDS and np.issubdtype(np.asarray(value).dtype, np.floating):
        return None  # a duration
    return steps if 0 < steps < NEVER else None


def _replace_field(owner: Any, field: str) -> Any:
    """Returns a copy of an object whose time limit is `NEVER`, in the limit's own type."""
    if isinstance(owner, Mapping):
        return {**owner, field: _never_like(owner[field])}
    never = _never_like(getattr(owner, field))
    if dataclasses.is_dataclass(owner) and not isinstance(owner, type):
        return dataclasses.replace(owner, **{field: never})
    if (replace := getattr(owner, "_replace", None)) is not None:  # of a named tuple
        return replace(**{field: never})
    changed = copy.copy(owner)
    with contextlib.suppress(AttributeError):  # a property: the limit cannot be lifted
        setattr(changed, field, never)
    return changed


def _never_like(value: Any) -> Any:
    return NEVER if isinstance(value, int | float) else jnp.asarray(NEVER, jnp.asarray(value).dtype)


def find_space(env: Any, method: str, params: Any) -> Any:
    """Returns a space of an environment: of a method or an attribute; None if it has none."""
    space = getattr(env, method, None)
    if not callable(space):
        return space
    try:
        return _call(space, (), params)
    except NotImplementedError:  # gymnax's base class
        return None


def convert_action_space(name: str, env: Any, space: Any) -> Discrete | Box:
    """Returns an action space by what it has: `n`, or `low` and `high`.

    Raises:
      UserError: it has neither.
    """
    if space is None:
        try:
            return Discrete(int(env.num_actions))
        except (AttributeError, NotImplementedError, TypeError):
            pass
    for count in ("n", "num_values", "num_actions"):
        number: Any = getattr(space, count, None)
        if number is not None and np.shape(number) == ():
            return Discrete(int(number))
    for low, high in (("low", "high"), ("minimum", "maximum")):
        if hasattr(space, low) and hasattr(space, high):
            bounds = getattr(space, low), getattr(space, high)
            shape = getattr(space, "shape", None)
            return box(*bounds, np.shape(bounds[0]) if shape is None else tuple(shape))
    kind = "missing" if space is None else f"a {type(space).__name__}"
    raise UserError(
        f"{name}: its action space is {kind}; write: def action_space(self, params=None): return "
        "gymnax.environments.spaces.Discrete(n), or Box(low, high, shape)"
    )
