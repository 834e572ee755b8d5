"""Pictures of episodes: by a suite's drawing, as a grid of cells, or as traces.

Observations that are grids of channels, such as MinAtar's, are drawn as coloured cells. Every other
episode is drawn as lines over time with a cursor. A caption stands under each picture.
"""

import colorsys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import jax
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rl_es import registry
from rl_es.interfaces import Drawing, Moment
from rl_es.rollout.evaluation import Trajectory
from rl_es.rollout.wrappers import strip_wrappers
from rl_es.training.policies import PolicyEvaluator

_BACKGROUND = np.array([247, 246, 242], np.uint8)
_LINES = np.array([232, 230, 224], np.uint8)


def is_grid(shape: tuple[int, ...]) -> bool:
    """Returns whether observations of this shape are [H, W] or [H, W, C] with more than one row."""
    return len(shape) in (2, 3) and min(shape[:2]) > 1


def grid_colours(channels: int) -> np.ndarray:
    """Returns a colour per channel, [C, 3] uint8: evenly spaced hues, dark and light in turn."""
    colours = [
        colorsys.hls_to_rgb((0.58 + index / channels) % 1, (0.42, 0.58)[index % 2], 0.6)
        for index in range(channels)
    ]
    return np.round(255 * np.array(colours)).astype(np.uint8)


