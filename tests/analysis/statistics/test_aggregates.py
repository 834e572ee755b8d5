"""Aggregates, profiles and improvement: rliable's values, hand-made cases, coverage."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rl_es.analysis.statistics import aggregate_all
from rl_es.analysis.statistics.aggregates import (
    AGGREGATES,
    Scores,
    aggregate,
    average_profile,
    run_profile,
)
from rl_es.analysis.statistics.intervals import bootstrap
from rl_es.analysis.statistics.two_samples import probability_of_improvement

RECORDED = json.loads(Path(__file__).with_name("rliable.json").read_text())
CASES = RECORDED["cases"]
EXACT: dict[str, Any] = dict(rtol=0, atol=1e-12)


def scores(matrix: Any, first_seed: int = 0) -> Scores:
    """Scores of a matrix, runs x environments."""
    values = np.asarray(matrix, dtype=float)
    runs, tasks = values.shape
    names = np.array([f"env-{task:02}" for task in range(tasks)])
    seeds = np.arange(runs) + first_seed
    return Scores(values.ravel(), np.tile(names, runs), np.repeat(seeds, tasks))


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(np.shape(case["x"])))
def test_point_values_are_those_of_rliable(case: dict[str, Any]) -> None:
    x, y = scores(case["x"]), scores(case["y"])
    for name in AGGREGATES:
        found = aggregate(x, name, replicates=10)
        np.testing.assert_allclose(found.estimate, case[name], **EXACT)
    improved = probability_of_improvement(x, y)
    np.testing.assert_allclose(improved.estimate, case["probability_of_improvement"], **EXACT)
    thresholds = np.array(RECORDED["thresholds"])
    for profile, name in ((run_profile, "run_profile"), (average_profile, "average_profile")):
        found = profile(x, thresholds, replicates=10)
        np.testing.assert_allclose(found.estimate, case[name], **EXACT)


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(np.shape(case["x"])))
def test_plain_intervals_are_those_of_rliable(case: dict[str, Any]) -> None:
    """Both draw replicates, of different seeds: bounds agree to a part of the interval's width."""
    found = aggregate(scores(case["x"]), replicates=20_000, expand=False)
    low, high = case["interquartile_mean_interval"]
    np.testing.assert_allclose([found.low, found.high], [low, high], atol=0.03 * (high - low))


def test_an_environment_weighs_the_same_whatever_its_runs() -> None:
    few = Scores(np.array([1.0, 1.0, 4.0]), np.array(["a", "a", "b"]), np.array([0, 1, 0]))
    found = aggregate_all(few, replicates=10)
    assert found["mean"].estimate == 2.5 and found["median"].estimate == 2.5
    assert found["optimality_gap"].estimate == 0
    assert np.isnan(found["mean"].low)  # b has a single run
    assert run_profile(few, np.array([2.0]), replicates=10).estimate == [0.5]


def test_runs_may_come_in_any_order() -> None:
    matrix = np.random.default_rng(0).normal(size=(6, 4))
    ordered = scores(matrix)
    mixed = np.random.default_rng(1).permutation(24)
    shuffled = Scores(ordered.values[mixed], ordered.tasks[mixed], ordered.seeds[mixed])
    for name in AGGREGATES:
        first, second = (aggregate(one, name, replicates=200) for one in (ordered, shuffled))
        assert first == second


@pytest.mark.parametrize(("tasks", "plain"), [(1, 0.90), (7, 0.93)])
def test_coverage(tasks: int, plain: float) -> None:
    """At ten seeds: 93 to 97 % with the expansion, fewer without it. 4,000 experiments at once."""
    runs, experiments = 10, 4_000
    means = np.arange(tasks)
    noise = np.random.default_rng(7).normal(size=(tasks, runs, experiments))
    values = (noise + means[:, None, None]).reshape(tasks * runs, experiments)
    strata = np.repeat(means, runs)
    covered = {}
    for expanded in (False, True):
        found = bootstrap(values, strata=strata, replicates=1_500, expand=expanded)
        inside = (found.low <= means.mean()) & (means.mean() <= found.high)
        covered[expanded] = inside.mean()
    assert 0.93 <= covered[True] <= 0.97
    np.testing.assert_allclose(covered[False], plain, atol=0.02)


def test_profiles_fall_from_one_to_none() -> None:
    x = scores(np.random.default_rng(2).normal(size=(8, 3)))
    thresholds = np.linspace(-5, 5, 41)
    for profile in (run_profile, average_profile):
        found = profile(x, thresholds, replicates=500)
        for of in (found.estimate, found.low, found.high):
            assert of[0] == 1 and of[-1] == 0 and (np.diff(of) <= 1e-12).all()
        assert (found.low <= found.estimate).all() and (found.estimate <= found.high).all()
        assert (found.high - found.low).max() > 0.1
