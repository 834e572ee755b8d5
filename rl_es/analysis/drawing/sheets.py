"""Sheets and styles: the size of a figure, what stands around its panels, and the look of its text.

A `Sheet` says how wide a figure is, and so how many panels stand side by side. The style is the
suite's (`paper.mplstyle`), with a user's style file above it where there is one. Lengths are in
inches.
"""

import contextlib
import io
import logging
import math
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib as mpl

from rl_es.errors import UserError, short_reason

STYLE = Path(__file__).with_name("paper.mplstyle")
MIN_WIDTH = 3.3  # inches of a figure, for its legend and notes
_MIN_PANEL_WIDTH = 0.62  # of the width that a panel wants
_MIN_PANEL_HEIGHT, _MAX_PANEL_HEIGHT = 0.8, 1.3  # of the height that a panel wants


@dataclass(frozen=True)
class Sheet:
    """The paper size that a figure is made for.

    Attributes:
      name: Name of the size.
      width: Inches; None for as wide as the panels want.
      height: Inches that a figure may take; None for any.
      exact_height: Inches that a figure takes; None for as many as its panels want.
      caption: True for the notes under the panels.
      legend: True for the legend under the panels.
      title: The title above all panels; empty for none.
      x_limits: The ends of all x axes; None for those of the data.
      log_x: True for logarithmic x axes of curves.
    """

    name: str
    width: float | None = None
    height: float | None = None
    exact_height: float | None = None
    caption: bool = True
    legend: bool = True
    title: str = ""
    x_limits: tuple[float, float] | None = None
    log_x: bool = False

    def columns(self, count: int, width: float, left: float = 0.0) -> int:
        """Returns how many of `count` panels, which want `width` inches each, stand side by side.

        `left` inches stay free beside the first column.
        """
        capacity = 4 if count > 3 else count
        if self.width is not None:
            capacity = max(1, int((self.width - left) / (_MIN_PANEL_WIDTH * width)))
        return math.ceil(count / math.ceil(count / capacity))

    def figure_width(self, columns: int, width: float, left: float = 0.0) -> float:
        """Returns the inches of a figure with columns of panels that want `width` inches each."""
        return max(MIN_WIDTH, left + columns * width) if self.width is None else self.width

    def panel_height(self, columns: int, width: float, height: float, left: float = 0.0) -> float:
        """Returns the inches of height of a panel that wants `width` x `height`.

        A panel that is narrower than it wants is lower, too.
        """
        if self.width is None:
            return height
        ratio = (self.width - left) / columns / width
        return height * min(max(ratio, _MIN_PANEL_HEIGHT), _MAX_PANEL_HEIGHT)


AUTO_SHEET = Sheet("auto")
SHEETS = {
    sheet.name: sheet
    for sheet in (AUTO_SHEET, Sheet("column", 3.25, 9.0), Sheet("page", 6.75, 9.0))
}


@contextlib.contextmanager
def paper_style() -> Iterator[None]:
    """Sets the suite's style, and that of `user_style`, on matplotlib's defaults."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rc_file(STYLE)
        mpl.rcParams.update(_user_parameters.get())
        yield


_user_parameters: ContextVar[Mapping[str, Any]] = ContextVar(
    "parameters", default=MappingProxyType({})
)


@contextlib.contextmanager
def user_style(path: Path | None) -> Iterator[None]:
    """Adds a user's matplotlib style file to each `paper_style` within; None adds nothing.

    Raises:
      UserError: There is no such file, or it is no style file.
    """
    token = _user_parameters.set({} if path is None else _read_style(path))
    try:
        yield
    finally:
        _user_parameters.reset(token)


def _read_style(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise UserError(f"{path}: no such style file")
    messages = io.StringIO()
    handler = logging.StreamHandler(messages)
    logger = logging.getLogger("matplotlib")
    logger.addHandler(handler)
    try:
        parameters = mpl.rc_params_from_file(path, fail_on_error=True, use_default_template=False)
    except (ValueError, KeyError, OSError) as error:
        raise UserError(f"{path}: not a matplotlib style file ({short_reason(error)})") from None
    finally:
        logger.removeHandler(handler)
    if lines := messages.getvalue().strip():
        raise UserError(f"{path}: not a matplotlib style file ({' '.join(lines.split())})")
    return dict(parameters)
