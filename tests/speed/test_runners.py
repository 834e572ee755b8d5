"""What is timed of each contestant: all steps, the floors, the parts."""

from typing import Any

import jax
import numpy as np
import pytest

from rl_es.interfaces import Box, Discrete, EnvSpec, Observation
from rl_es.results.timings import PARTS
from rl_es.speed.runners import (
    FixedAction,
    TimedFunctions,
    generation_parts,
    make_environment,
    make_timed_functions,
)
from rl_es.speed.workloads import expand_workloads
from tests.speed.benchmarks import benchmark_of

EVERYONE = "contestants=[bare, inference, eggroll, evosax]"


def runners(*assignments: str) -> dict[str, TimedFunctions]:
    """The runners of the only workload, by label."""
    (workload,) = expand_workloads(benchmark_of(*assignments))
    return {
        contestant.label: make_timed_functions(
            workload, contestant, make_environment(workload, contestant.horizon)
        )
        for contestant in workload.contestants
    }


def _generations(runner: TimedFunctions, count: int = 2) -> list[Any]:
    state, outputs = jax.jit(runner.init)(jax.random.key(0)), []
    generation = jax.jit(runner.generation)
    for _ in range(count):
        state, output = generation(state)
        outputs.append(output)
    return outputs


@pytest.mark.extra("evosax")
def test_everyone_takes_all_steps_of_a_full_horizon() -> None:
    functions = runners(EVERYONE, "workloads.episodes=[3]")
    for runner in functions.values():
        for returns, steps in _generations(runner):
            assert returns.shape == (4,) and int(steps) == 4 * 3 * 8


def test_episodes_differ_between_generations_and_pairs() -> None:
    changed = ("workloads.environments.0.episode_length=40", "workloads.populations=[32]")
    for runner in runners(*changed, "contestants=[bare, inference]").values():
        (first, _), (second, _) = _generations(runner)
        assert len(set(first.tolist())) > 1 and not np.array_equal(first, second)


SPREAD = """contestants=[eggroll, {name: eggroll, label: two, devices: 2},
{name: eggroll, label: four, chunks: 4}, {name: eggroll, label: both, devices: 2, lanes: 2},
{name: eggroll, label: lanes, lanes: 2}]"""


def test_a_spread_generation_is_the_same() -> None:
    all_returns: dict[str, Any] = {}
    sizes = ("workloads.populations=[512]", "workloads.environments.0.episode_length=30")
    for label, runner in runners(SPREAD, *sizes).items():
        lanes = 2 if label in ("both", "lanes") else 1
        (_, _), (returns, steps) = _generations(runner)
        assert int(np.sum(steps)) == lanes * 512 * 30 and returns.size == lanes * 512
        assert runner.learner is None or label == "eggroll"
        all_returns[label] = np.asarray(returns)
    for label in ("two", "four"):
        np.testing.assert_array_equal(all_returns[label][0], all_returns["eggroll"])
    np.testing.assert_array_equal(all_returns["both"], all_returns["lanes"])
    assert not np.array_equal(all_returns["both"][0], all_returns["both"][1])


def test_a_horizon_of_ones_own() -> None:
    text = "contestants=[inference, {name: inference, label: early, horizon: natural}]"
    functions = runners(text, "workloads.environments.0.episode_length=60")
    steps = {label: int(_generations(runner)[0][1]) for label, runner in functions.items()}
    assert steps["inference"] == 4 * 60 > steps["early"]


def test_a_precision_of_ones_own() -> None:
    text = """contestants=[inference, {name: inference, label: rounded, precision: bfloat16},
    eggroll, {name: eggroll, label: rounded too, precision: bfloat16}]"""
    (workload,) = expand_workloads(benchmark_of(text))
    has_bfloat16 = {}
    for label, runner in runners(text).items():
        state = jax.eval_shape(runner.init, jax.random.key(0))
        has_bfloat16[label] = "bf16" in str(jax.make_jaxpr(runner.generation)(state))
    assert has_bfloat16 == {
        "inference": False,
        "rounded": True,
        "eggroll": False,
        "rounded too": True,
    }
    identities = [contestant.identity for contestant in workload.contestants]
    assert [identity.get("precision") for identity in identities] == 2 * [None, "bfloat16"]
    assert "precision" not in identities[0]  # as before there was such a key


