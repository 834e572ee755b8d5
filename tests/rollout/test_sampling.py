"""Groups of sampled episodes, and pass@k against its definition."""

from itertools import combinations
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es.interfaces import Snapshot
from rl_es.rollout.config import PolicyConfig
from rl_es.rollout.evaluation import make_evaluator
from rl_es.rollout.policy import make_policy, sampling_network
from rl_es.rollout.sampling import make_group_evaluator, pass_at
from tests.agents.test_grpo import Bandit

KEY = jax.random.key(3)


@pytest.mark.parametrize("group", [1, 2, 5])
def test_pass_at_k_is_the_share_of_subsets_with_a_success(group: int) -> None:
    successes = np.random.default_rng(group).random((40, group)) < 0.3
    successes[0], successes[1] = True, False
    for k in range(1, group + 1):
        solved = [[any(s) for s in combinations(row, k)] for row in successes.tolist()]
        assert pass_at(successes, k) == pytest.approx(np.mean(solved))
    assert pass_at(successes, 1) == pytest.approx(successes.mean())


def test_it_is_unbiased() -> None:
    """Of independent answers with chance p: 1 - (1 - p)^k, also where k is near their number."""
    chances, rng = np.array([0.0, 0.02, 0.3, 1.0]), np.random.default_rng(0)
    for k in (1, 4, 8):
        estimates = [pass_at(rng.random((4, 8)) < chances[:, None], k) for _ in range(4000)]
        exact = np.mean(1 - (1 - chances) ** k)
        assert abs(np.mean(estimates) - exact) < 4 * np.std(estimates) / 4000**0.5


def evaluated(env: Any, head: str, temperature: float) -> tuple[np.ndarray, Any, Snapshot]:
    """Returns [64, 500] of samples, the policy, and its start."""
    policy = make_policy(PolicyConfig(network="linear", head=head), env.spec)  # pyright: ignore
    snapshot = Snapshot(policy.init(jax.random.key(1)))
    run = make_group_evaluator(env, sampling_network(policy, "test"), 64, 500)
    return np.asarray(jax.jit(run)(KEY, snapshot, jnp.float32(temperature))), policy, snapshot


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_a_bandit_is_sampled_at_the_temperature_whatever_its_head(temperature: float) -> None:
    returns, _, snapshot = evaluated(Bandit(), "deterministic", temperature)
    logits = np.asarray(snapshot.params["network"]["Dense_0"]["kernel"])[0] / temperature
    shares = np.exp(logits) / np.exp(logits).sum()
    for pay, share in zip(Bandit.pays[0], shares, strict=True):
        error = (share * (1 - share) / returns.size) ** 0.5
        assert abs((returns == pay).mean() - share) < 5 * error


def test_starts_are_those_of_an_evaluation() -> None:
    """At a temperature of almost 0 samples are the deterministic actions."""
    env = Bandit(((1.0, 2.0, 3.0), (10.0, 20.0, 30.0)))
    returns, policy, snapshot = evaluated(env, "deterministic", 1e-6)
    expected = jax.jit(make_evaluator(env, policy, 64))(KEY, snapshot)
    np.testing.assert_array_equal(returns, np.repeat(expected[:, None], 500, 1))
    assert np.ptp(expected) >= 7
