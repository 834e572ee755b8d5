"""Sweeps run from start to end: what comes out, what is compiled, lanes, devices, budgets."""

import json
import traceback
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rl_es.errors import UserError
from rl_es.results import tables
from rl_es.rollout.config import EvaluationConfig
from rl_es.sweep import plan
from rl_es.sweep.cells import expand_cells, group_cells
from rl_es.sweep.queue import make_placed_group
from rl_es.sweep.runs import ActiveRun, GroupRecord
from rl_es.sweep.schema import Budget, Sweep
from rl_es.sweep.store import RunProgress, Store
from rl_es.training.resources import Resources
from tests.running import alike, ran, same, sweep_of, times
from tests.sweep.small import LASTING, ONE, PERSISTENT, TINY


class Compilations:
    """What XLA compiles (or takes from its cache) while it is counted, by where it came from."""

    def __init__(self) -> None:
        self.ours: Counter[str] = Counter()

    def __call__(self, event: str, seconds: float, **about: Any) -> None:
        if event != "/jax/core/compile/backend_compile_duration":
            return
        for frame in reversed(traceback.extract_stack()):
            if "/gymnax/" in frame.filename:  # making one compiles: not ours to change
                return
            if any(f"/{part}/" in frame.filename for part in ("rl_es", "agents", "envs")):
                self.ours[f"{Path(frame.filename).name}:{frame.name}"] += 1
                return

    def __enter__(self) -> "Compilations":
        jax.clear_caches()
        jax.monitoring.register_event_duration_secs_listener(self)
        return self

    def __exit__(self, *error: Any) -> None:
        jax.monitoring.unregister_event_duration_listener(self)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Compilations]:
    """The small sweep's folder, and what was compiled for it."""
    folder = tmp_path_factory.mktemp("once")
    with Compilations() as compilations:
        ran(folder, sweep_of(TINY))
    return folder, compilations


def planned(sweep: Sweep, lanes: int = 1) -> int:
    groups = group_cells(expand_cells(sweep))
    works = [make_placed_group(group, Resources(lanes=lanes)) for group in groups]
    return sum(counts.programs for counts in plan.count_groups(groups, works))


# --- what comes out -----------------------------------------------------------------------------


def test_a_second_run_gives_the_same_tables(once: tuple[Path, Any], tmp_path: Path) -> None:
    same(once[0], ran(tmp_path, sweep_of(TINY)))


def test_curves_and_runs(once: tuple[Path, Any]) -> None:
    curves, runs = tables.load_tables(once[0])
    assert len(runs) == 16 and (runs.status == "finished").all() and runs.reason.isna().all()
    assert runs.run_id.is_unique and len(curves) == 3 * 16
    assert curves.groupby("run_id").generation.apply(list).map(lambda g: g == [0, 2, 4]).all()
    assert set(runs["hyper.lr"]) == {0.05, 0.01} and (runs.generations == 4).all()
    solved = runs[runs.env == "CartPole-v1"]
    assert (solved.steps_to_threshold == 0).all()
    assert runs[runs.env == "Pendulum-v1"].steps_to_threshold.isna().all()
    last = curves[curves.generation == 4].set_index("run_id")
    pd.testing.assert_series_equal(
        runs.set_index("run_id").final_return, last.return_mean, check_names=False
    )
    assert (runs.lanes == 1).all() and (curves.lanes == 1).all()


def test_only_training_steps_are_counted(once: tuple[Path, Any]) -> None:
    """Pendulum never terminates: its steps are known."""
    curves, _ = tables.load_tables(once[0])
    steps = {"eggroll": 16 * 20, "pes": 16 * 10}  # a generation
    pendulum = curves[curves.env == "Pendulum-v1"]
    assert (pendulum.env_steps == pendulum.generation * pendulum.agent.map(steps)).all()
    cartpole = curves[(curves.env == "CartPole-v1") & (curves.agent == "eggroll")]
    assert (cartpole.env_steps <= cartpole.generation * 16 * 30).all()
    assert (curves[curves.generation == 0].env_steps == 0).all()


