"""Runs that start from a saved policy."""

import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from rl_es.errors import UserError
from rl_es.results import tables
from rl_es.rollout.config import PolicyConfig, WrapperConfig
from rl_es.training.policies import load_policy
from rl_es.training.task import Task
from tests.running import ran, sweep_of

SWEEP = """
name: start
description: CartPole
seeds: [3]
defaults:
  budget: {generations: 3}
  evaluation: {points: 1, episodes: 4}
  policy: {widths: [4], normalise_observations: true}
  agent: {population: 8, sigma: 0.1, lr: 0.05}
environments: [CartPole-v1]
agents: [eggroll]
"""


def train(folder: Path, *changes: str, init: Path | None = None) -> Path:
    """Runs the sweep in a folder, from a saved policy if one is given; returns the folder."""
    changes = changes if init is None else (f"defaults.policy.init={init}", *changes)
    return ran(folder, sweep_of(SWEEP, *changes))


def manifest_of(folder: Path) -> Path:
    """Returns the manifest of the only final policy."""
    (path,) = folder.glob("policies/*/final.json")
    return path


def evaluations(folder: Path) -> np.ndarray:
    """Returns the mean returns of the only run's evaluations, in order."""
    curves, _ = tables.load_tables(folder)
    return curves.sort_values("generation").return_mean.to_numpy()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("trained"))


GRPO = "agents=[{name: grpo, with: {prompts: 2, group: 2, minibatches: 1}}]"


@pytest.mark.parametrize("changes", [(), (GRPO, "defaults.agent={}")], ids=["eggroll", "grpo"])
def test_a_run_starts_where_the_saved_policy_ended(
    changes: tuple[str, ...], trained: Path, tmp_path: Path
) -> None:
    folder = train(tmp_path, *changes, init=manifest_of(trained))
    before, after = evaluations(trained), evaluations(folder)
    assert before[0] != before[-1]
    assert after[0] == before[-1]  # weights and statistics: evaluations have the same episodes


def test_such_a_run_goes_on_as_if_it_had_not_stopped(trained: Path, tmp_path: Path) -> None:
    start = manifest_of(trained)
    train(tmp_path / "parts", "budget.generations=1", init=start)
    parts = train(tmp_path / "parts", init=start)
    complete = train(tmp_path / "complete", init=start)
    params = [load_policy(manifest_of(folder)).snapshot for folder in (parts, complete)]
    jax.tree.map(np.testing.assert_array_equal, *params)


def test_identity_is_of_weights_not_of_paths(trained: Path, tmp_path: Path) -> None:
    path = manifest_of(trained)
    for suffix in (".json", ".msgpack"):
        shutil.copy(path.with_suffix(suffix), tmp_path / f"copy{suffix}")
    original, copy = (
        PolicyConfig(init=str(one)).identity() for one in (path, tmp_path / "copy.json")
    )
    assert original == copy
    assert original != PolicyConfig().identity()
    weights = tmp_path / "copy.msgpack"
    weights.write_bytes(weights.read_bytes() + b"0")
    assert PolicyConfig(init=str(tmp_path / "copy.json")).identity() != original


def test_a_saved_policy_of_such_a_run_needs_no_start(trained: Path, tmp_path: Path) -> None:
    start = tmp_path / "start"
    start.mkdir()
    path = manifest_of(trained)
    for suffix in (".json", ".msgpack"):
        shutil.copy(path.with_suffix(suffix), start / f"final{suffix}")
    folder = train(tmp_path / "run", init=start / "final.json")
    shutil.rmtree(start)
    assert load_policy(manifest_of(folder)).evaluate(2).shape == (2,)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            ("defaults.policy.widths=[5]",),
            r"parameter network/Dense_0/bias is float32 \[4\] in it, and float32 \[5\] here",
        ),
        (("defaults.policy.widths=[4, 4]",), r"Dense_1/bias is float32 \[2\] .* \[4\] here"),
        (
            ("defaults.policy.network=linear",),
            r"Dense_0/kernel is float32 \[4, 4\] in it, and float32 \[4, 2\] here",
        ),
        (("defaults.policy.normalise_observations=false",), "set normalise_observations: true"),
        (("defaults.policy.network=gru",), r" here; it has network mlp, widths \[4\]"),
        (("environments=[Acrobot-v1]",), r"Dense_0/kernel is float32 \[4, 4\] in it, .* \[6, 4\]"),
    ],
)
def test_another_layout_is_refused(
    changes: tuple[str, ...], reason: str, trained: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=rf"^init: .*final.json: it does not fit .*{reason}"):
        train(tmp_path, *changes, init=manifest_of(trained))


def first_params(name: str, start: Path, **policy: Any) -> Any:
    """The parameters that a run in an environment starts with."""
    config = PolicyConfig(widths=(4,), init=str(start), **policy)
    task = Task.from_options(name, {}, WrapperConfig(), config)
    return task.make_policy(task.environment()).init(jax.random.key(0))


def test_heads_may_differ(tmp_path: Path) -> None:
    """A deterministic head has no deviations: of a Gaussian one they start as without a start."""
    pendulum = (
        "environments=[{name: Pendulum-v1, episode_length: 20}]",
        "defaults.policy={widths: [4]}",
    )
    for head in ("deterministic", "gaussian"):
        start = manifest_of(train(tmp_path / head, *pendulum, f"defaults.policy.head={head}"))
        saved = load_policy(start).snapshot.params
        for other, expected in (
            ("deterministic", {"network": saved["network"]}),
            ("gaussian", {"head": {"log_std": np.zeros(1)}, **saved}),
        ):
            params = first_params("Pendulum-v1", start, head=other)
            jax.tree.map(np.testing.assert_array_equal, params, expected)
    assert saved["head"]["log_std"] != 0


def test_another_policy_at_the_same_path_is_another_start(trained: Path, tmp_path: Path) -> None:
    other = train(tmp_path / "other", "seeds=[4]")
    for folder in (trained, other):
        for suffix in (".json", ".msgpack"):
            shutil.copy(manifest_of(folder).with_suffix(suffix), tmp_path / f"start{suffix}")
        params = first_params("CartPole-v1", tmp_path / "start.json", normalise_observations=True)
        saved = load_policy(manifest_of(folder)).snapshot.params
        jax.tree.map(np.testing.assert_array_equal, params, saved)


def test_a_start_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"init: .*none.msgpack cannot be read \(No such file"):
        train(tmp_path, init=tmp_path / "none.json")


def test_a_start_is_normal_zeros_or_a_manifest() -> None:
    with pytest.raises(ValueError, match="did you mean 'zeros'"):
        PolicyConfig(init="zeroes")
