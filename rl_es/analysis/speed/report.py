"""The report of a speed benchmark: tables, figures and a page, made anew from its workloads."""

from pathlib import Path

from rl_es import timings
from rl_es.analysis.drawing import files as drawn
from rl_es.analysis.speed import page, source
from rl_es.analysis.speed.catalogue import KINDS
from rl_es.analysis.speed.summary import summarise
from rl_es.files.whole import write_text


def write(folder: Path) -> list[Path]:
    """Writes the tables, figures and `index.md` of a speed folder; returns their paths.

    Raises:
      UserError: the folder holds no finished workload, or a damaged one.
    """
    samples, programs, manifest = timings.load(folder)
    table = summarise(samples, programs)
    written = [timings.write_samples(folder, samples), folder / "speed.csv"]
    write_text(written[-1], table.to_csv(index=False))
    files = drawn.write(folder / "figures", KINDS.values(), source.of(table))
    text = page.compose(folder, table, programs, manifest, [p for p in files if p.suffix == ".png"])
    write_text(folder / "index.md", text)
    return [*written, *files, folder / "index.md"]
