"""The sheet that a figure is made for: how wide it is, and how many panels stand side by side."""

import math
from dataclasses import dataclass

NARROWEST = 0.62  # of the width that a panel wants
LEAST = 3.3  # inches: the least width of a figure, for its legend and notes
_LOWEST, _TALLEST = 0.8, 1.3  # of the height that a panel wants


@dataclass(frozen=True)
class Sheet:
    """What a figure is made for; text has the same size on each.

    Attributes:
      name: of the size.
      width: inches; None for as wide as the panels want.
      height: inches that a figure may take; None for any.
    """

    name: str
    width: float | None = None
    height: float | None = None

    def columns(self, count: int, width: float, left: float = 0.0) -> int:
        """How many of `count` panels, that want `width` inches each, stand side by side.

        `left` inches are kept beside the first column.
        """
        fitting = 4 if count > 3 else count
        if self.width is not None:
            fitting = max(1, int((self.width - left) / (NARROWEST * width)))
        return math.ceil(count / math.ceil(count / fitting))

    def wide(self, columns: int, width: float, left: float = 0.0) -> float:
        """Inches of a figure of so many columns of panels that want `width` inches each."""
        return max(LEAST, left + columns * width) if self.width is None else self.width

    def high(self, columns: int, width: float, height: float, left: float = 0.0) -> float:
        """Inches of height of a panel that wants `width` x `height`: less where it is narrower."""
        if self.width is None:
            return height
        ratio = (self.width - left) / columns / width
        return height * min(max(ratio, _LOWEST), _TALLEST)


AUTO = Sheet("auto")
SIZES = {
    sheet.name: sheet for sheet in (AUTO, Sheet("column", 3.25, 9.0), Sheet("page", 6.75, 9.0))
}
