"""The command line: run, plan, speed, gradients, report, figures, replay and others.

Nothing heavy is imported before a command needs it: a wrong sweep file is refused, and help is
shown, without loading jax.
"""

import contextlib
import dataclasses
import os
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import tyro
from tyro.conf import FlagCreatePairsOff, Positional, UseAppendAction, arg

from rl_es.cli_analysis import Compare, Table
from rl_es.errors import UserError, did_you_mean
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
        help_behavior_hint="(default: results/<name>; speed, gradients: results/<verb>/<name>)",
    ),
]
Quiet = Annotated[
    FlagCreatePairsOff[bool],
    arg(help="print failures and the end only", help_behavior_hint=""),
]
Replays = Annotated[
    FlagCreatePairsOff[bool],
    arg(help="leave out the films of trained policies", help_behavior_hint=""),
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
        out = _folder(self.out, sweep.name)
        from rl_es.sweep import execution
        from rl_es.training import together
        from rl_es.training.platform import prepare

        resources = _resources(self)
        prepare(self.devices)
        with together.joined(self.meeting), contextlib.ExitStack() as kept:
            first = together.is_first()
            nowhere = None if first else kept.enter_context(open(os.devnull, "w"))
            shown = progress(self.quiet, nowhere)
            try:
                code = execution.run(sweep, out, shown, resources)
            finally:
                shown.end()
        if first:
            if not self.no_replays:
                _replays(out)
            _report(out)
        return code


def _resources(command: "Run | Plan") -> Any:
    """What a command may use."""
    from rl_es.sweep.placing import Resources

    memory = command.memory
    if memory is not None and not 0 < memory < 2**30:
        raise UserError(f"--memory: must be a number of GiB above 0; is {memory:g}")
    size = None if memory is None else round(memory * 2**30)
    return Resources(command.devices, command.lanes, command.population_chunk, size)


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

        plan.show(sweep, self.probe, _resources(self))
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
        out = _folder(self.out, "speed", benchmark.name)
        from rl_es.speed import execution
        from rl_es.speed.progress import Progress

        shown = Progress(quiet=self.quiet)
        try:
            code = execution.run(benchmark, out, shown)
        finally:
            shown.end()
        _report(out)
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
        out = _folder(self.out, "gradients", sweep.name)
        from rl_es.gradients import execution

        code = execution.run(sweep, out, self.quiet)
        _report(out)
        return code


@dataclasses.dataclass(frozen=True)
class Report:
    """Write tables, figures and the report of a results folder."""

    folder: Annotated[Positional[Path], arg(metavar="DIR", help="results folder")]
    no_replays: Replays = False

    def __call__(self) -> int:
        """Returns the exit code."""
        if not self.folder.is_dir():
            raise UserError(f"{self.folder}: no such folder")
        if not self.no_replays:
            _replays(self.folder)
        _report(self.folder)
        return 0


@dataclasses.dataclass(frozen=True)
class Figures:
    """Draw figures of results, speed or gradients folders, for a paper's column or page."""

    folders: Annotated[
        Positional[tuple[Path, ...]],
        arg(metavar="DIR", help="results folders, or folders that hold some"),
    ] = ()
    kind: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(
            metavar="KIND",
            help="a kind of figure",
            help_behavior_hint="(may be repeated; default: each that a folder has something for)",
        ),
    ] = ()
    size: Annotated[
        Literal["auto", "column", "page"],
        arg(help="as wide as the panels want, or 3.25 or 6.75 inches"),
    ] = "auto"
    format: Annotated[
        UseAppendAction[tuple[Literal["png", "svg", "pdf"], ...]],
        arg(help="of the files", help_behavior_hint="(may be repeated; default: png and svg)"),
    ] = ()
    normalise: Annotated[
        tuple[str, str] | None,
        arg(
            metavar="LOW HIGH",
            help="references that are 0 and 1 on the scale of scores: untrained, threshold, best, "
            "a label, or FILE.csv:COLUMN",
            help_behavior_hint="(default: untrained, and threshold or else best)",
        ),
    ] = None
    reference: Annotated[
        str | None,
        arg(
            metavar="LABEL",
            help="the label that others are compared with",
            help_behavior_hint="(default: eggroll where it is)",
        ),
    ] = None
    replicates: Annotated[
        int | None, arg(metavar="N", help="of the bootstrap", help_behavior_hint="(default: many)")
    ] = None
    out: Annotated[
        Path | None,
        arg(
            metavar="DIR",
            help="a folder for each folder's figures",
            help_behavior_hint="(default: figures/ in each)",
        ),
    ] = None
    list: Annotated[
        FlagCreatePairsOff[bool],
        arg(help="print the kinds, what each shows and needs", help_behavior_hint=""),
    ] = False

    def __call__(self) -> int:
        """Returns the exit code."""
        from rl_es.analysis import gallery
        from rl_es.analysis.drawing import files
        from rl_es.analysis.drawing.options import USUAL
        from rl_es.analysis.drawing.sheet import SIZES

        if self.list:
            print(gallery.listing())
            return 0
        if not self.folders:
            raise UserError("figures: needs a folder, or --list")
        if self.replicates is not None and self.replicates < 1:
            raise UserError(f"--replicates: must be at least 1; is {self.replicates}")
        given: dict[str, Any] = {"sheet": SIZES[self.size], "reference": self.reference}
        if self.normalise is not None:
            given |= dict(zip(("low", "high"), self.normalise, strict=True))
        if self.replicates is not None:
            given["replicates"] = self.replicates
        options = dataclasses.replace(USUAL, **given)
        formats = self.format or files.FORMATS
        for folder in self.folders:
            out = self.out
            if out is not None and len(self.folders) > 1:
                out = out / (folder.resolve().name)
            for path in gallery.draw(folder, out, self.kind, options, formats):
                print(path)
        return 0


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Evaluate the saved policies of a results folder on fresh episodes; write evaluations.csv."""

    folder: Annotated[Positional[Path], arg(metavar="DIR", help="results folder")]
    env: Annotated[
        str | None,
        arg(help="the environment's name or label", help_behavior_hint="(default: all)"),
    ] = None
    label: Annotated[
        str | None, arg(help="the agent's label", help_behavior_hint="(default: all)")
    ] = None
    episodes: Annotated[int, arg(help="of each policy")] = 10
    seed: Annotated[int, arg(help="of the episodes, the same for all policies")] = 0
    native: Annotated[
        FlagCreatePairsOff[bool],
        arg(
            help="in native physics as well: MuJoCo's own for some of brax's environments",
            help_behavior_hint="",
        ),
    ] = False
    stage: Annotated[
        Literal["early", "middle", "final"],
        arg(help="final, or on the way (the first seed has these)"),
    ] = "final"

    def __call__(self) -> int:
        """Returns the exit code."""
        from rl_es import evaluating

        print(evaluating.run(**vars(self)))
        return 0


@dataclasses.dataclass(frozen=True)
class Replay:
    """Film an episode of a trained policy: MP4, GIF, or a page with early, middle and final."""

    folder: Annotated[Positional[Path], arg(metavar="DIR", help="results folder")]
    env: Annotated[
        str | None,
        arg(help="the environment's name or label", help_behavior_hint="(default: the only one)"),
    ] = None
    label: Annotated[
        str | None,
        arg(help="the agent's label", help_behavior_hint="(default: highest final return)"),
    ] = None
    agent: Annotated[
        str | None,
        arg(help="its best label, where several have it", help_behavior_hint="(default: any)"),
    ] = None
    seed: Annotated[int, arg(help="of the run")] = 0
    stage: Annotated[
        Literal["early", "middle", "final", "all"] | None,
        arg(
            help="of training; all: side by side",
            help_behavior_hint="(default: final; html: all)",
        ),
    ] = None
    episode_seed: Annotated[int, arg(help="of the episode")] = 0
    format: Annotated[
        Literal["mp4", "gif", "html"] | None,
        arg(help="of the file", help_behavior_hint="(default: as --out ends, else mp4)"),
    ] = None
    size: Annotated[str, arg(metavar="WxH", help="of each picture, in pixels")] = "320x240"
    out: Annotated[
        Path | None,
        arg(metavar="FILE", help="file", help_behavior_hint="(default: one in DIR/replays)"),
    ] = None
    open: Annotated[
        FlagCreatePairsOff[bool], arg(help="open it in a browser", help_behavior_hint="")
    ] = False

    def __call__(self) -> int:
        """Returns the exit code."""
        from rl_es.replay import command

        chosen = vars(self) | {}
        opened = chosen.pop("open")
        path = command.run(**chosen)
        print(path)
        if opened:
            command.open_in_browser(path)
        return 0


@dataclasses.dataclass(frozen=True)
class List:
    """List agents and environments, by default both."""

    what: Annotated[
        Positional[Literal["all", "agents", "environments"]], arg(help="which of them")
    ] = "all"
    long: Annotated[
        FlagCreatePairsOff[bool],
        arg(help="with every setting: type, default, help", help_behavior_hint=""),
    ] = False

    def __call__(self) -> int:
        """Returns the exit code."""
        from rl_es import listing

        listing.show(self.what, self.long)
        return 0


def _folder(out: Path | None, *default: str) -> Path:
    """The results folder: the one asked for, or the default below `results`."""
    folder = out or Path("results", *default)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; --out needs a folder")
    return folder


def _replays(folder: Path) -> None:
    """Makes the films of a folder that has trained policies, and says where they are listed."""
    if not (folder / "policies").is_dir():
        return
    from rl_es.replay import report

    try:
        path = report.write(folder, lambda text: print(text, file=sys.stderr))
    except UserError as error:  # tables and figures are made all the same
        print(f"no replays: {error}", file=sys.stderr)
        return
    if path is not None:
        print(path)


def _report(folder: Path) -> None:
    """Writes tables, figures and pages, and says where they are."""
    lacking: list[str] = []
    if (folder / "workloads").is_dir():
        from rl_es.analysis.speed import report
    elif (folder / "estimates").is_dir():
        from rl_es.analysis.gradients import report
    else:
        from rl_es.analysis import html, report

        lacking = html.lacking()
    for path in report.write(folder):
        print(path)
    if lacking:
        print(f"no report.html: needs {' and '.join(lacking)} (pip install 'rl_es[report]')")


VERBS = {
    "run": Run,
    "plan": Plan,
    "speed": Speed,
    "gradients": Gradients,
    "report": Report,
    "figures": Figures,
    "compare": Compare,
    "table": Table,
    "evaluate": Evaluate,
    "replay": Replay,
    "list": List,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line; returns the exit code.

    0: done; 1: some cells failed, or another process did; 2: bad input, one message on standard
    error; 130: interrupted.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    verb = next(iter(arguments), "--help")
    # A descriptor of our own: one thread may hold back descriptor 2 while it compiles.
    messages = os.fdopen(os.dup(2), "w", buffering=1)
    try:
        if not verb.startswith("-") and verb not in VERBS:
            raise UserError(f"unknown command '{verb}'{did_you_mean(verb, VERBS)}")
        command = tyro.extras.subcommand_cli_from_dict(
            VERBS,
            prog="run_benchmark.py",
            description="A benchmark suite for evolution strategies in reinforcement learning.",
            args=arguments or ["--help"],
        )
        return command()
    except UserError as error:
        print(f"error: {error}", file=messages)
        return error.code
    except KeyboardInterrupt:
        print(
            "interrupted; what is finished is kept: run the same command again to go on, or "
            "`report` the folder for tables of what is there",
            file=messages,
        )
        return 130
    except BrokenPipeError:  # the reader of our output is gone, as in `list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception:
        traceback.print_exc(file=messages)
        return 1


def leave(code: int) -> NoReturn:
    """Ends the process, at once where something would hold it up.

    A thread may be left that compiles, at which XLA crashes; or the process left others without
    their consent (`rl_es.training.together`), for which jax would wait.
    """
    jax = sys.modules.get("jax")
    if threading.active_count() > 1 or (jax is not None and jax.distributed.is_initialized()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
