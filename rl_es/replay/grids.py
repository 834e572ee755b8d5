"""Observations that are grids of channels, such as MinAtar's, as coloured cells."""

import colorsys

import numpy as np
from PIL import Image

from rl_es.interfaces import Moment

_BACKGROUND = np.array([247, 246, 242], np.uint8)
_LINES = np.array([232, 230, 224], np.uint8)


def is_grid(shape: tuple[int, ...]) -> bool:
    """Whether observations of this shape are [H, W] or [H, W, C] with more than one row."""
    return len(shape) in (2, 3) and min(shape[:2]) > 1


def colours(channels: int) -> np.ndarray:
    """A colour per channel, [C, 3] uint8: evenly spaced hues, dark and light in turn."""
    found = [
        colorsys.hls_to_rgb((0.58 + index / channels) % 1, (0.42, 0.58)[index % 2], 0.6)
        for index in range(channels)
    ]
    return np.round(255 * np.array(found)).astype(np.uint8)


class Grid:
    """A `rl_es.interfaces.Drawing` of the observation alone.

    A cell has the colour of the last channel that is not zero there, mixed with the background
    where its value is between 0 and 1.
    """

    step_seconds = None

    def __init__(self, shape: tuple[int, ...], width: int, height: int):
        """Draws observations of this shape, [H, W] or [H, W, C]."""
        self._shape = (*shape, 1) if len(shape) == 2 else shape
        self._size = width, height
        self._colours = colours(self._shape[2])

    def frame(self, moment: Moment) -> np.ndarray:
        rows, columns, channels = self._shape
        values = np.asarray(moment.observation, np.float64).reshape(self._shape)
        values = np.clip(np.nan_to_num(values), 0, 1)
        cells = np.broadcast_to(_BACKGROUND, (rows, columns, 3)).astype(np.float64)
        for channel in range(channels):
            share = values[:, :, channel, None]
            cells = (1 - share) * cells + share * self._colours[channel]
        return self._spread(np.round(cells).astype(np.uint8))

    def close(self) -> None:
        pass

    def _spread(self, cells: np.ndarray) -> np.ndarray:
        """Cells as large squares with thin lines between them, in the middle of the picture."""
        width, height = self._size
        rows, columns, _ = cells.shape
        side = max(1, min(width // columns, height // rows))
        squares = cells.repeat(side, 0).repeat(side, 1)
        if side > 3:
            squares[side - 1 :: side] = _LINES
            squares[:, side - 1 :: side] = _LINES
        picture = Image.new("RGB", (width, height), "white")
        at = (width - squares.shape[1]) // 2, (height - squares.shape[0]) // 2
        picture.paste(Image.fromarray(squares), at)
        return np.asarray(picture)
