"""A comparison as rows: unrounded for files, and rounded for people."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from rl_es.analysis import digits, metrics
from rl_es.analysis.comparison.findings import Finding
from rl_es.analysis.comparison.summary import Comparison
from rl_es.analysis.comparison.verdicts import LEVEL, UNKNOWN
from rl_es.analysis.metrics import Metric
from rl_es.analysis.statistics import Interval

MOST_SEEDS = 1000
TOTAL = "all"


def flat(comparison: Comparison) -> list[dict[str, Any]]:
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
    frame = pd.DataFrame(flat(comparison)).astype({"seeds_to_tell": "Int64"})
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
        "rows": flat(comparison),
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


def heads(comparison: Comparison) -> list[str]:
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


def cells(comparison: Comparison) -> list[list[str]]:
    """A row per finding, for people."""
    rows = []
    for one in comparison.findings:
        first = [one.other] if len(comparison.others) > 1 else []
        first += [str(one.env), one.shown, _n(one)]
        first += [digits.estimate(one.base), digits.estimate(one.against)]
        rows.append(
            [*first, digits.signed(one.difference), digits.change(one.relative), *_end(one)]
        )
    return rows


def total_cells(comparison: Comparison) -> list[list[str]]:
    """A row per total, for people."""
    rows = []
    for one in comparison.totals:
        first = [one.other] if len(comparison.others) > 1 else []
        first += [one.shown, str(len(one.environments)), _n(one)]
        first += [digits.estimate(one.base), digits.estimate(one.against)]
        rows.append([*first, digits.signed(one.difference), *_end(one)])
    return rows


def _end(one: Finding) -> list[str]:
    return [_probability(one.probability), digits.p_value(one.adjusted), _verdict(one)]


def _n(one: Finding) -> str:
    """The numbers of runs of both, and of lost ones: '10', '10 / 9 (1 lost)'."""
    n = str(one.base.n) if one.base.n == one.against.n else f"{one.base.n} / {one.against.n}"
    lost = sum(one.lost)
    return f"{n} ({lost} lost)" if lost else n


def _probability(found: Interval) -> str:
    if math.isnan(float(found.estimate)):
        return digits.DASH
    bounds = [float(found.low), float(found.high)]
    known = not math.isnan(sum(bounds))
    told = f" [{bounds[0]:.2f}, {bounds[1]:.2f}]" if known else ""
    return f"{float(found.estimate):.2f}{told}"


def _verdict(one: Finding) -> str:
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
