"""`compare`: the tables, the page and the figures of a comparison."""

import math
from collections.abc import Sequence
from pathlib import Path

from rl_es.analysis import scores
from rl_es.analysis.comparison import console, matching, page, rows
from rl_es.analysis.comparison.figures import write as write_figures
from rl_es.analysis.comparison.summary import Comparison, compare
from rl_es.analysis.metrics import FINAL, METRICS
from rl_es.analysis.statistics import MANY_REPLICATES
from rl_es.errors import UserError
from rl_es.files.naming import slug
from rl_es.files.whole import check_folder, write_text

LONGEST = 200  # characters of a folder's name


def build(
    folders: Sequence[Path],
    *,
    environments: Sequence[str] = (),
    labels: Sequence[str] = (),
    metric: str = FINAL,
    renamed: Sequence[str] = (),
    normalise: tuple[str, str] | None = None,
    margin: float | None = None,
    replicates: int = MANY_REPLICATES,
) -> Comparison:
    """Compares folders with the first of them.

    Args:
      folders: results, the base first.
      environments: those that are wanted; empty for all.
      labels: of the base, likewise.
      metric: one of `rl_es.analysis.metrics.METRICS`.
      renamed: texts like `OLD=NEW`: labels of the base and of another folder to be compared.
      normalise: the references of the base that are 0 and 1; None for `scores.scale`'s own.
      margin: the smallest effect that matters, on the normalised scale; None for none.
      replicates: of the bootstrap.

    Raises:
      UserError: there is nothing to compare, or a name is unknown.
    """
    if margin is not None and not (margin > 0 and math.isfinite(margin)):
        raise UserError(f"--margin: must be a number above 0; is {margin:g}")
    loaded = matching.load(folders)
    known = matching.renamings(renamed, loaded)
    matched = matching.matches(loaded, known, environments, labels)
    low, high = normalise or (scores.LOW, None)
    scale = scores.scale(loaded[0].results, low, high)
    wanted = environments, labels
    found = compare(loaded, matched, METRICS[metric], scale, margin, replicates, *wanted)
    if not any(finding.base.n and finding.against.n for finding in found.findings):
        raise UserError(f"--metric {metric}: no run of both folders has one")
    return found


def publish(comparison: Comparison, out: Path | None = None) -> list[Path]:
    """Prints a comparison and writes it; returns the files.

    Args:
      comparison: from `build`.
      out: None for `results/compare/<base>-vs-<other>`, with the metric unless it is `final`.

    Raises:
      UserError: `out` is a file.
    """
    out = out or _default(comparison)
    check_folder(out)
    console.show(comparison)
    texts = {"compare.csv": rows.as_csv, "compare.json": rows.as_json}
    for name, text in texts.items():
        write_text(out / name, text(comparison))
    drawn = write_figures(out, comparison)
    pictures = [path for path in drawn if path.suffix == ".png"]
    write_text(out / "compare.md", page.compose(comparison, pictures))
    return [*(out / name for name in texts), out / "compare.md", *drawn]


def _default(comparison: Comparison) -> Path:
    base, *others = (slug(folder.name) for folder in comparison.folders)
    metric = comparison.metric.name
    of = "" if metric == FINAL else f"-{metric}"
    return Path("results", "compare", slug(f"{base}-vs-{'-'.join(others)}{of}", LONGEST))
