"""Every kind of figure, for every folder of results below some folders."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rl_es.analysis.adaptation import adapt, check_names
from rl_es.analysis.drawing import (
    DEFAULT_FORMATS,
    DEFAULT_OPTIONS,
    FigureKind,
    FigureOptions,
    write_figures,
)
from rl_es.analysis.figures.catalogue import KINDS as RESULT_KINDS
from rl_es.analysis.gradients import tables as gradients
from rl_es.analysis.gradients.figures import KINDS as GRADIENT_KINDS
from rl_es.analysis.results import load_results
from rl_es.analysis.speed import tables as speed
from rl_es.analysis.speed.figures import KINDS as SPEED_KINDS
from rl_es.errors import UserError, did_you_mean
from rl_es.results import gradient_estimates, tables
from rl_es.results.figure_settings import FigureSettings
from rl_es.results.files import distinct_names, folder_of_results, slug

FOLDER, ADAPTED_FOLDER = "figures", "figures_adapted"


@dataclass(frozen=True)
class FigureCollection:
    """The kinds of figures for one sort of folder.

    Attributes:
      name: Name of the sort.
      matches: Tells whether a folder is of this sort.
      load: Loads the source of the figures.
      kinds: Kinds by name.
    """

    name: str
    matches: Callable[[Path], bool]
    load: Callable[[Path], Any]
    kinds: Mapping[str, FigureKind[Any]]


def _has_runs(folder: Path) -> bool:
    return bool(tables.cell_paths(folder)) or tables.table_paths(folder) is not None


def _has_estimates(folder: Path) -> bool:
    return (folder / gradient_estimates.FOLDER).is_dir() or (folder / "gradients.csv").exists()


COLLECTIONS = (
    FigureCollection(
        "speed", lambda folder: (folder / "workloads").is_dir(), speed.load, SPEED_KINDS
    ),
    FigureCollection("gradients", _has_estimates, gradients.load, GRADIENT_KINDS),
    FigureCollection("results", _has_runs, load_results, RESULT_KINDS),
)


def find_collections(folder: Path) -> list[tuple[Path, FigureCollection]]:
    """Finds the folders of results: this one, or else those below it, in order.

    Raises:
      UserError: There is none, or no such folder.
    """
    folders = list(_search(folder_of_results(folder)))
    if not folders:
        raise UserError(f"{folder}: no results of a sweep, of speed or of gradients here or below")
    return folders


def _search(folder: Path) -> Iterator[tuple[Path, FigureCollection]]:
    """Yields this folder if it holds results, else those below it that do."""
    for collection in COLLECTIONS:
        if collection.matches(folder):
            yield folder, collection
            return
    for child in sorted(folder.iterdir()):
        if child.is_dir() and not child.is_symlink() and not child.name.startswith("."):
            yield from _search(child)


def draw_figures(
    folders: Sequence[Path],
    out: Path | None = None,
    names: Sequence[str] = (),
    options: FigureOptions = DEFAULT_OPTIONS,
    formats: Sequence[str] = DEFAULT_FORMATS,
) -> Iterator[Path]:
    """Draws the figures of folders and of those below them. All is read before any is written.

    Args:
      folders: Folders of results, or that hold some.
      out: Where the figures go: those of a folder below one of `folders` go to the same path below
        `out`, and with several `folders` each has its own folder there. None for `figures` in each,
        or `figures_adapted` where the options adapt them.
      names: Names of kinds; empty for all that a folder has data for.
      options: How figures are drawn.
      formats: png, svg, pdf.

    Yields:
      The files, as they are written.

    Raises:
      UserError: A name is that of no kind, a requested kind has nothing to draw anywhere, or a file
        is damaged.
    """
    out_name = ADAPTED_FOLDER if _is_adapted(options.settings) else FOLDER
    valid = [name for collection in COLLECTIONS for name in collection.kinds]
    for name in names:
        if name not in valid:
            raise UserError(f"--kind: no kind of figure '{name}'{did_you_mean(name, valid)}")
    missing = dict.fromkeys(names)
    jobs: list[Callable[[], list[Path]]] = []
    sources = [
        (collection.load(folder), kinds, _output_folder(folders, root, folder, out, out_name))
        for root in folders
        for folder, collection in find_collections(root)
        if (kinds := [kind for kind in collection.kinds.values() if kind.name in (names or valid)])
    ]
    check_names([source for source, _, _ in sources], options.settings, "figures")
    for original, kinds, place in sources:
        source, adapted_options = adapt(original, options)
        drawable = [kind for kind in kinds if len(kind.subjects(source, adapted_options))]
        for kind in drawable:
            missing.pop(kind.name, None)
        arguments = (place, drawable, source, adapted_options, formats)
        jobs.append(partial(write_figures, *arguments, previous=kinds))
    for name in missing:
        needs = next(c.kinds[name].needs for c in COLLECTIONS if name in c.kinds)
        searched_folders = ", ".join(map(str, folders))
        raise UserError(f"{searched_folders}: nothing to draw as '{name}', which needs {needs}")
    for job in jobs:
        yield from job()


def _is_adapted(settings: FigureSettings) -> bool:
    """Tells whether figures differ from those of the report by more than their paper size."""
    return bool(settings.model_fields_set - {"size"})


def _output_folder(
    folders: Sequence[Path], root: Path, folder: Path, out: Path | None, name: str
) -> Path:
    """Returns where the figures of a folder at or below `root`, one of `folders`, go."""
    if out is None:
        return folder / name
    if len(folders) == 1:
        return out / folder.relative_to(root)
    name = dict(zip(folders, distinct_names(folders), strict=True))[root]
    return out / slug(name) / folder.relative_to(root)


def list_kinds() -> str:
    """Returns every kind with what it shows and what it needs, as text."""
    lines = []
    for collection in reversed(COLLECTIONS):
        lines.append(f"{collection.name}:")
        width = max(map(len, collection.kinds))
        for name, kind in collection.kinds.items():
            lines.append(f"  {name:<{width}}  {kind.caption}; needs {kind.needs}")
    return "\n".join(lines)
