"""Learning-rate decay: two hyper-parameters of training a classifier by SGD with momentum 0.9.

Vicol et al., "Unbiased Gradient Estimation in Unrolled Computation Graphs with Persistent Evolution
Strategies", 2021, arXiv 2112.13835, the MNIST experiment with a learning-rate schedule:

  lr(t) = exp(theta_0) / (1 + t / time_scale) ^ exp(theta_1),  theta = (log 0.003, log 30) at first.

A step is one of SGD on a minibatch of the training images. What departs from the paper: other
images, and by default a smaller network (`widths: [100, 100]` is the paper's), batch (100 there)
and horizon (5000).
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.envs._adapter import blank_observation, box, valid_action
from rl_es.envs._unrolled import inner_training as inner
from rl_es.envs._unrolled.datasets import Images, load_images
from rl_es.envs._unrolled.inner_training import Minibatches
from rl_es.interfaces import Environment, EnvSpec, Observation, Transition

MOMENTUM = 0.9
START = (math.log(0.003), math.log(30))
LOW, HIGH = np.log([1e-5, 1e-3]), np.log([10, 1e3])


class LearningRateDecay:
    """The action is theta [2], within the logarithms of (1e-5, 1e-3) and (10, 1000)."""

    def __init__(
        self,
        name: str,
        images: Images,
        *,
        widths: Sequence[int],
        batch: int,
        steps: int,
        time_scale: float,
        objective: Literal["loss", "accuracy"],
    ):
        self.inputs, self.widths, self.steps = images.size, tuple(widths), steps
        self.time_scale, self.objective = time_scale, objective
        self.train = Minibatches(images.train, batch, images)
        self.validation = Minibatches(images.validation, batch, images)
        self.spec = EnvSpec(
            name=name,
            observation_shape=(1,),
            action_space=box(LOW, HIGH, (2,)),
            episode_length=steps,
            initial_action=START,
        )

    def reset(self, key: Array) -> tuple[inner.InnerDescent, Observation]:
        return inner.rest_velocity(key, self.inputs, self.widths), blank_observation()

    def step(self, key: Array, state: inner.InnerDescent, action: Array) -> Transition:
        train_key, validation_key = jax.random.split(key)
        batch = self.train(train_key)
        loss, gradient = jax.value_and_grad(inner.training_loss)(state.weights, batch)
        lr = self.learning_rate(valid_action(self.spec.action_space, action), state.t)
        descent = inner.momentum_step(state.weights, state.velocity, gradient, lr, MOMENTUM)
        after = inner.InnerDescent(*descent, state.t + 1)
        if self.objective == "loss":
            reward = -inner.bound_loss(loss)
        else:
            images, labels = self.validation(validation_key)
            reward = inner.accuracy(inner.logits(after.weights, images), labels)
        over = after.t >= self.steps
        return Transition(after, blank_observation(), reward, jnp.zeros((), bool), over)

    def learning_rate(self, theta: Array, t: Array) -> Array:
        """[] of step t, for theta [2]."""
        progress = t.astype(jnp.float32) / self.time_scale
        return jnp.exp(theta[0] - jnp.exp(theta[1]) * jnp.log1p(progress))


def make(name: str, options: Any) -> Environment:
    """Returns the environment of this name with `rl_es.envs.unrolled` options of this task.

    Raises:
      UserError: the data is missing, damaged or does not suffice.
    """
    return LearningRateDecay(
        name,
        load_images(options),
        widths=options.widths,
        batch=options.batch,
        steps=options.steps,
        time_scale=options.time_scale or float(options.steps),
        objective=options.objective,
    )
