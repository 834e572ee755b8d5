"""How fast an episode is played: at most about ten seconds, and thirty pictures a second."""

import math
from dataclasses import dataclass

MOST_SECONDS = 10.0
MOST_FRAMES_PER_SECOND = 30.0
STEPS_PER_SECOND = 10.0  # of what has no time of its own


@dataclass(frozen=True)
class Pace:
    """How steps become frames.

    Attributes:
      stride: steps from one frame to the next.
      frames_per_second: of the film.
      speed: relative to real time; None where steps last no time.
    """

    stride: int
    frames_per_second: float
    speed: float | None

    def shown(self, steps: int) -> list[int]:
        """The steps that are shown of an episode of so many: the first and the last are."""
        shown = list(range(0, steps, self.stride))
        return shown if shown[-1] == steps - 1 else [*shown, steps - 1]


def pace(steps: int, step_seconds: float | None) -> Pace:
    """The pace for episodes of at most so many steps: real time where that is short enough."""
    usual = STEPS_PER_SECOND if step_seconds is None else 1 / step_seconds
    rate = max(usual, steps / MOST_SECONDS)
    stride = math.ceil(rate / MOST_FRAMES_PER_SECOND - 1e-9)
    speed = None if step_seconds is None else round(rate * step_seconds, 3)
    return Pace(stride, round(rate / stride, 3), speed)


def in_words(speed: float | None) -> str:
    """A speed for people."""
    if speed is None:
        return "steps have no duration"
    return "real time" if speed == 1 else f"{speed:.3g} x real time"
