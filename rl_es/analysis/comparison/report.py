"""The report of a comparison: what the terminal shows, `compare.md`, tables and figures.

The findings are one table for people, which the terminal and the page show, and one of unrounded
rows, which `compare.csv` and `compare.json` hold. The sentences beside the numbers are the same in
the terminal and on the page.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.text import Text

from rl_es.analysis.comparison.figures import KINDS
from rl_es.analysis.comparison.findings import AGGREGATE, BETTER, LEVEL, UNKNOWN, WORSE, Finding
from rl_es.analysis.comparison.summary import Comparison
from rl_es.analysis.formatting import (
    DASH,
    Table,
    TableCell,
    count_cell,
    escape_markdown,
    format_bounds,
    format_change,
    format_count,
    format_estimate,
    format_p_value,
    make_table,
    text_cell,
    to_console,
    to_csv,
    to_markdown,
)
from rl_es.analysis.metrics import FINAL, THRESHOLD_STEPS
from rl_es.analysis.report import Section, figure_blocks, files_section, write_report
from rl_es.analysis.statistics.intervals import CONFIDENCE, Interval
from rl_es.results.files import check_folder, slug
from rl_es.terminal import plain_console

PAGE = "compare.md"
FILES = {
    "compare.csv": "the tables above, unrounded",
    "compare.json": "the same with the verdicts counted, for scripts",
}
TOTAL = "all"  # the environment of a total in the unrounded rows
MOST_SEEDS = 1000  # a larger number that would tell is not printed
MOST_LINES = 12  # lines about what differs; the rest is in compare.json and on the page
COLOURS = {BETTER: "green", WORSE: "red"}
LONGEST_NAME = 200  # characters of a folder's name


def publish(comparison: Comparison, out: Path | None = None) -> list[Path]:
    """Prints a comparison and writes its tables, figures and page; returns the files.

    Args:
      comparison: the comparison.
      out: the folder; None for `results/compare/<base>-vs-<other>`, with the metric unless it is
        `final`.

    Raises:
      UserError: `out` is a file.
    """
    folder = out or _default_folder(comparison)
    check_folder(folder)
    print_comparison(comparison)
    rows = pd.DataFrame(unrounded_rows(comparison)).astype({"seeds_to_tell": "Int64"})
    tables = {"compare.csv": to_csv(rows), "compare.json": to_json(comparison)}

    def compose(pictures: Sequence[Path]) -> list[Section]:
        return page_sections(folder, comparison, pictures)

    return write_report(folder, tables, KINDS, comparison, compose, page=PAGE, figures=".")


def _default_folder(comparison: Comparison) -> Path:
    base, *other_names = (slug(folder.name) for folder in comparison.folders)
    metric = comparison.metric.name
    suffix = "" if metric == FINAL else f"-{metric}"
    return Path(
        "results", "compare", slug(f"{base}-vs-{'-'.join(other_names)}{suffix}", LONGEST_NAME)
    )


def unrounded_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Returns a row per finding, then a row per total."""
    return [
        {
            "level": "total" if finding.env is None else "pair",
            "other": finding.other,
            "env": TOTAL if finding.env is None else finding.env,
            "base_label": finding.base_label,
            "label": finding.label,
            "metric": comparison.metric.name,
            "base_n": finding.base.n,
            "other_n": finding.against.n,
            "base_lost": finding.lost[0],
            "other_lost": finding.lost[1],
            **_interval_columns("base", finding.base, "_estimate"),
            **_interval_columns("other", finding.against, "_estimate"),
            **_interval_columns("difference", finding.difference),
            "relative": finding.relative,
            **_interval_columns("normalised", finding.normalised),
            **_interval_columns("probability", finding.probability),
            "paired": finding.paired,
            "p": finding.p,
            "p_adjusted": finding.adjusted,
            "verdict": finding.verdict,
            "seeds_to_tell": finding.seeds,
        }
        for finding in (*comparison.findings, *comparison.totals)
    ]


def _interval_columns(name: str, interval: Interval, suffix: str = "") -> dict[str, float]:
    values = interval.as_dict()
    return {
        f"{name}{suffix}": values["estimate"],
        f"{name}_low": values["low"],
        f"{name}_high": values["high"],
    }


def to_json(comparison: Comparison) -> str:
    """Returns the comparison as JSON, for scripts; unknown and infinite numbers are null."""
    content = {
        "base": {"name": comparison.base.name, "path": str(comparison.base.path)},
        "others": [{"name": f.name, "path": str(f.path)} for f in comparison.other_folders],
        "metric": comparison.metric.name,
        "lower_is_better": comparison.metric.lower,
        "normalised": comparison.scale.description,
        "margin": comparison.margin,
        "replicates": comparison.replicates,
        "verdict": comparison.verdict,
        "counts": comparison.counts,
        "warnings": comparison.warnings,
        "differing": [
            {"what": d.what, "where": d.where, "values": d.values} for d in comparison.differences
        ],
        "lost": comparison.lost,
        "unmatched": comparison.unmatched,
        "rows": unrounded_rows(comparison),
    }
    return json.dumps(_plain(content), indent=2) + "\n"


