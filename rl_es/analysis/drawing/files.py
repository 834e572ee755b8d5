"""Figures as files: each in every format, numbered, and none left of an earlier time."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TypeVar

from rl_es.analysis.drawing import panels
from rl_es.analysis.drawing.kinds import Kind, Source
from rl_es.analysis.drawing.options import USUAL, Options
from rl_es.analysis.drawing.sheet import AUTO
from rl_es.files import write_bytes

FORMATS = ("png", "svg")
T = TypeVar("T", bound=Source)


def write(folder: Path, kinds: Collection[Kind[T]], source: T) -> list[Path]:
    """Writes the figures that a report holds and removes those that it no longer does.

    Args:
      folder: made where it is missing.
      kinds: all that there are.
      source: what they are drawn of.

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
    """Writes figures of some kinds, and removes files of `removed` that are no longer made.

    The second figure of a kind and those after it are numbered; names say for which sheet they are.

    Args:
      folder: made where it is missing.
      kinds: to be drawn where there is something to draw.
      source: what they are drawn of.
      options: how.
      formats: png, svg, pdf.
      removed: by default `kinds`.

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
