"""The same task in its own simulator."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np


class NativeStep(NamedTuple):
    """What a step of a batch gives."""

    state: np.ndarray  # [E, ...] float64
    observations: np.ndarray  # [E, D] float64
    rewards: np.ndarray  # [E] float64; not a number where the simulation broke down
    terminated: np.ndarray  # [E] bool


class Native(Protocol):
    """An environment's task in another simulator, which runs on the host, a batch at a time.

    A second opinion on a policy that was trained in the environment of the same name: observations
    and actions mean there what they mean here. Rewards, starts and ends are the task's own. What
    happens to an episode depends on its seed and its actions alone, not on the batch that it is in.
    """

    @property
    def title(self) -> str:
        """Simulator and task with their versions, for people."""
        ...

    @property
    def episode_length(self) -> int:
        """Steps after which an episode is truncated."""
        ...

    def reset(self, seeds: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Starts an episode a seed: states [E, ...] and observations [E, D], float64."""
        ...

    def step(self, state: np.ndarray, actions: np.ndarray) -> NativeStep:
        """One step of each episode from states [E, ...], under actions [E, A]."""
        ...
