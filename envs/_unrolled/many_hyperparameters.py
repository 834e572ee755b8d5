"""Many hyper-parameters: 29 of a classifier with five hidden layers, tuned on the validation loss.

Vicol et al. 2021, arXiv 2112.13835, the experiment with many hyper-parameters on Fashion-MNIST.
For each hidden layer the fraction of its units that are active, by a hard mask: not differentiable.
For the weights and for the biases of each of the six layers a learning rate and a momentum.

A step is one of SGD on a minibatch of the training images; the reward is minus the loss on as many
validation images after it, at most 2 log 10 and that where it is no number (a step of the worst
settings). What departs from the paper: by default other images (`data: fashion_mnist`), layers of
32 units (`width: 100`), and the start (half of the units active, learning rates 0.01, momenta 0.9).

An action holds, in this order, logits of 5 fractions of active units, logarithms of 12 learning
rates (of 6 layers' weights, then of their biases), and logits of 12 momenta (likewise).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.envs._adapter import blank_observation, box, valid_action
from rl_es.envs._unrolled import inner_training as inner
from rl_es.envs._unrolled.datasets import Images, load_images
from rl_es.envs._unrolled.inner_training import Minibatches
from rl_es.interfaces import Environment, EnvSpec, Observation, Transition

HIDDEN = 5
LAYERS = HIDDEN + 1
COUNTS = (HIDDEN, 2 * LAYERS, 2 * LAYERS)  # fractions, learning rates, momenta


class HyperParameters(NamedTuple):
    """What an action says."""

    active: Array  # [5] fractions of units
    lr: inner.Weights  # [] for each array
    momentum: inner.Weights  # [] for each array


def parametrise(active: float, lr: float, momentum: float) -> np.ndarray:
    """[29] the action of which these are all fractions, learning rates and momenta."""
    values = np.array([inner.logit(active), np.log(lr), inner.logit(momentum)])
    return np.repeat(values, COUNTS).astype(np.float32)


def read_action(action: Array) -> HyperParameters:
    """What an action [29] says."""
    active, lr, momentum = jnp.split(action, np.cumsum(COUNTS)[:-1].tolist())
    return HyperParameters(
        jax.nn.sigmoid(active), _by_layer(jnp.exp(lr)), _by_layer(jax.nn.sigmoid(momentum))
    )


def _by_layer(values: Array) -> inner.Weights:
    """[12] numbers, for all layers' weights and then for their biases, structured as these are."""
    return tuple(inner.Layer(values[i], values[LAYERS + i]) for i in range(LAYERS))


def masks(active: Array, width: int) -> Array:
    """[5, width] float32, 1 for the first units of each layer up to the fraction, at least one."""
    units = jnp.arange(width, dtype=jnp.float32)[None]
    return (units < width * active[:, None]).astype(jnp.float32)


START = parametrise(active=0.5, lr=0.01, momentum=0.9)
LOW = parametrise(active=0.01, lr=1e-8, momentum=0.01)
HIGH = parametrise(active=0.999, lr=10.0, momentum=0.999)


class ManyHyperparameters:
    """The action is [29], within `LOW` and `HIGH`."""

    def __init__(self, name: str, images: Images, width: int, batch: int, steps: int):
        self.inputs, self.width, self.steps = images.size, width, steps
        self.train = Minibatches(images.train, batch, images)
        self.validation = Minibatches(images.validation, batch, images)
        self.spec = EnvSpec(
            name=name,
            observation_shape=(1,),
            action_space=box(LOW, HIGH, LOW.shape),
            episode_length=steps,
            initial_action=tuple(START.tolist()),
        )

    def reset(self, key: Array) -> tuple[inner.InnerDescent, Observation]:
        return inner.rest_velocity(key, self.inputs, (self.width,) * HIDDEN), blank_observation()

    def step(self, key: Array, state: inner.InnerDescent, action: Array) -> Transition:
        train_key, validation_key = jax.random.split(key)
        choice = read_action(valid_action(self.spec.action_space, action))
        unit_masks = masks(choice.active, self.width)
        gradient = jax.grad(inner.training_loss)(state.weights, self.train(train_key), unit_masks)
        descent = inner.momentum_step(
            state.weights, state.velocity, gradient, choice.lr, choice.momentum
        )
        after = inner.InnerDescent(*descent, state.t + 1)
        reward = -inner.bound_loss(
            inner.training_loss(after.weights, self.validation(validation_key), unit_masks)
        )
        over = after.t >= self.steps
        return Transition(after, blank_observation(), reward, jnp.zeros((), bool), over)


def make(name: str, options: Any) -> Environment:
    """Returns the environment of this name with `rl_es.envs.unrolled` options of this task.

    Raises:
      UserError: the data is missing, damaged or does not suffice.
    """
    images = load_images(options)
    return ManyHyperparameters(name, images, options.width, options.batch, options.steps)
