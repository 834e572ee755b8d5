"""How fast an episode is played: at most about ten seconds, and thirty pictures a second."""

import math
from dataclasses import dataclass

MOST_SECONDS = 10.0
LEAST_SECONDS = 3.0  # of a film that would be over in half of that beside a longer one
MOST_FRAMES_PER_SECOND = 30.0
STEPS_PER_SECOND = 10.0  # where steps have no duration


@dataclass(frozen=True)
class Pace:
    """How steps become frames.

    Attributes:
      stride: steps from one frame to the next.
      frames_per_second: of the film.
      speed: relative to real time; None where steps have no duration.
    """

    stride: int
    frames_per_second: float
    speed: float | None

    def shown(self, steps: int) -> list[int]:
        """The numbers of steps after which a frame of an episode is shown; the last always is."""
        shown = list(range(0, steps + 1, self.stride))
        return shown if shown[-1] == steps else [*shown, steps]

    def __str__(self) -> str:
        """For people."""
        if self.speed is None:
            return f"{self.stride * self.frames_per_second:.3g} steps a second"
        return "real time" if self.speed == 1 else f"{self.speed:.3g} x real time"


def pace(steps: int, step_seconds: float | None, longest: int | None = None) -> Pace:
    """The pace of an episode: real time where that is short enough.

    Args:
      steps: of the episode.
      step_seconds: how long a step lasts; None where time is only counted.
      longest: steps of the longest of the episodes beside it. An episode takes the pace of that one
        unless it would be over at once; then it is slower, but not slower than in real time.
    """
    usual = STEPS_PER_SECOND if step_seconds is None else 1 / step_seconds
    own, common = (max(usual, count / MOST_SECONDS) for count in (steps, longest or steps))
    at_once = steps / common < LEAST_SECONDS / 2
    rate = max(own, steps / LEAST_SECONDS) if at_once else common
    stride = math.ceil(rate / MOST_FRAMES_PER_SECOND - 1e-9)
    speed = None if step_seconds is None else round(rate * step_seconds, 3)
    return Pace(stride, round(rate / stride, 3), speed)
