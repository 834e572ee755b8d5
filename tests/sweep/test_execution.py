"""Sweeps run from start to end, small ones of real environments and agents.

Four groups of four runs, some seconds each with their programs in the cache; what several tests
look at is run once. Budgets are mostly generations, so that evaluation points coincide.
"""

import json
import os
import signal
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import envs.gymnax
from rl_es import tables
from rl_es.errors import UserError
from rl_es.interfaces import Transition
from rl_es.rollout.config import EvaluationConfig
from rl_es.sweep import execution, plan
from rl_es.sweep.cells import Cell, cells, groups
from rl_es.sweep.lane import Lane, Shared
from rl_es.sweep.loading import checked
from rl_es.sweep.overriding import override
from rl_es.sweep.placing import Resources
from rl_es.sweep.reading import parse
from rl_es.sweep.schema import Budget, Sweep
from rl_es.sweep.store import Progressed, Store
from rl_es.training import task

TEXT = """
name: tiny
seeds: 2
defaults:
  budget: {generations: 4}
  evaluation: {points: 2, episodes: 4}
  policy: {widths: [8]}
  agent: {population: 16}
environments:
  - {name: CartPole-v1, episode_length: 30, threshold: 1}
  - {name: Pendulum-v1, episode_length: 20}
agents:
  - {name: eggroll, grid: {lr: [0.05, 0.01]}}
  - {name: pes, with: {window: 10}, grid: {lr: [0.05, 0.01]}}
"""
ONE = """
name: one
seeds: 2
defaults:
  budget: {generations: 6}
  evaluation: {points: 3, episodes: 4}
  policy: {widths: [8]}
environments: [{name: CartPole-v1, episode_length: 30}]
agents: [{name: eggroll, with: {population: 16}}]
"""
PERSISTENT = ("agents=[{name: pes, with: {population: 16, window: 10}}]",)
LASTING = {  # what strategies remember of their pairs, in each form
    "eggroll": (),
    "pes": PERSISTENT,
    "pes list": ("agents=[{name: pes, with: {population: 16, window: 10, rank: 1}}]",),
    "pes keys": (
        "agents=[{name: pes, with: {population: 16, window: 10, rank: 1, accumulator: keys}}]",
    ),
    "nres": ("agents=[{name: nres, with: {population: 16, window: 10, staggered: true}}]",),
    "nres rank 1": ("agents=[{name: nres, with: {population: 16, window: 10, rank: 1}}]",),
    "truncated_es": ("agents=[{name: truncated_es, with: {population: 16, window: 10}}]",),
}


@pytest.fixture(autouse=True)
def toys() -> None:
    """The registries hold the real agents and environments here."""


class Silent:
    """Progress that calls a function where a cell reports."""

    def __init__(self, running: Callable[..., None] | None = None):
        self.said: list[tuple[Any, ...]] = []
        self._running = running

    def running(self, *report: Any) -> None:
        self.said.append(("running", *report))
        if self._running is not None:
            self._running(*report)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *report: self.said.append((name, *report))


def made(text: str = TEXT, *assignments: str) -> Sweep:
    document = parse(text, "tiny.yaml")
    override(document, assignments)
    return checked(document)


def ran(
    folder: Path,
    sweep: Sweep,
    lanes: int | None = 1,
    code: int = 0,
    resources: Mapping[str, int] | None = None,
    **progress: Any,
) -> Path:
    asked = Resources(lanes=lanes, **(resources or {}))
    assert execution.run(sweep, folder, Silent(**progress), asked) == code
    return folder


def same(one: Path, other: Path) -> None:
    """The tables are equal bit for bit, timing aside."""
    for left, right in zip(tables.load(one), tables.load(other), strict=True):
        pd.testing.assert_frame_equal(_untimed(left), _untimed(right), check_exact=True)


