"""Learning-rate decay: the contract, a run against NumPy, both objectives, shared minibatches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es.agents import pes
from rl_es.config import split_traced
from rl_es.envs.unrolled import SUITES
from rl_es.interfaces import ProblemSpec
from rl_es.rollout.policy import parameter_policy
from rl_es.training.learner import Evolution
from tests.envs import contract
from tests.envs.unrolled import reference

TASK = SUITES["learning_rate_decay"]
NAME = "unrolled/learning_rate_decay"


def make(**options):
    return TASK.make(NAME, TASK.Options(**{"widths": (8,), "batch": 10, "steps": 6, **options}))


@pytest.mark.parametrize("objective", ["loss", "accuracy"])
def test_contract(objective):
    env = make(objective=objective)
    assert env.spec.name in TASK.NAMES
    result = contract.check(env, 6)
    assert not result.terminated.any()
    if objective == "accuracy":
        assert ((result.reward >= 0) & (result.reward <= 1)).all()


def test_the_schedule_is_the_paper_s():
    env = make(steps=1000, time_scale=500)
    theta = jnp.array([np.log(0.1), np.log(2.0)], jnp.float32)
    for t in (0, 250, 500, 1000):
        np.testing.assert_allclose(
            env.learning_rate(theta, jnp.int32(t)), 0.1 / (1 + t / 500) ** 2, rtol=1e-5
        )
    assert make(steps=40).time_scale == 40


def test_a_run_equals_numpy():
    env = make()
    theta = np.array([np.log(0.3), np.log(0.5)], np.float32)
    state, _ = env.reset(jax.random.key(0))
    weights, velocity = state.weights, reference.zeros(state.weights)
    step = jax.jit(env.step)
    for t, key in enumerate(jax.random.split(jax.random.key(1), 6)):
        batch = env.train(jax.random.split(key)[0])
        loss, gradient = reference.loss_and_gradient(weights, *batch)
        rate = 0.3 / (1 + t / 6) ** 0.5
        rates, momenta = [(rate, rate)] * 2, [(0.9, 0.9)] * 2
        weights, velocity = reference.momentum_step(weights, velocity, gradient, rates, momenta)
        after = step(key, state, theta)
        state = after.state
        np.testing.assert_allclose(after.reward, -loss, rtol=1e-4)
        np.testing.assert_allclose(
            reference.flat(state.weights), reference.flat(weights), rtol=1e-3, atol=1e-5
        )
        assert after.truncated == (t == 5)


def test_accuracy_is_of_the_new_weights_on_validation_images():
    env = make(objective="accuracy", validation_size=10)
    state, _ = env.reset(jax.random.key(0))
    after = env.step(jax.random.key(1), state, np.array([np.log(0.1), 0], np.float32))
    images, labels = (np.asarray(part) for part in env.validation.first(10))
    (w1, b1), (w2, b2) = jax.tree.map(np.asarray, after.state.weights)
    outputs = np.maximum(images @ w1 + b1, 0) @ w2 + b2
    np.testing.assert_allclose(after.reward, (outputs.argmax(1) == labels).mean(), rtol=1e-6)


def test_training_helps():
    env = make(widths=(16,), batch=50, steps=100)
    theta = np.array([np.log(0.1), np.log(0.5)], np.float32)

    def step(state, key):
        after = env.step(key, state, theta)
        return after.state, after.reward

    state, _ = env.reset(jax.random.key(0))
    keys = jax.random.split(jax.random.key(1), 100)
    _, rewards = jax.jit(lambda: jax.lax.scan(step, state, keys))()
    assert rewards[-20:].mean() > -0.3 > -2.0 > rewards[0]


def test_partners_share_weights_and_minibatches():
    env = make(steps=4)
    policy = parameter_policy(env.spec)
    config = pes.Hyperparameters(population=8, window=1, sigma=0.5)
    learner = Evolution(pes.make(config, ProblemSpec(policy.parameters, 4)), env, policy)
    hyper = {name: jnp.float32(value) for name, value in split_traced(config)[1].items()}
    state = learner.init(jax.random.key(0), hyper)
    _, segment, _ = jax.jit(learner.generation)(state)
    # The first loss is that of the first weights on the first minibatch, whatever is done then.
    returns = np.asarray(segment.returns).reshape(4, 2)
    np.testing.assert_array_equal(returns[:, 0], returns[:, 1])
    assert len(set(returns[:, 0].tolist())) == 4
