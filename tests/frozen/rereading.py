"""The jobs of `reread`: a checkout reads and continues the results folders of a recording."""

import shutil
from collections.abc import Mapping

from tests.frozen.jobs import QUIET
from tests.frozen.recorder import JOBS, KEPT, Job, Recorder


def _copy(recorder: Recorder, source: str, name: str) -> str:
    """Copies a folder of the base recording into the job's folder; returns its name there."""
    shutil.copytree(recorder.base / source, recorder.folder / name)
    return name


def _results(recorder: Recorder, job: str, name: str = "results") -> str:
    return _copy(recorder, f"{JOBS}/{job}/{name}", f"{job}-{name}")


def reports(recorder: Recorder) -> None:
    """Writes the reports of old results folders anew."""
    for job in ("strategies", "policies", "unrolled", "ppo"):
        recorder.run("report", _results(recorder, job), "--no-replays")
    for name in ("speed", "gradients"):
        recorder.run("report", _results(recorder, "measurements", name))


def comparisons(recorder: Recorder) -> None:
    """Compares old results folders, joins them and tabulates them."""
    one, lanes = (_results(recorder, "layouts", name) for name in ("one", "lanes"))
    recorder.run("compare", one, lanes, "--out", "compared")
    first, second = (_results(recorder, "layouts", name) for name in ("part0", "part1"))
    recorder.run("merge", first, second, "--out", "merged")
    recorder.run("table", one, "--format", "latex")
    recorder.run("tensorboard", one, "--out", "events")


def policies(recorder: Recorder) -> None:
    """Evaluates and films old policies, and makes reference scores of them."""
    for job in ("strategies", "policies", "suites", "unrolled", "ppo"):
        recorder.run("evaluate", _results(recorder, job), "--episodes", "3", "--seed", "5")
    recorder.run("evaluate", "strategies-results", "--stage", "early", "--label", "pes")
    recorder.run("replay", "strategies-results", "--label", "pes", "--out", "film.gif")
    recorder.run("references", "ppo-results", "--label", "ppo", "--out", "scores.csv")


def continued(recorder: Recorder) -> None:
    """Continues finished old runs with a longer budget; runs of the same budget are kept."""
    for name in ("strategies", "unrolled", "ppo"):
        sweep, results = recorder.sweep(name), _results(recorder, name)
        recorder.run("run", sweep, "--out", results, *QUIET)
        recorder.run("run", sweep, "--out", results, *QUIET, "--set", "budget.generations=12")


def resumed(recorder: Recorder) -> None:
    """Goes on from the checkpoints of an interrupted old run."""
    results = _copy(recorder, f"{KEPT}/interrupted", "results")
    recorder.run("run", recorder.sweep("resumed"), "--out", results, *QUIET)


def tuning(recorder: Recorder) -> None:
    """Goes on with an old guided search, and puts old tuned settings into a sweep file."""
    guided, drawn = (_results(recorder, "tuning", name) for name in ("guided", "random"))
    search, sweep = recorder.sweep("search"), recorder.sweep("fed")
    recorder.run("tuned", drawn, sweep)
    recorder.run("tuned", guided, sweep, "--write")
    more = ("--set", "agents.eggroll.random.samples=6")
    recorder.run("tune", search, "--out", guided, "--startup", "2", "--quiet", *more)


REREAD: Mapping[str, Job] = {
    "reports": reports,
    "comparisons": comparisons,
    "policies": policies,
    "continued": continued,
    "resumed": resumed,
    "tuning": tuning,
}
