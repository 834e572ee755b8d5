"""A task of MuJoCo Playground as the engine's `Environment`: the raw one, without its wrappers.

What departs from Playground: where the simulation has broken down, which ends the episode, the
reward and the observation are zero instead of not a number; actions outside the task's bounds, by
which rewards would be computed, become the nearest inside.
"""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from mujoco_playground import State, dm_control_suite

from envs._adapter import box, cast, no_action, state_types, valid_action
from envs._mujoco import mujoco, unlogged
from rl_es.interfaces import EnvSpec, EnvState, Observation, Transition
from rl_es.promotion import implicit_promotion


def made(name: str) -> Any:
    """The environment that Playground itself has under a name."""
    task = name.removeprefix("playground/")
    with implicit_promotion(), unlogged(), _named_as_before():
        return dm_control_suite.load(task, config_overrides={"impl": "jax"})


class PlaygroundEnvironment:
    """One of Playground's tasks; it has no time limit.

    The state is the simulator's data alone: the steps of these tasks look at nothing else, and what
    else Playground keeps in its state they only write.
    """

    def __init__(self, name: str):
        self._env = made(name)
        # Under jit Playground's Python runs once for all programs that step or reset this task.
        self._reset, self._step = jax.jit(self._reset_once), jax.jit(self._step_once)
        bounds = self._env.mj_model.actuator_ctrlrange
        space = box(bounds[:, 0], bounds[:, 1], (self._env.action_size,))
        start = functools.partial(self._reset, jax.random.key(0))
        self._types = state_types(
            lambda: start().data, lambda data: self._step(data, no_action(space)).data
        )
        self.spec = EnvSpec(
            name=name,
            observation_shape=jax.eval_shape(start).obs.shape,
            action_space=space,
            episode_length=None,
            rewards_after_end=True,
        )

    def reset(self, key: Array) -> tuple[EnvState, Observation]:
        state = self._reset(key)
        return cast(self._types, state.data), Observation(jnp.asarray(state.obs, jnp.float32))

    def step(self, key: Array, state: EnvState, action: Array) -> Transition:
        del key  # the steps are deterministic
        after = self._step(state, valid_action(self.spec.action_space, action))
        broken = jnp.asarray(after.done, bool)  # the only end that these tasks know

        def sound(values: Array) -> Array:
            return jax.lax.select(
                jnp.broadcast_to(broken, values.shape),
                jnp.zeros(values.shape, jnp.float32),
                jnp.asarray(values, jnp.float32),
            )

        return Transition(
            state=cast(self._types, after.data),
            observation=Observation(sound(after.obs)),
            reward=sound(after.reward),
            terminated=broken,
            truncated=jnp.zeros((), bool),
        )

    def _reset_once(self, key: Array) -> State:
        with implicit_promotion():
            return self._env.reset(key)

    def _step_once(self, data: Any, action: Array) -> State:
        zero = jnp.zeros(())
        with implicit_promotion():
            return self._env.step(State(data, zero, zero, zero, metrics={}, info={}), action)


@contextlib.contextmanager
def _named_as_before() -> Iterator[None]:
    """Within it MuJoCo's specifications have `find_body`, the old name of `body`.

    Playground 0.2.0 asks for the old name from MuJoCo 3.10 on, since it compares versions as text.
    """
    if hasattr(mujoco.MjSpec, "find_body"):
        yield
        return
    mujoco.MjSpec.find_body = mujoco.MjSpec.body
    try:
        yield
    finally:
        del mujoco.MjSpec.find_body
