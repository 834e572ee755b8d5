"""SGD with momentum under a decaying learning rate, a step of it a step of the environment."""

import math
from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.envs._adapter import blank_observation, box, valid_action
from rl_es.envs._unrolled import inner_training as inner
from rl_es.envs._unrolled.datasets import Images
from rl_es.envs._unrolled.inner_training import Minibatches
from rl_es.interfaces import EnvSpec, Observation, Transition

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
        moved = inner.momentum_step(state.weights, state.velocity, gradient, lr, MOMENTUM)
        after = inner.InnerDescent(*moved, state.t + 1)
        if self.objective == "loss":
            reward = -inner.bound_weights(loss)
        else:
            images, labels = self.validation(validation_key)
            reward = inner.accuracy(inner.logits(after.weights, images), labels)
        over = after.t >= self.steps
        return Transition(after, blank_observation(), reward, jnp.zeros((), bool), over)

    def learning_rate(self, theta: Array, t: Array) -> Array:
        """[] of step t, for theta [2]."""
        passed = t.astype(jnp.float32) / self.time_scale
        return jnp.exp(theta[0] - jnp.exp(theta[1]) * jnp.log1p(passed))
