"""What a sweep will run: counts from the file alone, and measured time."""

import importlib.util
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rl_es import registry
from rl_es.results import tables
from rl_es.sweep import plan
from rl_es.sweep.cells import expand_cells, group_cells
from rl_es.sweep.plan import GroupCounts, GroupEstimate
from rl_es.sweep.queue import PlacedGroup, make_placed_group
from rl_es.sweep.schema import Sweep
from rl_es.training.resources import Resources
from tests.running import ran, sweep_of
from tests.sweep.small import PLANNED, PLANNED_PARAMETERS

PERSISTENT = "[{name: pes, with: {window: 10}}, {name: truncated_es, with: {window: 10}}]"


planned_sweep = partial(sweep_of, PLANNED)


def works(sweep: Sweep, lanes: int = 1) -> list[PlacedGroup]:
    groups = group_cells(expand_cells(sweep))
    return [make_placed_group(group, Resources(lanes=lanes)) for group in groups]


def counts_of(placed_groups: Sequence[PlacedGroup]) -> Sequence[GroupCounts]:
    return plan.count_groups([work.group for work in placed_groups], placed_groups)


def counts(*assignments: str) -> Sequence[GroupCounts]:
    return counts_of(works(planned_sweep(*assignments)))


def test_budget_in_generations() -> None:
    assert counts() == [GroupCounts(4, PLANNED_PARAMETERS, 16 * 20, 3 * 2 * 16 * 20, 2)]


def test_episodes_of_a_member() -> None:
    (result,) = counts("agents.eggroll.with.episodes=2")
    assert result.generation_steps == 2 * 16 * 20


def test_budget_in_steps_needs_at_least_so_many_generations() -> None:
    (result,) = counts("defaults.budget={env_steps: 1000}")
    assert (result.env_steps, result.generations) == (3000, 4)  # of 320 steps at most


def test_budget_in_seconds_says_nothing_of_steps() -> None:
    (result,) = counts("defaults.budget={seconds: 10}")
    assert (result.env_steps, result.generations) == (None, None)


def test_windows_and_the_centres_of_truncated_es() -> None:
    pes, truncated = counts(f"agents={PERSISTENT}")
    assert pes.generation_steps == 16 * 10 and truncated.generation_steps == 24 * 10
    assert pes.env_steps == 3 * 2 * 160 and truncated.env_steps == 3 * 2 * 240


@pytest.mark.parametrize(
    ("assignment", "programs"),
    [
        ("agents=[eggroll, {name: pes, with: {window: 5}}, full_rank_es]", [4, 2, 2]),
        ("agents=[eggroll, {name: open_es, policy: {widths: [4]}}]", [4, 4]),
        ("agents=[{name: eggroll, grid: {lr: [0.1, 0.2, 0.3]}}]", [4]),
        ("agents=[{name: eggroll, grid: {rank: [1, 2]}}]", [4, 2]),
        ("environments=[CartPole-v1, Pendulum-v1]", [4, 4]),
        (
            "environments=[{name: Pendulum-v1, label: a}, {name: Pendulum-v1, label: b, "
            "evaluation: {episodes: 5}}, {name: Pendulum-v1, label: c, budget: {seconds: 1}, "
            "agents: {eggroll: {rank: 2}}}]",
            [4, 4, 2],
        ),
    ],
)
def test_parameters_and_evaluation_are_compiled_once_where_they_are_the_same(
    assignment: str, programs: list[int]
) -> None:
    result = counts("defaults.agent={population: 16}", assignment)
    assert [count.programs for count in result] == programs


def test_evaluations_of_more_lanes_are_not_shared() -> None:
    first, second = works(planned_sweep("agents=[eggroll, full_rank_es]"))
    wider = make_placed_group(second.group, Resources(lanes=3))
    assert [count.programs for count in counts_of([first, wider])] == [4, 4]


