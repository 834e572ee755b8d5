"""What the figures of speed share: colours, times as text, the frame of a panel of bars."""

from collections.abc import Iterable

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rl_es.analysis.digits import span
from rl_es.analysis.drawing import marks, palette, panels
from rl_es.analysis.drawing.names import names
from rl_es.analysis.drawing.sheet import Sheet
from rl_es.timings import WHOLE

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "\N{GREEK SMALL LETTER MU}s"))
BROWN, LIGHT = "#8c6d31", "#b4b4b4"
_COLOURS = {agent: style.colour for agent, style in palette.KNOWN.items()}
_COLOURS |= {"bare": LIGHT, "inference": "#555555", "evosax": BROWN}


def colour(agent: str) -> str:
    """The colour of an agent, a floor or a peer; all variants of one share it."""
    return _COLOURS.get(agent, palette.PURPLE)


def seconds(time: float) -> str:
    """A time for reading, of three digits: '1.23 ms'."""
    size, unit = next(of for of in _UNITS if time >= of[0] or of is _UNITS[-1])
    return f"{time / size:.3g} {unit}"


def bytes_(number: float) -> str:
    """A size for reading, of three digits: '1.2 MB'."""
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f} B"


def grid(
    sheet: Sheet, contestants: Iterable[str], count: int, most: int
) -> tuple[Figure, list[Axes]]:
    """The panels of `count` workloads of at most `most` contestants, named in the first column."""
    named = names(sheet, sorted(set(contestants)))
    height = 0.85 + most * max(0.16, 0.04 + 0.125 * named.lines)
    return panels.grid(sheet, count, 2.1, height, named.left, stretch=False)


def panel_of_names(panel: Axes, sheet: Sheet, rows: pd.DataFrame, title: str) -> None:
    """Sets up a row per contestant, named in the first column; one without a result says why."""
    panel.set_title(title)
    names(sheet, list(rows["contestant"])).beside(panel)
    for place, row in enumerate(rows.to_dict("records")):
        if row["status"] != "finished":
            marks.row_note(panel, place, "failed" if row["status"] == "failed" else "not run")


def whole(table: pd.DataFrame, workload: str) -> pd.DataFrame:
    """A workload's rows of whole generations, one a contestant."""
    return table[(table["workload"] == workload) & (table["part"] == WHOLE)]


def rounds(table: pd.DataFrame) -> str:
    """'9 interleaved rounds'."""
    return f"{span(table['rounds'].dropna())} interleaved rounds"
