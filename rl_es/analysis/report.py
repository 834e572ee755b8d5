"""The report of a folder: tables, figures and a page, made anew from what the folder holds.

Sweeps, speed benchmarks, gradient estimates and comparisons all have one. Each reads a source,
makes tables and kinds of figures of it, and describes its page as sections of Markdown; this module
writes them: the tables, then the figures, then the page that shows them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rl_es.analysis.drawing import (
    DEFAULT_OPTIONS,
    FigureKind,
    FigureOptions,
    FigureSource,
    figure_caption,
    write_figures,
)
from rl_es.analysis.formatting import markdown_rows
from rl_es.results.files import write_text

PAGE = "index.md"
Source = TypeVar("Source", bound=FigureSource)


@dataclass(frozen=True)
class Section:
    """A section of a page.

    Attributes:
      title: the heading, in Markdown; empty for text without one.
      blocks: paragraphs, tables and lists in Markdown. Empty ones are left out, and so is a section
        below the first level that has no other.
      level: the level of the heading; 1 for the title of the page.
    """

    title: str
    blocks: Sequence[str]
    level: int = 2


Page = Sequence[Section]


def compose_page(sections: Page) -> str:
    """Returns the Markdown of a page, a blank line between its blocks."""
    blocks: list[str] = []
    for section in sections:
        content = [block for block in section.blocks if block]
        if section.title and (content or section.level == 1):
            blocks.append(f"{'#' * section.level} {section.title}")
        blocks += content
    return "\n\n".join(blocks) + "\n"


def write_report(
    folder: Path,
    tables: Mapping[str, str],
    kinds: Mapping[str, FigureKind[Source]],
    source: Source,
    compose: Callable[[Sequence[Path]], Page],
    *,
    page: str = PAGE,
    figures: str = "figures",
    options: FigureOptions = DEFAULT_OPTIONS,
) -> list[Path]:
    """Writes tables, figures and the page of a folder; returns their paths in this order.

    Args:
      folder: the folder, made where it is missing.
      tables: the text of each table by the name of its file.
      kinds: the kinds of figures; files of earlier figures of these kinds are removed.
      source: what the figures are drawn from.
      compose: returns the page that shows the PNG files of these paths.
      page: the name of the page's file.
      figures: the subfolder of the figures; "." for the folder itself.
      options: how the figures are drawn.
    """
    for name, text in tables.items():
        write_text(folder / name, text)
    requested = [kind for kind in kinds.values() if kind.in_report(source)]
    drawings = write_figures(folder / figures, requested, source, options, previous=kinds.values())
    write_text(folder / page, compose_page(compose(png_paths(drawings))))
    return [*(folder / name for name in tables), *drawings, folder / page]


def png_paths(paths: Sequence[Path]) -> list[Path]:
    """Returns the PNG files among the files of figures."""
    return [path for path in paths if path.suffix == ".png"]


def figure_blocks(
    folder: Path, kinds: Mapping[str, FigureKind[Any]], pictures: Sequence[Path]
) -> list[str]:
    """Returns a block for each figure: its PNG file, its caption and a link to its SVG file."""
    blocks = []
    for path in pictures:
        address = path.relative_to(folder).with_suffix("")
        caption = figure_caption(kinds, path.stem)
        blocks.append(f"![{caption}]({address}.png)\n\n{caption} ([SVG]({address}.svg)).")
    return blocks


def columns_section(file: str, meanings: Mapping[str, str]) -> Section:
    """Returns a section on the meaning of a file's columns."""
    rows = [[f"`{name}`", meaning] for name, meaning in meanings.items()]
    return Section(f"Columns of {file}", [markdown_rows(["column", "meaning"], rows)])


def files_section(files: Mapping[str, str]) -> Section:
    """Returns a section with links to files, each with a description."""
    links = (f"- [{name}]({name}): {description}" for name, description in files.items())
    return Section("Files", ["\n".join(links)])
