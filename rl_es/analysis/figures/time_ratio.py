"""Time ratios: seconds of each label over those of a reference label, in the same sweep."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from rl_es.analysis import alignment, csvs
from rl_es.analysis.digits import span
from rl_es.analysis.drawing import marks, notes, panels
from rl_es.analysis.drawing.names import names
from rl_es.analysis.drawing.options import USUAL, Options
from rl_es.analysis.figures.across import MOST_LABELS
from rl_es.analysis.results import Results
from rl_es.analysis.statistics import Interval, bootstrap, nothing
from rl_es.errors import UserError, brief

USUAL_REFERENCE = "eggroll"
TOTAL = "all: geometric mean"


def where(results: Results, options: Options = USUAL) -> list[str]:
    """The environments that have times of the reference and of others."""
    labels, reference = results.shown, options.reference or USUAL_REFERENCE
    if reference not in labels or not 2 <= len(labels) <= MOST_LABELS:
        return []
    costs = _costs(results)
    return [
        env
        for env in results.environments
        if (env, reference) in costs.index and len(costs.loc[env].index.unique()) > 1
    ]


def draw(results: Results, options: Options = USUAL) -> Figure:
    """A panel per environment and one in all, a bar per label, on a logarithmic axis."""
    costs, reference = _costs(results), options.reference or USUAL_REFERENCE
    environments = results.environments
    totals = [environments] if len(environments) > 1 else []
    subjects = [*totals, *([env] for env in environments)]
    others = {label: style for label, style in results.shown.items() if label != reference}
    elsewhere = {} if options.published is None else published(options.published, reference)
    with panels.paper():
        named = names(options.sheet, list(others))
        size = 2.0, named.high(0.21, frame=0.55), named.left
        figure, axes = panels.grid(options.sheet, len(subjects), *size, stretch=False)
        for panel, some in zip(axes, subjects, strict=True):
            for place, (label, style) in enumerate(others.items()):
                found = ratios(costs, label, reference, some, "per_step", options.replicates)
                marks.interval_bar(panel, place, found, style, start=1.0)
                same = ratios(costs, label, reference, some, "to_budget", options.replicates)
                panel.plot([same.estimate], [place], "D", color=panels.INK, ms=3.5, mfc="white")
                if len(some) == 1 and (found := elsewhere.get((some[0], label))):
                    panel.plot([found], [place], "*", color="#b2182b", ms=7, mec="white", mew=0.5)
            named.beside(panel)
            panel.set_title(TOTAL if some is environments else some[0])
            if some is environments:
                marks.set_apart(panel)
            _axis(panel)
            panel.set_xlabel(f"seconds over {reference}'s")
        shown = [at for at in elsewhere if at[0] in environments and at[1] in others]
        return panels.finish(figure, _entries(bool(shown)), _notes(results, reference, options))


def published(path: Path, reference: str) -> dict[tuple[str, str], float]:
    """Ratios over a reference label, by (environment, label).

    Args:
      path: a CSV file with columns env, label, reference and ratio.
      reference: rows of others are left out.

    Raises:
      UserError: it is not such a file, or holds a ratio twice or one that is not above 0.
    """
    columns = ["env", "label", "reference", "ratio"]
    table = csvs.read(path, columns, "table of ratios")
    table = table[columns].assign(ratio=csvs.numbers(path, table, "ratio"))
    found: dict[tuple[str, str], float] = {}
    for env, label, over, value in table.itertuples(index=False):
        if not 0 < value < np.inf:
            named = f"{brief(env)} / {brief(label)}"
            raise UserError(f"{path}: {named}: the ratio must be above 0, is {value:g}")
        if over == reference:
            if (env, label) in found:
                named = f"{brief(env)} / {brief(label)} over {brief(over)}"
                raise UserError(f"{path}: {named} stands there twice")
            found[env, label] = value
    return found


def _costs(results: Results) -> pd.DataFrame:
    """Seconds per environment step, and until the steps that all runs of the environment took.

    Indexed by (env, label), a row per counted run, with its seed.
    """
    counted = results.runs[results.runs["status"].isin(alignment.COUNTED)]
    steps, seconds = results.curves["env_steps"], alignment.per_run_seconds(results.curves)
    found = []
    for env, here in counted.groupby("env"):
        own = {
            label: alignment.of_runs(results.curves, runs, steps, seconds)
            for label, runs in here.groupby("label")
        }
        timed = [(label, curve) for label, curves in own.items() for curve in curves]
        timed = [(label, curve) for label, curve in timed if curve.x[-1] > 0 and curve.y[-1] > 0]
        budget = min((curve.x[-1] for _, curve in timed), default=0.0)
        for label, curve in timed:
            to_budget = float(np.interp(budget, curve.x, curve.y))
            found.append((env, label, curve.seed, curve.y[-1] / curve.x[-1], to_budget))
    columns = ["env", "label", "seed", "per_step", "to_budget"]
    return pd.DataFrame(found, columns=columns).set_index(["env", "label"]).sort_index()


def ratios(
    costs: pd.DataFrame,
    label: str,
    reference: str,
    environments: Sequence[str],
    cost: str,
    replicates: int,
) -> Interval:
    """The geometric mean over environments and seeds of a label's cost over the reference's.

    Each seed is compared with itself; seeds that only one of them ran are left out.

    Args:
      costs: by (env, label), with the columns `seed` and `cost`.
      label: the numerator.
      reference: the denominator.
      environments: over which.
      cost: the column's name.
      replicates: of the bootstrap.

    Returns:
      Scalars; NaN where an environment has no seed that both ran.
    """
    logs, strata = [], []
    for env in environments:
        if any((env, of) not in costs.index for of in (label, reference)):
            return nothing()
        x, y = (costs.loc[[(env, of)]].set_index("seed")[cost] for of in (label, reference))
        apart = np.log((x / y).dropna().to_numpy(float))
        logs.append(apart)
        strata += [env] * len(apart)
    if not all(len(part) for part in logs):
        return nothing()
    found = bootstrap(np.concatenate(logs), strata=np.array(strata), replicates=replicates)
    return Interval(*(np.exp(of) for of in (found.estimate, found.low, found.high)), n=found.n)


def _axis(panel: Axes) -> None:
    """A logarithmic axis around 1."""
    panel.set_xscale("log")
    low, high = panel.get_xlim()
    low, high = min(low, 1 / 1.5), max(high, 1.5)
    panel.set_xlim(low, high)
    panel.axvline(1, zorder=1, **marks.REFERENCE)
    if high / low > 30:
        choices = [10.0**power for power in range(-6, 7)]
    else:
        choices = [0.1, 0.2, 0.5, 1, 2, 5, 10] if high / low > 4 else [0.5, 0.7, 1, 1.5, 2, 3]
    panel.xaxis.set_major_locator(FixedLocator([at for at in choices if low <= at <= high]))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _entries(published: bool) -> list:
    diamond = Line2D([], [], color=panels.INK, marker="D", ms=3.5, mfc="white", linestyle="")
    entries = [(Patch(color="#bbbbbb"), "a step"), (diamond, "to the same number of steps")]
    if not published:
        return entries
    star = Line2D([], [], color="#b2182b", marker="*", ms=7, mec="white", mew=0.5, linestyle="")
    return [*entries, (star, "published")]


def _notes(results: Results, reference: str, options: Options) -> list[str]:
    lanes = results.curves["lanes"].dropna()
    shared = span(lanes) if len(lanes) else "unknown"
    lined = notes.interval(results.runs, "lines", options.replicates, "the geometric mean")
    return [
        f"Wall time of this sweep, not a speed benchmark (lanes = {shared}; other groups compiled "
        f"meanwhile): training seconds of a run over those of {reference} of the same seed, "
        f"{notes.counts(results.runs)}; {lined}.",
        *notes.on_runs(results.curves, results.runs, "ratios"),
    ]
