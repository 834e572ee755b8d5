"""The learned optimiser and SGD on the same task: contract, features, updates, score."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es.envs._unrolled import inner_training as inner
from rl_es.envs._unrolled import learned_optimiser as learned
from rl_es.envs.unrolled import SUITES
from rl_es.errors import UserError
from rl_es.interfaces import Snapshot
from rl_es.rollout.config import PolicyConfig
from rl_es.rollout.evaluation import make_evaluator
from rl_es.rollout.policy import make_policy
from tests.envs import contract
from tests.envs.unrolled import reference

SMALL = {"widths": (6,), "batch": 10, "steps": 5, "image_size": 4, "train_size": 300}
COUNT = 16 * 6 + 6 + 6 * 10 + 10  # parameters of that classifier
ARRAYS = [(0, 96), (96, 102), (102, 162), (162, 172)]


def make_learned(**options):
    suite = SUITES["learned_optimiser"]
    made = suite.Options(**{**SMALL, **options})
    return suite.make("unrolled/learned_optimiser", made)


def make_sgd(**options):
    suite = SUITES["sgd"]
    return suite.make("unrolled/sgd", suite.Options(**{**SMALL, **options}))


@pytest.mark.parametrize(("name", "make"), [("learned_optimiser", make_learned), ("sgd", make_sgd)])
def test_contract(name, make):
    env = make()
    assert env.spec.name in SUITES[name].NAMES
    assert env.spec.evaluation_steps == env.spec.episode_length == 5
    assert not contract.check(env, 5).terminated.any()


def test_both_start_alike_and_see_the_same_minibatches():
    key = jax.random.key(4)
    one, other = (jax.jit(env.reset)(key)[0].trained for env in (make_learned(), make_sgd()))
    np.testing.assert_array_equal(reference.flat(one.weights), reference.flat(other.weights))
    np.testing.assert_array_equal(reference.flat(one.gradient), reference.flat(other.gradient))


def test_an_update_is_the_clipped_action_times_its_scale():
    env = make_learned(step_scale=0.01)
    state, _ = jax.jit(env.reset)(jax.random.key(0))
    action = np.linspace(-20, 20, COUNT).astype(np.float32)
    after = jax.jit(env.step)(jax.random.key(1), state, action)
    moved = reference.flat(after.state.trained.weights) - reference.flat(state.trained.weights)
    np.testing.assert_allclose(moved, 0.01 * np.clip(action, -10, 10), atol=1e-6)
    expected, gradient = reference.loss_and_gradient(
        after.state.trained.weights, *env.train(jax.random.key(1))
    )
    np.testing.assert_allclose(after.reward, -expected, rtol=1e-4)
    np.testing.assert_allclose(
        reference.flat(after.state.trained.gradient), reference.flat(gradient), rtol=1e-3, atol=1e-6
    )


def test_features_equal_their_description():
    env = make_learned(steps=50)
    state, observation = jax.jit(env.reset)(jax.random.key(0))
    step = jax.jit(env.step)
    gradients = [reference.flat(state.trained.gradient)]
    for key in jax.random.split(jax.random.key(1), 3):
        action = np.asarray(jax.random.normal(key, (COUNT,)), np.float32)
        after = step(key, state, action)
        state, observation = after.state, after.observation
        gradients.append(reference.flat(state.trained.gradient))

    def relative(row):
        parts = [row[a:b] / (np.sqrt((row[a:b] ** 2).mean()) + 1e-8) for a, b in ARRAYS]
        return np.concatenate(parts)

    def average(decay, rows):
        weights = (1 - decay) * decay ** np.arange(len(rows))[::-1]
        return weights @ np.stack(rows)

    def size(row):
        return np.log10((np.abs(row) + 1e-8) / 1e-4) / 4

    count = len(gradients)
    means = [average(decay, gradients) for decay in (0.5, 0.9, 0.99)]
    root = np.sqrt(average(0.999, np.square(gradients)) / (1 - 0.999**count))
    corrected = [mean / (1 - d**count) for mean, d in zip(means, (0.5, 0.9, 0.99))]
    expected = np.stack(
        [
            relative(gradients[-1]),
            *map(relative, means),
            relative(reference.flat(state.trained.weights)),
            *(mean / (root + 1e-8) for mean in corrected),
            size(gradients[-1]),
            size(root),
            *(np.full(COUNT, x) for x in (3 / 50, np.tanh(3 / 10 - 1), np.tanh(3 / 100 - 1))),
        ],
        axis=1,
    )
    np.testing.assert_allclose(observation.values, np.clip(expected, -10, 10), rtol=5e-3, atol=5e-4)


def test_features_of_training_that_has_blown_up_are_finite():
    env = make_learned()
    state, _ = jax.jit(env.reset)(jax.random.key(0))
    trained = state.trained._replace(
        weights=jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.inf), state.trained.weights)
    )
    state = state._replace(trained=trained)
    after = jax.jit(env.step)(jax.random.key(1), state, np.zeros(COUNT, np.float32))
    assert np.isfinite(after.observation.values).all()
    assert after.observation.values.shape == (COUNT, learned.FEATURES)
    np.testing.assert_allclose(after.reward, -inner.CEILING, rtol=1e-6)
    np.testing.assert_allclose(env.score(after.state), -inner.CEILING, rtol=1e-6)


def test_sgd_equals_numpy():
    env = make_sgd()
    action = np.array([np.log(0.2), np.log(0.7 / 0.3)], np.float32)
    state, _ = jax.jit(env.reset)(jax.random.key(0))
    weights, velocity = state.trained.weights, reference.zeros(state.trained.weights)
    batch = env.train(jax.random.split(jax.random.key(0))[1])
    step = jax.jit(env.step)
    for key in jax.random.split(jax.random.key(1), 4):
        _, gradient = reference.loss_and_gradient(weights, *batch)
        weights, velocity = reference.momentum_step(
            weights, velocity, gradient, [(0.2, 0.2)] * 2, [(0.7, 0.7)] * 2
        )
        state = step(key, state, action).state
        batch = env.train(key)
    np.testing.assert_allclose(
        reference.flat(state.trained.weights), reference.flat(weights), rtol=1e-3, atol=1e-5
    )


def test_the_score_is_the_loss_on_all_training_images():
    env = make_sgd()
    state, _ = jax.jit(env.reset)(jax.random.key(0))
    loss, _ = reference.loss_and_gradient(state.trained.weights, *env.train.first(300))
    np.testing.assert_allclose(env.score(state), -loss, rtol=1e-4)


def test_evaluation_reports_the_score_after_the_last_step():
    env = make_sgd(steps=60, batch=50)
    policy = make_policy(PolicyConfig(network="parameters"), env.spec)
    evaluate = jax.jit(make_evaluator(env, policy, 3))
    params = policy.init(jax.random.key(0))
    scores = evaluate(jax.random.key(0), Snapshot(params))
    assert scores.shape == (3,)
    faster = evaluate(
        jax.random.key(0), Snapshot({"theta": params["theta"] + np.float32([1.5, 0])})
    )
    assert (faster > scores).all()


def test_a_shared_network_is_a_policy_of_it():
    env = make_learned()
    config = PolicyConfig(network="shared_mlp", widths=(4,), head="deterministic")
    policy = make_policy(config, env.spec)
    assert policy.parameters.size == 13 * 4 + 4 + 4 + 1
    evaluate = jax.jit(make_evaluator(env, policy, 2))
    scores = evaluate(jax.random.key(0), Snapshot(policy.init(jax.random.key(1))))
    assert np.isfinite(scores).all()
    with pytest.raises(UserError, match="choose another network"):
        make_policy(PolicyConfig(network="parameters"), env.spec)