class GridDrawing:
    """A `rl_es.interfaces.Drawing` of the observation alone.

    A cell has the colour of the last channel that is not zero there, mixed with the background
    where its value is between 0 and 1.
    """

    step_seconds = None

    def __init__(self, shape: tuple[int, ...], width: int, height: int):
        """Draws observations of this shape, [H, W] or [H, W, C]."""
        self._shape = (*shape, 1) if len(shape) == 2 else shape
        self._size = width, height
        self._colours = grid_colours(self._shape[2])

    def frame(self, moment: Moment) -> np.ndarray:
        rows, columns, channels = self._shape
        values = np.asarray(moment.observation, np.float64).reshape(self._shape)
        values = np.clip(np.nan_to_num(values), 0, 1)
        cells = np.broadcast_to(_BACKGROUND, (rows, columns, 3)).astype(np.float64)
        for channel in range(channels):
            share = values[:, :, channel, None]
            cells = (1 - share) * cells + share * self._colours[channel]
        # Large squares with thin lines between them, in the middle of the picture.
        width, height = self._size
        side = max(1, min(width // columns, height // rows))
        squares = np.round(cells).astype(np.uint8).repeat(side, 0).repeat(side, 1)
        if side > 3:
            squares[side - 1 :: side] = _LINES
            squares[:, side - 1 :: side] = _LINES
        picture = Image.new("RGB", (width, height), "white")
        corner = (width - columns * side) // 2, (height - rows * side) // 2
        picture.paste(Image.fromarray(squares), corner)
        return np.asarray(picture)

    def close(self) -> None:
        pass


INK, QUIET, PAPER = "#33373d", "#777b82", "#ffffff"


@cache
def caption_font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Returns Pillow's own font, so that pictures are the same on every machine."""
    return ImageFont.load_default(size)


def strip_height(height: int) -> int:
    """Returns the height of a caption, an even number of pixels, for a picture of this height."""
    return max(16, 2 * round(height / 26))


def add_caption(
    picture: np.ndarray, height: int, title: str, steps: int, return_so_far: float
) -> np.ndarray:
    """Returns a picture with a caption under it: its title, the time, and the return so far.

    Args:
      picture: [height - strip_height(height), width, 3] uint8.
      height: of the result.
      title: such as early, middle or final.
      steps: how many were taken.
      return_so_far: the sum of their rewards.

    Returns:
      [height, width, 3] uint8.
    """
    width = picture.shape[1]
    image = Image.new("RGB", (width, height), PAPER)
    image.paste(Image.fromarray(picture))
    draw, letters = ImageDraw.Draw(image), caption_font(round(0.66 * strip_height(height)))
    middle, margin = (picture.shape[0] + height) / 2, round(width / 50)
    draw.text((margin, middle), title, QUIET, letters, anchor="lm")
    draw.text((width / 2, middle), f"t = {steps}", INK, letters, anchor="mm")
    text = f"return {return_so_far:.1f}"
    draw.text((width - margin, middle), text, INK, letters, anchor="rm")
    return np.asarray(image)


MOST_LINES = 8  # of an observation, or an action: those that change most
_COLOURS = (
    "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#999999", "#333333",
)  # fmt: skip
_FINER = 2


def draw_traces(episode: Trajectory, width: int, height: int) -> Callable[[int], np.ndarray]:
    """Returns a function from the number of steps to a picture [height, width, 3] uint8.

    Only the cursor is drawn anew for each picture.

    Args:
      episode: of T steps.
      width: in pixels.
      height: in pixels.
    """
    steps = len(episode.rewards)
    panels = [
        _panel("observation", episode.observations, scale_each=True),
        _panel("action", episode.actions),
        _panel("reward", episode.rewards),
    ]
    background, left, right = _background(panels, width, height)
    image = Image.fromarray(background)

    def picture(step: int) -> np.ndarray:
        canvas = image.copy()
        x = left + (right - left) * step / steps
        ImageDraw.Draw(canvas).line([(x, 2), (x, height - 2)], "#cc3344", max(1, width // 320))
        return np.asarray(canvas)

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


def _panel(title: str, values: np.ndarray, scale_each: bool = False) -> _Panel:
    """Returns the values [T, ...] as lines, in one range or each in its own."""
    lines = np.asarray(values, np.float64).reshape(len(values), -1)
    lines = np.where(np.isfinite(lines), lines, 0.0)
    count = lines.shape[1]
    if count > MOST_LINES:
        most = np.argsort(-lines.std(0), kind="stable")[:MOST_LINES]
        lines, title = lines[:, np.sort(most)], f"{title}: {MOST_LINES} of {count}"
    scale_each = scale_each and lines.shape[1] > 1
    low, high = (lines.min(0), lines.max(0)) if scale_each else (lines.min(), lines.max())
    span = np.where(high > low, high - low, 1.0)
    heights = np.where(high > low, (lines - low) / span, 0.5)
    return _Panel(title, heights, None if scale_each else (float(low), float(high)))


def _background(panels: list[_Panel], width: int, height: int) -> tuple[np.ndarray, float, float]:
    """Returns the picture without a cursor, and the x of the first and the last step."""
    size = width * _FINER, height * _FINER
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    letter = round(size[1] / 21)
    letters, head = caption_font(letter), 1.5 * letter
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
    """Draws lines [T, L] into a box."""
    left, top, right, bottom = box
    pad = 0.08 * (bottom - top)
    across = [left + (right - left) * step / len(lines) for step in range(len(lines))]
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


Size = tuple[int, int]  # width and height in pixels


class Painter:
    """Draws the episodes of an environment, with a caption under each picture; close it when done.

    Attributes:
      size: of a picture.
      step_seconds: how long a step of the agent lasts; None where time is only counted.
      states: whether an episode has to keep the environment's states.
    """

    def __init__(self, workbench: PolicyEvaluator, size: Size):
        """Draws what the workbench's environment shows.

        Raises:
          UserError: it cannot be drawn here.
        """
        self.size = size
        self._inside = size[0], size[1] - strip_height(size[1])
        task, spec = workbench.task, workbench.env.spec
        shape = spec.observation_shape
        suite = registry.environment_suite(task.name)
        self.states = task.name in getattr(suite, "DRAWN", ())
        self._drawing: Drawing | None = None
        if self.states:
            self._drawing = suite.drawing(task.name, task.options, *self._inside)
        elif is_grid(shape) and not spec.agents:  # rows of agents are no grid
            self._drawing = GridDrawing(shape, *self._inside)
        seconds = None if self._drawing is None else self._drawing.step_seconds
        self.step_seconds = None if seconds is None else seconds * task.wrappers.action_repeat

    def pictures(self, episode: Trajectory, title: str) -> Callable[[int], np.ndarray]:
        """Returns a function from the number of steps to a picture [height, width, 3] uint8."""
        draw = self._draw_episode(episode)
        returns = np.concatenate([[0.0], np.cumsum(episode.rewards, dtype=np.float64)])

        def picture(steps: int) -> np.ndarray:
            return add_caption(draw(steps), self.size[1], title, steps, float(returns[steps]))

        return picture

    def _draw_episode(self, episode: Trajectory) -> Callable[[int], np.ndarray]:
        drawing = self._drawing
        if drawing is None:
            return draw_traces(episode, *self._inside)
        states = strip_wrappers(episode.states)
        last = Moment(strip_wrappers(episode.end[0]), episode.end[1], None)

        def draw(steps: int) -> np.ndarray:
            if steps == len(episode.rewards):
                return drawing.frame(last)
            state = jax.tree.map(lambda leaf: leaf[steps], states)
            return drawing.frame(Moment(state, episode.observations[steps], episode.actions[steps]))

        return draw

    def close(self) -> None:
        """Frees what drawing needs."""
        if self._drawing is not None:
            self._drawing.close()
