"""The report of a results folder: tables, figures and pages, all made anew from its cells.

A folder in which runs are unfinished or failed has a report of what is there.
"""

from collections.abc import Callable
from pathlib import Path

from rl_es import tables
from rl_es.analysis import digest, facts, html, page, results
from rl_es.analysis.drawing import files as drawn
from rl_es.analysis.figures.catalogue import KINDS
from rl_es.analysis.html import page as html_page
from rl_es.analysis.html import replays
from rl_es.files.whole import write_text


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
    replays.read(folder)  # a damaged file is reported before anything is written
    summarised = digest.of(found)
    written = digest.write(folder, summarised)
    if tables.cell_paths(folder):  # else the tables are what it is made from
        written = [*tables.write_tables(folder, found.curves, found.runs), *written]
    files = drawn.write(folder / "figures", KINDS.values(), found)
    pictures = [path for path in files if path.suffix == ".png"]
    pages = [folder / "index.md"]
    write_text(pages[0], page.compose(folder, found.runs, summarised, pictures))
    if not html.lacking():
        pages.append(folder / html.NAME)
        write_text(pages[1], html_page.compose(folder, found, summarised, pictures))
    if mixed := facts.mixed(found.runs):
        say(mixed)
    return [*written, *files, *pages]
