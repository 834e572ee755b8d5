"""The inner problem: loss, gradient and step against NumPy and optax; minibatches; bounds."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rl_es.envs._unrolled import inner_training as inner
from rl_es.envs._unrolled.datasets import Images, Split, load_images
from rl_es.envs._unrolled.inner_training import Minibatches
from rl_es.envs._unrolled.options import DataOptions
from tests.envs.unrolled import reference


def split(count):
    """Images of one number each, which is the image's own."""
    numbers = np.arange(count, dtype=np.uint8)
    return Split(numbers[:, None], numbers % 10)


def minibatches(count, size):
    data = Images(split(count), split(count), mean=0.0, deviation=1.0)
    return Minibatches(data.train, size, data)


@pytest.fixture(scope="module")
def batch():
    data = load_images(DataOptions())
    return Minibatches(data.train, 32, data)(jax.random.key(3))


@pytest.fixture(scope="module")
def weights():
    drawn = inner.initial_weights(jax.random.key(0), 64, (12, 12))
    # Biases start at zero, where a wrong derivative could hide.
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: leaf + rng.normal(0, 0.1, leaf.shape).astype(np.float32), drawn
    )


MASKS = np.stack([np.arange(12) < 7, np.arange(12) < 1]).astype(np.float32)


@pytest.mark.parametrize("masks", [None, MASKS], ids=["whole", "masked"])
def test_loss_and_gradient_equal_numpy(weights, batch, masks):
    ours, gradient = jax.jit(jax.value_and_grad(inner.training_loss))(weights, batch, masks)
    expected, by_hand = reference.loss_and_gradient(weights, *batch, masks)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)
    np.testing.assert_allclose(
        reference.flat(gradient), reference.flat(by_hand), rtol=1e-4, atol=1e-6
    )


def test_masked_units_are_neither_used_nor_trained(weights, batch):
    loss = jax.jit(inner.training_loss)
    gradient = jax.jit(jax.grad(inner.training_loss))(weights, batch, MASKS)
    np.testing.assert_array_equal(gradient[0].weight[:, 7:], 0)
    np.testing.assert_array_equal(gradient[0].bias[7:], 0)
    np.testing.assert_array_equal(gradient[1].weight[7:], 0)
    assert (np.abs(gradient[0].weight[:, :7]).sum(0) > 0).any()
    other = (weights[0]._replace(bias=weights[0].bias.at[7:].add(5.0)), *weights[1:])
    np.testing.assert_array_equal(loss(weights, batch, MASKS), loss(other, batch, MASKS))


def test_momentum_step_equals_optax(weights, batch):
    optimiser = optax.sgd(0.1, momentum=0.8)
    theirs, state = weights, optimiser.init(weights)
    ours, velocity = weights, jax.tree.map(jnp.zeros_like, weights)
    for _ in range(3):
        change, state = optimiser.update(jax.grad(inner.training_loss)(theirs, batch), state)
        theirs = optax.apply_updates(theirs, change)
        gradient = jax.grad(inner.training_loss)(ours, batch)
        ours, velocity = inner.momentum_step(ours, velocity, gradient, 0.1, 0.8)
    np.testing.assert_allclose(reference.flat(ours), reference.flat(theirs), rtol=1e-5, atol=1e-6)


def test_first_weights_are_he_uniform():
    weights = inner.initial_weights(jax.random.key(1), 300, (200,))
    assert [leaf.shape for leaf in jax.tree.leaves(weights)] == [
        (300, 200),
        (200,),
        (200, 10),
        (10,),
    ]
    for layer, inputs in zip(weights, (300, 200)):
        np.testing.assert_array_equal(layer.bias, 0)
        assert np.abs(layer.weight).max() <= np.sqrt(6 / inputs)
        np.testing.assert_allclose(np.std(layer.weight), np.sqrt(2 / inputs), rtol=0.05)


def test_minibatches_are_neighbours_each_as_likely_as_any_other():
    draw = jax.jit(jax.vmap(minibatches(7, 3)))
    drawn = draw(jax.random.split(jax.random.key(0), 7000))
    images = np.asarray(drawn.images)[..., 0].astype(int)  # [7000, 3]
    np.testing.assert_array_equal((images - images[:, :1]) % 7, np.tile([0, 1, 2], (7000, 1)))
    np.testing.assert_array_equal(drawn.labels, images % 10)
    assert (np.abs(np.bincount(images.ravel(), minlength=7) - 3000) < 200).all()  # 4 deviations


def test_a_minibatch_may_be_all_images():
    images = minibatches(5, 5)(jax.random.key(2)).images
    np.testing.assert_array_equal(np.sort(images[:, 0]), np.arange(5))
    np.testing.assert_array_equal(minibatches(5, 3).first(4).images[:, 0], np.arange(4))
    np.testing.assert_array_equal(minibatches(5, 3).first(9).images[:, 0], np.arange(5))


def test_reported_losses_are_bounded():
    argument = jnp.array([0.5, 1e9, np.inf, np.nan])
    np.testing.assert_allclose(
        jax.vmap(inner.bound_loss)(argument),
        [0.5, inner.CEILING, inner.CEILING, inner.CEILING],
        rtol=1e-6,
    )


def test_accuracy():
    outputs = jnp.eye(10)[jnp.array([3, 1, 4, 1])]
    np.testing.assert_allclose(inner.accuracy(outputs, jnp.array([3, 1, 4, 5])), 0.75)
