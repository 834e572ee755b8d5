"""Prints what sweeps will run: tables of their groups, sentences on devices and memory, totals."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rl_es import registry
from rl_es.results import manifest
from rl_es.sweep import plan
from rl_es.sweep.parallelism import devices_to_prepare
from rl_es.sweep.plan import Estimator, SweepPlan
from rl_es.sweep.progress import format_duration
from rl_es.sweep.queue import PlacedGroup
from rl_es.sweep.schema import Sweep
from rl_es.terminal import plain_console, plain_table
from rl_es.training.compilation import prepare_jax
from rl_es.training.resources import DEFAULT_RESOURCES, Resources, describe_excess_devices

UNKNOWN = "-"


def show_plans(
    sweeps: Sequence[Sweep],
    resources: Resources = DEFAULT_RESOURCES,
    probe: bool = True,
    steps_per_second: float | None = None,
    is_open: bool = False,
) -> None:
    """Prints the plans of sweeps, and their totals if there are several.

    Args:
      sweeps: validated.
      resources: as for a run.
      probe: whether each program is compiled and measured, for time and memory.
      steps_per_second: environment steps per second of a device, which replace the measurement;
        None: there is no stated device.
      is_open: whether it is left to `run` how the cores of a CPU are used.
    """
    prepare_jax(devices_to_prepare(*sweeps) if is_open else resources.devices)
    console = plain_console()
    if excess := describe_excess_devices(resources):
        console.print(f"{excess}.\n")
    estimator: Estimator | None = plan.probe() if probe else None
    if steps_per_second is not None:
        estimator = plan.stated_speed(steps_per_second)
    plans = []
    with registry.allow_missing_extras():
        for sweep in sweeps:
            with console.status("compiling and measuring") as status:
                plans.append(plan.make_plan(sweep, resources, estimator, status.update, is_open))
            _print_plan(console, plans[-1], steps_per_second)
            if len(sweeps) > 1:
                console.print()
    if len(plans) > 1:
        console.print(f"{len(plans)} sweeps: {_counts_text(plans)}")
        if any(sweep_plan.estimates for sweep_plan in plans):
            console.print(_estimate_text(plans, steps_per_second, "all sweeps"))


def _print_plan(console: Console, sweep_plan: SweepPlan, steps_per_second: float | None) -> None:
    console.print(_counts_table(sweep_plan))
    if sweep_plan.estimates:
        console.print()
        console.print(_cost_table(sweep_plan))
    console.print()
    console.print(_counts_text([sweep_plan]))
    for surface in sweep_plan.surfaces:
        console.print(f"With a {surface.display_name}.")
    if sweep_plan.parallelism is not None:
        console.print(f"`run` on these cores: {sweep_plan.parallelism.reason}.")
    works = [group_plan.work for group_plan in sweep_plan.groups if group_plan.work is not None]
    for line in describe_placements(works):
        console.print(line)
    for line in _describe_missing(sweep_plan):
        console.print(line)
    if sweep_plan.estimates:
        console.print(_estimate_text([sweep_plan], steps_per_second, "the whole sweep"))


def _counts_table(sweep_plan: SweepPlan) -> Table:
    heads = ("group", "cells", "programs", "parameters", "env steps a run", "generations")
    table = plain_table(heads, right=range(1, 6), title=f"Plan of sweep {sweep_plan.sweep.name}")
    for group_plan in sweep_plan.groups:
        runs, counts = len(group_plan.group.cells), group_plan.counts
        budget = group_plan.group.cells[0].budget
        steps = None if counts.env_steps is None else counts.env_steps // runs
        least = "" if budget.generations is not None or counts.generations is None else ">= "
        row = [runs, counts.programs, _number(counts.parameters), _number(steps)]
        row.append(f"{least}{_number(counts.generations)}")
        table.add_row(Text(group_plan.group.label), *(_number(value) for value in row))
    return table


def _cost_table(sweep_plan: SweepPlan) -> Table:
    """Returns the seconds of each group; compilation and memory as well where it was compiled."""
    is_compiled = any(estimate is not None and estimate.memory for estimate in sweep_plan.estimates)
    heads = ("group", "run", "compile", "memory") if is_compiled else ("group", "run")
    table = plain_table(heads, right=range(1, 4))
    for group_plan, estimate in zip(sweep_plan.groups, sweep_plan.estimates, strict=True):
        costs = [UNKNOWN] * 3
        if estimate is not None:
            memory = f"{estimate.memory / 2**20:,.1f} MiB"
            costs = [format_duration(estimate.run), format_duration(estimate.compile), memory]
        table.add_row(Text(group_plan.group.label), *costs[: len(heads) - 1])
    return table


def _number(value: Any) -> str:
    """Returns a number with its thousands, `-` for None, and text as it is."""
    if isinstance(value, str):
        return value
    return UNKNOWN if value is None else f"{value:,}"


def _counts_text(plans: Sequence[SweepPlan]) -> str:
    """Returns a sentence on the cells, groups, programs and environment steps of plans."""
    groups = [group_plan for sweep_plan in plans for group_plan in sweep_plan.groups]
    cells = sum(sweep_plan.cells for sweep_plan in plans)
    env_steps = [sweep_plan.env_steps for sweep_plan in plans if sweep_plan.env_steps is not None]
    steps = f", {sum(env_steps):,} environment steps" if env_steps else ""
    programs = sum(group_plan.counts.programs or 0 for group_plan in groups)
    plural = "" if len(groups) == 1 else "s"
    return f"{cells:,} cells in {len(groups)} group{plural}, {programs} compiled programs{steps}."


def _estimate_text(plans: Sequence[SweepPlan], steps_per_second: float | None, subject: str) -> str:
    """Returns a sentence on the time of plans, and on how it was estimated."""
    estimates = [estimate for sweep_plan in plans for estimate in sweep_plan.estimates]
    known_estimates = [estimate for estimate in estimates if estimate is not None]
    unknown = len(estimates) - len(known_estimates)
    rest = f", without {unknown} of {len(estimates)} groups" if unknown else ""
    choices = [sweep_plan.parallelism for sweep_plan in plans]
    if any(choice is not None and choice.workers > 1 for choice in choices):
        rest = f" in one process{rest}"
    total = sum(sweep_plan.seconds or 0.0 for sweep_plan in plans)
    time = f"{format_duration(total)} for {subject}{rest}"
    if steps_per_second is not None:
        return (
            f"Estimated at {steps_per_second:,.0f} environment steps per second: {time}, without "
            "compilation and evaluation."
        )
    compile_seconds = sum(estimate.compile for estimate in known_estimates)
    return (
        f"Estimated on {manifest.device_name()}: {time}, now that its programs are in the cache "
        f"(compiling them took {format_duration(compile_seconds)}); "
        f"peak memory of the process {manifest.peak_memory() / 2**30:.1f} GiB."
    )


def _describe_missing(sweep_plan: SweepPlan) -> Iterator[str]:
    """Yields a sentence on the groups whose libraries are not installed, if there are any."""
    extras = dict.fromkeys(g.missing_extra for g in sweep_plan.groups if g.missing_extra)
    if extras:
        number = sum(group_plan.missing_extra is not None for group_plan in sweep_plan.groups)
        command = registry.install_command(*extras)
        groups = f"{number} group{'s' if number > 1 else ''}"
        yield f"Libraries of {groups} are not installed; to run them: {command}"


def describe_placements(works: Sequence[PlacedGroup]) -> Iterator[str]:
    """Yields sentences on devices, shared calls, chunks and memory that differ from the usual."""
    if not works:
        return
    if max(work.lanes for work in works) > 1:
        lanes = _describe_groups(works, lambda work: str(work.lanes))
        yield f"Runs that share a call of their program: {lanes}."
    elif jax.default_backend() == "cpu":
        yield (
            "Runs of a group are called in turn: on CPU, sharing a call was measured to be no "
            "faster (--lanes changes it)."
        )
    if max(work.place.placement.devices for work in works) > 1:
        yield f"Devices: {_describe_groups(works, _describe_devices)}."
    for work in works:
        place = work.place
        if place.placement.chunks > 1:
            yield f"{work.group.label}: {_describe_chunks(work)}."
        if place.needed_bytes > place.budget_bytes:
            yield (
                f"{work.group.label}: it needs about {_format_bytes(place.needed_bytes)} where "
                f"{_format_bytes(place.budget_bytes)} may be used (--memory), and cannot be cut "
                "further."
            )


def _describe_groups(works: Sequence[PlacedGroup], describe: Callable[[PlacedGroup], str]) -> str:
    """Returns the description of all groups, or one for each group if they differ."""
    descriptions = [(work.group.label, describe(work)) for work in works]
    if len({text for _, text in descriptions}) == 1:
        return descriptions[0][1]
    return "; ".join(f"{label}: {text}" for label, text in descriptions)


def _describe_devices(work: PlacedGroup) -> str:
    placement = work.place.placement
    parts = []
    if placement.shards > 1:
        parts.append(f"{placement.shards} share each population")
    if placement.runs > 1:
        parts.append(f"{placement.runs} share the runs")
    return " and ".join(parts) or "1 (more cannot share its population or its runs)"


def _describe_chunks(work: PlacedGroup) -> str:
    place, members = work.place, 2 * (work.training.learner.pairs or 0)
    shards, chunks = place.placement.shards, place.placement.chunks
    text = (
        f"its population is evaluated in {chunks} chunks of {members // shards // chunks:,} members"
    )
    if place.chunks_requested:
        return f"{text}, as asked for"
    return (
        f"{text}: all at once would need about {_format_bytes(place.unchunked_bytes)}, and "
        f"{_format_bytes(place.budget_bytes)} may be used (--memory, --population-chunk)"
    )


def _format_bytes(size: int) -> str:
    return f"{size / 2**30:,.2g} GiB" if size < 10 * 2**30 else f"{size / 2**30:,.0f} GiB"
