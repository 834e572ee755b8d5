"""The inner problem of the tasks on images: a classifier that is trained by gradient descent.

The classifier is a multi-layer perceptron with rectified linear units and a softmax over ten
classes. Weights start He-uniform (He et al. 2015, arXiv 1502.01852), biases at zero. All functions
are pure and act on one copy; the engine vmaps them over members, each with its own weights.

Reported losses are at most `CEILING`, which also stands for nan: a member whose training has
diverged ranks below one that trains, and the spread of the population's returns stays finite.

`InnerTraining` is the environment of tasks whose action steers an `UpdateRule`: a step is one step
of training.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.envs._adapter import valid_action
from rl_es.envs._unrolled.datasets import Images, Split, load_images
from rl_es.interfaces import Box, EnvSpec, Observation, Transition

if TYPE_CHECKING:
    from rl_es.envs._unrolled.options import TrainingOptions


class Batch(NamedTuple):
    """Images and their labels."""

    images: Array  # [B, D] float32, standardised
    labels: Array  # [B] int32


class Minibatches:
    """Minibatches of a split: `size` neighbours in its shuffled order, which closes to a circle.

    Where they start is uniform, so every image is as likely as any other. To gather images one by
    one would make a whole training step on CPU slower by a quarter (digits, a layer of 32 units).
    """

    def __init__(self, split: Split, size: int, data: Images):
        self._count, self._size = len(split.labels), size
        self._images = np.concatenate([split.images, split.images[: size - 1]])
        self._labels = np.concatenate([split.labels, split.labels[: size - 1]])
        self._mean, self._deviation = data.mean, data.deviation

    def __call__(self, key: Array) -> Batch:
        """One minibatch. Consumes `key`."""
        first = jax.random.randint(key, (), 0, self._count, dtype=jnp.int32)
        images = jax.lax.dynamic_slice_in_dim(jnp.asarray(self._images), first, self._size)
        labels = jax.lax.dynamic_slice_in_dim(jnp.asarray(self._labels), first, self._size)
        return self._batch(images, labels)

    def first(self, most: int) -> Batch:
        """Returns the first images of the split, at most `most`."""
        end = min(most, self._count)
        return self._batch(jnp.asarray(self._images[:end]), jnp.asarray(self._labels[:end]))

    def _batch(self, images: Array, labels: Array) -> Batch:
        pixels = (images.astype(jnp.float32) - self._mean) / self._deviation
        return Batch(pixels, labels.astype(jnp.int32))


CLASSES = 10
CEILING = 2 * math.log(CLASSES)  # nats; uniform predictions have log(CLASSES)


class Layer(NamedTuple):
    """The parameters of a layer, or a value for each of the two arrays."""

    weight: Array  # [M, N]
    bias: Array  # [N]


Weights = tuple[Layer, ...]


class InnerDescent(NamedTuple):
    """A classifier in training."""

    weights: Weights
    velocity: Weights
    t: Array  # [] int32, steps taken


def initial_weights(key: Array, inputs: int, widths: tuple[int, ...]) -> Weights:
    """Draws the weights of a classifier with these hidden layers. Consumes `key`."""
    sizes = [inputs, *widths, CLASSES]
    shapes = list(itertools.pairwise(sizes))
    ends = np.cumsum([m * n for m, n in shapes])
    parts = jnp.split(jax.random.uniform(key, (int(ends[-1]),), minval=-1.0), ends[:-1].tolist())
    return tuple(
        Layer(math.sqrt(6 / m) * part.reshape(m, n), jnp.zeros(n))
        for (m, n), part in zip(shapes, parts, strict=True)
    )


def rest_velocity(key: Array, inputs: int, widths: tuple[int, ...]) -> InnerDescent:
    """Returns a classifier before its first step. Consumes `key`."""
    weights = initial_weights(key, inputs, widths)
    return InnerDescent(weights, jax.tree.map(jnp.zeros_like, weights), jnp.zeros((), jnp.int32))


def logits(weights: Weights, images: Array, masks: Array | None = None) -> Array:
    """Returns the outputs [B, 10] for images [B, D].

    Args:
      weights: Weights of the layers.
      images: Standardised images.
      masks: [hidden layers, N] factors on hidden units, for layers of one width; or None.
    """
    x = images
    for i, layer in enumerate(weights[:-1]):
        x = jax.nn.relu(x @ layer.weight + layer.bias[None])
        if masks is not None:
            x = x * masks[i][None]
    return x @ weights[-1].weight + weights[-1].bias[None]


def cross_entropy(outputs: Array, labels: Array) -> Array:
    """Returns the mean over a batch [], in nats, for outputs [B, 10]; not bounded."""
    targets = jax.nn.one_hot(labels, CLASSES)  # a gather would make the derivative a scatter
    return -(jax.nn.log_softmax(outputs) * targets).sum(-1).mean()


def accuracy(outputs: Array, labels: Array) -> Array:
    """Returns the share of a batch whose largest output is the right one []."""
    return (jnp.argmax(outputs, -1).astype(jnp.int32) == labels).astype(jnp.float32).mean()


def training_loss(weights: Weights, batch: Batch, masks: Array | None = None) -> Array:
    """Returns the loss of training []: mean cross entropy in nats."""
    return cross_entropy(logits(weights, batch.images, masks), batch.labels)


def bound_loss(loss: Array) -> Array:
    """Returns a loss [] as it is reported: at most `CEILING`, also for nan."""
    return jnp.where(jnp.isnan(loss), CEILING, jnp.minimum(loss, CEILING))


def momentum_step(
    weights: Weights, velocity: Weights, gradient: Weights, lr: Any, momentum: Any
) -> tuple[Weights, Weights]:
    """Takes one step of SGD with momentum: v' = momentum v + gradient, w' = w - lr v'.

    Args:
      weights: Weights before the step.
      velocity: Velocity of the weights, zero at the start.
      gradient: Gradient of the loss.
      lr: [] for all arrays, or structured like the weights with [] for each array.
      momentum: Like `lr`.

    Returns:
      Weights and velocity after the step.
    """
    lr, momentum = (_broadcast_to_arrays(weights, value) for value in (lr, momentum))
    velocity = jax.tree.map(lambda v, g, m: m * v + g, velocity, gradient, momentum)
    return jax.tree.map(lambda w, v, r: w - r * v, weights, velocity, lr), velocity


def _broadcast_to_arrays(weights: Weights, value: Any) -> Weights:
    """Returns a value for each array of the weights; a scalar stands for all."""
    return value if isinstance(value, tuple) else jax.tree.map(lambda _: value, weights)


def logit(p: float) -> float:
    """Returns the number whose sigmoid is p."""
    return math.log(p / (1 - p))


REFERENCE = 2048  # most training images on which the last weights are scored
Memory = Any  # a pytree: the state of a rule between steps


class UpdateRule(Protocol):
    """A rule that changes weights, given their gradient and an action. Pure."""

    @property
    def actions(self) -> Box: ...

    @property
    def initial_action(self) -> tuple[float, ...] | None: ...

    @property
    def observation_shape(self) -> tuple[int, ...]: ...

    def init(self, weights: Weights) -> Memory:
        """Returns the memory before the first gradient."""
        ...

    def receive(self, memory: Memory, gradient: Weights) -> Memory:
        """Returns the memory with a new gradient in it, before the action is chosen."""
        ...

    def observe(self, memory: Memory, state: InnerState) -> Array:
        """Returns the observation [*observation_shape] by which the action is chosen."""
        ...

    def apply(self, memory: Memory, state: InnerState, action: Array) -> tuple[Weights, Memory]:
        """Returns the new weights, and the memory after the step."""
        ...


class InnerState(NamedTuple):
    """A classifier in training, and the gradient of its weights on the minibatch of this step."""

    weights: Weights
    gradient: Weights
    t: Array  # [] int32


class SessionState(NamedTuple):
    """The state of the environment."""

    trained: InnerState
    memory: Memory


class InnerTraining:
    """Training of a classifier by a rule that the action steers.

    The reward is minus the loss of the new weights on a new minibatch, whose gradient is that of
    the next step. The environment's own evaluation is minus the loss on the first training images
    after the last step.
    """

    def __init__(
        self,
        name: str,
        options: TrainingOptions,
        rule: Callable[[Weights], UpdateRule],
    ):
        """Loads the data; `rule` returns the rule for weights of these shapes."""
        images = load_images(options)
        self.options = options
        self.inputs = images.size
        self.train = Minibatches(images.train, options.batch, images)
        self.rule = rule(jax.eval_shape(self._initial, jax.random.key(0)))
        self.spec = EnvSpec(
            name=name,
            observation_shape=self.rule.observation_shape,
            action_space=self.rule.actions,
            episode_length=options.steps,
            initial_action=self.rule.initial_action,
            evaluation_steps=options.steps,
        )

    def reset(self, key: Array) -> tuple[SessionState, Observation]:
        weights_key, batch_key = jax.random.split(key)
        weights = self._initial(weights_key)
        start = jnp.zeros((), jnp.int32)
        return self._advance(batch_key, weights, self.rule.init(weights), start)[:2]

    def step(self, key: Array, state: SessionState, action: Array) -> Transition:
        action = valid_action(self.spec.action_space, action)
        weights, memory = self.rule.apply(state.memory, state.trained, action)
        t = state.trained.t + 1
        after, observation, loss = self._advance(key, weights, memory, t)
        over = t >= self.options.steps
        return Transition(after, observation, -loss, jnp.zeros((), bool), over)

    def score(self, state: SessionState) -> Array:
        return -bound_loss(training_loss(state.trained.weights, self.train.first(REFERENCE)))

    def _initial(self, key: Array) -> Weights:
        return initial_weights(key, self.inputs, self.options.widths)

    def _advance(
        self, key: Array, weights: Weights, memory: Memory, t: Array
    ) -> tuple[SessionState, Observation, Array]:
        """Draws a minibatch; returns the next state, its observation, and the loss on the batch."""
        loss, gradient = jax.value_and_grad(training_loss)(weights, self.train(key))
        trained = InnerState(weights, gradient, t)
        memory = self.rule.receive(memory, gradient)
        observation = Observation(self.rule.observe(memory, trained))
        return SessionState(trained, memory), observation, bound_loss(loss)
