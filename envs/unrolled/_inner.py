"""The inner problem of the tasks on images: a classifier trains by gradient descent.

A multi-layer perceptron with rectified linear units and a softmax over ten classes. Weights start
He-uniform (He et al. 2015, arXiv 1502.01852), biases at zero. Everything is a pure function of one
copy; the engine vmaps it over members, each with weights of its own.

Reported losses are at most `CEILING`, and a loss that is not a number is reported as `CEILING`: a
member whose training has blown up still ranks below one that trains, and the spread of the
population's returns stays finite.
"""

import itertools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from envs.unrolled._minibatches import Batch

CLASSES = 10
CEILING = 2 * math.log(CLASSES)  # nats; a classifier that knows nothing has log(CLASSES)


class Layer(NamedTuple):
    """The parameters of a layer, or something that is given for each of the two."""

    weight: Array  # [M, N]
    bias: Array  # [N]


Weights = tuple[Layer, ...]


class Descent(NamedTuple):
    """A classifier in training."""

    weights: Weights
    velocity: Weights
    t: Array  # [] int32, steps taken


def initial(key: Array, inputs: int, widths: tuple[int, ...]) -> Weights:
    """Weights of a classifier with these hidden layers. Consumes `key`."""
    sizes = [inputs, *widths, CLASSES]
    shapes = list(itertools.pairwise(sizes))
    ends = np.cumsum([m * n for m, n in shapes])
    drawn = jnp.split(jax.random.uniform(key, (int(ends[-1]),), minval=-1.0), ends[:-1].tolist())
    return tuple(
        Layer(math.sqrt(6 / m) * part.reshape(m, n), jnp.zeros(n))
        for (m, n), part in zip(shapes, drawn, strict=True)
    )


def at_rest(key: Array, inputs: int, widths: tuple[int, ...]) -> Descent:
    """A classifier before its first step. Consumes `key`."""
    weights = initial(key, inputs, widths)
    return Descent(weights, jax.tree.map(jnp.zeros_like, weights), jnp.zeros((), jnp.int32))


def logits(weights: Weights, images: Array, masks: Array | None = None) -> Array:
    """[B, 10] outputs for images [B, D].

    Args:
      weights: of the layers.
      images: standardised.
      masks: [hidden layers, N] factors on hidden units, for layers of one width; or none.
    """
    x = images
    for i, layer in enumerate(weights[:-1]):
        x = jax.nn.relu(x @ layer.weight + layer.bias[None])
        if masks is not None:
            x = x * masks[i][None]
    return x @ weights[-1].weight + weights[-1].bias[None]


def cross_entropy(outputs: Array, labels: Array) -> Array:
    """[] mean over a batch, in nats, of outputs [B, 10]; not bounded."""
    shown = jax.nn.one_hot(labels, CLASSES)  # to gather would make the derivative a scatter
    return -(jax.nn.log_softmax(outputs) * shown).sum(-1).mean()


def accuracy(outputs: Array, labels: Array) -> Array:
    """[] share of a batch whose largest output is the right one."""
    return (jnp.argmax(outputs, -1).astype(jnp.int32) == labels).astype(jnp.float32).mean()


def loss(weights: Weights, batch: Batch, masks: Array | None = None) -> Array:
    """[] the loss that is trained on: mean cross entropy in nats."""
    return cross_entropy(logits(weights, batch.images, masks), batch.labels)


def bounded(value: Array) -> Array:
    """[] a loss as it is reported: at most `CEILING`, which also stands for not a number."""
    return jnp.where(jnp.isnan(value), CEILING, jnp.minimum(value, CEILING))


def momentum_step(
    weights: Weights, velocity: Weights, gradient: Weights, lr: Any, momentum: Any
) -> tuple[Weights, Weights]:
    """One step of SGD with momentum: v' = momentum v + gradient, w' = w - lr v'.

    Args:
      weights: before the step.
      velocity: of the weights, zero at the start.
      gradient: of the loss.
      lr: [] for all, or structured like the weights with [] for each array.
      momentum: likewise.

    Returns:
      Weights and velocity after the step.
    """
    lr, momentum = (_for_each(weights, value) for value in (lr, momentum))
    velocity = jax.tree.map(lambda v, g, m: m * v + g, velocity, gradient, momentum)
    return jax.tree.map(lambda w, v, r: w - r * v, weights, velocity, lr), velocity


def _for_each(weights: Weights, value: Any) -> Weights:
    one = not isinstance(value, tuple)
    return jax.tree.map(lambda _: value, weights) if one else value


def logit(p: float) -> float:
    """The number whose sigmoid is p."""
    return math.log(p / (1 - p))
