"""The report of gradient estimates, made anew from the rows of its folder."""

from pathlib import Path

from rl_es import estimates
from rl_es.analysis.drawing import files as drawn
from rl_es.analysis.gradients import page, source
from rl_es.analysis.gradients.catalogue import KINDS
from rl_es.analysis.gradients.summary import summarise
from rl_es.files import write_text


def write(folder: Path) -> list[Path]:
    """Writes the tables, the figure and `index.md` of a folder; returns their paths.

    Raises:
      UserError: the folder holds no estimate, or a damaged one.
    """
    rows = estimates.load(folder)
    table = summarise(rows)
    written = [estimates.write_table(folder, rows), folder / "summary.csv"]
    write_text(written[-1], table.to_csv(index=False))
    files = drawn.write(folder / "figures", KINDS.values(), source.of(table))
    write_text(folder / "index.md", page.compose(folder, table, files))
    return [*written, *files, folder / "index.md"]
