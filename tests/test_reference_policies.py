"""The trained policies of results/reference/policies load in one line and reach their scores."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest

import rl_es

FOLDER = Path(__file__).parents[1] / "results" / "reference" / "policies"
ROWS = list(csv.DictReader((FOLDER / "scores.csv").open()))


def test_the_folder_holds_the_policies_of_its_table() -> None:
    assert {row["path"] for row in ROWS} == {
        path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("final.json")
    }
    sizes = {path: path.stat().st_size for path in FOLDER.rglob("final.msgpack")}
    assert len(sizes) == len(ROWS)
    assert max(sizes.values()) <= 100_000


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['env']} {row['label']}")
def test_a_policy_reaches_its_score(row: dict[str, str]) -> None:
    """Rounding differs between processors, and grows during an episode."""
    policy = rl_es.load_policy(FOLDER / row["path"])
    episodes = int(row["episodes"])
    returns = policy.evaluate(episodes)
    error = 2 * float(row["return_std"]) / math.sqrt(episodes)
    np.testing.assert_allclose(returns.mean(), float(row["return_mean"]), rtol=0.01, atol=error)


def test_a_policy_acts_on_plain_observations() -> None:
    row = next(row for row in ROWS if row["env"] == "CartPole-v1")
    policy = rl_es.load_policy(FOLDER / row["path"])
    policy.reset(seed=0)
    observation = np.array([0.0, 0.0, 0.15, 0.0], np.float32)  # the pole leans to the right
    assert policy.act(observation) == 1
    assert policy.act(-observation) == 0
