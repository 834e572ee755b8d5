"""Pictures of an environment."""

from typing import NamedTuple, Protocol

import numpy as np

from rl_es.interfaces.pytrees import EnvState


class Moment(NamedTuple):
    """What can be seen of an episode before one of its steps, or after the last."""

    state: EnvState  # of the environment as its suite makes it, without what is wrapped around it
    observation: np.ndarray  # [*observation_shape] float32
    action: np.ndarray | None  # the one that is taken now; None after the last step


class Drawing(Protocol):
    """Draws an environment, a picture per step. It may hold what has to be given back: close it."""

    @property
    def step_seconds(self) -> float | None:
        """How long a step lasts in the world that is drawn; None where time is only counted."""
        ...

    def frame(self, moment: Moment) -> np.ndarray:
        """A picture [height, width, 3] uint8."""
        ...

    def close(self) -> None:
        """Gives back what it holds; it draws no more."""
        ...
