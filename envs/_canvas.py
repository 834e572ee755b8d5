"""A drawing surface in the units of a task's world, with smooth edges, for the suites' pictures."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Point = tuple[float, float]

PAPER, INK, FAINT = "#fbfaf7", "#33373d", "#b9bcc2"
BLUE, RED, GREEN, AMBER = "#4477aa", "#cc3344", "#228833", "#c98a1b"
_FINER = 3  # pixels drawn for one of the picture, in each direction
_HEAD = 0.5  # half an arrow head's opening, in radians


class Canvas:
    """A window on a plane whose second coordinate points up; one unit is as long in both.

    Lengths and widths of lines are in the plane's units.
    """

    def __init__(self, width: int, height: int, centre: Point, span: Point):
        """Opens a window of this size in pixels around `centre`, which shows at least `span`."""
        self._size = (width * _FINER, height * _FINER)
        self._scale = min(self._size[0] / span[0], self._size[1] / span[1])
        self._centre = centre
        self._image = Image.new("RGB", self._size, PAPER)
        self._draw = ImageDraw.Draw(self._image)

    @property
    def left(self) -> float:
        """First coordinate of the window's left edge."""
        return self._centre[0] - self._size[0] / 2 / self._scale

    @property
    def right(self) -> float:
        """First coordinate of the window's right edge."""
        return self._centre[0] + self._size[0] / 2 / self._scale

    @property
    def bottom(self) -> float:
        """Second coordinate of the window's lower edge."""
        return self._centre[1] - self._size[1] / 2 / self._scale

    def picture(self) -> np.ndarray:
        """Returns the picture [height, width, 3] uint8."""
        return np.asarray(self._image.reduce(_FINER))

    def polygon(self, points: Sequence[Point], colour: str) -> None:
        """Draws a filled polygon."""
        self._draw.polygon([self._at(point) for point in points], fill=colour)

    def line(self, points: Sequence[Point], width: float, colour: str) -> None:
        """Draws a line with round ends and corners."""
        pixels = max(1, round(width * self._scale))
        self._draw.line([self._at(p) for p in points], fill=colour, width=pixels, joint="curve")
        if pixels > 2:
            for point in (points[0], points[-1]):
                self.disc(point, width / 2, colour)

    def disc(self, centre: Point, radius: float, colour: str) -> None:
        """Draws a filled circle."""
        x, y = self._at(centre)
        r = radius * self._scale
        self._draw.ellipse([x - r, y - r, x + r, y + r], fill=colour)

    def box(self, low: Point, high: Point, corner: float, colour: str) -> None:
        """Draws a filled rectangle with round corners, from its lower left to its upper right."""
        (left, bottom), (right, top) = self._at(low), self._at(high)
        self._draw.rounded_rectangle([left, top, right, bottom], corner * self._scale, colour)

    def text(self, centre: Point, text: str, height: float, colour: str) -> None:
        """Writes a text of this height, in the middle of a point."""
        font = ImageFont.load_default(max(1, round(height * self._scale)))
        self._draw.text(self._at(centre), text, colour, font, anchor="mm")

    def arrow(self, start: Point, end: Point, width: float, colour: str) -> None:
        """Draws an arrow, unless it is shorter than a pixel."""
        length = math.dist(start, end)
        if length * self._scale < 1:
            return
        direction = math.atan2(end[1] - start[1], end[0] - start[0])
        neck = _from(end, direction + math.pi, min(length, 3 * width))
        self.line([start, neck], width, colour)
        self._head(end, direction, min(length, 4 * width), colour)

    def turn(
        self, centre: Point, radius: float, start: float, angle: float, width: float, colour: str
    ) -> None:
        """Draws an arrow on a circle, from `start` by `angle` radians (counter-clockwise)."""
        if abs(angle) * radius * self._scale < 1:
            return
        points = [_from(centre, start + angle * part, radius) for part in np.linspace(0, 1, 40)]
        self.line(points, width, colour)
        direction = start + angle + math.copysign(math.pi / 2, angle)
        self._head(_from(points[-1], direction, 3 * width), direction, 4.5 * width, colour)

    def _head(self, tip: Point, direction: float, size: float, colour: str) -> None:
        sides = [_from(tip, direction + math.pi + turn, size) for turn in (-_HEAD, _HEAD)]
        self.polygon([tip, *sides], colour)

    def _at(self, point: Point) -> Point:
        x = self._size[0] / 2 + (point[0] - self._centre[0]) * self._scale
        y = self._size[1] / 2 - (point[1] - self._centre[1]) * self._scale
        return x, y


def _from(point: Point, direction: float, length: float) -> Point:
    return point[0] + length * math.cos(direction), point[1] + length * math.sin(direction)
