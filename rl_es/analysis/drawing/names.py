"""Names beside the rows of bars: broken into lines where a sheet leaves little room for them."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes

from rl_es.analysis.drawing import panels
from rl_es.analysis.drawing.sheet import Sheet
from rl_es.analysis.drawing.writing import inches, wrapped

SHARE = 0.4  # of a sheet's width, at most
WIDEST = 2.2  # inches, on a sheet of any width
_LINE = 0.125  # inches, of a line of text


@dataclass(frozen=True)
class Names:
    """The names of rows, from the top.

    Attributes:
      written: each with its line breaks.
      left: the inches that they need beside the panels.
      lines: of text in the name that has most.
    """

    written: Sequence[str]
    left: float
    lines: int

    def high(self, row: float, frame: float) -> float:
        """Inches of height of a panel: `row` for each row, and `frame` for its title and axis."""
        return frame + max(row, self.lines * _LINE + 0.04) * len(self.written)

    def beside(self, panel: Axes) -> None:
        """Makes y an axis of rows, with their names in the first column of panels."""
        panel.grid(False, axis="y")
        panel.set_ylim(len(self.written) - 0.4, -0.6)
        shown = self.written if panels.first_of_row(panel) else [""] * len(self.written)
        panel.set_yticks(range(len(shown)), shown)
        panel.tick_params(axis="y", length=0)


def names(sheet: Sheet, labels: Sequence[str]) -> Names:
    """The names of rows; to be called within `panels.paper`, which sets the size of text."""
    size = mpl.rcParams["ytick.labelsize"]
    most = WIDEST if sheet.width is None else SHARE * sheet.width
    written = [wrapped(label, most, size) for label in labels]
    parts = [line for name in written for line in name.split("\n")]
    left = max((inches(line, size) for line in parts), default=0.0)
    return Names(written, left, max((name.count("\n") + 1 for name in written), default=1))
