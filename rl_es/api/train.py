"""Training in this process, without a sweep file."""

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
from rl_es.errors import MAX_SEED, UserError, brief
from rl_es.results.files import check_folder
from rl_es.sweep.cells import expand_cells
from rl_es.sweep.loading import validate_sweep
from rl_es.sweep.progress import Progress, make_progress
from rl_es.sweep.schema import Sweep

BUDGETS = ("env_steps", "generations", "seconds")


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
      seeds: how many, from 0; or a list of them.
      policy: network and action head, such as {"widths": [32, 32]}.
      evaluation: how the unperturbed policy is evaluated, such as {"points": 20, "episodes": 16}.
      out: the results folder; None: a temporary one, which is removed with the `Results`.
      name: the sweep's name, in tables.
      devices: how many devices share populations or runs; None: one CPU, or all accelerators. A CPU
        counts as as many devices as the first use of jax in this process asked for.
      retry_failed: run the runs that failed before, and no others.
      progress: show what is done; otherwise only failures are told.
      settings: settings of every agent, such as population, sigma, lr, rank.

    Returns:
      The runs of this call, and no others that `out` may hold. Where some failed, there is a
      warning, and they are among `runs`.

    Raises:
      UserError: an argument is wrong, the parts do not fit together, or every run failed.
      StorageError: the results folder cannot be written; what is finished is kept.
      KeyboardInterrupt: it was stopped; the same call with the same `out` goes on.
    """
    import_packages()
    budget = {"env_steps": env_steps, "generations": generations, "seconds": seconds}
    sweep = _sweep(env, agent, budget, seeds, policy, evaluation, name, settings)
    if devices is not None:
        devices = whole_number("train: devices", devices, 1, MAX_SEED)
    if out is None:
        folder = Path(tempfile.mkdtemp(prefix="rl_es_"))
    else:
        folder = check_folder(existing_path("train: out", out), "out")
    try:
        _run(sweep, folder, devices, retry_failed, progress)
        found = _found(sweep, folder)
    except BaseException:
        if out is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if out is None:
        weakref.finalize(found, shutil.rmtree, folder, ignore_errors=True)
    return found


OWN = [one for one in inspect.signature(train).parameters if one != "settings"]


def _sweep(
    env: Entries,
    agent: Entries,
    budget: Mapping[str, Any],
    seeds: Any,
    policy: Mapping[str, Any] | None,
    evaluation: Mapping[str, Any] | None,
    name: str,
    settings: Mapping[str, Any],
) -> Sweep:
    """The sweep that the arguments mean, checked."""
    given = {kind: amount for kind, amount in budget.items() if amount is not None}
    if len(given) > 1:
        raise UserError(f"train: takes one of {', '.join(BUDGETS)}; has {' and '.join(given)}")
    stated = {"policy": policy, "evaluation": evaluation}
    stated = {key: part for key, part in stated.items() if part is not None}
    defaults = {**stated, "agent": settings, **({"budget": given} if given else {})}
    content = {"name": name, "seeds": seeds, "defaults": defaults}
    call = CallDocument("train", {**content, "environments": env, "agents": agent}, OWN)
    entries = call.content["environments"]
    own = isinstance(entries, list) and all(isinstance(e, dict) and "budget" in e for e in entries)
    if not given and not own:
        raise UserError(f"train: needs one of {', '.join(BUDGETS)}, such as env_steps=1e6")
    return validate_sweep(call)


def _run(sweep: Sweep, folder: Path, devices: int | None, retry: bool, told: bool) -> None:
    from rl_es.sweep import execution
    from rl_es.training.resources import Resources

    shown = _shown(told)
    try:
        execution.run_sweep(sweep, folder, shown, Resources(devices), retry_failed=retry)
    except UserError as error:  # options of the command line are arguments here
        said = re.sub(r"^--(?=\w+: )", "train: ", str(error))
        error.args = (re.sub(r"(?<= )--(?=out\b)", "", said),)
        raise
    finally:
        if told:
            shown.end()


def _found(sweep: Sweep, folder: Path) -> Results:
    """The results of a sweep's runs, all of which have ended."""
    found = Results(folder, {cell.run_id for cell in expand_cells(sweep)})
    failed = found.runs[found.runs["status"] == "failed"]
    if len(failed):
        every = len(failed) == len(found.runs)
        which = "every run" if every else f"{len(failed)} of {len(found.runs)} runs"
        said = f"train: {which} failed: {brief(str(failed['reason'].iloc[0]), 300)}"
        if every:
            raise UserError(said)
        warnings.warn(said, stacklevel=3)
    return found


def _shown(told: bool) -> Progress:
    """A live table on a terminal or in a notebook that can show one, else lines."""
    from importlib.util import find_spec

    from rich.console import Console

    console = Console()
    if told and console.is_jupyter and find_spec("ipywidgets") is not None:
        from rl_es.sweep.progress import LiveTable

        return LiveTable(console)
    return make_progress() if told else make_progress(quiet=True, stream=sys.stderr)