def _plain(value: Any) -> Any:
    """Returns a value of JSON's own types, without numbers that JSON lacks."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def findings_table(comparison: Comparison, findings: Sequence[Finding]) -> Table:
    """Returns the findings, or the totals, of a comparison for people."""
    rows = [_finding_columns(finding, comparison) for finding in findings]
    return make_table([head for head, _ in rows[0]], ([cell for _, cell in row] for row in rows))


def _finding_columns(finding: Finding, comparison: Comparison) -> list[tuple[str, TableCell]]:
    """Returns the head and the cell of each column; a total has other columns than a finding."""
    median = comparison.metric.name == THRESHOLD_STEPS
    columns: list[tuple[str, TableCell]] = []
    if len(comparison.other_folders) > 1:
        columns.append(("other", text_cell(finding.other)))
    if finding.env is None:
        columns.append(("label", text_cell(finding.name)))
        columns.append(("environments", count_cell(len(finding.environments))))
        statistic, difference, change = "", "difference", []
    else:
        columns.append(("environment", text_cell(finding.env)))
        columns.append(("label", text_cell(finding.name)))
        statistic = " median" if median else " mean"
        difference = "difference of restricted means" if median else "difference"
        change = [("change", TableCell(format_change(finding.relative), finding.relative))]
    p, verdict = finding.adjusted, verdict_text(finding)
    return [
        *columns,
        ("n", TableCell(_runs_text(finding), finding.base.n)),
        (f"base{statistic}", _estimate_cell(finding.base)),
        (f"other{statistic}", _estimate_cell(finding.against)),
        (f"{difference} [95%]", _difference_cell(finding.difference)),
        *change,
        ("P(better) [95%]", _probability_cell(finding.probability)),
        ("p (Holm)", TableCell(format_p_value(p), p)),
        ("verdict", text_cell(verdict, strong=verdict in (BETTER, WORSE))),
    ]


def _estimate_cell(interval: Interval) -> TableCell:
    return TableCell(format_estimate(interval), float(interval.estimate))


def _difference_cell(interval: Interval) -> TableCell:
    text = format_estimate(interval, sign=True)
    return TableCell(text, float(interval.estimate), bounds=format_bounds(interval))


def _probability_cell(interval: Interval) -> TableCell:
    estimate, low, high = (float(v) for v in (interval.estimate, interval.low, interval.high))
    if math.isnan(estimate):
        return TableCell(DASH, estimate)
    bounds = "" if math.isnan(low + high) else f"[{low:.2f}, {high:.2f}]"
    return TableCell(f"{estimate:.2f}", estimate, bounds=bounds)


def _runs_text(finding: Finding) -> str:
    """Returns the numbers of runs of both, and of lost ones: '10', '10 / 9 (1 lost)'."""
    base, other = finding.base.n, finding.against.n
    counts = str(base) if base == other else f"{base} / {other}"
    lost = sum(finding.lost)
    return f"{counts} ({lost} lost)" if lost else counts


def verdict_text(finding: Finding) -> str:
    """Returns the verdict, with the number of seeds that would decide where one cannot tell."""
    if finding.verdict != UNKNOWN:
        return finding.verdict
    if finding.lost[0] != finding.lost[1] and (finding.equal or finding.adjusted < LEVEL):
        return f"{UNKNOWN} (lost runs)"
    if finding.seeds is None:
        return UNKNOWN
    seeds = f"> {MOST_SEEDS}" if finding.seeds > MOST_SEEDS else str(finding.seeds)
    return f"{UNKNOWN} ({seeds} seeds would)"


def outcome_line(comparison: Comparison) -> str:
    """Returns '30 comparisons of the final return: 2 better, 1 worse, 27 cannot tell'."""
    total = format_count(len(comparison.findings), "comparison")
    counts = [f"{count} {verdict}" for verdict, count in comparison.counts.items() if count]
    return f"{total} of the {comparison.metric.title}: {', '.join(counts)}"


def margin_text(comparison: Comparison) -> str:
    """Returns what the margin means; empty text without one."""
    if comparison.margin is None:
        return ""
    if comparison.metric.lower:
        return f"Same: no worse than {comparison.margin:.3g} of the base's mean time."
    return (
        f"Same: no worse than {comparison.margin:.3g} of the way between the references "
        f"({comparison.scale.description})."
    )


def table_legend(comparison: Comparison) -> list[str]:
    """Returns how the numbers were made, a sentence each."""
    metric, paired = comparison.metric, [finding.paired for finding in comparison.findings]
    seeds = "paired by seed" if all(paired) else "paired where seeds are the same"
    seeds = seeds if any(paired) else "not paired, as seeds differ"
    sentences = [
        f"Difference: other less base{', less is better' if metric.lower else ''}, {seeds}; "
        f"{CONFIDENCE:.0%} bootstrap interval ({comparison.replicates:,} replicates).",
        "P(better): how often a run of the other is better than one of the base.",
        f"p: Student's test, adjusted by Holm for {len(comparison.findings)}. "
        "Better, worse: p < 0.05 and the interval does not hold 0.",
        margin_text(comparison),
        "Seeds: how many would tell if the difference is what it seems (power 0.8).",
    ]
    if metric.name == THRESHOLD_STEPS:
        sentences.append(
            "Median: of runs some of which never arrived (censored). Restricted mean: of the steps "
            "up to where it is known of all runs of both whether they arrived; who has not counts "
            "as arriving then."
        )
    return [sentence for sentence in sentences if sentence]


def total_legend(comparison: Comparison) -> str:
    """Returns how the totals were made."""
    name = AGGREGATE.replace("_", " ")
    if comparison.metric.lower:
        return f"{name.capitalize()} of minus the times, over the base's mean in each environment."
    return f"{name.capitalize()} of normalised scores: {comparison.scale.description}."


def left_out_lines(comparison: Comparison) -> list[str]:
    """Returns lines on what was not compared with anything, and on lost runs."""
    lines = []
    for name, pairs in comparison.unmatched.items():
        labels: dict[str, list[str]] = {}
        for env, label in pairs:
            labels.setdefault(label, []).append(env)
        folder = next(folder for folder in comparison.folders if folder.name == name)
        environments = set(folder.results.runs["env"])
        texts = (
            label if set(envs) == environments else f"{label} ({', '.join(envs)})"
            for label, envs in labels.items()
        )
        lines.append(f"only in {name}: {'; '.join(texts)}")
    return [*lines, *comparison.lost]


def print_comparison(comparison: Comparison) -> None:
    """Prints what differs, the table, the totals and what was left out."""
    console = plain_console()
    for line in _introduction(comparison):
        console.print(Text(line))
    console.print()
    console.print(to_console(findings_table(comparison, comparison.findings), COLOURS))
    if comparison.totals:
        console.print(Text(f"\nOver environments. {total_legend(comparison)}"))
        console.print(to_console(findings_table(comparison, comparison.totals), COLOURS))
    console.print()
    for line in left_out_lines(comparison):
        console.print(Text(line))
    for line in table_legend(comparison):
        console.print(Text(line, style="dim"))
    console.print(Text(f"\n{outcome_line(comparison)}", style="bold"))


def _introduction(comparison: Comparison) -> list[str]:
    lines = [f"base: {comparison.base.name} ({comparison.base.path})"]
    lines += [f"other: {folder.name} ({folder.path})" for folder in comparison.other_folders]
    differences = [f"  {difference.text}" for difference in comparison.differences]
    if differences:
        lines += ["what differs besides:", *differences[:MOST_LINES]]
        more = len(differences) - MOST_LINES
        lines += [f"  and {more} more ({PAGE})"] if more > 0 else []
    else:
        lines.append("nothing else differs: machine, versions, budgets, settings")
    return [*lines, *(f"warning: {warning}" for warning in comparison.warnings)]


def page_sections(folder: Path, comparison: Comparison, pictures: Sequence[Path]) -> list[Section]:
    """Returns the sections of the page, from the comparison and the figures' paths."""
    other_names = " and ".join(escape_markdown(other.name) for other in comparison.other_folders)
    introduction = [
        f"{escape_markdown(outcome_line(comparison))}.",
        *(f"**{escape_markdown(warning)}**" for warning in comparison.warnings),
    ]
    table = to_markdown(findings_table(comparison, comparison.findings))
    totals: list[str] = []
    if comparison.totals:
        totals = [
            to_markdown(findings_table(comparison, comparison.totals)),
            escape_markdown(total_legend(comparison)),
        ]
    left_out = (f"- {escape_markdown(line)}" for line in left_out_lines(comparison))
    return [
        Section(f"{other_names} against {escape_markdown(comparison.base.name)}", introduction, 1),
        Section("What differs besides", [_differences_text(comparison)]),
        Section(
            escape_markdown(comparison.metric.title.capitalize()),
            [table, escape_markdown(" ".join(table_legend(comparison)))],
        ),
        Section("Over environments", totals),
        Section("Figures", figure_blocks(folder, KINDS, pictures)),
        Section("Left out", ["\n".join(left_out)]),
        files_section(FILES),
    ]


def _differences_text(comparison: Comparison) -> str:
    if not comparison.differences:
        return "Nothing that is known: machine, versions, budgets and settings are the same."
    names = [folder.name for folder in comparison.folders]
    rows = (
        (difference.what, difference.where, *(difference.values.get(name) for name in names))
        for difference in comparison.differences
    )
    return to_markdown(make_table(["what", "where", *names], (map(text_cell, r) for r in rows)))
