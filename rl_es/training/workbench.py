"""An environment and a network, built once for all the policies that were saved of them."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import jax
import numpy as np

from rl_es import registry
from rl_es.errors import UserError
from rl_es.interfaces import Native, Snapshot
from rl_es.rollout.evaluation import evaluator
from rl_es.rollout.native import native_evaluator
from rl_es.rollout.normalisation import empty
from rl_es.rollout.trajectory import Trajectory, recorder, trajectory
from rl_es.training.platform import quiet_loading
from rl_es.training.task import Task

_REPLAY = 0x7265706C  # folded into the key of a replay


def replay_key(seed: int) -> jax.Array:
    """A key that neither training nor its evaluations use, whatever their seed."""
    with quiet_loading():  # a small program, too, may come from the cache
        return jax.random.fold_in(jax.random.key(seed), np.uint32(_REPLAY))


def native_seeds(seed: int, episodes: int) -> list[int]:
    """A seed per episode [E], for simulators on the host; more of them begin with the same ones."""
    return np.random.SeedSequence([seed, _REPLAY]).generate_state(episodes).tolist()


class Workbench:
    """Evaluates any snapshot of one environment and network; what is compiled for one serves all.

    Attributes:
      task: environment and policy.
      env: the environment as it is evaluated on.
      policy: the network and its head.
    """

    def __init__(self, task: Task):
        """Builds both.

        Raises:
          UserError: they do not fit together.
        """
        self.task = task
        self.env = task.evaluation_environment()
        self.policy = task.make_policy(self.env)
        self._compiled: dict[int, Callable[..., Any]] = {}
        self._recorders: dict[bool, Callable[..., Any]] = {}

    @property
    def shapes(self) -> Snapshot:
        """What a snapshot is made of."""
        shape = self.env.spec.observation_shape
        normalised = self.task.policy.normalise_observations
        statistics = jax.eval_shape(lambda: empty(shape)) if normalised else None
        return Snapshot(self.policy.parameters.shapes, statistics)

    def evaluate(self, snapshot: Snapshot, episodes: int, seed: int) -> np.ndarray:
        """Returns [E] of fresh whole episodes."""
        key = replay_key(seed)
        if episodes not in self._compiled:
            run = evaluator(self.env, self.policy, episodes)
            self._compiled[episodes] = _compiled(run, key, snapshot)
        return np.asarray(self._compiled[episodes](key, snapshot))

    def evaluate_natively(self, snapshot: Snapshot, episodes: int, seed: int) -> np.ndarray:
        """Returns [E] of fresh whole episodes in the environment's own simulator.

        Raises:
          UserError: it cannot be had there.
        """
        return self._native_evaluator(replay_key(seed), native_seeds(seed, episodes), snapshot)

    def rollout(self, snapshot: Snapshot, seed: int, states: bool = True) -> Trajectory:
        """One episode, step by step; with the environment's states, or without."""
        key = replay_key(seed)
        if states not in self._recorders:
            run = recorder(self.env, self.policy, states)
            self._recorders[states] = _compiled(run, key, snapshot)
        return trajectory(self._recorders[states](key, snapshot))

    @cached_property
    def native(self) -> Native:
        """The environment's task in its own simulator.

        Raises:
          UserError: it cannot be had there.
        """
        name, names = self.task.name, registry.native_names()
        if name not in names:
            there = ", ".join(names) or "none"
            raise UserError(f"{name} has no native physics; environments that have: {there}")
        return registry.environment_suite(name).native(name)

    @cached_property
    def _native_evaluator(self) -> Callable[..., np.ndarray]:
        return native_evaluator(self.native, self.policy, self.task.wrappers)


def _compiled(run: Callable[..., Any], key: jax.Array, snapshot: Snapshot) -> Callable[..., Any]:
    """The function compiled for all keys, and for all snapshots that are like this one."""
    lowered = jax.jit(run).lower(key, snapshot)
    with quiet_loading():
        return lowered.compile()
