"""The commands that compute: run, plan, speed, gradients, tune; and tuned, which applies settings.

After a run, `write_films` and `write_report` write films, tables, figures and pages; the command
`report` calls the same functions. A command is called, and returns the exit code.
"""

import contextlib
import dataclasses
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from rl_es.cli import arguments, parsing
from rl_es.cli.arguments import Machine, NoReplays, Out, Overrides, Quiet, SweepFile, option
from rl_es.errors import UserError, check_number
from rl_es.registry import install_command
from rl_es.results.files import write_text
from rl_es.training.multihost_options import ALONE, MultihostOptions

MOST_WORKERS = 4096
# Options that a manifest does not record: they decide neither which runs there are nor what their
# results are, or they would leave a new folder without runs, as `--retry-failed` does.
NOT_RECORDED = (
    *("retry-failed", "checkpoint", "quiet", "no-replays"),
    *(argument.name for argument in parsing.arguments_of(MultihostOptions)),
)


def write_films(folder: Path) -> None:
    """Films the trained policies of a folder, and prints the path of the page that lists them.

    Raises:
      UserError: the folder holds no results, or damaged ones.
    """
    if not (folder / "policies").is_dir():
        return
    from rl_es.analysis import results
    from rl_es.replay import report

    results.load_results(folder)  # raises an error for damaged files before any file is written
    try:
        path = report.write(folder, lambda text: print(text, file=sys.stderr))
    except UserError as error:  # tables and figures are made all the same
        print(f"no replays: {error}", file=sys.stderr)
        return
    if path is not None:
        print(path)


def write_report(folder: Path) -> None:
    """Writes tables, figures and pages, and prints their paths."""
    missing: list[str] = []
    if (folder / "workloads").is_dir():
        from rl_es.analysis.speed import report

        paths = report.write(folder)
    elif (folder / "estimates").is_dir():
        from rl_es.analysis.gradients import report

        paths = report.write(folder)
    else:
        from rl_es.analysis import sweep_report
        from rl_es.analysis.html.report import missing_packages

        missing = missing_packages()
        paths = sweep_report.write(folder, lambda text: print(f"warning: {text}", file=sys.stderr))
    for path in paths:
        print(path)
    if missing:
        print(f"no report.html: needs {' and '.join(missing)} ({install_command('report')})")


def leaves_cores_open(machine: arguments.MachineOptions) -> bool:
    """Returns whether neither options nor the environment say how a CPU's cores are used."""
    from rl_es.sweep.parallelism import is_chosen_in_environment

    return machine == arguments.ALL and not is_chosen_in_environment()


def _make_workers(number: int) -> Any:
    """Returns the factory of a pool of `number` workers."""
    from rl_es.sweep import worker_pool

    return worker_pool.worker_pool(number)