def _untimed(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns=[name for name in tables.TIMING if name in table])


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
        ran(folder, made())
    return folder, compilations


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One agent on one environment, two seeds."""
    return ran(tmp_path_factory.mktemp("short"), made(ONE))


def planned(sweep: Sweep, lanes: int = 1) -> int:
    every = groups(cells(sweep))
    works = [execution.work_of(group, Resources(lanes=lanes)) for group in every]
    return sum(counts.programs for counts in plan.count(works))


# --- what comes out -----------------------------------------------------------------------------


def test_a_second_run_gives_the_same_tables(once: tuple[Path, Any], tmp_path: Path) -> None:
    same(once[0], ran(tmp_path, made()))


def test_curves_and_runs(once: tuple[Path, Any]) -> None:
    curves, runs = tables.load(once[0])
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
    curves, _ = tables.load(once[0])
    steps = {"eggroll": 16 * 20, "pes": 16 * 10}  # a generation
    pendulum = curves[curves.env == "Pendulum-v1"]
    assert (pendulum.env_steps == pendulum.generation * pendulum.agent.map(steps)).all()
    cartpole = curves[(curves.env == "CartPole-v1") & (curves.agent == "eggroll")]
    assert (cartpole.env_steps <= cartpole.generation * 16 * 30).all()
    assert (curves[curves.generation == 0].env_steps == 0).all()


def test_agents_of_a_seed_start_alike_and_are_evaluated_on_the_same_episodes(
    once: tuple[Path, Any],
) -> None:
    curves, _ = tables.load(once[0])
    first = curves[curves.generation == 0]
    measures = ["return_mean", "return_std", "return_min", "return_max"]
    assert (first.groupby(["env", "seed"])[measures].nunique() == 1).all(axis=None)
    assert first.groupby("env").return_mean.nunique().eq(2).all()  # seeds differ
    assert first.population_mean.isna().all() and first.update_norm.isna().all()


def test_learning_rates_and_seeds_lead_to_different_curves(once: tuple[Path, Any]) -> None:
    curves, _ = tables.load(once[0])
    pendulum = curves[(curves.env == "Pendulum-v1") & (curves.generation == 4)]
    assert (pendulum.groupby("agent").population_mean.nunique() == 4).all()
    moved = pendulum.groupby(["agent", "hyper.lr"]).update_norm.min().unstack()
    assert (moved[0.05] > 2 * moved[0.01]).all() and (moved[0.01] > 0).all()


def test_manifest(once: tuple[Path, Any]) -> None:
    manifest = json.loads((once[0] / "manifest.json").read_text())
    assert manifest["sweep"] == made().model_dump(mode="json", by_alias=True)
    (start,) = manifest["starts"]
    assert start["cells"] == 16 and start["versions"]["jax"] == jax.__version__
    assert {"time", "device", "machine", "git_revision"} <= start.keys()


# --- compilation --------------------------------------------------------------------------------


def test_as_many_compilations_as_planned_and_no_hidden_ones(once: tuple[Path, Any]) -> None:
    assert once[1].ours == {"program.py:_compile": planned(made())}
    assert planned(made()) == 2 * (3 + 2)  # an environment's agents share the evaluation


def test_more_seeds_and_learning_rates_compile_nothing_more(tmp_path: Path) -> None:
    sweep = made(ONE, "seeds=5", "agents=[{name: eggroll, with: {population: 16}, "
                 "grid: {lr: [1, 2, 3], sigma: [0.1, 0.2]}}]", "budget.generations=1")  # fmt: skip
    with Compilations() as compilations:
        ran(tmp_path, sweep)
    assert len(tables.load(tmp_path)[1]) == 30
    assert compilations.ours == {"program.py:_compile": 3}


# --- lanes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("agent", ["eggroll", "pes"])
def test_runs_that_share_a_call_are_those_that_run_alone(agent: str, tmp_path: Path) -> None:
    """Five runs, three at a time, so that the last call has a lane with nothing to do.

    XLA sums in another order under vmap, so returns agree to float tolerance; over so few
    generations no action changes, and counts are exact.
    """
    changes = ("seeds=5", *(PERSISTENT if agent == "pes" else ()))
    alone = ran(tmp_path / "alone", made(ONE, *changes))
    with Compilations() as compilations:
        together = ran(tmp_path / "together", made(ONE, *changes), lanes=3)
    assert compilations.ours == {"program.py:_compile": 3}
    (left, first), (right, second) = tables.load(alone), tables.load(together)
    assert (right.lanes == 3).all() and (second.lanes == 3).all() and (first.lanes == 1).all()
    assert (second.status == "finished").all() and len(second) == 5
    timing = [*tables.TIMING, "lanes"]
    for one, other in ((left, right), (first, second)):
        keep = [name for name in one if name not in timing]
        pd.testing.assert_frame_equal(one[keep], other[keep], rtol=1e-4, atol=1e-5)
    assert (left.env_steps == right.env_steps).all()


def test_runs_of_different_lengths_share_calls(tmp_path: Path) -> None:
    """With budgets in steps, lanes come to their points at different generations."""
    changes = ("seeds=3", "defaults.budget={env_steps: 1000}")
    alone = ran(tmp_path / "alone", made(ONE, *changes))
    together = ran(tmp_path / "together", made(ONE, *changes), lanes=3)
    (left, _), (right, _) = tables.load(alone), tables.load(together)
    whole = ["run_id", "seed", "generation", "env_steps", "episodes"]
    pd.testing.assert_frame_equal(left[whole], right[whole])
    assert left.groupby("seed").env_steps.max().between(1000, 1000 + 16 * 30).all()


def test_a_number_of_lanes_below_one_is_refused() -> None:
    with pytest.raises(UserError, match="--lanes: must be at least 1; is -1"):
        Resources(lanes=-1)


@pytest.mark.parametrize("agent", ["eggroll", "pes", "pes keys", "nres", "nres rank 1"])
@pytest.mark.parametrize(("devices", "lanes", "chunk"), [(2, 2, None), (2, 1, 128)])
def test_devices_and_chunks_change_nothing(
    agent: str, devices: int, lanes: int, chunk: int | None, tmp_path: Path
) -> None:
    """With 256 members two devices share a population; with 16 they share the runs."""
    own = LASTING[agent]
    size = f"agents.0.with.population={16 if lanes == 2 else 256}"
    changes = ("seeds=3", *own, size)
    alone = ran(tmp_path / "alone", made(ONE, *changes))
    asked = {"devices": devices} | ({"population_chunk": chunk} if chunk else {})
    spread = ran(tmp_path / "spread", made(ONE, *changes), lanes=lanes, resources=asked)
    (left, _), (right, _) = tables.load(alone), tables.load(spread)
    keep = [name for name in left if name not in [*tables.TIMING, "lanes"]]
    pd.testing.assert_frame_equal(left[keep], right[keep], rtol=1e-4, atol=1e-5)


def test_more_devices_than_there_are_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--devices: must be at most 2, those that jax finds; is 3"):
        ran(tmp_path, made(ONE), resources={"devices": 3})


# --- running again ------------------------------------------------------------------------------


def _times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in tables.cell_paths(folder)}


def test_a_second_call_does_nothing(once: tuple[Path, Any]) -> None:
    folder, before = once[0], _times(once[0])
    with Compilations() as compilations:
        ran(folder, made())
    assert not compilations.ours and _times(folder) == before


@pytest.mark.parametrize("changes", LASTING.values(), ids=LASTING)
def test_a_longer_budget_goes_on_where_the_run_ended(
    changes: tuple[str, ...], tmp_path: Path
) -> None:
    through = ran(tmp_path / "through", made(ONE, *changes))
    half = made(ONE, *changes, "budget.generations=2", "defaults.evaluation.points=1")
    folder = ran(tmp_path / "on", half)
    assert (tables.load(folder)[1].generations == 2).all()
    went: list[int] = []

    def running(cell: Cell, fraction: float, shown: float, env_steps: int, rate: float) -> None:
        went.append(env_steps)

    ran(folder, made(ONE, *changes), running=running)
    assert min(went) > tables.load(folder)[0].query("generation == 2").env_steps.min()
    same(folder, through)


def test_a_shorter_budget_is_already_done(short: Path) -> None:
    before = _times(short)
    ran(short, made(ONE, "budget.generations=2"))
    assert _times(short) == before


# --- stopping -----------------------------------------------------------------------------------


@pytest.fixture
def fine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of one generation, and files written at every evaluation."""
    monkeypatch.setattr("rl_es.sweep.batch.CALL_SECONDS", 0.0)
    monkeypatch.setattr("rl_es.sweep.lane.WRITE_SECONDS", -1.0)


