"""`train`: agents on environments in this process, without a sweep file."""

import inspect
import re
import shutil
import sys
import tempfile
import warnings
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rl_es.api.arguments import CallDocument, Entries, existing_path, import_packages, whole_number
from rl_es.api.results import Results
from rl_es.errors import MAX_SEED, UserError, brief, short_traceback
from rl_es.results.files import check_folder
from rl_es.sweep.cells import expand_cells
from rl_es.sweep.loading import validate_sweep
from rl_es.sweep.progress import Progress, make_progress
from rl_es.sweep.schema import Sweep
from rl_es.sweep.tracking import TrackedProgress, Tracker
from rl_es.tools.trackers import make_trackers

BUDGETS = ("env_steps", "generations", "seconds")


@short_traceback
def train(
    env: Entries,
    agent: Entries,
    *,
    env_steps: float | None = None,
    generations: float | None = None,
    seconds: float | None = None,
    seeds: int | Sequence[int] = 1,
    policy: Mapping[str, Any] | None = None,
    evaluation: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    name: str = "train",
    devices: int | None = None,
    retry_failed: bool = False,
    progress: bool = True,
    tensorboard: bool = False,
    wandb: bool = False,
    **settings: Any,
) -> Results:
    """Trains agents on environments: every combination, for every seed.

    It does what `run` does with a sweep file of the same content: the same checks, defaults and
    runs. A run that is finished in `out` is not run again, one that was stopped goes on, and a
    longer budget continues finished ones.

    result = rl_es.train("CartPole-v1", "eggroll", env_steps=1e6, seeds=5, population=256, rank=4)

    Args:
      env: an environment's name, a mapping as an entry of a sweep file, such as
        {"name": "brax/ant", "episode_length": 500, "threshold": 3000}, or a list of these.
      agent: an agent's name, a mapping such as {"name": "eggroll", "grid": {"rank": [1, 4]}}, or a
        list of these.
      env_steps: environment steps of training that each run takes.
      generations: instead of `env_steps`: generations of each run.
      seconds: instead of both: seconds of training of each run, which is not reproducible.
      seeds: their number, counted from 0; or a list of seeds.
      policy: network and action head, such as {"widths": [32, 32]}.
      evaluation: how the unperturbed policy is evaluated, such as {"points": 20, "episodes": 16}.
      out: the results folder; None: a temporary one, which is removed with the `Results`.
      name: the sweep's name, in tables.
      devices: number of devices that share populations or runs; None: one CPU, or all accelerators.
        The first use of jax in this process fixes how many devices a CPU counts as.
      retry_failed: run the runs that failed before, and no others.
      progress: show the progress of runs; otherwise print failures only.
      tensorboard: write TensorBoard's event files into `tensorboard/` of `out` while it trains.
      wandb: log the runs to Weights & Biases while it trains, with its files in `out`.
      settings: settings of every agent, such as population, sigma, lr, rank.

    Returns:
      The runs of this call, without other runs in `out`. `runs` includes failed runs, about which
      there is a warning.

    Raises:
      UserError: an argument is invalid, arguments contradict each other, or all runs failed.
      StorageError: the results folder cannot be written; finished runs stay in it.
      KeyboardInterrupt: a user stopped it; the same call with the same `out` continues.
    """
    import_packages()
    amounts = zip(BUDGETS, (env_steps, generations, seconds), strict=True)
    budget = {kind: amount for kind, amount in amounts if amount is not None}
    parts = {"policy": policy, "evaluation": evaluation, "budget": budget or None}
    defaults = {key: part for key, part in parts.items() if part is not None}
    content = {"name": name, "seeds": seeds, "defaults": {**defaults, "agent": settings}}
    sweep = _sweep({**content, "environments": env, "agents": agent}, budget)
    if devices is not None:
        devices = whole_number("train: devices", devices, 1, MAX_SEED)
    if out is None and (tensorboard or wandb):
        raise UserError("train: tensorboard and wandb keep files: name the results folder, out=...")
    if out is None:
        folder = Path(tempfile.mkdtemp(prefix="rl_es_"))
    else:
        folder = check_folder(existing_path("train: out", out), "out")
    try:
        trackers = make_trackers(folder, tensorboard, wandb)
        _run(sweep, folder, devices, retry_failed, progress, trackers)
        results = _read_results(sweep, folder)
    except BaseException:
        if out is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if out is None:
        weakref.finalize(results, shutil.rmtree, folder, ignore_errors=True)
    return results


ARGUMENTS = [name for name in inspect.signature(train).parameters if name != "settings"]


def _sweep(content: Mapping[str, Any], budget: Mapping[str, float]) -> Sweep:
    """Returns the checked sweep of the arguments."""
    if len(budget) > 1:
        raise UserError(f"train: takes one of {', '.join(BUDGETS)}; has {' and '.join(budget)}")
    call = CallDocument("train", content, ARGUMENTS)
    entries = call.content["environments"]
    has_budgets = isinstance(entries, list) and all(
        isinstance(entry, dict) and "budget" in entry for entry in entries
    )
    if not budget and not has_budgets:
        raise UserError(f"train: needs one of {', '.join(BUDGETS)}, such as env_steps=1e6")
    return validate_sweep(call)


def _run(
    sweep: Sweep,
    folder: Path,
    devices: int | None,
    retry: bool,
    verbose: bool,
    trackers: Sequence[Tracker],
) -> None:
    """Runs the sweep, with messages about arguments in place of options of the command line."""
    from rl_es.sweep import execution
    from rl_es.training.resources import Resources

    progress = _make_progress(verbose)
    tracked = TrackedProgress(progress, folder, trackers)
    try:
        execution.run_sweep(sweep, folder, tracked, Resources(devices), retry_failed=retry)
    except UserError as error:
        message = re.sub(r"^--(?=\w+: )", "train: ", str(error))
        error.args = (re.sub(r"(?<= )--(?=out\b)", "", message),)
        raise
    finally:
        tracked.close()
        if verbose:
            progress.end()


def _read_results(sweep: Sweep, folder: Path) -> Results:
    """Returns the results of a sweep that has ended; warns of failed runs, refuses if all did."""
    results = Results(folder, {cell.run_id for cell in expand_cells(sweep)})
    failures = results.runs[results.runs["status"] == "failed"]
    if len(failures):
        all_failed = len(failures) == len(results.runs)
        count = "every run" if all_failed else f"{len(failures)} of {len(results.runs)} runs"
        message = f"train: {count} failed: {brief(str(failures['reason'].iloc[0]), 300)}"
        if all_failed:
            raise UserError(message)
        warnings.warn(message, stacklevel=4)  # the caller of `train`, which is decorated
    return results


def _make_progress(verbose: bool) -> Progress:
    """Returns a live table on a terminal or in a notebook that can show one, else lines."""
    from importlib.util import find_spec

    from rich.console import Console

    console = Console()
    if verbose and console.is_jupyter and find_spec("ipywidgets") is not None:
        from rl_es.sweep.progress import LiveTable

        return LiveTable(console)
    return make_progress() if verbose else make_progress(quiet=True, stream=sys.stderr)