@dataclasses.dataclass(frozen=True)
class RunCommand:
    """Run a sweep: what is missing from its results folder, and nothing twice."""

    sweep: SweepFile
    out: Out = None
    set: Overrides = ()
    machine: Machine = arguments.ALL
    workers: Annotated[
        int | None,
        option(
            "processes of this machine that share the sweep's groups, each on its own cores or "
            "devices; 1: this process alone",
            "N",
            "(default: on CPU chosen by the cores, see `plan`; else 1)",
        ),
    ] = None
    executor: Annotated[
        Literal["here", "ray"],
        option("run the groups on this machine, or as tasks of a Ray cluster"),
    ] = "here"
    address: Annotated[
        str | None,
        option(
            "Ray cluster to join, or 'auto'",
            "HOST:PORT",
            "(default: one that is started on this machine)",
        ),
    ] = None
    ray_cpus: Annotated[float, option("CPUs of a Ray task; may be a fraction", "X")] = 1.0
    ray_gpus: Annotated[float, option("GPUs of a Ray task; may be a fraction", "X")] = 0.0
    shard: Annotated[
        str | None,
        option(
            "run every N-th group, from the I-th on (0 to N - 1), and write no report", "I/N", ""
        ),
    ] = None
    checkpoint: Annotated[
        float, option("seconds between checkpoints of running groups", "SECONDS")
    ] = 60.0
    retry_failed: Annotated[
        arguments.Flag, option("run only the cells that failed before", note="")
    ] = False
    quiet: Quiet = False
    no_replays: NoReplays = False
    tensorboard: Annotated[
        arguments.Flag,
        option("write TensorBoard's event files while the sweep runs, into tensorboard/", note=""),
    ] = False
    wandb: Annotated[
        arguments.Flag,
        option("log the runs to Weights & Biases while the sweep runs", note=""),
    ] = False
    multihost_options: Annotated[MultihostOptions, arg(name="")] = ALONE

    def __call__(self) -> int:
        from rl_es.sweep.cells import ALL_GROUPS, parse_shard
        from rl_es.sweep.progress import make_progress

        self.multihost_options.check()
        shard = ALL_GROUPS if self.shard is None else parse_shard(self.shard)
        sweep = arguments.read_sweep(self.sweep, self.set)
        make_executor = self._executor_factory()
        out = arguments.results_folder(self.out, sweep.name)
        from rl_es.tools.trackers import make_trackers

        trackers = make_trackers(out, self.tensorboard, self.wandb)
        from rl_es.sweep import execution
        from rl_es.sweep.parallelism import devices_to_prepare
        from rl_es.sweep.tracking import TrackedProgress
        from rl_es.training import multihost
        from rl_es.training.compilation import prepare_jax

        resources = dataclasses.replace(
            self.machine.resources(), checkpoint_seconds=self.checkpoint
        )
        is_open = self.workers is None and self.executor == "here" and self.multihost_options.alone
        is_open = is_open and leaves_cores_open(self.machine)
        prepare_jax(devices_to_prepare(sweep) if is_open else self.machine.devices)
        with multihost.join_processes(self.multihost_options), contextlib.ExitStack() as stack:
            first = multihost.is_first()
            stream = None if first else stack.enter_context(open(os.devnull, "w"))
            progress = make_progress(self.quiet, stream)
            if first and trackers:
                progress = TrackedProgress(progress, out, trackers)
            stack.callback(progress.end)
            code = execution.run_sweep(
                sweep,
                out,
                progress,
                resources,
                retry_failed=self.retry_failed,
                shard=shard,
                make_executor=make_executor,
                command=parsing.command_words("run", self, omit=NOT_RECORDED, out=out),
                make_workers=_make_workers if is_open else None,
            )
        if self.shard is not None:
            print(f"shard {self.shard} is done; with all of them, `report {out}` makes the report")
        elif first:
            if not self.no_replays:
                write_films(out)
            write_report(out)
        return code

    def _executor_factory(self) -> Any:
        """Returns the factory of what runs the groups; None where this process runs them."""
        workers = 1 if self.workers is None else self.workers
        check_number("--workers", workers, 1, MOST_WORKERS)
        check_number("--ray-cpus", self.ray_cpus, 0, MOST_WORKERS)
        check_number("--ray-gpus", self.ray_gpus, 0, MOST_WORKERS)
        executors = workers > 1, self.executor == "ray", not self.multihost_options.alone
        if sum(executors) > 1:
            raise UserError("--workers, --executor ray and flags that join processes: take one")
        if self.executor == "ray":
            from rl_es.sweep import ray_executor

            ray_executor.require_ray()
            return ray_executor.ray_executor(
                ray_executor.RayResources(self.address, self.ray_cpus, self.ray_gpus)
            )
        if self.address is not None:
            raise UserError("--address: needs --executor ray")
        if workers > 1:
            return _make_workers(workers)
        return None


@dataclasses.dataclass(frozen=True)
class PlanCommand:
    """Show what sweeps would run: cells, groups, compiled programs, memory and time."""

    sweeps: Annotated[
        arguments.Paths, option("sweep files (YAML), or names of `sweeps`", "SWEEP", "")
    ]
    set: Overrides = ()
    machine: Machine = arguments.ALL
    probe: Annotated[bool, option("measure a generation of each program for a time estimate")] = (
        True
    )
    steps_per_second: Annotated[
        float | None,
        option(
            "estimate the time for a device that trains so many environment steps per second",
            "N",
            "(default: measured here)",
        ),
    ] = None

    def __call__(self) -> int:
        from rl_es import registry
        from rl_es.terminal import start_command

        if not self.sweeps:
            raise UserError(f"plan: needs SWEEP; see {start_command()} plan --help")
        check_number("--steps-per-second", self.steps_per_second, 1e-3, 1e15)
        with registry.allow_missing_extras():
            sweeps = [arguments.read_sweep(path, self.set) for path in self.sweeps]
        from rl_es.tools import plan_tables

        resources = self.machine.resources()
        plan_tables.show_plans(
            sweeps,
            resources,
            self.probe,
            self.steps_per_second,
            is_open=leaves_cores_open(self.machine),
        )
        return 0


