"""What is said, when runs have ended, of members whose return was not finite."""

from collections.abc import Iterable, Iterator

from rl_es.sweep.lane import Lane


def told(lanes: Iterable[Lane]) -> Iterator[str]:
    """A line per environment and label of which a run had such members."""
    found: dict[tuple[str, str], dict[int, int]] = {}
    for lane in lanes:
        if lane.come.nonfinite_members:
            own = found.setdefault((lane.cell.env, lane.cell.label), {})
            own[lane.cell.seed] = lane.come.nonfinite_members
    for (env, label), counts in found.items():
        seeds = ", ".join(map(str, counts))
        yield (
            f"{env} / {label}: {sum(counts.values()):,} times a member's return was not finite and "
            f"counted as the worst of its generation ({'seed' if len(counts) == 1 else 'seeds'} "
            f"{seeds})"
        )
