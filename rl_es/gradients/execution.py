"""Measures the gradient estimates of a sweep that are not there yet."""

import math
from pathlib import Path

from rich.console import Console

from rl_es import estimates
from rl_es.files.whole import Note, read_whole
from rl_es.gradients.measuring import measure, sampler
from rl_es.sweep import manifest, provenance
from rl_es.sweep.cells import Cell, cells, groups
from rl_es.sweep.records import identity, origin
from rl_es.sweep.schema import Sweep
from rl_es.sweep.work import training
from rl_es.training.platform import prepare


def run(sweep: Sweep, out: Path, quiet: bool) -> None:
    """Runs the cells of a sweep that have no row yet, with parameters held still.

    Args:
      sweep: validated; budgets are in generations.
      out: the results folder.
      quiet: whether nothing is printed.

    Raises:
      UserError: a cell cannot be measured; what was measured before is kept.
    """
    prepare(None)
    every = cells(sweep)
    stated = sweep.model_dump(mode="json", by_alias=True)
    console = Console(quiet=quiet)

    def note(text: str) -> None:
        console.print(text, highlight=False, soft_wrap=True)

    manifest.write(out, "gradients", stated, {"cells": len(every)}, note)
    done = 0
    for group in groups(every):
        missing = [cell for cell in group.cells if not _is_done(out, cell, note)]
        done += len(group.cells) - len(missing)
        if not missing:
            continue
        samples = sampler(missing[0], training(group).learner)
        for cell in missing:
            row = measure(cell, samples)
            record = {
                "device": provenance.device(),
                "settings": cell.settings,
                "generations": cell.budget.generations,
                **origin(cell),
            }
            estimates.write(out, {**identity(cell), **row}, record)
            done += 1
            square = sum(x * x for x in row["mean"])
            relative = row["variance"] * row["pairs"] / square if square else math.nan
            note(
                f"{done} of {len(every)}: {cell.env} / {cell.label} / seed {cell.seed}: "
                f"{row['samples']:,} samples, relative variance of a pair {relative:,.4g}"
            )


def _is_done(out: Path, cell: Cell, note: Note) -> bool:
    """Whether a cell was measured with this budget; its row then gets the cell's current labels."""
    found = read_whole(out, estimates.path(out, cell.run_id), estimates.read, note)
    if found is None:
        return False
    row, record = found
    if record["generations"] != cell.budget.generations:
        return False
    if not identity(cell).items() <= row.items():
        estimates.write(out, {**row, **identity(cell)}, record)
    return True