def test_agents_of_a_seed_start_alike_and_are_evaluated_on_the_same_episodes(
    once: tuple[Path, Any],
) -> None:
    curves, _ = tables.load_tables(once[0])
    first = curves[curves.generation == 0]
    measures = ["return_mean", "return_std", "return_min", "return_max"]
    assert (first.groupby(["env", "seed"])[measures].nunique() == 1).all(axis=None)
    assert first.groupby("env").return_mean.nunique().eq(2).all()  # seeds differ
    assert first.population_mean.isna().all() and first.update_norm.isna().all()


def test_learning_rates_and_seeds_lead_to_different_curves(once: tuple[Path, Any]) -> None:
    curves, _ = tables.load_tables(once[0])
    pendulum = curves[(curves.env == "Pendulum-v1") & (curves.generation == 4)]
    assert (pendulum.groupby("agent").population_mean.nunique() == 4).all()
    moved = pendulum.groupby(["agent", "hyper.lr"]).update_norm.min().unstack()
    assert (moved[0.05] > 2 * moved[0.01]).all() and (moved[0.01] > 0).all()


def test_manifest(once: tuple[Path, Any]) -> None:
    manifest = json.loads((once[0] / "manifest.json").read_text())
    assert manifest["sweep"] == sweep_of(TINY).model_dump(mode="json", by_alias=True)
    (start,) = manifest["starts"]
    assert start["cells"] == 16 and start["versions"]["jax"] == jax.__version__
    assert {"time", "device", "machine", "git_revision"} <= start.keys()


# --- compilation --------------------------------------------------------------------------------


def test_as_many_compilations_as_planned_and_no_hidden_ones(once: tuple[Path, Any]) -> None:
    assert once[1].ours == {"compilation.py:compile": planned(sweep_of(TINY))}
    assert planned(sweep_of(TINY)) == 2 * (4 + 2)  # agents share initial parameters and evaluation


def test_more_seeds_and_learning_rates_compile_nothing_more(tmp_path: Path) -> None:
    sweep = sweep_of(ONE, "seeds=5", "agents=[{name: eggroll, with: {population: 16}, "
                 "grid: {lr: [1, 2, 3], sigma: [0.1, 0.2]}}]", "budget.generations=1")  # fmt: skip
    with Compilations() as compilations:
        ran(tmp_path, sweep)
    assert len(tables.load_tables(tmp_path)[1]) == 30
    assert compilations.ours == {"compilation.py:compile": 4}


def test_a_second_call_does_nothing(once: tuple[Path, Any]) -> None:
    folder, before = once[0], times(once[0])
    with Compilations() as compilations:
        ran(folder, sweep_of(TINY))
    assert not compilations.ours and times(folder) == before


# --- lanes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("agent", ["eggroll", "pes"])
def test_runs_that_share_a_call_are_those_that_run_alone(agent: str, tmp_path: Path) -> None:
    """Five runs, three at a time, so that the last call has a lane with nothing to do.

    XLA sums in another order under vmap, so returns agree to float tolerance; over so few
    generations no action changes, and counts are exact.
    """
    changes = ("seeds=5", *(PERSISTENT if agent == "pes" else ()))
    alone = ran(tmp_path / "alone", sweep_of(ONE, *changes))
    with Compilations() as compilations:
        shared = ran(tmp_path / "together", sweep_of(ONE, *changes), lanes=3)
    assert compilations.ours == {"compilation.py:compile": 4}
    alike(alone, shared, but=("lanes",))
    (left, first), (right, second) = tables.load_tables(alone), tables.load_tables(shared)
    assert (right.lanes == 3).all() and (second.lanes == 3).all() and (first.lanes == 1).all()
    assert (second.status == "finished").all() and len(second) == 5
    assert (left.env_steps == right.env_steps).all()


