"""Saved policies: what a sweep saves can be found, and is the policy that was evaluated."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import jax
import numpy as np
import pytest

from rl_es.errors import UserError
from rl_es.interfaces import Box
from rl_es.results import tables
from rl_es.results.checksums import json_text
from rl_es.rollout.evaluation import make_evaluator
from rl_es.rollout.normalisation import empty_statistics
from rl_es.rollout.unroll import single_step, start_particle, unroll_episodes
from rl_es.training.compilation import key_for_evaluation
from rl_es.training.policies import SavedPolicy, find_policy, load_policy, replay_key
from tests.running import ran, sweep_of

TEXT = """
name: saved
seeds: 2
defaults:
  budget: {generations: 6}
  evaluation: {points: 6, episodes: 4}
  policy: {network: gru, widths: [8, 4], normalise_observations: true}
  agent: {population: 16}
environments:
  - {name: CartPole-v1, label: pole, episode_length: 40, reward_scale: 2.0}
  - {name: Pendulum-v1, episode_length: 20, action_repeat: 2, policy: {head: deterministic}}
agents: [{name: eggroll, label: low rank}]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ran(tmp_path_factory.mktemp("saved"), sweep_of(TEXT))


@pytest.fixture
def folder_copy(folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(folder / "policies", tmp_path / "policies")
    return tmp_path


def row(folder: Path, env: str, seed: int, generation: int) -> Any:
    curves, _ = tables.load_tables(folder)
    rows = curves[(curves[["env", "seed", "generation"]] == [env, seed, generation]).all(axis=1)]
    return next(rows.itertuples())


def pole(folder: Path) -> Path:
    """The manifest of the final policy of one run."""
    run_id = find_policy(folder, "pole", "low rank").manifest["run_id"]
    return folder / "policies" / run_id / "final.json"


def evaluate_again(policy: SavedPolicy, seed: int) -> np.ndarray:
    """Returns with the keys of the run's own evaluation."""
    env = policy.task.evaluation_environment()
    run = jax.jit(make_evaluator(env, policy.task.make_policy(env), 4))
    key = key_for_evaluation(np.uint32(seed))
    return np.asarray(run(key, policy.snapshot), np.float64)


def test_early_and_middle_are_saved_for_the_first_seed(folder: Path) -> None:
    for env in ("pole", "Pendulum-v1"):
        start, first = (row(folder, env, 0, generation).return_mean for generation in (0, 1))
        stages = [("early", 1 if first < start else 0), ("middle", 4), ("final", 6)]
        for stage, generation in stages:
            policy = find_policy(folder, env, "low rank", stage=stage)
            assert policy.manifest["generation"] == generation
            assert policy.manifest["stage"] == stage
            assert repr(policy).startswith(f"<SavedPolicy of {env} / low rank / seed 0, {stage}: ")
        assert find_policy(folder, env, "low rank", seed=1).manifest["seed"] == 1
        with pytest.raises(UserError, match=f"no early policy of '{env} / low rank / seed 1'"):
            find_policy(folder, env, "low rank", seed=1, stage="early")


LEARNED = """
name: learned
seeds: 1
defaults:
  budget: {generations: 20}
  evaluation: {points: 2, episodes: 8}
  policy: {widths: [16]}
  agent: {population: 64, lr: 0.1}
environments: [{name: CartPole-v1, episode_length: 200}]
agents: [eggroll]
"""


def test_a_policy_trained_in_a_precision_of_gpus_acts_in_float32(folder_copy: Path) -> None:
    path = pole(folder_copy)
    manifest = json.loads(path.read_text())
    expected = load_policy(path).evaluate(3)
    for precision, loaded in (("tf32", "float32"), ("bfloat16", "bfloat16")):
        manifest["policy"]["precision"] = precision
        path.write_text(json_text(manifest))
        policy = load_policy(path)
        assert policy.task.policy.precision == loaded
        returns = policy.evaluate(3)
        assert loaded != "float32" or np.array_equal(returns, expected)


def test_the_early_policy_is_from_before_what_training_improves(tmp_path: Path) -> None:
    folder = ran(tmp_path, sweep_of(LEARNED))
    early, final = (
        find_policy(folder, "CartPole-v1", "eggroll", stage=stage).manifest
        for stage in ("early", "final")
    )
    # The first evaluation, at half of the budget, is better than the start.
    assert early["env_steps"] == early["generation"] == 0
    assert early["return_mean"] < final["return_mean"] / 2


@pytest.mark.parametrize(("env", "exact"), [("pole", True), ("Pendulum-v1", False)])
@pytest.mark.parametrize(
    ("seed", "stage"), [(0, "early"), (0, "middle"), (0, "final"), (1, "final")]
)
def test_it_is_the_policy_that_was_evaluated(
    folder: Path, env: str, exact: bool, seed: int, stage: str
) -> None:
    policy = find_policy(folder, env, "low rank", seed, stage)
    evaluation = row(folder, env, seed, policy.manifest["generation"])
    returns = evaluate_again(policy, seed)
    tolerance = 0 if exact else 1e-5  # a pole's returns are whole numbers
    np.testing.assert_allclose(
        [returns.mean(), returns.std(), returns.min(), returns.max()],
        [
            evaluation.return_mean,
            evaluation.return_std,
            evaluation.return_min,
            evaluation.return_max,
        ],
        rtol=tolerance,
    )
    assert policy.manifest["return_mean"] == evaluation.return_mean
    assert policy.manifest["env_steps"] == evaluation.env_steps
    seen = evaluation.env_steps / policy.task.wrappers.action_repeat
    assert policy.snapshot.statistics.count == pytest.approx(seen)


def test_manifest_says_what_it_is(folder: Path) -> None:
    manifest = find_policy(folder, "pole", "low rank").manifest
    assert manifest["environment"]["name"] == "CartPole-v1" and manifest["agent"] == "eggroll"
    assert manifest["settings"]["population"] == 16 and manifest["versions"]["jax"]
    assert manifest["policy"]["widths"] == [8, 4]


def test_evaluation_is_a_function_of_the_seed(folder: Path) -> None:
    policy = find_policy(folder, "pole", "low rank")
    first = policy.evaluate(episodes=6, seed=3)
    assert first.shape == (6,) and np.all((first > 0) & (first <= 40))  # not scaled
    np.testing.assert_array_equal(first, policy.evaluate(episodes=6, seed=3))
    assert not np.array_equal(first, policy.evaluate(episodes=6, seed=4))


@pytest.mark.parametrize("env", ["pole", "Pendulum-v1"])
def test_a_rollout_is_an_episode_as_it_is_evaluated(folder: Path, env: str) -> None:
    policy = find_policy(folder, env, "low rank")
    trajectory = policy.rollout(seed=5)
    env_again = policy.task.evaluation_environment()
    acting_policy = policy.task.make_policy(env_again)
    reset_key, step_key = jax.random.split(replay_key(5))
    snapshot = policy.snapshot

    @jax.jit
    def unroll() -> Any:
        particles = jax.tree.map(
            lambda leaf: leaf[None], start_particle(env_again, acting_policy, reset_key)
        )
        step = single_step(env_again, acting_policy, snapshot.params, snapshot.statistics)
        return unroll_episodes(step, particles, step_key[None], env_again.spec.episode_length)

    outcome = unroll()
    length = int(outcome.lengths[0]) // policy.task.wrappers.action_repeat
    assert {leaf.shape[0] for leaf in jax.tree.leaves(trajectory[:4])} == {length}
    np.testing.assert_allclose(trajectory.rewards.sum(), outcome.returns[0], rtol=1e-5)
    assert trajectory.terminated == (length < env_again.spec.episode_length)
    assert trajectory.observations.shape[1:] == env_again.spec.observation_shape


@pytest.mark.parametrize("env", ["pole", "Pendulum-v1"])
def test_acting_is_what_a_rollout_does(folder: Path, env: str) -> None:
    policy = find_policy(folder, env, "low rank")
    space = policy.evaluator.env.spec.action_space
    trajectory = policy.rollout(seed=5, states=False)
    policy.reset(seed=5)
    actions = [policy.act(observation) for observation in trajectory.observations]
    expected = trajectory.actions
    if isinstance(space, Box):
        expected = np.clip(expected, space.low, space.high)
    np.testing.assert_allclose(actions, expected, rtol=1e-5)
    assert len(np.unique(actions)) > 1


def test_a_recurrent_state_is_carried_until_the_reset(folder: Path) -> None:
    policy = find_policy(folder, "Pendulum-v1", "low rank")  # without noise
    observation = np.array([0.6, 0.8, 1.0])
    policy.reset()
    first, second = policy.act(observation), policy.act(observation)
    np.testing.assert_array_equal(policy.actor(seed=1).act(observation), first)  # no noise
    assert not np.array_equal(first, second)
    one, other = policy.actor(), policy.actor()
    np.testing.assert_array_equal([one.act(observation), other.act(observation)], [first, first])
    policy.reset()
    np.testing.assert_array_equal(policy.act(observation), first)


def test_acting_normalises_as_training_does(folder: Path) -> None:
    policy = find_policy(folder, "Pendulum-v1", "low rank")
    statistics = policy.snapshot.statistics
    observation = np.array([0.6, 0.8, 1.0], np.float32)
    values = (observation - statistics.mean) / np.sqrt(statistics.m2 / statistics.count + 1e-8)
    plain = replace(policy, snapshot=replace(policy.snapshot, statistics=empty_statistics((3,))))
    np.testing.assert_allclose(policy.act(observation), plain.act(values), rtol=1e-5)
    assert not np.allclose(policy.actor().act(observation), plain.actor().act(observation))


def test_masked_actions_are_never_taken(folder: Path) -> None:
    policy = find_policy(folder, "pole", "low rank")
    for allowed in (0, 1):
        mask = np.arange(2) == allowed
        assert {policy.act(np.zeros(4), mask) for _ in range(20)} == {allowed}


@pytest.mark.parametrize(
    ("observation", "mask", "message"),
    [
        (np.zeros(3), None, r"observation: must have the shape \(4,\), has \(3,\)"),
        (np.zeros((1, 4)), None, r"has \(1, 4\)"),
        ({"state": 1}, None, "observation: must be an array, is {'state': 1}"),
        (np.zeros(4), [True], r"action_mask: must have the shape \(2,\), has \(1,\)"),
    ],
)
def test_what_does_not_fit_is_refused(
    folder: Path, observation: Any, mask: Any, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        find_policy(folder, "pole", "low rank").act(observation, mask)


def test_a_policy_acts_in_gymnasium(folder: Path) -> None:
    policy = find_policy(folder, "pole", "low rank")
    env = gymnasium.make("CartPole-v1")
    observation, _ = env.reset(seed=0)
    policy.reset(seed=0)
    score, is_over = 0.0, False
    while not is_over:
        observation, reward, terminated, truncated, _ = env.step(policy.act(observation))
        score, is_over = score + float(reward), terminated or truncated
    assert 0 < score <= 500


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"env": "pol"}, "did you mean 'pole / low rank / seed 0'"),
        ({"label": "low-rank"}, "did you mean 'pole / low rank / seed 0'"),
        ({"seed": 7}, "did you mean 'pole / low rank"),
        ({"stage": "finale"}, "unknown stage 'finale'; did you mean 'final'"),
    ],
)
def test_what_is_not_there_is_refused(folder: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_policy(folder, **{"env": "pole", "label": "low rank", **changed})


def test_one_of_several_is_not_picked_at_random(folder_copy: Path) -> None:
    shutil.copytree(pole(folder_copy).parent, folder_copy / "policies" / "another")
    with pytest.raises(UserError, match="several policies of 'pole / low rank / seed 0'.*another"):
        find_policy(folder_copy, "pole", "low rank")


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: "{",
        lambda manifest: "[]",
        lambda manifest: "{}",
        lambda manifest: json_text({**manifest, "policy": {"network": "mpl"}}),
        lambda manifest: json_text({**manifest, "environment": None}),
        lambda manifest: json_text(
            {**manifest, "environment": {**manifest["environment"], "options": {"x": 1}}}
        ),
    ],
)
def test_a_damaged_manifest_is_refused(folder_copy: Path, change: Callable[[Any], str]) -> None:
    path = pole(folder_copy)
    path.write_text(change(json.loads(path.read_text())))
    with pytest.raises(UserError, match="not a readable policy manifest"):
        load_policy(path)
    with pytest.raises(UserError, match="not a readable policy manifest"):
        find_policy(folder_copy, "pole", "low rank")


def test_damaged_weights_are_refused(folder_copy: Path) -> None:
    path = pole(folder_copy)
    weights = path.with_suffix(".msgpack")
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"final\.msgpack: not a readable checkpoint"):
        find_policy(folder_copy, "pole", "low rank")
    weights.unlink()
    with pytest.raises(UserError, match=r"final\.msgpack"):
        load_policy(path)
    with pytest.raises(UserError, match="not a readable policy manifest"):
        load_policy(folder_copy / "policies" / "nowhere.json")
