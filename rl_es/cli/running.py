"""The commands that compute: run, plan, speed, gradients."""

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import FlagCreatePairsOff, Positional, UseAppendAction, arg

from rl_es.cli.afterwards import Replays, write_replays, write_report
from rl_es.errors import UserError
from rl_es.files import check_folder
from rl_es.training.meeting import ALONE, Meeting

Overrides = Annotated[
    UseAppendAction[tuple[str, ...]],
    arg(
        metavar="PATH=VALUE",
        help="override a value of the sweep, such as budget.env_steps=1e5 or "
        "agents.eggroll.with.lr=0.1",
        help_behavior_hint="(may be repeated)",
    ),
]
SpeedOverrides = Annotated[
    UseAppendAction[tuple[str, ...]],
    arg(
        metavar="PATH=VALUE",
        help="override a value of the file, such as rounds=3 or workloads.populations=[64]",
        help_behavior_hint="(may be repeated)",
    ),
]
Lanes = Annotated[
    int | None,
    arg(
        metavar="N",
        help="runs of a group that share a call of its program",
        help_behavior_hint="(default: 1 on CPU, else as many as fit in memory)",
    ),
]
Devices = Annotated[
    int | None,
    arg(
        metavar="N",
        help="devices, of each process, that share populations, or runs; a CPU counts as many as "
        "asked for",
        help_behavior_hint="(default: 1 on CPU, else all)",
    ),
]
PopulationChunk = Annotated[
    int | None,
    arg(
        metavar="N",
        help="most members that a device evaluates at once; results stay the same",
        help_behavior_hint="(default: as many as fit in memory)",
    ),
]
Memory = Annotated[
    float | None,
    arg(
        metavar="GIB",
        help="memory that a device may fill",
        help_behavior_hint="(default: half of what there is)",
    ),
]
Out = Annotated[
    Path | None,
    arg(
        metavar="DIR",
        help="results folder",
        help_behavior_hint="(default: results/<name>, or results/<verb>/<name>)",
    ),
]
Quiet = Annotated[
    FlagCreatePairsOff[bool],
    arg(help="print failures and the end only", help_behavior_hint=""),
]
SweepFile = Annotated[Positional[Path], arg(metavar="SWEEP", help="sweep file (YAML)")]


@dataclasses.dataclass(frozen=True)
class Run:
    """Run a sweep: what is missing from its results folder, and nothing twice."""

    sweep: SweepFile
    out: Out = None
    set: Overrides = ()
    devices: Devices = None
    lanes: Lanes = None
    population_chunk: PopulationChunk = None
    memory: Memory = None
    quiet: Quiet = False
    no_replays: Replays = False
    meeting: Annotated[Meeting, arg(name="")] = ALONE

    def __call__(self) -> int:
        """Returns the exit code."""
        from rl_es.sweep.loading import load
        from rl_es.sweep.progress import progress

        self.meeting.check()
        sweep = load(self.sweep, self.set)
        out = folder(self.out, sweep.name)
        from rl_es.sweep import execution
        from rl_es.training import together
        from rl_es.training.platform import prepare

        allowed = resources(self)
        prepare(self.devices)
        with together.joined(self.meeting), contextlib.ExitStack() as kept:
            first = together.is_first()
            nowhere = None if first else kept.enter_context(open(os.devnull, "w"))
            shown = progress(self.quiet, nowhere)
            try:
                code = execution.run(sweep, out, shown, allowed)
            finally:
                shown.end()
        if first:
            if not self.no_replays:
                write_replays(out)
            write_report(out)
        return code


@dataclasses.dataclass(frozen=True)
class Plan:
    """Show what a sweep would run: cells, groups, compiled programs, memory and time."""

    sweep: SweepFile
    set: Overrides = ()
    devices: Devices = None
    lanes: Lanes = None
    population_chunk: PopulationChunk = None
    memory: Memory = None
    probe: Annotated[bool, arg(help="measure a generation of each program for a time estimate")] = (
        True
    )

    def __call__(self) -> int:
        """Returns the exit code."""
        from rl_es.sweep.loading import load

        sweep = load(self.sweep, self.set)
        from rl_es.sweep import plan

        plan.show(sweep, self.probe, resources(self))
        return 0


@dataclasses.dataclass(frozen=True)
class Speed:
    """Time agents against pure batch inference: what is missing from a results folder."""

    file: Annotated[Positional[Path], arg(metavar="FILE", help="speed file (YAML)")]
    out: Out = None
    set: SpeedOverrides = ()
    quiet: Quiet = False

    def __call__(self) -> int:
        """Returns the exit code."""
        from rl_es.speed.loading import load

        benchmark = load(self.file, self.set)
        out = folder(self.out, "speed", benchmark.name)
        from rl_es.speed import execution
        from rl_es.speed.progress import Progress

        shown = Progress(quiet=self.quiet)
        try:
            code = execution.run(benchmark, out, shown)
        finally:
            shown.end()
        write_report(out)
        return code


@dataclasses.dataclass(frozen=True)
class Gradients:
    """Measure bias and variance of gradient estimates, with the parameters held still."""

    sweep: SweepFile
    out: Out = None
    set: Overrides = ()
    quiet: Quiet = False

    def __call__(self) -> int:
        """Returns the exit code."""
        from rl_es.sweep.loading import load

        sweep = load(self.sweep, self.set)
        out = folder(self.out, "gradients", sweep.name)
        from rl_es.gradients import execution

        code = execution.run(sweep, out, self.quiet)
        write_report(out)
        return code


def resources(command: Any) -> Any:
    """What a command may use."""
    from rl_es.sweep.placing import Resources

    memory = command.memory
    if memory is not None and not 0 < memory < 2**30:
        raise UserError(f"--memory: must be a number of GiB above 0; is {memory:g}")
    size = None if memory is None else round(memory * 2**30)
    return Resources(command.devices, command.lanes, command.population_chunk, size)


def folder(out: Path | None, *default: str) -> Path:
    """The results folder: the one asked for, or the default below `results`."""
    return check_folder(out or Path("results", *default))
