"""The report of a comparison: what the terminal shows, `compare.md`, tables and figures.

The findings are one table for people, which the terminal and the page show, and one of unrounded
rows, which `compare.csv` and `compare.json` hold. The sentences beside the numbers are the same in
the terminal and on the page.
"""

import json
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

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
from rl_es.analysis.statistics import CONFIDENCE, Interval
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
    if out is None:
        base, *candidates = (slug(folder.name) for folder in comparison.folders)
        metric = comparison.metric.name
        suffix = "" if metric == FINAL else f"-{metric}"
        name = slug(f"{base}-vs-{'-'.join(candidates)}{suffix}", LONGEST_NAME)
        out = Path("results", "compare", name)
    check_folder(out)
    print_comparison(comparison)
    rows = pd.DataFrame(unrounded_rows(comparison)).astype({"seeds_to_tell": "Int64"})
    tables = {"compare.csv": to_csv(rows), "compare.json": to_json(comparison)}
    compose = partial(page_sections, out, comparison)
    return write_report(out, tables, KINDS, comparison, compose, page=PAGE, figures=".")


def unrounded_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Returns a row per finding, then a row per total."""
    return [
        {
            "level": "pair" if finding.match.env else "total",
            "other": finding.match.candidate.name,
            "env": finding.match.env or TOTAL,
            "base_label": finding.match.base_label,
            "label": finding.match.label,
            "metric": comparison.metric.name,
            "base_n": finding.typical[0].n,
            "other_n": finding.typical[1].n,
            "base_lost": finding.losses[0],
            "other_lost": finding.losses[1],
            **_interval_columns("base", finding.typical[0], "_estimate"),
            **_interval_columns("other", finding.typical[1], "_estimate"),
            **_interval_columns("difference", finding.difference),
            "relative": finding.relative,
            **_interval_columns("normalised", finding.normalised_gain),
            **_interval_columns("probability", finding.probability),
            "paired": finding.is_paired,
            "p": finding.p,
            "p_adjusted": finding.p_adjusted,
            "verdict": finding.verdict,
            "seeds_to_tell": finding.seeds,
        }
        for finding in (*comparison.findings, *comparison.totals)
    ]


def _interval_columns(name: str, interval: Interval, suffix: str = "") -> dict[str, float]:
    estimate, low, high = interval.as_dict().values()
    return {f"{name}{suffix}": estimate, f"{name}_low": low, f"{name}_high": high}


def to_json(comparison: Comparison) -> str:
    """Returns the comparison as JSON, for scripts; unknown and infinite numbers are null."""
    base, *candidates = ({"name": f.name, "path": str(f.path)} for f in comparison.folders)
    content = {
        "base": base,
        "others": candidates,
        "metric": comparison.metric.name,
        "lower_is_better": comparison.metric.lower,
        "normalised": comparison.scale.description,
        "margin": comparison.margin,
        "replicates": comparison.replicates,
        "verdict": comparison.verdict,
        "counts": comparison.counts,
        "warnings": comparison.warnings,
        "differing": [
            {"what": d.setting, "where": d.where, "values": d.values}
            for d in comparison.differences
        ],
        "lost": comparison.lost_runs,
        "unmatched": comparison.left_out_pairs,
        "rows": [
            {name: None if _is_nonfinite(value) else value for name, value in row.items()}
            for row in unrounded_rows(comparison)
        ],
    }
    return json.dumps(content, indent=2) + "\n"


def _is_nonfinite(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def findings_table(comparison: Comparison, findings: Sequence[Finding]) -> Table:
    """Returns the findings, or the totals, of a comparison for people."""
    rows = [_finding_columns(finding, comparison) for finding in findings]
    return make_table([head for head, _ in rows[0]], ([cell for _, cell in row] for row in rows))


def _finding_columns(finding: Finding, comparison: Comparison) -> list[tuple[str, TableCell]]:
    """Returns the head and the cell of each column; a total has other columns than a finding."""
    columns: list[tuple[str, TableCell]] = []
    match, p, verdict = finding.match, finding.p_adjusted, verdict_text(finding)
    statistic, difference = "", "difference"
    if len(comparison.candidates) > 1:
        columns.append(("other", text_cell(match.candidate.name)))
    if match.env:
        statistic = " mean"
        if comparison.metric.name == THRESHOLD_STEPS:
            statistic, difference = " median", "difference of restricted means"
        columns += [("environment", text_cell(match.env)), ("label", text_cell(match.name))]
    else:
        environments = count_cell(len(finding.values[0].names))
        columns += [("label", text_cell(match.name)), ("environments", environments)]
    base, candidate = finding.typical
    count = f"{base.n}" if base.n == candidate.n else f"{base.n} / {candidate.n}"
    count += f" ({sum(finding.losses)} lost)" if sum(finding.losses) else ""
    columns += [
        ("n", TableCell(count, base.n)),
        (f"base{statistic}", _estimate_cell(base)),
        (f"other{statistic}", _estimate_cell(candidate)),
        (f"{difference} [95%]", _estimate_cell(finding.difference, sign=True)),
    ]
    if match.env:
        columns.append(("change", TableCell(format_change(finding.relative), finding.relative)))
    return [
        *columns,
        ("P(better) [95%]", _probability_cell(finding.probability)),
        ("p (Holm)", TableCell(format_p_value(p), p)),
        ("verdict", text_cell(verdict, strong=verdict in (BETTER, WORSE))),
    ]


def _estimate_cell(interval: Interval, sign: bool = False) -> TableCell:
    """Returns the cell of an estimate; a signed one has its interval."""
    bounds = format_bounds(interval) if sign else ""
    return TableCell(format_estimate(interval, sign), float(interval.estimate), bounds=bounds)


def _probability_cell(interval: Interval) -> TableCell:
    estimate, low, high = interval.as_dict().values()
    if math.isnan(estimate):
        return TableCell(DASH, estimate)
    bounds = "" if math.isnan(low + high) else f"[{low:.2f}, {high:.2f}]"
    return TableCell(f"{estimate:.2f}", estimate, bounds=bounds)


def verdict_text(finding: Finding) -> str:
    """Returns the verdict, with the number of seeds that would decide where one cannot tell."""
    if finding.verdict != UNKNOWN:
        return finding.verdict
    base, candidate = finding.losses
    if base != candidate and (finding.is_equal or finding.p_adjusted < LEVEL):
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


def table_legend(comparison: Comparison) -> list[str]:
    """Returns how the numbers were made, a sentence each."""
    metric, margin = comparison.metric, comparison.margin
    paired_findings = [finding.is_paired for finding in comparison.findings]
    seeds = "paired by seed" if all(paired_findings) else "paired where seeds are the same"
    seeds = seeds if any(paired_findings) else "not paired, as seeds differ"
    sentences = [
        f"Difference: other less base{', less is better' if metric.lower else ''}, {seeds}; "
        f"{CONFIDENCE:.0%} bootstrap interval ({comparison.replicates:,} replicates).",
        "P(better): how often a run of the other is better than one of the base.",
        f"p: Student's test, adjusted by Holm for {len(comparison.findings)}. "
        "Better, worse: p < 0.05 and the interval does not hold 0.",
    ]
    if margin is not None:
        scale = f"the way between the references ({comparison.scale.description})"
        scale = "the base's mean time" if metric.lower else scale
        sentences.append(f"Same: no worse than {margin:.3g} of {scale}.")
    sentences.append("Seeds: how many would tell if the difference is what it seems (power 0.8).")
    if metric.name == THRESHOLD_STEPS:
        sentences.append(
            "Median: of runs some of which never arrived (censored). Restricted mean: of the steps "
            "up to where it is known of all runs of both whether they arrived; who has not counts "
            "as arriving then."
        )
    return sentences


def total_legend(comparison: Comparison) -> str:
    """Returns how the totals were made."""
    name = AGGREGATE.replace("_", " ").capitalize()
    if comparison.metric.lower:
        return f"{name} of minus the times, over the base's mean in each environment."
    return f"{name} of normalised scores: {comparison.scale.description}."


def left_out_lines(comparison: Comparison) -> list[str]:
    """Returns lines on what was not compared with anything, and on lost runs."""
    lines = []
    for folder in comparison.folders:
        environments: dict[str, list[str]] = {}
        for env, label in comparison.left_out_pairs.get(folder.name, ()):
            environments.setdefault(label, []).append(env)
        everywhere = set(folder.results.runs["env"])
        texts = (
            label if set(envs) == everywhere else f"{label} ({', '.join(envs)})"
            for label, envs in environments.items()
        )
        lines += [f"only in {folder.name}: {'; '.join(texts)}"] if environments else []
    return [*lines, *comparison.lost_runs]


def print_comparison(comparison: Comparison) -> None:
    """Prints what differs, the table, the totals and what was left out."""
    console = plain_console()

    def show(lines: Sequence[str], style: str = "") -> None:
        for line in lines:
            console.print(Text(line, style=style))

    base, *candidates = (f"{folder.name} ({folder.path})" for folder in comparison.folders)
    show([f"base: {base}", *(f"other: {candidate}" for candidate in candidates)])
    differences = [f"  {difference.text}" for difference in comparison.differences]
    if differences:
        show(["what differs besides:", *differences[:MOST_LINES]])
        more = len(differences) - MOST_LINES
        show([f"  and {more} more ({PAGE})"] if more > 0 else [])
    else:
        show(["nothing else differs: machine, versions, budgets, settings"])
    show([f"warning: {warning}" for warning in comparison.warnings])
    console.print()
    console.print(to_console(findings_table(comparison, comparison.findings), COLOURS))
    if comparison.totals:
        show([f"\nOver environments. {total_legend(comparison)}"])
        console.print(to_console(findings_table(comparison, comparison.totals), COLOURS))
    console.print()
    show(left_out_lines(comparison))
    show(table_legend(comparison), style="dim")
    show([f"\n{outcome_line(comparison)}"], style="bold")


def page_sections(folder: Path, comparison: Comparison, pictures: Sequence[Path]) -> list[Section]:
    """Returns the sections of the page, from the comparison and the figures' paths."""
    base, *candidates = (escape_markdown(f.name) for f in comparison.folders)
    introduction = [
        f"{escape_markdown(outcome_line(comparison))}.",
        *(f"**{escape_markdown(warning)}**" for warning in comparison.warnings),
    ]
    names = [folder.name for folder in comparison.folders]
    differences = make_table(
        ["what", "where", *names],
        (
            map(text_cell, (d.setting, d.where, *(d.values.get(name) for name in names)))
            for d in comparison.differences
        ),
    )
    no_difference = "Nothing that is known: machine, versions, budgets and settings are the same."
    table = to_markdown(findings_table(comparison, comparison.findings))
    totals: list[str] = []
    if comparison.totals:
        totals = [
            to_markdown(findings_table(comparison, comparison.totals)),
            escape_markdown(total_legend(comparison)),
        ]
    left_out = (f"- {escape_markdown(line)}" for line in left_out_lines(comparison))
    return [
        Section(f"{' and '.join(candidates)} against {base}", introduction, 1),
        Section(
            "What differs besides",
            [to_markdown(differences) if differences.rows else no_difference],
        ),
        Section(
            escape_markdown(comparison.metric.title.capitalize()),
            [table, escape_markdown(" ".join(table_legend(comparison)))],
        ),
        Section("Over environments", totals),
        Section("Figures", figure_blocks(folder, KINDS, pictures)),
        Section("Left out", ["\n".join(left_out)]),
        files_section(FILES),
    ]
