"""SGD with momentum as a rule."""

import math

import jax
import jax.numpy as jnp
from jax import Array

from rl_es.envs._adapter import blank_observation, box
from rl_es.envs._unrolled import inner_training as inner
from rl_es.envs._unrolled.inner_training import InnerState
from rl_es.interfaces import Box

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
