"""The report of a speed benchmark: tables, figures and a page, made anew from its workloads."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from rl_es import timings
from rl_es.analysis.drawing import files as drawn
from rl_es.analysis.speed import bars, ladder, page
from rl_es.analysis.speed.summary import summarise
from rl_es.files import write_text

PANELS = 12  # workloads a figure; more make further figures
NAMES = ("share_of_inference", "parts", "cost_against_width")


def write(folder: Path) -> list[Path]:
    """Writes the tables, figures and `index.md` of a speed folder; returns their paths.

    Raises:
      UserError: the folder holds no finished workload, or a damaged one.
    """
    samples, programs, manifest = timings.load(folder)
    table = summarise(samples, programs)
    written = [timings.write_samples(folder, samples), folder / "speed.csv"]
    write_text(written[-1], table.to_csv(index=False))
    files = drawn.write(folder / "figures", NAMES, _figures(table))
    text = page.compose(folder, table, programs, manifest, [p for p in files if p.suffix == ".png"])
    write_text(folder / "index.md", text)
    return [*written, *files, folder / "index.md"]


def _figures(table: pd.DataFrame) -> Iterator[tuple[str, Figure]]:
    workloads = list(dict.fromkeys(table["workload"]))
    known = table[table["share"].notna()]["workload"]
    apart = table[table["part"].isin(timings.PARTS)]["workload"]
    for name, draw, having in ((NAMES[0], bars.shares, known), (NAMES[1], bars.parts, apart)):
        shown = [workload for workload in workloads if workload in set(having)]
        for start in range(0, len(shown), PANELS):
            yield name, draw(table, shown[start : start + PANELS])
    for group in ladder.ladders(table):
        yield NAMES[2], ladder.cost_against_width(group)
