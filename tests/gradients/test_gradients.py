"""Gradient estimates of a linear return, whose mean and variance are known."""

from pathlib import Path

import numpy as np
import pytest

from rl_es import cli, gradients
from rl_es.analysis.gradients.report import write
from rl_es.analysis.gradients.tables import summarise
from rl_es.envs._unrolled.linear import Linear
from rl_es.errors import UserError
from rl_es.results import gradient_estimates
from tests.running import sweep_of

SIZE, WINDOWS = 3, 4
TEXT = """
name: known
seeds: 2
defaults:
  budget: {generations: 12000}
  policy: {network: linear, head: deterministic}
  agent: {population: 4, sigma: 0.3, shaping: raw}
environments:
  - {name: unrolled/linear, label: steps-4, options: {steps: 4, size: 3}}
  - name: unrolled/linear
    label: steps-2
    options: {steps: 2, size: 3}
    budget: {generations: 300}
agents:
  - {name: pes, with: {window: 1}}
  - {name: nres, with: {window: 1}}
  - {name: truncated_es, with: {window: 1}}
  - {name: full_rank_es}
"""


@pytest.fixture(autouse=True, scope="module")
def settings():
    """What a command tells jax is taken back: other tests of this process have their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradients, "prepare_jax", lambda devices: None)
        yield


@pytest.fixture(scope="module")
def folder(settings, tmp_path_factory):
    out = tmp_path_factory.mktemp("gradients")
    gradients.run_gradients(sweep_of(TEXT), out, quiet=True)
    return out


def rows(folder: Path, label: str):
    found = gradient_estimates.load(folder)
    return found[(found["label"] == label) & (found["env"] == "steps-4")]


def test_estimates_of_frozen_vectors_are_zero(settings, tmp_path):
    changes = ("seeds=1", "budget.generations=8", "policy={widths: [2], head: deterministic}")
    agents = "agents=[{name: full_rank_es, with: {freeze_vectors: true}}]"
    gradients.run_gradients(sweep_of(TEXT, *changes, agents), tmp_path, quiet=True)
    row = gradient_estimates.load(tmp_path).iloc[0]
    # Bias, then kernel, of each layer: 2, 3 x 2, 3 and 2 x 3.
    biases = np.array([1, 1, *6 * [0], 1, 1, 1, *6 * [0]], bool)
    mean = np.asarray(row["mean"])
    assert not mean[biases].any() and mean[~biases].all()


def truth() -> np.ndarray:
    """The gradient of the return in the weights [M, N], flat: all steps' outer products."""
    env = Linear("linear", WINDOWS, SIZE)
    return np.einsum("tm,tn->mn", env._observations, env._reward_weights).reshape(-1)


@pytest.mark.parametrize("label", ["pes", "nres", "full_rank_es"])
def test_means_are_the_gradient(folder, label):
    found = rows(folder, label)
    mean = np.mean(found["mean"].to_list(), axis=0)
    error = np.sqrt(found["variance"].mean() / found["samples"].sum())
    assert error < 0.2 * np.linalg.norm(truth())
    assert np.linalg.norm(mean - truth()) < 3 * error


def test_the_variance_of_noise_held_for_an_episode(folder):
    """One noise: the estimate of a pair is (g e) e, with variance |g|^2 (d + 1)."""
    for label in ("nres", "full_rank_es"):
        found = rows(folder, label)
        relative = found["variance"].mean() * found["pairs"].iloc[0] / np.square(truth()).sum()
        assert relative == pytest.approx(SIZE**2 + 1, rel=0.1)


