"""What a plan says of devices, shared calls and chunks, in sentences."""

from collections.abc import Iterator, Sequence

import jax

from rl_es.sweep.execution import Work


def places(works: Sequence[Work]) -> Iterator[str]:
    """One line for each thing that people should know of where groups run."""
    if not works:
        return
    if max(work.lanes for work in works) > 1:
        yield f"Runs that share a call of their program: {_each(works, _shared)}."
    elif jax.default_backend() == "cpu":
        yield (
            "Runs of a group are called in turn: on CPU, sharing a call was measured to be no "
            "faster (--lanes changes it)."
        )
    if max(work.place.placement.devices for work in works) > 1:
        yield f"Devices: {_each(works, _devices)}."
    for work in works:
        if work.place.placement.chunks > 1:
            yield f"{work.group.label}: {_chunks(work)}."


def _each(works: Sequence[Work], what: object) -> str:
    """What is said of all groups, or of each where they differ."""
    assert callable(what)
    said = {work.group.label: str(what(work)) for work in works}
    if len(set(said.values())) == 1:
        return next(iter(said.values()))
    return "; ".join(f"{label}: {text}" for label, text in said.items())


def _shared(work: Work) -> str:
    return str(work.lanes)


def _devices(work: Work) -> str:
    where = work.place.placement
    parts = []
    if where.shards > 1:
        parts.append(f"{where.shards} share each population")
    if where.runs > 1:
        parts.append(f"{where.runs} share the runs")
    return " and ".join(parts) or "1 (its population does not divide into blocks of 128 members)"


def _chunks(work: Work) -> str:
    where, members = work.place.placement, work.training.learner.agent.population
    whole = work.lanes // where.runs * members // where.shards // 2 * work.place.pair_bytes
    return (
        f"its population is evaluated in {where.chunks} chunks of "
        f"{members // where.shards // where.chunks:,} members: all at once would need about "
        f"{_gib(whole)}, and {_gib(work.place.budget)} may be used (--memory, --population-chunk)"
    )


def _gib(size: int) -> str:
    return f"{size / 2**30:,.2g} GiB" if size < 10 * 2**30 else f"{size / 2**30:,.0f} GiB"
