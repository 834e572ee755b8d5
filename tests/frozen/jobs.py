"""The jobs of a recording: command lines, grouped so that a process starts rarely."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.frozen.recorder import KEPT, Job, Recorder

QUIET = ("--quiet", "--no-replays")
VERBS = (
    "run", "plan", "speed", "gradients", "report", "figures", "compare", "table", "tensorboard",
    "merge", "references", "evaluate", "replay", "tune", "tuned", "list", "new", "check", "schema",
    "doctor",
)  # fmt: skip
MISTAKES = Path(__file__).with_name("mistakes.yaml")


def _sweep(name: str) -> Job:
    """Returns a job that plans, runs and tabulates one sweep file."""

    def job(recorder: Recorder) -> None:
        sweep = recorder.sweep(name)
        recorder.run("plan", sweep, "--no-probe")
        recorder.run("run", sweep, "--out", "results", *QUIET)
        recorder.run("table", "results", "--format", "markdown")
        recorder.run("evaluate", "results", "--episodes", "3", "--seed", "7")

    return job


def layouts(recorder: Recorder) -> None:
    """Runs one sweep in chunks, on two devices, in lanes, by two workers and in shards."""
    sweep = recorder.sweep("layouts")
    for name, options in {
        "one": (),
        "chunks": ("--population-chunk", "128"),
        "devices": ("--devices", "2"),
        "both": ("--devices", "2", "--population-chunk", "128"),
        "lanes": ("--lanes", "2"),
        "workers": ("--workers", "2"),
    }.items():
        recorder.run("run", sweep, "--out", name, *QUIET, *options)
    for part in ("0/2", "1/2"):
        recorder.run("run", sweep, "--out", f"part{part[0]}", "--shard", part, *QUIET)
    recorder.run("merge", "part0", "part1", "--out", "merged")
    recorder.run("compare", "one", "chunks", "devices", "--out", "compared")
    recorder.run("compare", "one", "lanes", "--metric", "auc", "--out", "areas")


def continued(recorder: Recorder) -> None:
    """Runs a sweep to a short budget, then to a longer one, then again with nothing left to run."""
    sweep = recorder.sweep("layouts")
    small = ("--set", "defaults.agent.population=32")
    recorder.run("run", sweep, "--out", "results", *QUIET, *small, "--set", "budget.generations=5")
    shutil.copytree(recorder.folder / "results", recorder.out / KEPT / "short", dirs_exist_ok=True)
    recorder.run("run", sweep, "--out", "results", *QUIET, *small, "--set", "budget.generations=10")
    recorder.run("run", sweep, "--out", "results", *QUIET, *small, "--set", "budget.generations=10")


def resumed(recorder: Recorder) -> None:
    """Interrupts a sweep in its second run, and runs it to its end."""
    sweep = recorder.sweep("resumed")
    command = ("run", sweep, "--out", "results", "--checkpoint", "0.05", *QUIET)
    results = recorder.folder / "results"
    recorder.interrupt(lambda: len([*results.glob("checkpoints/*.msgpack")]) > 1, *command)
    kept = recorder.out / KEPT / "interrupted"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(results, kept)
    recorder.run(*command)


def tuning(recorder: Recorder) -> None:
    """Searches settings at random and guided, and puts the best into a sweep file."""
    search, sweep = recorder.sweep("search"), recorder.sweep("fed")
    recorder.run("run", search, "--out", "random", *QUIET)
    recorder.run("tune", search, "--out", "guided", "--startup", "2", "--quiet")
    recorder.run("tuned", "random", sweep)
    recorder.run("tuned", "guided", sweep, "--write")
    recorder.run("plan", sweep, "--no-probe")


def measurements(recorder: Recorder) -> None:
    """Runs a speed file and measures gradient estimates."""
    recorder.run("speed", recorder.sweep("timed"), "--out", "speed", "--quiet")
    recorder.run("report", "speed")
    recorder.run("gradients", recorder.sweep("estimates"), "--out", "gradients", "--quiet")
    recorder.run("report", "gradients")
    recorder.run("figures", "speed", "gradients", "--out", "figures", "--format", "svg")


def figures(recorder: Recorder) -> None:
    """Draws every figure of the committed results, as `make tour` does, and as PDF."""
    reference = recorder.link("results/reference", "reference")
    recorder.run("figures", reference, "--out", "tour")
    recorder.run(
        "figures",
        f"{reference}/quickstart",
        "--size",
        "column",
        "--format",
        "pdf",
        "--out",
        "paper",
    )
    recorder.run("figures", "--list")


def tables(recorder: Recorder) -> None:
    """Writes tables, comparisons and joined tables of the committed results."""
    reference = recorder.link("results/reference", "reference")
    quickstart = f"{reference}/quickstart"
    for form in ("latex", "markdown", "csv"):
        recorder.run("table", quickstart, "--format", form)
    recorder.run("table", quickstart, "--format", "latex", "--out", "table.tex")
    recorder.run(
        "compare", quickstart, f"{reference}/comparison", "--margin", "0.05", "--out", "compared"
    )
    recorder.run(
        "compare", quickstart, quickstart, "--metric", "steps_to_threshold", "--out", "steps"
    )
    recorder.run("merge", f"{reference}/ranks", f"{reference}/widths", "--out", "merged")
    recorder.run(
        "references", f"{reference}/quickstart", "--label", "open_es", "--out", "scores.csv"
    )


def help_texts(recorder: Recorder) -> None:
    """Prints the help of every verb, every list, and the schema."""
    recorder.run("--help")
    for verb in VERBS:
        recorder.run(verb, "--help")
    for arguments in ((), ("--long",), ("agents",), ("pes", "--long"), ("brax/ant", "--long")):
        recorder.run("list", *arguments)
    recorder.run("schema")
    recorder.run("schema", "--format", "markdown")


def plans(recorder: Recorder) -> None:
    """Plans every committed sweep file, without measuring a generation."""
    sweeps = recorder.link("sweeps", "sweeps")
    for path in sorted((recorder.folder / sweeps).rglob("*.yaml")):
        if path.parent.name != "speed":
            recorder.run("plan", path.relative_to(recorder.folder).as_posix(), "--no-probe")


def identities(recorder: Recorder) -> None:
    """Records the run ids of every committed sweep file: each run fails, as nothing compiles."""
    sweeps = recorder.link("sweeps", "sweeps")
    for path in sorted((recorder.folder / sweeps).rglob("*.yaml")):
        if path.parent.name != "speed":
            name = path.relative_to(recorder.folder / sweeps).with_suffix("").as_posix()
            options = ("--out", name.replace("/", "-"), "--shard", "0/1", *QUIET)
            recorder.run("run", f"{sweeps}/{name}.yaml", *options, through=("uncompiled.py",))


def mistakes(recorder: Recorder) -> None:
    """Runs every command line of `mistakes.yaml`, each on the good files with one change."""
    content = yaml.safe_load(MISTAKES.read_text())
    (recorder.folder / "empty").mkdir()
    for case in content["cases"]:
        for name, text in content["files"].items():
            for old, new in case.get("change", {}).items():
                text = text.replace(old, new)
            (recorder.folder / name).write_text(text)
        recorder.run(*case["command"])


def skeletons(recorder: Recorder) -> None:
    """Writes an environment and an agent to start from, checks and runs them."""
    recorder.run("new", "env", "my_env")
    recorder.run("new", "agent", "my_agent")
    recorder.run("check", "./my_env.py:MyEnv")
    recorder.run("check", "./my_agent.py:MyAgent")
    recorder.run("check", "CartPole-v1")
    small = (
        "--set",
        "seeds=1",
        "--set",
        "budget.generations=2",
        "--set",
        "defaults.agent.population=32",
    )
    recorder.run("run", "my_env.yaml", "--out", "environment", *QUIET, *small)
    recorder.run("run", "my_agent.yaml", "--out", "agent", *QUIET, *small)


def films(recorder: Recorder) -> None:
    """Films policies that the recorder itself trains, and writes event files."""
    sweep = recorder.sweep("layouts")
    small = ("--set", "defaults.agent.population=32", "--set", "seeds=1")
    recorder.run("run", sweep, "--out", "results", "--quiet", *small)
    recorder.run(
        "replay", "results", "--env", "CartPole-v1", "--format", "html", "--out", "film.html"
    )
    recorder.run("replay", "results", "--label", "eggroll", "--stage", "all", "--out", "film.gif")
    recorder.run("tensorboard", "results", "--out", "events")


RECORDED: Mapping[str, Job] = {
    "help": help_texts,
    "mistakes": mistakes,
    **{
        name: _sweep(name)
        for name in (
            "strategies",
            "settings",
            "policies",
            "suites",
            "unrolled",
            "bounded",
            "ppo",
        )
    },
    "layouts": layouts,
    "continued": continued,
    "resumed": resumed,
    "figures": figures,
    "tables": tables,
    "plans": plans,
    "tuning": tuning,
    "measurements": measurements,
    "skeletons": skeletons,
    "identities": identities,
    "films": films,
}
