"""`compare`: the tables, the page and the figures of a comparison.

A comparison in the terminal.

`compare.md`: a comparison for people who did not make it.

A comparison as rows: unrounded for files, and rounded for people.

The sentences beside the numbers of a comparison, in the terminal and on its page.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.table import Table
from rich.text import Text

from rl_es.analysis import formatting, metrics, scores
from rl_es.analysis.comparison import matching
from rl_es.analysis.comparison.figures import KINDS
from rl_es.analysis.comparison.figures import write as write_figures
from rl_es.analysis.comparison.findings import AGGREGATE, BETTER, LEVEL, UNKNOWN, WORSE, Finding
from rl_es.analysis.comparison.summary import Comparison, compare
from rl_es.analysis.drawing import figure_kinds
from rl_es.analysis.formatting import (
    escape_markdown,
    markdown_figure,
    markdown_file_list,
    markdown_table,
)
from rl_es.analysis.metrics import FINAL, METRICS, Metric
from rl_es.analysis.statistics.aggregates import MANY_REPLICATES
from rl_es.analysis.statistics.intervals import CONFIDENCE, Interval
from rl_es.errors import UserError
from rl_es.results.files import check_folder, slug, write_text
from rl_es.terminal import plain_console, plain_table

MOST_SEEDS = 1000
TOTAL = "all"


def flat_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """A row per finding, then a row per total, unrounded."""
    found = [("pair", one) for one in comparison.findings]
    found += [("total", one) for one in comparison.totals]
    return [{"level": level, **_row(one, comparison.metric)} for level, one in found]


def _row(finding: Finding, metric: Metric) -> dict[str, Any]:
    return {
        "other": finding.other,
        "env": TOTAL if finding.env is None else finding.env,
        "base_label": finding.base_label,
        "label": finding.label,
        "metric": metric.name,
        "base_n": finding.base.n,
        "other_n": finding.against.n,
        "base_lost": finding.lost[0],
        "other_lost": finding.lost[1],
        **_interval("base", finding.base, name="base_estimate"),
        **_interval("other", finding.against, name="other_estimate"),
        **_interval("difference", finding.difference),
        "relative": finding.relative,
        **_interval("normalised", finding.normalised),
        **_interval("probability", finding.probability),
        "paired": finding.paired,
        "p": finding.p,
        "p_adjusted": finding.adjusted,
        "verdict": finding.verdict,
        "seeds_to_tell": finding.seeds,
    }


def _interval(prefix: str, found: Interval, name: str = "") -> dict[str, float]:
    values = found.named()
    return {name or prefix: values["estimate"]} | {
        f"{prefix}_{bound}": values[bound] for bound in ("low", "high")
    }


def as_csv(comparison: Comparison) -> str:
    """The rows as CSV."""
    frame = pd.DataFrame(flat_rows(comparison)).astype({"seeds_to_tell": "Int64"})
    return frame.to_csv(index=False, lineterminator="\n")


def as_json(comparison: Comparison) -> str:
    """The comparison as JSON, for scripts; numbers that are unknown or infinite are null."""
    content = {
        "base": {"name": comparison.base.name, "path": str(comparison.base.path)},
        "others": [{"name": f.name, "path": str(f.path)} for f in comparison.others],
        "metric": comparison.metric.name,
        "lower_is_better": comparison.metric.lower,
        "normalised": comparison.scale.told,
        "margin": comparison.margin,
        "replicates": comparison.replicates,
        "verdict": comparison.verdict,
        "counts": comparison.counts,
        "warnings": comparison.warnings,
        "differing": [
            {"what": d.what, "where": d.where, "values": d.values} for d in comparison.differing
        ],
        "lost": comparison.lost,
        "unmatched": comparison.left,
        "rows": flat_rows(comparison),
    }
    return json.dumps(_plain(content), indent=2) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def table_heads(comparison: Comparison) -> list[str]:
    """The heads of `cells`."""
    median = comparison.metric.name == metrics.ARRIVAL
    of = "median" if median else "mean"
    between = "difference of restricted means" if median else "difference"
    first = ["other"] if len(comparison.others) > 1 else []
    first += ["environment", "label", "n", f"base {of}", f"other {of}"]
    return [*first, f"{between} [95%]", "change", "P(better) [95%]", "p (Holm)", "verdict"]


def total_heads(comparison: Comparison) -> list[str]:
    """The heads of `total_cells`."""
    first = ["other"] if len(comparison.others) > 1 else []
    first += ["label", "environments", "n", "base", "other", "difference [95%]"]
    return [*first, "P(better) [95%]", "p (Holm)", "verdict"]


def table_cells(comparison: Comparison) -> list[list[str]]:
    """A row per finding, for people."""
    rows = []
    for one in comparison.findings:
        first = [one.other] if len(comparison.others) > 1 else []
        first += [str(one.env), one.shown, _n(one)]
        first += [formatting.format_estimate(one.base), formatting.format_estimate(one.against)]
        rows.append(
            [
                *first,
                formatting.format_signed(one.difference),
                formatting.format_change(one.relative),
                *_end(one),
            ]
        )
    return rows


def total_cells(comparison: Comparison) -> list[list[str]]:
    """A row per total, for people."""
    rows = []
    for one in comparison.totals:
        first = [one.other] if len(comparison.others) > 1 else []
        first += [one.shown, str(len(one.environments)), _n(one)]
        first += [formatting.format_estimate(one.base), formatting.format_estimate(one.against)]
        rows.append([*first, formatting.format_signed(one.difference), *_end(one)])
    return rows


def _end(one: Finding) -> list[str]:
    return [
        _probability(one.probability),
        formatting.format_p_value(one.adjusted),
        _verdict_text(one),
    ]


def _n(one: Finding) -> str:
    """The numbers of runs of both, and of lost ones: '10', '10 / 9 (1 lost)'."""
    n = str(one.base.n) if one.base.n == one.against.n else f"{one.base.n} / {one.against.n}"
    lost = sum(one.lost)
    return f"{n} ({lost} lost)" if lost else n


def _probability(found: Interval) -> str:
    if math.isnan(float(found.estimate)):
        return formatting.DASH
    bounds = [float(found.low), float(found.high)]
    known = not math.isnan(sum(bounds))
    told = f" [{bounds[0]:.2f}, {bounds[1]:.2f}]" if known else ""
    return f"{float(found.estimate):.2f}{told}"


def _verdict_text(one: Finding) -> str:
    """The verdict, with the number of seeds that would decide where one cannot tell."""
    if one.verdict != UNKNOWN:
        return one.verdict
    if one.lost[0] != one.lost[1] and (one.equal or one.adjusted < LEVEL):
        return f"{UNKNOWN} (lost runs)"
    if one.seeds is None:
        return UNKNOWN
    many = f"> {MOST_SEEDS}" if one.seeds > MOST_SEEDS else str(one.seeds)
    return f"{UNKNOWN} ({many} seeds would)"


def columns_right(heads: Sequence[str]) -> list[bool]:
    """Which columns hold numbers, so that they stand to the right."""
    texts = {"other", "environment", "label", "verdict"}
    return [head not in texts for head in heads]


SHOWN = 12  # lines about what differs; the rest is in compare.json and on the page


def outcome_line(comparison: Comparison) -> str:
    """'30 comparisons of the final return: 2 better, 1 worse, 27 cannot tell'."""
    many = formatting.format_count(len(comparison.findings), "comparison")
    counts = [f"{count} {verdict}" for verdict, count in comparison.counts.items() if count]
    return f"{many} of the {comparison.metric.title}: {', '.join(counts)}"


def margin_text(comparison: Comparison) -> str:
    """What the margin means; empty without one."""
    if comparison.margin is None:
        return ""
    if comparison.metric.lower:
        return f"Same: no worse than {comparison.margin:.3g} of the base's mean time."
    return (
        f"Same: no worse than {comparison.margin:.3g} of the way between the references "
        f"({comparison.scale.told})."
    )


def table_legend(comparison: Comparison) -> list[str]:
    """How the numbers were made, a sentence each."""
    metric, paired = comparison.metric, [one.paired for one in comparison.findings]
    seeds = "paired by seed" if all(paired) else "paired where seeds are the same"
    seeds = seeds if any(paired) else "not paired, as seeds differ"
    said = [
        f"Difference: other less base{', less is better' if metric.lower else ''}, {seeds}; "
        f"{CONFIDENCE:.0%} bootstrap interval ({comparison.replicates:,} replicates).",
        "P(better): how often a run of the other is better than one of the base.",
        f"p: Student's test, adjusted by Holm for {len(comparison.findings)}. "
        "Better, worse: p < 0.05 and the interval does not hold 0.",
        margin_text(comparison),
        "Seeds: how many would tell if the difference is what it seems (power 0.8).",
    ]
    if metric.name == metrics.ARRIVAL:
        said.append(
            "Median: of runs some of which never arrived (censored). Restricted mean: of the steps "
            "up to where it is known of all runs of both whether they arrived; who has not counts "
            "as arriving then."
        )
    return [one for one in said if one]


def total_legend(comparison: Comparison) -> str:
    """How the totals were made."""
    name = AGGREGATE.replace("_", " ")
    if comparison.metric.lower:
        return f"{name.capitalize()} of minus the times, over the base's mean in each environment."
    return f"{name.capitalize()} of normalised scores: {comparison.scale.told}."


def unmatched_lines(comparison: Comparison) -> list[str]:
    """A line per folder on what was not compared with anything."""
    said = []
    for name, pairs in comparison.left.items():
        labels: dict[str, list[str]] = {}
        for env, label in pairs:
            labels.setdefault(label, []).append(env)
        folder = next(folder for folder in comparison.folders if folder.name == name)
        every = set(folder.results.runs["env"])
        told = "; ".join(
            label if set(envs) == every else f"{label} ({', '.join(envs)})"
            for label, envs in labels.items()
        )
        said.append(f"only in {name}: {told}")
    return said


COLOURS = {BETTER: "green", WORSE: "red"}


def show(comparison: Comparison) -> None:
    """Prints what differs, the table, the totals and what was left out."""
    console = plain_console()
    for said in _before(comparison):
        console.print(Text(said))
    console.print()
    console.print(_console_table(table_heads(comparison), table_cells(comparison)))
    if comparison.totals:
        console.print(Text(f"\nOver environments. {total_legend(comparison)}"))
        console.print(_console_table(total_heads(comparison), total_cells(comparison)))
    console.print()
    for said in (*unmatched_lines(comparison), *comparison.lost):
        console.print(Text(said))
    for said in table_legend(comparison):
        console.print(Text(said, style="dim"))
    console.print(Text(f"\n{outcome_line(comparison)}", style="bold"))


def _before(comparison: Comparison) -> list[str]:
    said = [f"base: {comparison.base.name} ({comparison.base.path})"]
    said += [f"other: {folder.name} ({folder.path})" for folder in comparison.others]
    found = [one.told for one in comparison.differing]
    if found:
        said += ["what differs besides:", *(f"  {told}" for told in found[:SHOWN])]
        more = len(found) - SHOWN
        said += [f"  and {more} more (compare.md)"] if more > 0 else []
    else:
        said.append("nothing else differs: machine, versions, budgets, settings")
    return [*said, *(f"warning: {warning}" for warning in comparison.warnings)]


def _console_table(heads: Sequence[str], body: Sequence[Sequence[str]]) -> Table:
    right = [place for place, one in enumerate(columns_right(heads)) if one]
    table = plain_table(heads, right)
    for row in body:
        said = row[-1]
        colour = next((c for verdict, c in COLOURS.items() if said == verdict), "")
        table.add_row(*map(Text, row[:-1]), Text(said, style=colour))
    return table


FILES = {
    "compare.csv": "the tables above, unrounded",
    "compare.json": "the same with the verdicts counted, for scripts",
}


def compose(comparison: Comparison, drawn: Sequence[Path]) -> str:
    """The page, from the comparison and the figures' paths."""
    others = " and ".join(escape_markdown(folder.name) for folder in comparison.others)
    warned = [f"**{escape_markdown(warning)}**" for warning in comparison.warnings]
    sections = [
        f"# {others} against {escape_markdown(comparison.base.name)}",
        f"{escape_markdown(outcome_line(comparison))}.",
        "\n\n".join(warned),
        "## What differs besides\n\n" + _differing(comparison),
        f"## {escape_markdown(comparison.metric.title.capitalize())}\n\n"
        + _markdown_table(comparison),
        _totals(comparison),
        "## Figures\n\n" + "\n\n".join(_figure(path) for path in drawn) if drawn else "",
        _left_out(comparison),
        "## Files\n\n" + markdown_file_list(FILES),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _differing(comparison: Comparison) -> str:
    names = [folder.name for folder in comparison.folders]
    body = [
        [
            escape_markdown(one.what),
            escape_markdown(one.where),
            *(escape_markdown(one.values.get(n, "")) for n in names),
        ]
        for one in comparison.differing
    ]
    if not body:
        return "Nothing that is known: machine, versions, budgets and settings are the same."
    return markdown_table(["what", "where", *map(escape_markdown, names)], body)


def _markdown_table(comparison: Comparison) -> str:
    legend = " ".join(table_legend(comparison))
    return (
        markdown_table(table_heads(comparison), _body(table_cells(comparison)))
        + f"\n\n{escape_markdown(legend)}"
    )


def _body(found: Sequence[Sequence[str]]) -> list[list[str]]:
    """Rows whose last cell is a verdict."""
    return [[*map(escape_markdown, row[:-1]), _markdown_verdict(row[-1])] for row in found]


def _markdown_verdict(said: str) -> str:
    return f"**{escape_markdown(said)}**" if said in (BETTER, WORSE) else escape_markdown(said)


def _totals(comparison: Comparison) -> str:
    if not comparison.totals:
        return ""
    told = markdown_table(total_heads(comparison), _body(total_cells(comparison)))
    return f"## Over environments\n\n{told}\n\n{escape_markdown(total_legend(comparison))}"


def _figure(path: Path) -> str:
    return markdown_figure(path.stem, figure_kinds.figure_caption(KINDS, path.stem))


def _left_out(comparison: Comparison) -> str:
    said = [*unmatched_lines(comparison), *comparison.lost]
    if not said:
        return ""
    return "## Left out\n\n" + "\n".join(f"- {escape_markdown(line)}" for line in said)


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
    loaded = matching.load_folders(folders)
    known = matching.renamings(renamed, loaded)
    matched = matching.match_labels(loaded, known, environments, labels)
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
    show(comparison)
    texts = {"compare.csv": as_csv, "compare.json": as_json}
    for name, text in texts.items():
        write_text(out / name, text(comparison))
    drawn = write_figures(out, comparison)
    pictures = [path for path in drawn if path.suffix == ".png"]
    write_text(out / "compare.md", compose(comparison, pictures))
    return [*(out / name for name in texts), out / "compare.md", *drawn]


def _default(comparison: Comparison) -> Path:
    base, *others = (slug(folder.name) for folder in comparison.folders)
    metric = comparison.metric.name
    of = "" if metric == FINAL else f"-{metric}"
    return Path("results", "compare", slug(f"{base}-vs-{'-'.join(others)}{of}", LONGEST))