def interrupt_at(seed: int, fraction: float) -> Callable[..., None]:
    def running(cell: Cell, done: float, *rest: Any) -> None:
        if cell.seed == seed and done >= fraction:
            os.kill(os.getpid(), signal.SIGINT)

    return running


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.7, 1.0])
@pytest.mark.usefixtures("fine")
def test_an_interrupted_sweep_ends_as_an_uninterrupted_one(
    fraction: float, short: Path, tmp_path: Path
) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        execution.run(made(ONE), tmp_path, Silent(interrupt_at(1, fraction)), Resources(lanes=1))
    assert signal.getsignal(signal.SIGINT) is before
    curves, runs = tables.load(tmp_path)
    assert list(runs.status) == ["finished", "finished" if fraction == 1.0 else "running"]
    assert (curves.groupby("seed").generation.min() == 0).all()
    same(short, ran(tmp_path, made(ONE)))


@pytest.mark.usefixtures("fine")
def test_interrupted_persistent_runs_that_share_calls_go_on(tmp_path: Path) -> None:
    sweep = made(ONE, *PERSISTENT, "seeds=3")
    through = ran(tmp_path / "through", sweep, lanes=2)
    folder = tmp_path / "on"
    with pytest.raises(KeyboardInterrupt):
        execution.run(sweep, folder, Silent(interrupt_at(1, 0.5)), Resources(lanes=2))
    assert set(tables.load(folder)[1].status) == {"running"}
    same(through, ran(folder, sweep, lanes=2))


