"""Figures as files: each in every kind, numbered, and none left of an earlier report."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from rl_es.analysis.drawing import panels
from rl_es.files import write_bytes

KINDS = ("png", "svg")


def write(folder: Path, names: Sequence[str], figures: Iterable[tuple[str, Figure]]) -> list[Path]:
    """Writes figures and removes those of an earlier report that are no longer made.

    Args:
      folder: made where it is missing.
      names: all names that a figure may have.
      figures: (name, figure); the second of a name and those after it are numbered.

    Returns:
      The files, in order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    counts = dict.fromkeys(names, 0)
    for name, figure in figures:
        counts[name] += 1
        stem = name if counts[name] == 1 else f"{name}_{counts[name]}"
        for kind in KINDS:
            written.append(folder / f"{stem}.{kind}")
            write_bytes(written[-1], panels.encode(figure, kind))
    ours = re.compile(rf"({'|'.join(names)})(_\d+)?\.({'|'.join(KINDS)})")
    for path in folder.iterdir():
        if ours.fullmatch(path.name) and path not in written:
            path.unlink()
    return written
