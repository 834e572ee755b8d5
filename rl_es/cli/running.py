"""The commands that compute: run, plan, speed, gradients."""

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import FlagCreatePairsOff, Positional, UseAppendAction, arg

from rl_es.cli.afterwards import write_replays, write_report
from rl_es.cli.flags import (
    ALL,
    Machine,
    NoReplays,
    Out,
    Overrides,
    Quiet,
    SweepFile,
    results_folder,
)
from rl_es.errors import UserError, check_number
from rl_es.training.meeting import ALONE, Meeting

MOST_WORKERS = 4096
SpeedOverrides = Annotated[
    UseAppendAction[tuple[str, ...]],
    arg(
        metavar="PATH=VALUE",
        help="override a value of the file, such as rounds=3 or workloads.populations=[64]",
        help_behavior_hint="(may be repeated)",
    ),
]


@dataclasses.dataclass(frozen=True)
class Run:
    """Run a sweep: what is missing from its results folder, and nothing twice."""

    sweep: SweepFile
    out: Out = None
    set: Overrides = ()
    machine: Machine = ALL
    workers: Annotated[
        int,
        arg(
            metavar="N",
            help="processes of this machine that share the sweep's groups, each on its own cores "
            "or devices",
        ),
    ] = 1
    executor: Annotated[
        Literal["here", "ray"],
        arg(help="run the groups on this machine, or as tasks of a Ray cluster"),
    ] = "here"
    address: Annotated[
        str | None,
        arg(
            metavar="HOST:PORT",
            help="Ray cluster to join, or 'auto'",
            help_behavior_hint="(default: one that is started on this machine)",
        ),
    ] = None
    ray_cpus: Annotated[float, arg(metavar="X", help="CPUs of a Ray task; may be a fraction")] = 1.0
    ray_gpus: Annotated[float, arg(metavar="X", help="GPUs of a Ray task; may be a fraction")] = 0.0
    shard: Annotated[
        str | None,
        arg(
            metavar="I/N",
            help="run every N-th group, from the I-th on (0 to N - 1), and write no report",
            help_behavior_hint="",
        ),
    ] = None
    checkpoint: Annotated[
        float, arg(metavar="SECONDS", help="after which what runs is saved once more")
    ] = 60.0
    retry_failed: Annotated[
        FlagCreatePairsOff[bool],
        arg(help="run the cells that failed before, and no others", help_behavior_hint=""),
    ] = False
    quiet: Quiet = False
    no_replays: NoReplays = False
    meeting: Annotated[Meeting, arg(name="")] = ALONE

    def __call__(self) -> int:
        """Returns the exit code."""
        from rl_es.sweep import shards
        from rl_es.sweep.loading import load
        from rl_es.sweep.progress import progress

        self.meeting.check()
        shard = shards.WHOLE if self.shard is None else shards.parse(self.shard)
        sweep = load(self.sweep, self.set)
        crew = self._crew()
        out = results_folder(self.out, sweep.name)
        from rl_es.sweep import execution
        from rl_es.training import together
        from rl_es.training.platform import prepare

        allowed = dataclasses.replace(self.machine.resources(), checkpoint_seconds=self.checkpoint)
        prepare(self.machine.devices)
        with together.joined(self.meeting), contextlib.ExitStack() as kept:
            first = together.is_first()
            nowhere = None if first else kept.enter_context(open(os.devnull, "w"))
            shown = progress(self.quiet, nowhere)
            try:
                code = execution.run(
                    sweep,
                    out,
                    shown,
                    allowed,
                    retry_failed=self.retry_failed,
                    shard=shard,
                    crew=crew,
                )
            finally:
                shown.end()
        if self.shard is not None:
            print(f"shard {self.shard} is done; with all of them, `report {out}` makes the report")
        elif first:
            if not self.no_replays:
                write_replays(out)
            write_report(out)
        return code

    def _crew(self) -> Any:
        """Those that run the groups; None: this process.

        Raises:
          UserError: flags do not fit together, or Ray is not installed.
        """
        check_number("--workers", self.workers, 1, MOST_WORKERS)
        check_number("--ray-cpus", self.ray_cpus, 0, MOST_WORKERS)
        check_number("--ray-gpus", self.ray_gpus, 0, MOST_WORKERS)
        others = self.workers > 1, self.executor == "ray", not self.meeting.alone
        if sum(others) > 1:
            raise UserError("--workers, --executor ray and flags that join processes: take one")
        if self.executor == "ray":
            from rl_es.sweep import on_ray

            on_ray.required()
            return on_ray.crew(on_ray.Cluster(self.address, self.ray_cpus, self.ray_gpus))
        if self.address is not None:
            raise UserError("--address: needs --executor ray")
        if self.workers > 1:
            from rl_es.sweep import workers

            return workers.crew(self.workers)
        return None


@dataclasses.dataclass(frozen=True)
class Plan:
    """Show what a sweep would run: cells, groups, compiled programs, memory and time."""

    sweep: SweepFile
    set: Overrides = ()
    machine: Machine = ALL
    probe: Annotated[bool, arg(help="measure a generation of each program for a time estimate")] = (
        True
    )

    def __call__(self) -> int:
        """Returns the exit code."""
        from rl_es.sweep.loading import load

        sweep = load(self.sweep, self.set)
        from rl_es.sweep import plan

        plan.show(sweep, self.probe, self.machine.resources())
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
        out = results_folder(self.out, "speed", benchmark.name)
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
        out = results_folder(self.out, "gradients", sweep.name)
        from rl_es.gradients import execution

        execution.run(sweep, out, self.quiet)
        write_report(out)
        return 0