def test_the_variance_of_noise_drawn_every_window(folder):
    """PES: sums of products of independent noises, by the moments of a normal distribution.

    The estimate is sum_w (g_w e_w) (e_1 + ... + e_w). The terms of one window's own noise have
    variance |g_w|^2 (d + 1), those of earlier noises |g_w|^2 d each, and none are correlated.
    """
    env = Linear("linear", WINDOWS, SIZE)
    squares = np.square(env._observations).sum(1) * np.square(env._reward_weights).sum(1)
    d = SIZE**2
    expected = sum(g * (d + 1 + d * w) for w, g in enumerate(squares))
    found = rows(folder, "pes")
    assert found["variance"].mean() * found["pairs"].iloc[0] == pytest.approx(expected, rel=0.1)


def test_steps_and_samples_are_counted(folder):
    pes, whole = rows(folder, "pes").iloc[0], rows(folder, "full_rank_es").iloc[0]
    assert (pes["windows"], whole["windows"]) == (WINDOWS, 1)
    assert (pes["samples"], whole["samples"]) == (12000 // WINDOWS - 1, 11999)
    assert pes["env_steps"] >= 4 * 12000 - 4 * WINDOWS
    assert (pes["parameters"], pes["pairs"]) == (SIZE**2, 2)


def test_nothing_is_measured_twice(folder):
    files = {path: path.stat().st_mtime_ns for path in (folder / "estimates").iterdir()}
    renamed = TEXT.replace("label: steps-2", "label: short-2")
    gradients.run_gradients(sweep_of(renamed), folder, quiet=True)
    after = {path: path.stat().st_mtime_ns for path in (folder / "estimates").iterdir()}
    changed = {path for path in files if after[path] != files[path]}
    found = gradient_estimates.load(folder)
    assert len(files) == len(after) == len(found) == 16
    assert len(changed) == 8 and set(found["env"]) == {"steps-4", "short-2"}
    gradients.run_gradients(sweep_of(TEXT), folder, quiet=True)


def test_the_report(folder):
    written = {path.name for path in write(folder)}
    assert {"gradients.csv", "summary.csv", "variance.png", "variance.svg", "index.md"} <= written
    table = summarise(gradient_estimates.load(folder)).set_index(["env", "label"])
    assert table.loc[("steps-4", "nres"), "family"] == "steps"
    assert np.isnan(table.loc[("steps-4", "pes"), "distance"])
    near, far = table.loc[("steps-4", "nres")], table.loc[("steps-4", "truncated_es")]
    assert near["distance"] < 3 * near["distance_noise"]
    assert far["relative_variance"] > 0


def test_the_command(tmp_path, capsys):
    file = tmp_path / "known.yaml"
    file.write_text(TEXT)
    out = str(tmp_path / "out")
    arguments = ["gradients", str(file), "--out", out, "--set", "seeds=1", "--set"]
    assert cli.main([*arguments, "budget.generations=60"]) == 0
    said = capsys.readouterr().out
    assert "8 of 8: steps-2 / full_rank_es / seed 0" in said and "index.md" in said
    assert cli.main(["report", out]) == 0


def test_a_gradient_of_zero_has_no_relative_variance(tmp_path, capsys):
    text = TEXT.partition("environments:")[0].replace("12000", "40") + (
        "environments: [{name: unrolled/linear, reward_scale: 0.0}]\nagents: [full_rank_es]\n"
    )
    gradients.run_gradients(sweep_of(text), tmp_path, quiet=False)
    assert "39 samples, relative variance of a pair nan" in capsys.readouterr().out
    assert gradient_estimates.load(tmp_path)["variance"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("generations: 12000", "generations: 8"), "3 samples of 4 each"),
        (("{generations: 12000}", "{env_steps: 1e5}"), "needs a budget of generations"),
        (("{name: pes, with: {window: 1}}", "{name: random_search}"), "estimates no gradient"),
    ],
)
def test_what_cannot_be_measured_is_said(tmp_path, change, said):
    text = TEXT.replace(*change)
    if "random_search" in text:
        text = text.replace(", shaping: raw", "")
    with pytest.raises(UserError, match=said):
        gradients.run_gradients(sweep_of(text), tmp_path, quiet=True)
