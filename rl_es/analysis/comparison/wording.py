"""The sentences beside the numbers of a comparison, in the terminal and on its page."""

from rl_es.analysis import digits, metrics
from rl_es.analysis.comparison.findings import AGGREGATE
from rl_es.analysis.comparison.summary import Comparison
from rl_es.analysis.statistics import CONFIDENCE

SHOWN = 12  # lines about what differs; the rest is in compare.json and on the page


def outcome(comparison: Comparison) -> str:
    """'30 comparisons of the final return: 2 better, 1 worse, 27 cannot tell'."""
    many = digits.several(len(comparison.findings), "comparison")
    counts = [f"{count} {verdict}" for verdict, count in comparison.counts.items() if count]
    return f"{many} of the {comparison.metric.title}: {', '.join(counts)}"


def margin(comparison: Comparison) -> str:
    """What the margin means; empty without one."""
    if comparison.margin is None:
        return ""
    if comparison.metric.lower:
        return f"Same: no worse than {comparison.margin:.3g} of the base's mean time."
    return (
        f"Same: no worse than {comparison.margin:.3g} of the way between the references "
        f"({comparison.scale.told})."
    )


def legend(comparison: Comparison) -> list[str]:
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
        margin(comparison),
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


def unmatched(comparison: Comparison) -> list[str]:
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