def test_partners_share_episodes_where_nothing_is_perturbed() -> None:
    runner = runners("contestants=[bare]", "workloads.populations=[32]")["bare"]
    (returns, _), *_ = _generations(runner)
    np.testing.assert_array_equal(returns[::2], returns[1::2])


def test_sizes() -> None:
    functions = runners(
        "contestants=[bare, inference, {name: eggroll, with: {rank: 2}}, full_rank_es]"
    )
    size = 4 * 4 + 4 + 4 * 2 + 2  # 4 observations, 4 hidden, 2 actions
    assert [runner.parameters for runner in functions.values()] == [0, size, size, size]
    numbers = []
    for runner in functions.values():
        noise = jax.tree.leaves(jax.eval_shape(runner.perturbation, jax.random.key(0)))
        numbers.append(sum(leaf.size for leaf in noise))
    factors = 2 * (4 + 4) + 4 + 2 * (4 + 2) + 2
    assert numbers == [0, 0, 2 * (factors + 1), 2 * (size + 1)]  # with the sigma of each pair


@pytest.mark.parametrize("contestant", ["eggroll", "{name: pes, with: {window: 4}}"])
def test_parts_give_what_the_generation_gives(contestant: str) -> None:
    """All that it does: the agent's state and the statistics of observations, too."""
    changed = (f"contestants=[{contestant}]", "policy.normalise_observations=true")
    (functions,) = runners(*changed).values()
    assert functions.learner is not None
    parts = {name: jax.jit(part) for name, part in generation_parts(functions.learner).items()}
    assert tuple(parts) == PARTS
    state = jax.jit(functions.init)(jax.random.key(0))
    noise = parts["noise"](state)
    outcome = parts["rollout"](state, noise)
    shaped = parts["shaping"](state, outcome)
    agent, statistics, metrics = parts["update"](state, noise, shaped, outcome)
    after, (returns, steps) = jax.jit(functions.generation)(state)
    np.testing.assert_array_equal(outcome.segment.returns, returns)
    assert int(outcome.segment.steps) == int(steps) == int(metrics.env_steps)
    pairs = zip(
        jax.tree.leaves((agent, statistics)),
        jax.tree.leaves((after.agent, after.statistics)),
        strict=True,
    )
    for part, generation in pairs:
        np.testing.assert_allclose(part, generation, rtol=1e-5, atol=1e-6)


def test_a_generation_without_a_finite_return_leaves_the_agent_in_its_parts_too() -> None:
    (functions,) = runners("contestants=[eggroll]").values()
    learner, state = functions.learner, jax.jit(functions.init)(jax.random.key(0))
    assert learner is not None
    parts = generation_parts(learner)
    noise = jax.jit(parts["noise"])(state)
    outcome = jax.jit(parts["rollout"])(state, noise)
    segment = outcome.segment.replace(returns=jax.numpy.full(4, np.nan))
    outcome = outcome._replace(segment=segment)
    shaped = jax.jit(parts["shaping"])(state, outcome)
    agent, _, metrics = jax.jit(parts["update"])(state, noise, shaped, outcome)
    assert int(metrics.nonfinite_members) == 4 and float(metrics.update_norm) == 0
    jax.tree.map(np.testing.assert_array_equal, agent, state.agent)


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (Discrete(3), 0),
        (Box(np.array([-1.0, 0.0], np.float32), np.array([1.0, 4.0], np.float32)), [0.0, 2.0]),
        (Box(np.full(1, -np.inf, np.float32), np.full(1, np.inf, np.float32)), [0.0]),
    ],
)
def test_fixed_action(space: Any, expected: Any) -> None:
    policy = FixedAction(EnvSpec("toy", (1,), space, 5))
    _, action = policy.act({}, (), Observation(jax.numpy.zeros(1)), jax.random.key(0))
    assert action.tolist() == expected
