"""Small good results folders of each kind, for cases to damage."""

from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import numpy as np

from rl_es.results import gradient_estimates
from rl_es.rollout.config import PolicyConfig, WrapperConfig
from rl_es.sweep import store
from rl_es.sweep.cells import expand_cells
from rl_es.training import policies
from rl_es.training.policies import PolicyEvaluator
from rl_es.training.task import Task
from tests.running import sweep_of
from tests.speed import tables as timed
from tests.tuning.runs import SEARCH, fill

SWEEP = """
name: toy
seeds: 2
defaults: {budget: {env_steps: 1e4}, policy: {widths: [4]}, agent: {population: 16}}
environments: [CartPole-v1]
agents: [open_es]
"""
FED = """
name: toy
seeds: 2
defaults: {budget: {env_steps: 1e4}, agent: {population: 16}}
environments: [CartPole-v1]
agents: [open_es, eggroll]
"""


def swept(folder: Path) -> None:
    """Of a sweep: two cells and the manifest."""
    fill(folder, sweep_of(SWEEP), lambda cell: [10.0, 20.0 + cell.seed])


def trained(folder: Path) -> None:
    """The same with the final policy of the first run, all of whose weights are zero."""
    swept(folder)
    cell = expand_cells(sweep_of(SWEEP))[0]
    task = Task(cell.env_name, cell.options, WrapperConfig(), PolicyConfig(widths=(4,)))
    zeros = jax.tree.map(
        lambda leaf: np.zeros(leaf.shape, leaf.dtype), PolicyEvaluator(task).shapes
    )
    about = {**store.cell_identity(cell), **store.cell_origin(cell), "env_steps": 10_000}
    policies.save_policy(folder / "policies" / cell.run_id, "final", zeros, about)


def searched(folder: Path) -> None:
    """Of a tuning run, beside a sweep that it can be fed to."""
    fill(folder, sweep_of(SEARCH), lambda cell: [float(cell.settings["lr"])])
    (folder.parent / "sweep.yaml").write_text(FED)


def measured(folder: Path) -> None:
    """Of a speed benchmark: one workload."""
    folder.mkdir()
    timed.write(folder, [{"times": {"inference": ("inference", 1e-6, 0)}}])


def estimated(folder: Path) -> None:
    """Of gradient estimates: one row."""
    row = dict.fromkeys(gradient_estimates.COLUMNS, 1) | {
        "sweep": "toy", "run_id": "0" * 16, "env": "linear", "agent": "pes", "label": "pes",
        "parameters": 2, "mean": [0.5, 1.0], "exact": None, "exact_full": None,
        "rank": None, "factors": None,
    }  # fmt: skip
    gradient_estimates.write(folder, row, {"generations": 1, "versions": {"jax": "0"}})


MADE: Mapping[str, Callable[[Path], None]] = {
    "swept": swept,
    "trained": trained,
    "tuned": searched,
    "timed": measured,
    "estimated": estimated,
}


def run_id() -> str:
    """Of the first run of `swept` and `trained`."""
    return expand_cells(sweep_of(SWEEP))[0].run_id
