"""A task of MuJoCo Playground as the engine's `Environment`: the raw one, without its wrappers.

It departs from Playground in two points. Where the simulation has broken down, which ends the
episode, the reward and the observation are 0 instead of nan. Actions outside the task's bounds are
clipped, before rewards are computed from them.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rl_es.envs._adapter import box, without_printing
from rl_es.envs._brax_adapter import BraxStyleEnvironment
from rl_es.envs._mujoco import mujoco, without_logging
from rl_es.interfaces import EnvState, Observation, Transition
from rl_es.rollout.wrappers import implicit_promotion

with without_printing():
    from mujoco_playground import State, dm_control_suite


def make_environment(name: str) -> Any:
    """Returns Playground's own environment of a name."""
    task = name.removeprefix("playground/")
    with implicit_promotion(), without_logging(), _old_method_names():
        return dm_control_suite.load(task, config_overrides={"impl": "jax"})


class PlaygroundEnvironment(BraxStyleEnvironment):
    """A task of Playground, without a time limit.

    The state is the simulator's data alone: a step of these tasks reads nothing else of
    Playground's own state, and only writes the other fields.
    """

    def __init__(self, name: str):
        env = make_environment(name)
        bounds = env.mj_model.actuator_ctrlrange
        super().__init__(name, env, box(bounds[:, 0], bounds[:, 1], (env.action_size,)))

    def step(self, key: Array, state: EnvState, action: Array) -> Transition:
        after = super().step(key, state, action)
        is_broken = after.terminated  # these tasks have no other end

        def zero_if_broken(values: Array) -> Array:
            mask = jnp.broadcast_to(is_broken, values.shape)
            return jax.lax.select(mask, jnp.zeros_like(values), values)

        observation = Observation(zero_if_broken(after.observation.values))
        return after._replace(observation=observation, reward=zero_if_broken(after.reward))

    def _scan_state(self, state: State) -> EnvState:
        return state.data

    def _step_once(self, state: Any, action: Array) -> State:
        zero = jnp.zeros(())
        return super()._step_once(State(state, zero, zero, zero, metrics={}, info={}), action)


@contextlib.contextmanager
def _old_method_names() -> Iterator[None]:
    """Adds `find_body`, the old name of `body`, to MuJoCo's specifications in this context.

    Playground 0.2.0 uses the old name from MuJoCo 3.10 on, since it compares versions as text.
    """
    if hasattr(mujoco.MjSpec, "find_body"):
        yield
        return
    mujoco.MjSpec.find_body = mujoco.MjSpec.body
    try:
        yield
    finally:
        del mujoco.MjSpec.find_body
