"""The unrolled problems without data, each against its definition in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es import registry
from rl_es.envs.unrolled import SUITES
from rl_es.errors import UserError
from rl_es.interfaces import Environment, Snapshot
from rl_es.rollout.config import PolicyConfig, WrapperConfig
from rl_es.rollout.evaluation import make_evaluator
from rl_es.rollout.policy import make_policy
from rl_es.rollout.wrappers import TimeLimit, wrap_environment
from tests.envs.contract import check, check_types

SMALL = ("influence_balancing", "toy_regression", "lorenz", "linear", "cubic")


def made(name: str, **options) -> Environment:
    suite = SUITES[name]
    return suite.make(suite.NAMES[0], suite.Options(**options))


def rewards(env: Environment, actions: np.ndarray) -> np.ndarray:
    """[T] the rewards of actions [T, A]."""

    def step(state, action):
        after = env.step(jax.random.key(0), state, action)
        return after.state, after.reward

    first, _ = env.reset(jax.random.key(0))
    return np.asarray(jax.jit(lambda: jax.lax.scan(step, first, jnp.asarray(actions)))()[1])


@pytest.mark.parametrize("name", SMALL)
def test_types(name):
    env = made(name)
    assert env.spec.name in registry.environment_names()
    check_types(env)


@pytest.mark.parametrize("name", ["toy_regression", "lorenz"])
def test_contract(name):
    check(made(name, steps=7), 10)


def test_a_time_limit_can_be_put_around_what_never_ends():
    env = TimeLimit(made("influence_balancing"), 5)
    state, _ = env.reset(jax.random.key(0))
    ends = []
    for _ in range(5):
        after = env.step(jax.random.key(0), state, jnp.zeros(1))
        state = after.state
        ends.append((bool(after.terminated), bool(after.truncated)))
    assert ends == [(False, False)] * 4 + [(False, True)]


def balanced(thetas: np.ndarray) -> np.ndarray:
    """[T] the losses of the linear system, with its matrix written out."""
    a = np.diag(np.full(23, 0.5)) + np.diag(np.full(22, 0.5), 1)
    s, x, losses = np.array([1.0] * 10 + [-1.0] * 13), np.ones(23), []
    for theta in thetas:
        x = a @ x + theta * s
        losses.append((x[0] - 1) ** 2 / 2)
    return np.array(losses)


def test_influence_balancing():
    thetas = np.random.default_rng(0).normal(size=(40, 1)).astype(np.float32)
    result = rewards(made("influence_balancing"), thetas)
    np.testing.assert_allclose(-result, balanced(thetas[:, 0]), rtol=1e-4)
    every = rewards(made("influence_balancing", loss_every=4), thetas)
    expected = np.where(np.arange(1, 41) % 4 == 0, result, 0.0)
    np.testing.assert_array_equal(every, expected)


@pytest.mark.parametrize("wrappers", [{}, {"episode_length": 20}, {"action_repeat": 5}])
def test_influence_balancing_names_its_own_evaluation(wrappers):
    """Minus the loss after 500 steps of one theta: 8.0 at the start, as the paper's, 0 at -1/6."""
    env = wrap_environment(made("influence_balancing"), WrapperConfig(**wrappers))
    policy = make_policy(PolicyConfig(network="parameters"), env.spec)
    evaluate = jax.jit(make_evaluator(env, policy, 2))
    for theta in (0.5, 0.0, -1 / 6):
        params = {"theta": jnp.full(1, theta)}
        result = evaluate(jax.random.key(0), Snapshot(params))
        expected = balanced(np.full(500, theta))[-1]
        np.testing.assert_allclose(result, np.full(2, -expected), rtol=1e-4, atol=1e-10)
    start = policy.init(jax.random.key(0))
    np.testing.assert_allclose(evaluate(jax.random.key(0), Snapshot(start)), -8.0, rtol=1e-4)


def toy(first: float, last: float, steps: int = 100) -> np.ndarray:
    """[T] the losses of gradient descent, its gradient by central differences."""

    def f(x):
        near = np.sin(x[1]) ** 2 * np.exp(-5 * x[0] ** 2)
        return np.sqrt(x[0] ** 2 + 5) - np.sqrt(5) + near + 0.25 * abs(x[1] - 100)

    x, losses, h = np.ones(2), [], 1e-6
    for t in range(steps):
        lr = np.exp(first) + (np.exp(last) - np.exp(first)) * t / steps
        x = x - lr * np.array([(f(x + h * e) - f(x - h * e)) / (2 * h) for e in np.eye(2)])
        losses.append(f(x))
    return np.array(losses)


@pytest.mark.parametrize("theta", [(-4.0, -4.0), (-2.0, -5.0), (-1.0, -4.0)])
def test_toy_regression(theta):
    """Rates above one are left out: descent is chaotic there, and roundings grow."""
    result = rewards(made("toy_regression"), np.tile(np.float32(theta), (100, 1)))
    np.testing.assert_allclose(-result, toy(*theta), rtol=2e-3)


def test_toy_regression_starts_where_the_paper_does():
    """The summed loss of the first schedule; the least one depends on roundings."""
    env = made("toy_regression")
    policy = make_policy(PolicyConfig(network="parameters"), env.spec)
    evaluate = jax.jit(make_evaluator(env, policy, 1))

    def loss(theta):
        return -float(evaluate(jax.random.key(0), Snapshot({"theta": jnp.asarray(theta)}))[0])

    assert loss(policy.init(jax.random.key(0))["theta"]) == pytest.approx(2487.8, abs=0.1)
    assert loss([2.72, -4.2]) == pytest.approx(552, abs=10)


def test_lorenz_follows_itself():
    env = made("lorenz")
    known = np.log([[28.0, 10.0]]).astype(np.float32).repeat(100, 0)
    assert rewards(env, known).min() > -1e-3
    other = rewards(env, known + np.float32([0.1, 0.0]))
    assert other.min() < -1


def test_linear_gradients():
    """Rewards are linear in the actions; identical steps reward alike."""
    actions = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    env = made("linear", steps=6, size=4)
    each = rewards(env, actions)
    np.testing.assert_allclose(rewards(env, 3 * actions), 3 * each, rtol=1e-5)
    same = rewards(made("linear", steps=6, size=4, gradients="identical"), actions[:1].repeat(6, 0))
    np.testing.assert_allclose(same, same[0], rtol=1e-6)
    recurrent = made("linear", steps=6, size=4, decay=0.5, response="tanh")
    still = rewards(recurrent, np.concatenate([actions[:1], np.zeros((5, 4), np.float32)]))
    assert (np.abs(still[1:]) > 1e-3).any()


def test_actions_themselves_need_an_unrolled_problem():
    env = made("linear")
    with pytest.raises(UserError, match="parameters is for unrolled problems.*unrolled/linear"):
        make_policy(PolicyConfig(network="parameters"), env.spec)
