r"""Tabulates a comparison over environments as the EGGROLL paper words it, from a merged folder.

    python -m benchmarks.sixteen results/sixteen --references FILE.csv --published FILE.csv \
        --out results/reference/paper_cpu/sixteen.md

Tables: final returns; scores with random actions at 0 and PPO at 1; the cost of a run; and in how
many environments a low-rank label is better, competitive or worse than a full-rank one. Two rules
decide. `interval`: the 95 % interval of the probability that a run of the one is above a run of the
other lies above or below one half. `standard errors`: the means differ by more than the sum of
their standard errors, which are what the paper's curves show; it does not say by which rule it
counts 7, 7 and 2 of 16.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from rl_es.analysis.curves import per_run_seconds
from rl_es.analysis.formatting import (
    Table,
    TableCell,
    escape_markdown,
    format_bounds,
    format_estimate,
    make_table,
    number_cell,
    steps_cell,
    text_cell,
    to_markdown,
)
from rl_es.analysis.results import ResultTables, load_results
from rl_es.analysis.scores import ScoreScale, final_scores, score_scale
from rl_es.analysis.statistics import (
    Interval,
    Scores,
    aggregate,
    common_tasks,
    probability_of_improvement,
)
from rl_es.results.files import write_text

PAPER_STEPS = 5e8  # environment steps of a run in the paper
LOW_RANK = ("eggroll r1 sphere", "eggroll r1")
FULL_RANK = ("full_rank_es", "open_es")
OUTCOMES = ("better", "competitive", "worse")
PAPER_COUNTS = "7, 7, 2"  # of EGGROLL against OpenES, in the paper's 16 environments


def interval_outcome(first: Scores, second: Scores) -> str:
    """Returns one of `OUTCOMES` by the interval of the probability of improvement."""
    interval = probability_of_improvement(first, second)
    if interval.low > 0.5:
        return "better"
    return "worse" if interval.high < 0.5 else "competitive"


def standard_error_outcome(first: Scores, second: Scores) -> str:
    """Returns one of `OUTCOMES` by the standard errors of the means."""
    means, errors = zip(
        *(
            (x.values.mean(), x.values.std(ddof=1) / np.sqrt(len(x.values)))
            for x in (first, second)
        ),
        strict=True,
    )
    if abs(means[0] - means[1]) <= sum(errors):
        return "competitive"
    return "better" if means[0] > means[1] else "worse"


RULES = {"interval": interval_outcome, "standard errors": standard_error_outcome}


def count_outcomes(first: Scores, second: Scores, rule: str) -> dict[str, list[str]]:
    """Returns the environments of each outcome of `first` against `second` by one of `RULES`."""
    outcomes: dict[str, list[str]] = {name: [] for name in OUTCOMES}
    for env in common_tasks(first, second):
        outcomes[RULES[rule](first.in_task(env), second.in_task(env))].append(env)
    return outcomes


def short_name(env: str) -> str:
    """Returns an environment's name without its suite."""
    return env.rsplit("/", 1)[-1]


def estimate_cell(interval: Interval) -> TableCell:
    """Returns the cell of an estimate with its interval; rounded where that has no width."""
    if interval.low == interval.high:
        return number_cell(round(float(interval.estimate), 3))
    return TableCell(
        format_estimate(interval), float(interval.estimate), bounds=format_bounds(interval)
    )


def estimate_table(scores: Mapping[str, Scores], environments: Sequence[str], total: bool) -> Table:
    """Returns means of labels by environment; with `total`, a last row of interquartile means."""
    rows = [
        [
            text_cell(short_name(env)),
            *(estimate_cell(aggregate(of.in_task(env), "mean")) for of in scores.values()),
        ]
        for env in environments
    ]
    last = [text_cell("all, interquartile mean")]
    last += [estimate_cell(aggregate(of, "interquartile_mean")) for of in scores.values()]
    return make_table(["environment", *scores], rows, last if total else None)