@pytest.mark.usefixtures("fine")
def test_a_curve_can_be_read_while_its_run_goes_on(tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []

    def running(cell: Cell, *rest: Any) -> None:
        curves, runs = tables.load(tmp_path)
        mine = runs[runs.run_id == cell.run_id]
        seen.append((mine.status.item(), int((curves.run_id == cell.run_id).sum())))

    ran(tmp_path, made(ONE, "seeds=1"), running=running)
    assert {status for status, _ in seen} == {"running"}
    assert [rows for _, rows in seen] == [1, 1, 2, 2, 3, 3]


@pytest.mark.usefixtures("fine")
def test_stopping_while_a_program_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def slow(*args: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        release.wait(20)
        raise RuntimeError

    monkeypatch.setattr(execution, "compile_group", slow)
    with pytest.raises(KeyboardInterrupt):
        execution.run(made(ONE), tmp_path, Silent(), Resources(lanes=1))
    release.set()
    assert not tables.cell_paths(tmp_path)


def test_killed_between_its_last_checkpoint_and_its_record(
    short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: Lane, status: str, reason: str | None = None) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(Lane, "end", killed)
        with pytest.raises(SystemExit):
            execution.run(made(ONE), tmp_path, Silent(), Resources(lanes=1))
    same(short, ran(tmp_path, made(ONE)))


# --- failing ------------------------------------------------------------------------------------


class Broken:
    """An environment whose step cannot be traced."""

    def __init__(self, env: Any):
        self.env, self.spec = env, env.spec

    def reset(self, key: Any) -> Any:
        return self.env.reset(key)

    def step(self, key: Any, state: Any, action: Any) -> Transition:
        raise ZeroDivisionError("the pole\nis missing")


@contextmanager
def broken_cartpole() -> Iterator[None]:
    make = envs.gymnax.make

    def sometimes(name: str, options: Any) -> Any:
        env = make(name, options)
        return Broken(env) if name.startswith("CartPole") else env

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(envs.gymnax, "make", sometimes)
        task.forget()
        yield
    task.forget()


def test_a_failing_group_is_recorded_and_tried_again(
    once: tuple[Path, Any], tmp_path: Path
) -> None:
    said = Silent()
    with broken_cartpole():
        assert execution.run(made(), tmp_path, said, Resources(lanes=1)) == 1
    _, runs = tables.load(tmp_path)
    status = runs.groupby("env").status.agg(set)
    assert status["CartPole-v1"] == {"failed"} and status["Pendulum-v1"] == {"finished"}
    assert set(runs.reason.dropna()) == {"ZeroDivisionError: the pole"}
    assert Counter(event for event, *_ in said.said)["failed"] == 8
    same(once[0], ran(tmp_path, made()))


@pytest.mark.usefixtures("fine")
def test_a_failure_keeps_the_curve_that_was_there(short: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        execution.run(made(ONE), tmp_path, Silent(interrupt_at(1, 0.5)), Resources(lanes=1))
    before, _ = tables.load(tmp_path)
    with broken_cartpole():
        ran(tmp_path, made(ONE), code=1)
    after, runs = tables.load(tmp_path)
    assert list(runs.status) == ["finished", "failed"]
    pd.testing.assert_frame_equal(before, after)
    same(short, ran(tmp_path, made(ONE)))


def test_labels_and_threshold_follow_the_sweep(tmp_path: Path) -> None:
    """They are not in a run's identity: a finished run takes those that the sweep has now."""
    sweep = made(ONE, "budget.generations=2", "defaults.evaluation.points=1")
    ran(tmp_path, sweep)
    changed = made(
        ONE,
        "budget.generations=2",
        "defaults.evaluation.points=1",
        "agents=[{name: eggroll, label: fancy, with: {population: 16}}]",
        "environments.0.threshold=1",
    )
    assert {cell.run_id for cell in cells(changed)} == {cell.run_id for cell in cells(sweep)}
    ran(tmp_path, changed)
    curves, runs = tables.load(tmp_path)
    assert set(runs.label) == set(curves.label) == {"fancy"}
    assert (runs.threshold == 1).all() and (runs.steps_to_threshold == 0).all()
    manifests = [json.loads(path.read_text()) for path in tmp_path.glob("policies/*/final.json")]
    assert {manifest["label"] for manifest in manifests} == {"fancy"}


def test_a_damaged_checkpoint_fails_its_run_alone(short: Path, tmp_path: Path) -> None:
    sweep = made(ONE, "budget.generations=2", "defaults.evaluation.points=1")
    ran(tmp_path, sweep)
    damaged = Store(tmp_path).checkpoint(cells(sweep)[0])
    damaged.write_bytes(damaged.read_bytes()[:-100])
    ran(tmp_path, made(ONE), code=1)
    curves, runs = tables.load(tmp_path)
    assert list(runs.status) == ["finished", "finished"]  # what was finished for less, stays so
    assert runs.generations[0] == 2 < runs.generations[1]
    assert (curves.groupby("seed").generation.min() == 0).all()
    damaged.unlink()
    same(short, ran(tmp_path, made(ONE)))


def test_a_damaged_cell_is_refused_and_can_be_removed(short: Path, tmp_path: Path) -> None:
    ran(tmp_path, made(ONE))
    path = tables.cell_paths(tmp_path)[0]
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UserError, match="not a readable cell.*remove it and run again") as refusal:
        execution.run(made(ONE), tmp_path, Silent(), Resources(lanes=1))
    assert path.name in str(refusal.value) and len(str(refusal.value).splitlines()) == 1
    path.unlink()
    same(short, ran(tmp_path, made(ONE)))


def test_a_run_that_diverges_ends_with_its_curve(tmp_path: Path) -> None:
    sweep = made(ONE, "agents=[{name: eggroll, with: {population: 16, optimiser: sgd, lr: 1e38}}]")
    said = Silent()
    assert execution.run(sweep, tmp_path, said, Resources(lanes=1)) == 0
    curves, runs = tables.load(tmp_path)
    assert (runs.status == "diverged").all() and runs.reason.str.contains("not finite").all()
    assert (curves.groupby("seed").generation.apply(list).map(len) == 2).all()
    assert Counter(event for event, *_ in said.said)["finished"] == 2
    before = _times(tmp_path)
    ran(tmp_path, sweep)
    assert _times(tmp_path) == before


def test_one_run_that_diverges_leaves_those_beside_it_alone(tmp_path: Path) -> None:
    text = "agents=[{name: eggroll, with: {population: 16, optimiser: sgd}, grid: {lr: [%s]}}]"
    both = ran(tmp_path / "both", made(ONE, text % "1e38, 0.1", "seeds=1"), lanes=2)
    alone = ran(tmp_path / "alone", made(ONE, text % "0.1", "seeds=1"))
    curves, runs = tables.load(both)
    assert set(runs.status) == {"diverged", "finished"}
    good = runs[runs.status == "finished"].run_id.item()
    columns = ["generation", "env_steps", "return_mean"]
    kept = curves[curves.run_id == good][columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, tables.load(alone)[0][columns], rtol=1e-4)


def test_another_sweeps_folder_is_refused(short: Path) -> None:
    before = (short / "manifest.json").read_bytes(), _times(short)
    with pytest.raises(UserError, match="sweep 'one', not 'other'.*--out") as refusal:
        execution.run(made(ONE, "name=other", "seeds=3"), short, Silent(), Resources(lanes=1))
    assert len(str(refusal.value).splitlines()) == 1
    assert before == ((short / "manifest.json").read_bytes(), _times(short))


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"starts": 1, "sweep": {"name": "one"}}'])
def test_a_damaged_manifest_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match="not a readable manifest"):
        execution.run(made(ONE), tmp_path, Silent(), Resources(lanes=1))