def test_runs_of_different_lengths_share_calls(tmp_path: Path) -> None:
    """With budgets in steps, lanes come to their points at different generations."""
    changes = ("seeds=3", "defaults.budget={env_steps: 1000}")
    alone = ran(tmp_path / "alone", sweep_of(ONE, *changes))
    shared = ran(tmp_path / "together", sweep_of(ONE, *changes), lanes=3)
    (left, _), (right, _) = tables.load_tables(alone), tables.load_tables(shared)
    columns = ["run_id", "seed", "generation", "env_steps", "episodes"]
    pd.testing.assert_frame_equal(left[columns], right[columns])
    assert left.groupby("seed").env_steps.max().between(1000, 1000 + 16 * 30).all()


@pytest.mark.parametrize("agent", ["eggroll", "pes", "pes keys", "nres", "nres rank 1"])
@pytest.mark.parametrize(("devices", "lanes", "chunk"), [(2, 2, None), (2, 1, 128)])
def test_devices_and_chunks_change_nothing(
    agent: str, devices: int, lanes: int, chunk: int | None, tmp_path: Path
) -> None:
    """With 256 members two devices share a population; with 16 they share the runs."""
    size = f"agents.0.with.population={16 if lanes == 2 else 256}"
    changes = ("seeds=3", *LASTING[agent], size)
    alone = ran(tmp_path / "alone", sweep_of(ONE, *changes))
    placed = {"lanes": lanes, "devices": devices, "population_chunk": chunk}
    spread = ran(tmp_path / "spread", sweep_of(ONE, *changes), **placed)
    alike(alone, spread, but=("lanes", "devices", "chunks"))


def test_more_devices_than_there_are_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--devices: must be at most 2, those that jax finds; is 3"):
        ran(tmp_path, sweep_of(ONE), devices=3)


# --- budgets ------------------------------------------------------------------------------------


def test_budget_in_seconds(tmp_path: Path) -> None:
    ran(tmp_path, sweep_of(ONE, "defaults.budget={seconds: 0.2}", "seeds=1"))
    curves, runs = tables.load_tables(tmp_path)
    assert runs.status.item() == "finished" and 0.2 <= runs.wall_seconds.item() < 5
    assert curves.generation.iloc[0] == 0 and curves.generation.is_monotonic_increasing
    assert 2 <= len(curves) <= 4 and curves.wall_seconds.iloc[-1] >= 0.2


@example(points=12, budget=1635732, kind="env_steps", step=1, cuts=[1])
@settings(deadline=None)
@given(
    points=st.integers(1, 50),
    budget=st.integers(1, 10**9),
    kind=st.sampled_from(["generations", "env_steps"]),
    step=st.integers(1, 10**6),
    cuts=st.lists(st.integers(1, 10**5), min_size=1, max_size=5),
)
def test_every_point_is_reached_at_the_first_generation_after_it(
    points: int, budget: int, kind: str, step: int, cuts: list[int]
) -> None:
    """However the calls are cut, and no lane ever waits for nothing."""
    cell = replace(
        expand_cells(sweep_of(ONE))[0],
        budget=Budget(**{kind: budget}),
        evaluation=EvaluationConfig(points=points),
    )
    size = 1 if kind == "generations" else step
    expected = sorted({-(-max(1, -(-k * budget // points)) // size) for k in range(1, points + 1)})
    lane = ActiveRun(cell, Store(Path()), GroupRecord(1, 0.0, 1, 0))
    reached: list[int] = []
    while lane.fraction < 1.0:
        generations, steps = lane.remaining(lane.next_point())
        assert generations > 0 and steps > 0
        done = min(generations, -(-steps // step), cuts[len(reached) % len(cuts)] * budget)
        point = lane.next_point()
        ahead = lane.progress.generation + done, lane.progress.env_steps + done * step
        lane.progress = RunProgress(*ahead)
        if lane.is_due(point):
            reached.append(lane.progress.generation)
            lane.rows.append({"generation": lane.progress.generation})
    assert reached == expected
    assert np.all(np.diff(reached) > 0)
