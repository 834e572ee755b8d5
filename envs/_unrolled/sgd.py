"""SGD with momentum on the task of the learned optimiser: what that is compared with, once tuned.

The same classifier, images, minibatches, reward and evaluation as `unrolled/learned_optimiser`. The
action is [2], the logarithm of the learning rate (1e-4 to 10) and the logit of the momentum (0.01
to 0.999), the same at all steps; it starts at (0.01, 0.9).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rl_es.envs._adapter import blank_observation, box
from rl_es.envs._unrolled import inner_training as inner
from rl_es.envs._unrolled.inner_training import InnerState, InnerTraining
from rl_es.interfaces import Box, Environment

LOW = (math.log(1e-4), inner.logit(0.01))
HIGH = (math.log(10), inner.logit(0.999))
START = (math.log(0.01), inner.logit(0.9))


class Momentum:
    """The action is the logarithm of the learning rate and the logit of the momentum [2]."""

    @property
    def actions(self) -> Box:
        return box(LOW, HIGH, (2,))

    @property
    def initial_action(self) -> tuple[float, ...]:
        return START

    @property
    def observation_shape(self) -> tuple[int, ...]:
        return (1,)

    def init(self, weights: inner.Weights) -> inner.Weights:
        return jax.tree.map(jnp.zeros_like, weights)

    def receive(self, memory: inner.Weights, gradient: inner.Weights) -> inner.Weights:
        return memory

    def observe(self, memory: inner.Weights, state: InnerState) -> Array:
        return blank_observation().values

    def apply(
        self, memory: inner.Weights, state: InnerState, action: Array
    ) -> tuple[inner.Weights, inner.Weights]:
        lr, momentum = jnp.exp(action[0]), jax.nn.sigmoid(action[1])
        return inner.momentum_step(state.weights, memory, state.gradient, lr, momentum)


def make(name: str, options: Any) -> Environment:
    """Returns the environment of this name with `rl_es.envs.unrolled` options of this task.

    Raises:
      UserError: the data is missing, damaged or does not suffice.
    """
    return InnerTraining(name, options, lambda weights: Momentum())
