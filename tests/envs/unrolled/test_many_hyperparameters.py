"""Many hyper-parameters: the contract, how actions are read, masks, a run against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np

from rl_es.envs._unrolled import inner_training as inner
from rl_es.envs._unrolled import many_hyperparameters as environment
from rl_es.envs.unrolled import SUITES
from tests.envs import contract
from tests.envs.unrolled import reference

TASK = SUITES["many_hyperparameters"]


def make(**options):
    small = {"width": 8, "batch": 10, "steps": 5, **options}
    return TASK.make("unrolled/many_hyperparameters", TASK.Options(**small))


def test_contract():
    env = make()
    assert env.spec.name in TASK.NAMES
    assert env.spec.action_space.shape == (29,)
    assert not contract.check(env, 5).terminated.any()


def test_an_action_is_read_in_its_stated_order():
    read = environment.read_action(jnp.arange(29, dtype=jnp.float32) / 10)
    one = np.arange(29) / 10
    np.testing.assert_allclose(read.active, 1 / (1 + np.exp(-one[:5])), rtol=1e-5)
    for i, (lr, momentum) in enumerate(zip(read.lr, read.momentum)):
        np.testing.assert_allclose(lr, np.exp([one[5 + i], one[11 + i]]), rtol=1e-5)
        expected = 1 / (1 + np.exp(-np.array([one[17 + i], one[23 + i]])))
        np.testing.assert_allclose(momentum, expected, rtol=1e-5)


def test_bounds_and_start_are_what_they_are_said_to_be():
    for action, active, lr, momentum in (
        (environment.LOW, 0.01, 1e-8, 0.01),
        (environment.HIGH, 0.999, 10, 0.999),
        (environment.START, 0.5, 0.01, 0.9),
    ):
        read = environment.read_action(jnp.asarray(action))
        np.testing.assert_allclose(read.active, active, rtol=1e-5)
        np.testing.assert_allclose(reference.flat(read.lr), lr, rtol=1e-4)
        np.testing.assert_allclose(reference.flat(read.momentum), momentum, rtol=1e-5)


def test_masks_are_the_first_units():
    active = jnp.array([0.001, 0.25, 0.5, 0.6, 0.999], jnp.float32)
    expected = [[i < n for i in range(8)] for n in (1, 2, 4, 5, 8)]
    np.testing.assert_array_equal(environment.masks(active, 8), np.array(expected, np.float32))


def test_a_run_equals_numpy():
    env = make(width=12, train_size=200)
    rng = np.random.default_rng(0)
    action = environment.START + 0.5 * rng.normal(size=29).astype(np.float32)
    action[:5] += 1  # enough units for the signal to reach the last layer
    chosen = environment.read_action(jnp.asarray(action))
    masks = np.asarray(environment.masks(chosen.active, 12))
    assert 5 < masks.sum() < 60
    state, _ = env.reset(jax.random.key(0))
    weights, velocity = state.weights, reference.zeros(state.weights)
    step = jax.jit(env.step)
    for key in jax.random.split(jax.random.key(1), 5):
        train_key, validation_key = jax.random.split(key)
        _, gradient = reference.loss_and_gradient(weights, *env.train(train_key), masks)
        weights, velocity = reference.momentum_step(
            weights, velocity, gradient, chosen.lr, chosen.momentum
        )
        after = step(key, state, action)
        state = after.state
        loss, _ = reference.loss_and_gradient(weights, *env.validation(validation_key), masks)
        np.testing.assert_allclose(after.reward, -loss, rtol=1e-4)
        np.testing.assert_allclose(
            reference.flat(state.weights), reference.flat(weights), rtol=1e-3, atol=1e-5
        )


def test_the_worst_settings_cost_the_ceiling_a_step():
    env = make(steps=30)
    state, _ = env.reset(jax.random.key(0))
    keys = jax.random.split(jax.random.key(1), 30)

    def step(state, key):
        after = env.step(key, state, environment.HIGH)
        return after.state, after.reward

    _, rewards = jax.jit(lambda: jax.lax.scan(step, state, keys))()
    assert (np.asarray(rewards) >= -np.float32(inner.CEILING)).all()
    np.testing.assert_allclose(rewards[-5:], -inner.CEILING, rtol=1e-6)
