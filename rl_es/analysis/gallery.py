"""Every kind of figure, for every folder of results below some folders."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_es.analysis import results
from rl_es.analysis.drawing import figure_kinds
from rl_es.analysis.drawing.figure_kinds import DEFAULT_OPTIONS, FigureKind, FigureOptions
from rl_es.analysis.figures.catalogue import KINDS as OF_RESULTS
from rl_es.analysis.gradients import tables as gradients
from rl_es.analysis.gradients.figures import KINDS as OF_GRADIENTS
from rl_es.analysis.speed import tables as speed
from rl_es.analysis.speed.figures import KINDS as OF_SPEED
from rl_es.errors import UserError, did_you_mean
from rl_es.results import gradient_estimates, tables
from rl_es.results.files import distinct_names, folder_of_results, slug


@dataclass(frozen=True)
class Collection:
    """The kinds of figures for one sort of folder.

    Attributes:
      what: the sort, for messages.
      holds: whether a folder is of this sort.
      load: reads what the figures are drawn from.
      kinds: by name.
    """

    what: str
    holds: Callable[[Path], bool]
    load: Callable[[Path], Any]
    kinds: Mapping[str, FigureKind[Any]]


def _has_runs(folder: Path) -> bool:
    return bool(tables.cell_paths(folder)) or tables.table_paths(folder) is not None


def _has_estimates(folder: Path) -> bool:
    return (folder / gradient_estimates.FOLDER).is_dir() or (folder / "gradients.csv").exists()


COLLECTIONS = (
    Collection("speed", lambda folder: (folder / "workloads").is_dir(), speed.load, OF_SPEED),
    Collection("gradients", _has_estimates, gradients.load, OF_GRADIENTS),
    Collection("results", _has_runs, results.load, OF_RESULTS),
)


def find(folder: Path) -> list[tuple[Path, Collection]]:
    """The folders of results: this one, or else those below it, in order.

    Raises:
      UserError: there is none, or no such folder.
    """
    found = list(_search(folder_of_results(folder)))
    if not found:
        raise UserError(f"{folder}: no results of a sweep, of speed or of gradients here or below")
    return found


def _search(folder: Path) -> Iterator[tuple[Path, Collection]]:
    for collection in COLLECTIONS:
        if collection.holds(folder):
            yield folder, collection
            return
    for below in sorted(folder.iterdir()):
        if below.is_dir() and not below.is_symlink() and not below.name.startswith("."):
            yield from _search(below)


def check(kinds: Sequence[str]) -> None:
    """Refuses a name that no kind has.

    Raises:
      UserError: with the nearest name.
    """
    known = [name for collection in COLLECTIONS for name in collection.kinds]
    for name in kinds:
        if name not in known:
            raise UserError(f"--kind: no kind of figure '{name}'{did_you_mean(name, known)}")


def draw(
    folders: Sequence[Path],
    out: Path | None = None,
    kinds: Sequence[str] = (),
    options: FigureOptions = DEFAULT_OPTIONS,
    formats: Sequence[str] = figure_kinds.FORMATS,
) -> Iterator[Path]:
    """Draws the figures of folders and of those below them. All is read before any is written.

    Args:
      folders: of results, or that hold some.
      out: where the figures go: those of a folder below one of `folders` go to the same place below
        `out`, and with several `folders` each has its own folder there. None: `figures` in each.
      kinds: those that are wanted; empty for all that a folder has data for.
      options: how figures are drawn.
      formats: png, svg, pdf.

    Yields:
      The files, as they are written.

    Raises:
      UserError: a kind that is wanted has nothing to draw anywhere, or a damaged file.
    """
    check(kinds)
    missing = dict.fromkeys(kinds)
    found: list[_Drawn] = []
    for folder in folders:
        for place, collection in find(folder):
            wanted = [kind for name, kind in collection.kinds.items() if not kinds or name in kinds]
            if not wanted:
                continue
            source = collection.load(place)
            having = [kind for kind in wanted if len(kind.where(source, options))]
            found.append(_Drawn(_to(folders, folder, place, out), source, having, wanted))
            for kind in having:
                missing.pop(kind.name, None)
    for name in missing:
        needs = next(c.kinds[name].needs for c in COLLECTIONS if name in c.kinds)
        told = ", ".join(map(str, folders))
        raise UserError(f"{told}: nothing to draw as '{name}', which needs {needs}")
    for one in found:
        yield from figure_kinds.write_figures(
            one.to, one.having, one.source, options, formats, removed=one.wanted
        )


@dataclass(frozen=True)
class _Drawn:
    """What is drawn from a folder, and where to; earlier files of `wanted` kinds are removed."""

    to: Path
    source: Any
    having: Sequence[FigureKind[Any]]
    wanted: Sequence[FigureKind[Any]]


def _to(folders: Sequence[Path], folder: Path, place: Path, out: Path | None) -> Path:
    """Where the figures of a folder at or below one of `folders` go."""
    if out is None:
        return place / "figures"
    if len(folders) == 1:
        return out / place.relative_to(folder)
    own = dict(zip(folders, distinct_names(folders), strict=True))[folder]
    return out / slug(own) / place.relative_to(folder)


def listing() -> str:
    """Every kind with what it shows and what it needs."""
    lines = []
    for collection in reversed(COLLECTIONS):
        lines.append(f"{collection.what}:")
        width = max(map(len, collection.kinds))
        for name, kind in collection.kinds.items():
            lines.append(f"  {name:<{width}}  {kind.caption}; needs {kind.needs}")
    return "\n".join(lines)