def test_what_does_not_fit_is_refused_before_anything_is_run(tmp_path: Path) -> None:
    sweep = made(ONE, "agents=[eggroll, {name: pes, with: {window: 31}}]")
    with pytest.raises(UserError, match="window: 31 steps, but an episode ends after 30"):
        execution.run(sweep, tmp_path, Silent(), Resources(lanes=1))
    assert not list(tmp_path.iterdir())


# --- budgets ------------------------------------------------------------------------------------


def test_budget_in_seconds(tmp_path: Path) -> None:
    ran(tmp_path, made(ONE, "defaults.budget={seconds: 0.2}", "seeds=1"))
    curves, runs = tables.load(tmp_path)
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
        cells(made(ONE))[0],
        budget=Budget(**{kind: budget}),
        evaluation=EvaluationConfig(points=points),
    )
    size = 1 if kind == "generations" else step
    expected = sorted({-(-max(1, -(-k * budget // points)) // size) for k in range(1, points + 1)})
    lane = Lane(cell, Store(Path()), Shared(1, 0.0, 1, 0))
    reached: list[int] = []
    while lane.fraction < 1.0:
        generations, steps = lane.remaining(lane.next_point())
        assert generations > 0 and steps > 0
        done = min(generations, -(-steps // step), cuts[len(reached) % len(cuts)] * budget)
        point = lane.next_point()
        lane.come = Progressed(lane.come.generation + done, lane.come.env_steps + done * step)
        if lane.is_due(point):
            reached.append(lane.come.generation)
            lane.rows.append({"generation": lane.come.generation})
    assert reached == expected
    assert np.all(np.diff(reached) > 0)
