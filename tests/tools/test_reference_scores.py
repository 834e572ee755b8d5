"""Reference scores: what random actions get, and what the tables say."""

import json
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest

from rl_es.analysis import results, scores
from rl_es.errors import UserError
from rl_es.interfaces import Box, Discrete, EnvSpec, Observation
from rl_es.results import tables
from rl_es.rollout.policy import UniformPolicy
from rl_es.tools import reference_scores
from rl_es.training import compilation
from tests.analysis.conftest import write_run
from tests.artifacts import REFERENCE

RANKS = REFERENCE / "ranks"


def test_the_table_says_what_the_runs_say(tmp_path, monkeypatch):
    monkeypatch.setattr(compilation, "prepare_jax", lambda: None)
    label = tables.load_tables(RANKS)[1]["label"].iloc[0]
    path = reference_scores.write_references([RANKS], tmp_path / "scores.csv", [label], 200, 0)
    table = pd.read_csv(path).set_index("env")
    runs = tables.load_tables(RANKS)[1]
    returns = runs[(runs["env"] == "CartPole-v1") & (runs["label"] == label)]["final_return"]
    row = table.loc["CartPole-v1"]
    assert row[label] == pytest.approx(returns.mean())
    assert row[f"{label}_standard_error"] == pytest.approx(returns.std() / np.sqrt(len(returns)))
    # Random actions keep CartPole's pole up for 22 steps (gymnasium: 22.2 over 10,000 episodes).
    assert abs(row["random"] - 22) < 5 * row["random_standard_error"]
    assert row["random_episodes"] == 200
    assert json.loads(row["environment"])["name"] == "CartPole-v1"
    on = scores.score_scale(results.load_results(RANKS), f"{path}:random", f"{path}:{label}")
    ends = on.score(["CartPole-v1"] * 2, row[["random", label]])
    assert ends[0] == 0 and ends[1] == pytest.approx(1)


def test_an_untrained_policy_counts_once_whatever_the_rounding(tmp_path: Path, monkeypatch):
    """Labels start a seed from one policy; what ran on other cores differs by rounding."""
    monkeypatch.setattr(compilation, "prepare_jax", lambda: None)
    environment = tables.load_tables(RANKS)[1].query("env == 'CartPole-v1'")["environment"].iloc[0]
    for label, factor in (("eggroll", 1), ("open_es", 1 + 1e-6)):
        for seed in range(3):
            returns = np.linspace(20 + seed, 100, 11) * factor
            write_run(
                tmp_path, "CartPole-v1", label, seed, returns=returns, environment=environment
            )
    path = reference_scores.write_references([tmp_path], tmp_path / "x.csv", ["open_es"], 2, 0)
    (row,) = pd.read_csv(path).to_dict("records")
    assert row["untrained_policies"] == 3 and row["untrained"] == pytest.approx(21)


@pytest.mark.parametrize("label", ["untrained_policies", "sweeps", "eggroll_runs"])
def test_a_label_with_a_column_of_another_is_refused(label: str, tmp_path: Path):
    for run_label in ("eggroll", label):
        write_run(tmp_path / "results", "CartPole-v1", run_label, 0)
    with pytest.raises(UserError, match=f"has a column '{label}' already"):
        reference_scores.write_references(
            [tmp_path / "results"], tmp_path / "x.csv", ["eggroll", label], 2, 0
        )
    assert not (tmp_path / "x.csv").exists()


def test_an_unknown_label_is_refused(tmp_path):
    with pytest.raises(UserError, match="no label 'ppoo'"):
        reference_scores.write_references([RANKS], tmp_path / "scores.csv", ["ppoo"], 10, 0)
    assert not list(tmp_path.iterdir())


def actions(space, mask=None, count=2000):
    policy = UniformPolicy(EnvSpec("some", (1,), space, 10))
    observation = Observation(np.zeros(1, np.float32), mask)
    keys = jax.random.split(jax.random.key(0), count)
    return np.asarray(jax.vmap(lambda key: policy.act({}, (), observation, key)[1])(keys))


def test_uniform_actions_fill_a_box():
    low, high = np.array([-2, 0], np.float32), np.array([2, 0.5], np.float32)
    samples = actions(Box(low, high))
    assert (samples >= low).all() and (samples <= high).all()
    np.testing.assert_allclose(samples.mean(0), (low + high) / 2, atol=5 * 4 / np.sqrt(12 * 2000))
    np.testing.assert_allclose(samples.std(0), (high - low) / np.sqrt(12), rtol=0.1)


def test_uniform_actions_are_allowed_ones():
    samples = actions(Discrete(4), np.array([True, False, True, True]))
    shares = np.bincount(samples, minlength=4) / len(samples)
    assert shares[1] == 0
    np.testing.assert_allclose(shares[[0, 2, 3]], 1 / 3, atol=5 * np.sqrt(2 / 9 / 2000))


def test_a_box_without_bounds_is_refused():
    with pytest.raises(UserError, match="no bounds"):
        UniformPolicy(EnvSpec("some", (1,), Box(*[np.full(1, np.inf, np.float32)] * 2), 10))