def test_steps_are_those_that_a_run_takes(tmp_path: Path) -> None:
    """Pendulum never terminates, so a generation takes the most that it can."""
    sweep = planned_sweep(f"agents=[eggroll, {PERSISTENT[1:]}")
    _, runs = tables.load_tables(ran(tmp_path, sweep))
    env_steps = runs.groupby("agent").env_steps.sum()
    expected = [result.env_steps for result in counts_of(works(sweep))]
    assert [env_steps[work.group.cells[0].agent] for work in works(sweep)] == expected


class Clocked:
    """A program whose generations take a second each, the first one six."""

    def __init__(self, clock: SimpleNamespace, lanes: int):
        self.clock, self.lanes, self.first = clock, lanes, True
        self.compile_seconds, self.trace_seconds, self.memory_bytes = 20.0, 2.0, 5

    def init(self, seeds: Any, hyper: Any) -> None:
        assert seeds.shape == (self.lanes,) and hyper["lr"].shape == (self.lanes,)

    def advance(self, state: None, limit: Any) -> tuple[None, Any]:
        self.clock.now += int(limit.generations[0]) + 5 * self.first
        self.first = False
        steps = limit.generations * np.int32(320)
        return None, SimpleNamespace(generations=limit.generations, env_steps=steps)

    def snapshot(self, state: None) -> None:
        return None

    def evaluate(self, *args: Any) -> np.ndarray:
        self.clock.now += 0.5
        return np.zeros(1)


@pytest.mark.parametrize(
    "budget", ["{generations: 100}", "{env_steps: 32000}", "{seconds: 100}"], ids=str
)
def test_time_is_judged_by_the_pace_after_the_start(
    budget: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(plan.time, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(plan, "PROBE_SECONDS", 20)
    (work,) = works(planned_sweep(f"defaults.budget={budget}", "defaults.evaluation.points=9"))
    result = plan.measure_group(work, Clocked(clock, lanes=2))  # pyright: ignore[reportArgumentType]
    training = 100 if "seconds" in budget else 105
    assert result.run == pytest.approx(2 * (training + 10 * 0.5))  # three runs in two batches
    assert (result.compile, result.warm_compile) == (20.0, 4.0)


def test_the_next_group_compiles_while_one_runs() -> None:
    measured = [GroupEstimate(10, 1, 5, 0), GroupEstimate(20, 2, 7, 0), GroupEstimate(3, 1, 1, 0)]
    assert plan.estimate_seconds(measured, from_cache=False) == 10 + 20 + 7 + 1
    assert plan.estimate_seconds(measured, from_cache=True) == 1 + 5 + 7 + 1
    assert plan.estimate_seconds([], from_cache=True) == 0


@pytest.mark.parametrize(
    ("budget", "seconds"),
    [("{env_steps: 1000}", 30.0), ("{generations: 2}", 3 * 2 * 320 / 100), ("{seconds: 7}", 21.0)],
)
def test_the_time_at_a_stated_speed(budget: str, seconds: float) -> None:
    sweep = planned_sweep(f"defaults.budget={budget}")
    sweep_plan = plan.make_plan(sweep, Resources(), plan.stated_speed(100.0))
    assert sweep_plan.seconds == pytest.approx(seconds)


def test_a_group_is_planned_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "rejax" else find_spec(name)
    )
    with registry.allow_missing_extras():
        sweep = planned_sweep(
            "agents=[eggroll, ppo]", "defaults.agent={}", "defaults.budget={env_steps: 1000}"
        )
        sweep_plan = plan.make_plan(sweep, Resources(), plan.stated_speed(100.0))
    eggroll, ppo = sweep_plan.groups
    assert (eggroll.missing_extra, ppo.missing_extra) == (None, "rejax")
    assert ppo.work is None and ppo.counts == GroupCounts(None, None, None, 3000, None)
    assert sweep_plan.seconds == 60.0 and sweep_plan.env_steps == 6000
