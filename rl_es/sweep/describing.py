"""What a plan says of devices, shared calls and chunks, in sentences."""

from collections.abc import Callable, Iterator, Sequence

import jax

from rl_es.sweep.work import Work


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
        if work.place.needed > work.place.budget:
            yield (
                f"{work.group.label}: it needs about {_gib(work.place.needed)} where "
                f"{_gib(work.place.budget)} may be used (--memory), and cannot be cut further."
            )


def _each(works: Sequence[Work], what: Callable[[Work], str]) -> str:
    """What is said of all groups, or of each where they differ."""
    said = [(work.group.label, what(work)) for work in works]
    if len({text for _, text in said}) == 1:
        return said[0][1]
    return "; ".join(f"{label}: {text}" for label, text in said)


def _shared(work: Work) -> str:
    return str(work.lanes)


def _devices(work: Work) -> str:
    where = work.place.placement
    parts = []
    if where.shards > 1:
        parts.append(f"{where.shards} share each population")
    if where.runs > 1:
        parts.append(f"{where.runs} share the runs")
    return " and ".join(parts) or "1 (more cannot share its population or its runs)"


def _chunks(work: Work) -> str:
    place, members = work.place, 2 * (work.training.learner.pairs or 0)
    where = place.placement
    said = (
        f"its population is evaluated in {where.chunks} chunks of "
        f"{members // where.shards // where.chunks:,} members"
    )
    if place.asked:
        return f"{said}, as asked for"
    return (
        f"{said}: all at once would need about {_gib(place.whole)}, and {_gib(place.budget)} may "
        "be used (--memory, --population-chunk)"
    )


def _gib(size: int) -> str:
    return f"{size / 2**30:,.2g} GiB" if size < 10 * 2**30 else f"{size / 2**30:,.0f} GiB"
