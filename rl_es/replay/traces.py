"""An episode as lines over time with a cursor, which can be drawn for every environment."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from rl_es.replay.lettering import INK, QUIET, font
from rl_es.rollout.trajectory import Trajectory

MOST_LINES = 8  # of an observation, or an action: those that change most
_COLOURS = (
    "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#999999", "#333333",
)  # fmt: skip
_FINER = 2


def traces(episode: Trajectory, width: int, height: int) -> Callable[[int], np.ndarray]:
    """A function from the steps taken to a picture [height, width, 3] uint8.

    Only the cursor is drawn anew for each picture.

    Args:
      episode: of T steps.
      width: in pixels.
      height: in pixels.
    """
    steps = len(episode.rewards)
    panels = [
        _panel("observation", episode.observations, each=True),
        _panel("action", episode.actions, each=False),
        _panel("reward", episode.rewards, each=False),
    ]
    background, left, right = _background(panels, width, height)
    image = Image.fromarray(background)

    def picture(taken: int) -> np.ndarray:
        shown = image.copy()
        x = _across(taken, steps + 1, left, right)
        ImageDraw.Draw(shown).line([(x, 2), (x, height - 2)], "#cc3344", max(1, width // 320))
        return np.asarray(shown)

    return picture


@dataclass(frozen=True)
class _Panel:
    """Lines over time.

    Attributes:
      title: what they are.
      lines: [T, L] within 0 to 1.
      limits: the values at 0 and 1, or None where each line has limits of its own.
    """

    title: str
    lines: np.ndarray
    limits: tuple[float, float] | None

    @property
    def share(self) -> float:
        """The weight of its height: low if nothing changes, high if each line has its own scale."""
        if np.ptp(self.lines, axis=0).max() == 0:
            return 0.5
        return 2.0 if self.limits is None else 1.0


def _panel(title: str, values: np.ndarray, each: bool) -> _Panel:
    """The values [T, ...] as lines, scaled together or each to its own range."""
    lines = np.asarray(values, np.float64).reshape(len(values), -1)
    lines = np.where(np.isfinite(lines), lines, 0.0)
    count = lines.shape[1]
    if count > MOST_LINES:
        most = np.argsort(-lines.std(0), kind="stable")[:MOST_LINES]
        lines, title = lines[:, np.sort(most)], f"{title}: {MOST_LINES} of {count}"
    each = each and lines.shape[1] > 1
    low, high = (lines.min(0), lines.max(0)) if each else (lines.min(), lines.max())
    span = np.where(high > low, high - low, 1.0)
    scaled = np.where(high > low, (lines - low) / span, 0.5)
    return _Panel(title, scaled, None if each else (float(low), float(high)))


def _background(panels: list[_Panel], width: int, height: int) -> tuple[np.ndarray, float, float]:
    """The picture without a cursor, and where time starts and ends in it."""
    size = width * _FINER, height * _FINER
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    letter = round(size[1] / 21)
    letters, head = font(letter), 1.5 * letter
    left, right = 0.04 * size[0], 0.96 * size[0]
    shares = np.array([panel.share for panel in panels])
    ends = np.concatenate([[0], np.cumsum(shares) / shares.sum()]) * size[1]
    for panel, top, bottom in zip(panels, ends[:-1], ends[1:], strict=True):
        draw.text((left, top + head / 2), panel.title, QUIET, letters, anchor="lm")
        draw.text((right, top + head / 2), _range(panel), QUIET, letters, anchor="rm")
        box = left, top + head, right, bottom - 0.2 * head
        draw.rectangle(box, "#f7f6f2")
        _lines(draw, panel.lines, box)
    return np.asarray(image.reduce(_FINER)), left / _FINER, right / _FINER


def _lines(
    draw: ImageDraw.ImageDraw, lines: np.ndarray, box: tuple[float, float, float, float]
) -> None:
    left, top, right, bottom = box
    pad = 0.08 * (bottom - top)
    across = [_across(step, len(lines) + 1, left, right) for step in range(len(lines))]
    colours = [INK] if lines.shape[1] == 1 else _COLOURS
    for values, colour in zip(lines.T, colours, strict=False):
        up = (bottom - pad - values * (bottom - top - 2 * pad)).tolist()
        points = list(zip(across, up, strict=True))
        if len(points) == 1:
            (x, y) = points[0]
            draw.ellipse([x - 5, y - 5, x + 5, y + 5], colour)
        draw.line(points, colour, 3)


def _range(panel: _Panel) -> str:
    if panel.limits is None:
        return "each in its own range"
    low, high = (limit + 0.0 for limit in panel.limits)  # no negative zero
    return f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"


def _across(step: int, steps: int, left: float, right: float) -> float:
    """The x of a step, where the first of `steps` is at `left` and the last at `right`."""
    return left + (right - left) * step / (steps - 1)