def cost_table(results: ResultTables, published: Mapping[str, float]) -> Table:
    """Returns steps, seeds and seconds of a run by environment, and ratios of times."""
    last = results.curves.sort_values("generation").groupby("run_id").nth(-1)
    last = last.assign(seconds=per_run_seconds(last))
    seconds = last.groupby(["env", "label"])["seconds"].median()
    rows = []
    for env in results.environments:
        steps = float(last[last["env"] == env]["env_steps"].median())
        seeds = results.runs[results.runs["env"] == env].groupby("label")["seed"].nunique()
        ratio = seconds[env, "open_es"] / seconds[env, "eggroll r1"]
        rows.append(
            [
                text_cell(short_name(env)),
                steps_cell(steps),
                TableCell(f"1/{PAPER_STEPS / steps:,.0f}", steps / PAPER_STEPS),
                TableCell("-".join(map(str, sorted(set(seeds)))), float(seeds.max())),
                *(number_cell(seconds.get((env, label), np.nan)) for label in results.legend),
                number_cell(round(ratio, 2)),
                number_cell(published.get(env, np.nan)),
            ]
        )
    heads = ["environment", "steps", "of the paper's", "seeds"]
    heads += [f"{label}, s" for label in results.legend]
    return make_table([*heads, "open_es over eggroll r1", "the paper's ratio"], rows)


def outcome_table(scores: Mapping[str, Scores]) -> Table:
    """Returns a row for each low-rank label against each full-rank one."""
    rows = []
    for first in LOW_RANK:
        for second in FULL_RANK:
            x, y = scores[first], scores[second]
            row = [text_cell(f"{first} against {second}")]
            row.append(estimate_cell(probability_of_improvement(x, y)))
            for rule in RULES:
                counts = [len(envs) for envs in count_outcomes(x, y, rule).values()]
                row.append(TableCell(", ".join(map(str, counts)), counts[0]))
            rows.append(row)
    rows.append(
        [
            text_cell("the paper: EGGROLL against OpenES"),
            text_cell(""),
            text_cell(""),
            text_cell(PAPER_COUNTS),
        ]
    )
    heads = [f"{', '.join(OUTCOMES)}, by {rule}" for rule in RULES]
    return make_table(["", "probability of improvement", *heads], rows)


def outcome_lines(scores: Mapping[str, Scores]) -> list[str]:
    """Returns, for each pair and rule, the environments that are not competitive."""
    lines = []
    for first in LOW_RANK:
        for second in FULL_RANK:
            for rule in RULES:
                outcomes = count_outcomes(scores[first], scores[second], rule)
                parts = [
                    f"{name} on {', '.join(map(short_name, outcomes[name]))}"
                    for name in ("better", "worse")
                    if outcomes[name]
                ]
                text = "; ".join(parts) or "competitive everywhere"
                lines.append(f"- {first} against {second}, by {rule}: {text}.")
    return lines


def compose_page(folder: Path, references: Path, published: Path) -> str:
    """Returns the page of all tables.

    Args:
      folder: A merged results folder with the labels of `LOW_RANK`, `FULL_RANK` and ppo.
      references: CSV file with the columns env and random, of `run_benchmark.py references`.
      published: CSV file with the columns env and ratio.
    """
    results = load_results(folder)
    scale = score_scale(results, f"{references}:random", "ppo")
    unit = {env: 1.0 for env in results.environments}
    raw = ScoreScale(("0", {env: 0.0 for env in unit}), ("1", unit), ())
    scores = {label: of for label, of in final_scores(results, scale).items() if label != "ppo"}
    table = pd.read_csv(published)
    ratios = dict(zip(table["env"], table["ratio"], strict=True))
    left_out = f" Not on the scale: {', '.join(scale.left_out)}." if scale.left_out else ""
    sections = {
        "Final returns": [
            to_markdown(estimate_table(final_scores(results, raw), results.environments, False)),
            "Means over seeds of the last evaluation, with 95 % intervals.",
        ],
        "Scores": [
            to_markdown(estimate_table(scores, scale.environments, True)),
            f"0: random actions; 1: the mean of PPO's runs.{escape_markdown(left_out)}",
        ],
        "Low rank against full rank": [
            to_markdown(outcome_table(final_scores(results, raw))),
            "\n".join(map(escape_markdown, outcome_lines(final_scores(results, raw)))),
        ],
        "Cost of a run": [
            to_markdown(cost_table(results, ratios)),
            "Median seconds over seeds, without compilation, of one core, with other work on the "
            "machine: compare within a row, and roughly.",
        ],
    }
    blocks = [f"## {title}\n\n" + "\n\n".join(parts) for title, parts in sections.items()]
    return "\n\n".join([f"# {len(results.environments)} environments", *blocks]) + "\n"


def main() -> None:
    """Writes the page."""
    parser = argparse.ArgumentParser(description="The comparison as the EGGROLL paper words it.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--references", type=Path, required=True)
    parser.add_argument("--published", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    text = compose_page(options.folder, options.references, options.published)
    write_text(options.out, text)
    print(options.out)


if __name__ == "__main__":
    main()
