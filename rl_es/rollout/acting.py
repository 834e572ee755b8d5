"""Acting: a trained policy in an environment that is stepped by others, such as Gymnasium's.

An `EpisodeActor` is given one observation at a time. It normalises the observation, carries the
state of a recurrent policy, and returns the action as the environment takes it. With the seed of a
recorded episode (`make_recorder`) it draws the same actions from the same observations.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import Array

from rl_es.errors import UserError, brief, short_reason
from rl_es.interfaces import Discrete, EnvSpec, Observation, Policy, PolicyState, Snapshot
from rl_es.rollout.normalisation import normalise

# (snapshot, policy state, observation, key of the episode's steps, step) -> policy state, action
ActStep = Callable[..., tuple[PolicyState, Array]]


def make_act_step(policy: Policy) -> ActStep:
    """Returns a pure function that acts on one observation of an episode. Compile it once."""

    def act(
        snapshot: Snapshot, state: PolicyState, observation: Observation, key: Array, step: Array
    ) -> tuple[PolicyState, Array]:
        act_key, _ = jax.random.split(jax.random.fold_in(key, step))  # as `act_and_step` splits
        return policy.act(
            snapshot.params, state, normalise(snapshot.statistics, observation), act_key
        )

    return act


class EpisodeActor:
    """A policy in one episode at a time of an environment that others step.

    `act_step` is the compiled function of `make_act_step`, and `snapshot` what it applies.
    """

    def __init__(
        self, spec: EnvSpec, initial_state: PolicyState, act_step: ActStep, snapshot: Snapshot
    ):
        self._spec, self._initial_state = spec, initial_state
        self._act_step, self._snapshot = act_step, snapshot

    def start(self, key: Array) -> None:
        """Starts an episode: the state is initial, and `key`, which is consumed, draws actions."""
        _, self._step_key = jax.random.split(key)  # the first draws the start of an episode
        self._state, self._step = self._initial_state, 0

    def act(self, observation: Any, action_mask: Any = None) -> int | np.ndarray:
        """Returns the action for the episode's next observation.

        Args:
          observation: [*observation_shape], not normalised.
          action_mask: [n] bool, the discrete actions that are allowed; None: all. [I, n] with
            several agents.

        Returns:
          A whole number for discrete actions, else float32 [A] within the bounds of the actions.
          With several agents, int32 [I] or float32 [I, A].

        Raises:
          UserError: the observation or the mask has another shape.
        """
        space = self._spec.action_space
        values = _read_array("observation", observation, np.float32, self._spec.observation_shape)
        mask = None
        if action_mask is not None:
            if not isinstance(space, Discrete):
                raise UserError(f"act: action_mask: {self._spec.name} has no discrete actions")
            shape = (*self._spec.action_shape, space.n)
            mask = _read_array("action_mask", action_mask, np.bool_, shape)
        self._state, action = self._act_step(
            self._snapshot,
            self._state,
            Observation(values, mask),  # pyright: ignore[reportArgumentType]
            self._step_key,
            np.uint32(self._step),
        )
        self._step += 1
        if isinstance(space, Discrete):
            return np.asarray(action) if self._spec.agents else int(action)
        return np.clip(np.asarray(action), space.low, space.high)


def _read_array(name: str, value: Any, dtype: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Returns a user's value as an array of this type and shape.

    Raises:
      UserError: it has another shape, or is no array.
    """
    try:
        array = np.asarray(value, dtype)
    except (TypeError, ValueError) as error:
        reason = f"must be an array, is {brief(value)} ({short_reason(error)})"
        raise UserError(f"act: {name}: {reason}") from None
    if array.shape != shape:
        raise UserError(f"act: {name}: must have the shape {shape}, has {array.shape}")
    return array