@dataclasses.dataclass(frozen=True)
class SpeedCommand:
    """Time agents against pure batch inference: what is missing from a results folder."""

    file: Annotated[
        Positional[Path], option("speed file (YAML), or the name of one of `sweeps`", "FILE")
    ]
    out: Out = None
    set: Annotated[
        arguments.Texts,
        option(
            "override a value of the file, such as rounds=3 or workloads.populations=[64]",
            "PATH=VALUE",
            "(may be repeated)",
        ),
    ] = ()
    quiet: Quiet = False

    def __call__(self) -> int:
        from rl_es.speed.workloads import load_benchmark

        benchmark = load_benchmark(arguments.find_sweep(self.file), self.set)
        out = arguments.results_folder(self.out, "speed", benchmark.name)
        from rl_es.speed import execution

        progress = execution.SpeedProgress(quiet=self.quiet)
        try:
            code = execution.run_benchmark(benchmark, out, progress)
        finally:
            progress.end()
        write_report(out)
        return code


@dataclasses.dataclass(frozen=True)
class GradientsCommand:
    """Measure bias and variance of gradient estimates, with the parameters held still."""

    sweep: SweepFile
    out: Out = None
    set: Overrides = ()
    quiet: Quiet = False

    def __call__(self) -> int:
        sweep = arguments.read_sweep(self.sweep, self.set)
        out = arguments.results_folder(self.out, "gradients", sweep.name)
        from rl_es import gradients

        gradients.run_gradients(sweep, out, self.quiet)
        write_report(out)
        return 0


@dataclasses.dataclass(frozen=True)
class TuneCommand:
    """Run a sweep whose random settings a guided search proposes (TPE, by optuna)."""

    sweep: SweepFile
    out: Out = None
    set: Overrides = ()
    startup: Annotated[
        int, option("random trials of each agent before the first guided one", "N")
    ] = 10
    machine: Machine = arguments.ALL
    quiet: Quiet = False

    def __call__(self) -> int:
        from rl_es.sweep.progress import make_progress
        from rl_es.sweep.schema import MAX_CELLS
        from rl_es.tuning.studies import import_optuna

        check_number("--startup", self.startup, 1, MAX_CELLS)
        sweep = arguments.read_sweep(self.sweep, self.set)
        if not any(entry.random for entry in sweep.agents):
            raise UserError(f"{self.sweep}: no agent has random settings; `run` it")
        out = arguments.results_folder(self.out, "tune", sweep.name)
        import_optuna()
        from rl_es.tuning.search import run_search

        progress = make_progress(self.quiet)
        try:
            command = parsing.command_words("tune", self, omit=NOT_RECORDED, out=out)
            resources = self.machine.resources()
            code = run_search(sweep, out, progress, resources, self.startup, command)
        finally:
            progress.end()
        write_report(out)
        return code


@dataclasses.dataclass(frozen=True)
class TunedCommand:
    """Put the best settings of a tuning run into sweep files; without --write, show them."""

    results: Annotated[Positional[Path], option("results folder of a tuning run", "RESULTS")]
    sweeps: Annotated[arguments.Paths, option("sweep files with the same labels", "SWEEP", "")]
    write: Annotated[arguments.Flag, option("write the settings into the files", note="")] = False

    def __call__(self) -> int:
        if not self.sweeps:
            raise UserError("tuned: needs a results folder and the sweep files to change")
        from rl_es.tuning.apply import edit_sweep, show_edits
        from rl_es.tuning.trials import read_tuning_results

        results = read_tuning_results(self.results)
        edits = [edit_sweep(results, path) for path in self.sweeps]
        if self.write:
            for edit in edits:
                write_text(edit.path, edit.after)
        show_edits(edits, self.write)
        return 0
