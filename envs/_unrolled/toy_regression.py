"""Toy regression: the learning-rate schedule of gradient descent on a function of two numbers.

Wu et al., "Understanding short-horizon bias in stochastic meta-optimization", 2018, as PES uses it
(Vicol et al. 2021, arXiv 2112.13835, section 5.2). The action holds the logarithms of the learning
rates at the start and at the end; between them the rate itself is linear in time.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.envs._adapter import blank_observation, box, valid_action
from rl_es.interfaces import Environment, EnvSpec, Observation, Transition


class ToyDescent(NamedTuple):
    """The state of gradient descent."""

    x: Array  # [2]
    t: Array  # [] int32


def function(x: Array) -> Array:
    """[] the function that is minimised, of x [2]."""
    return (
        jnp.sqrt(jnp.square(x[0]) + 5)
        - np.float32(np.sqrt(5))
        + jnp.square(jnp.sin(x[1])) * jnp.exp(-5 * jnp.square(x[0]))
        + 0.25 * jnp.abs(x[1] - 100)
    )


class ToyRegression:
    """x' = x - lr(t) grad f(x) from (1, 1); the reward is minus f after each step."""

    def __init__(self, name: str, steps: int):
        self.steps = steps
        self.spec = EnvSpec(
            name=name,
            observation_shape=(1,),
            action_space=box(-10.0, 10.0, (2,)),
            episode_length=steps,
            initial_action=(-4.0, -4.0),
        )

    def reset(self, key: Array) -> tuple[ToyDescent, Observation]:
        return ToyDescent(jnp.ones(2), jnp.zeros((), jnp.int32)), blank_observation()

    def step(self, key: Array, state: ToyDescent, action: Array) -> Transition:
        first, last = valid_action(self.spec.action_space, action)
        progress = state.t.astype(jnp.float32) / self.steps
        lr = (1 - progress) * jnp.exp(first) + progress * jnp.exp(last)
        x, t = state.x - lr * jax.grad(function)(state.x), state.t + 1
        reward, never, over = -function(x), jnp.zeros((), bool), t >= self.steps
        return Transition(ToyDescent(x, t), blank_observation(), reward, never, over)


def make(name: str, options: Any) -> Environment:
    """Returns the environment of this name with `rl_es.envs.unrolled` options of this task."""
    return ToyRegression(name, options.steps)
