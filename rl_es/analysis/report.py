"""The report of a results folder: tables, figures and pages, all made anew from its cells.

A folder in which runs are unfinished or failed has a report of what is there.
"""

from collections.abc import Callable
from pathlib import Path

from rl_es.analysis import html, results, summary
from rl_es.analysis.drawing import figure_kinds as drawn
from rl_es.analysis.figures.catalogue import KINDS
from rl_es.analysis.html import embedded
from rl_es.analysis.html import report as html_page
from rl_es.analysis.pages import compose_markdown, mixed_versions_text
from rl_es.results import tables
from rl_es.results.files import write_text


def write(folder: Path, say: Callable[[str], None] = lambda text: None) -> list[Path]:
    """Writes the tables, figures and pages of a results folder; returns their paths.

    The pages are `index.md` and, where the libraries that it needs are installed, `report.html`.

    Args:
      folder: of the results.
      say: is called with a warning for readers of the tables, if there is one.

    Raises:
      UserError: the folder holds no cell, or a damaged file.
    """
    found = results.load(folder)
    embedded.read_film_strips(folder)  # a damaged file is reported before anything is written
    summarised = summary.make_digest(found)
    written = summary.write_digest(folder, summarised)
    if tables.cell_paths(folder):  # else the tables are what it is made from
        written = [*tables.write_tables(folder, found.curves, found.runs), *written]
    files = drawn.write_figure(folder / "figures", KINDS.values(), found)
    pictures = [path for path in files if path.suffix == ".png"]
    pages = [folder / "index.md"]
    write_text(pages[0], compose_markdown(folder, found.runs, summarised, pictures))
    if not html.missing_packages():
        pages.append(folder / html.NAME)
        write_text(pages[1], html_page.compose_html(folder, found, summarised, pictures))
    if mixed := mixed_versions_text(found.runs):
        say(mixed)
    return [*written, *files, *pages]
