"""The report of gradient estimates, made anew from the estimates of its folder."""

from pathlib import Path

from rl_es import estimates
from rl_es.analysis.drawing import files as drawn
from rl_es.analysis.gradients import page, source
from rl_es.analysis.gradients.catalogue import KINDS
from rl_es.analysis.gradients.rank_bias import rank_bias
from rl_es.analysis.gradients.summary import summarise
from rl_es.files import sums
from rl_es.files.whole import write_text


def write(folder: Path) -> list[Path]:
    """Writes the tables, the figures and `index.md` of a folder; returns their paths.

    Raises:
      UserError: the folder holds no estimate, or a damaged one.
    """
    rows = estimates.load(folder)
    table = summarise(rows)
    written = [estimates.write_table(folder, rows), folder / "summary.csv"]
    write_text(written[-1], table.to_csv(index=False))
    bias, of_bias = rank_bias(rows), folder / source.BIAS
    if len(bias):
        write_text(of_bias, bias.to_csv(index=False))
        written.append(of_bias)
    else:
        of_bias.unlink(missing_ok=True)
    sums.write(written)
    found = source.of(table, bias)
    files = drawn.write(folder / "figures", KINDS.values(), found)
    write_text(folder / "index.md", page.compose(folder, found, files))
    return [*written, *files, folder / "index.md"]
