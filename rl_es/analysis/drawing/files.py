"""Figures as files: each in every format, numbered; files of an earlier time are removed."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TypeVar

from rl_es.analysis.drawing import panels
from rl_es.analysis.drawing.kinds import Kind, Source
from rl_es.analysis.drawing.options import USUAL, Options
from rl_es.analysis.drawing.sheet import AUTO
from rl_es.files.whole import write_bytes

FORMATS = ("png", "svg")
T = TypeVar("T", bound=Source)


def write(folder: Path, kinds: Collection[Kind[T]], source: T) -> list[Path]:
    """Writes the figures that a report holds and removes those that it no longer does.

    Args:
      folder: made where it is missing.
      kinds: all that there are.
      source: what they are drawn from.

    Returns:
      The files, in order.
    """
    wanted = [kind for kind in kinds if kind.reported(source)]
    return write_kinds(folder, wanted, source, removed=kinds)


def write_kinds(
    folder: Path,
    kinds: Collection[Kind[T]],
    source: T,
    options: Options = USUAL,
    formats: Sequence[str] = FORMATS,
    removed: Collection[Kind[T]] | None = None,
) -> list[Path]:
    """Writes figures of some kinds, and removes files of `removed` kinds that are no longer made.

    From the second figure of a kind on, names have a number; on other sheets, the sheet's name too.

    Args:
      folder: made where it is missing.
      kinds: those to draw; one without subjects in `source` has no file.
      source: what they are drawn from.
      options: how they are drawn.
      formats: png, svg, pdf.
      removed: kinds whose earlier files are removed; None: `kinds`.

    Returns:
      The files, in order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    sheet = "" if options.sheet == AUTO else f"_{options.sheet.name}"
    for kind in kinds:
        for number, drawn in enumerate(kind.figures(source, options), start=1):
            stem = f"{kind.name}{sheet}" + (f"_{number}" if number > 1 else "")
            for form in formats:
                written.append(folder / f"{stem}.{form}")
                write_bytes(written[-1], panels.encode(drawn.figure, form, drawn.caption))
    names = "|".join(kind.name for kind in (kinds if removed is None else removed))
    ours = re.compile(rf"({names}){sheet}(_\d+)?\.({'|'.join(formats)})")
    for path in folder.iterdir():
        if ours.fullmatch(path.name) and path not in written:
            path.unlink()
    return written
