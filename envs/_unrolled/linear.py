"""Linear: an unroll whose windows have known gradients, all alike or independent of each other.

For the variance of gradient estimates (Vicol et al. 2021, arXiv 2112.13835, section 4.2). With a
linear policy (`network: linear`), the return is linear in the weights, and the gradient of step t
is the outer product of what is observed and of what is rewarded. With a decay and a tanh it is a
recurrent network instead, whose return is not linear, for the bias of estimates.
"""

from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.envs._adapter import box
from rl_es.interfaces import Environment, EnvSpec, Observation, Transition


class LinearState(NamedTuple):
    """The state of the unroll."""

    x: Array  # [size]
    t: Array  # [] int32


class Linear:
    """Step t shows o_t, moves x to x' = response(decay x + action) and rewards the product v_t x'.

    All o_t and v_t are drawn once, from a standard normal distribution, and are the same in every
    episode; with identical gradients they are the same in every step. Episodes start at x = 0.
    """

    def __init__(
        self,
        name: str,
        steps: int,
        size: int,
        gradients: Literal["independent", "identical"] = "independent",
        decay: float = 0.0,
        response: Literal["linear", "tanh"] = "linear",
    ):
        vectors = np.random.default_rng(0).normal(size=(2, steps, size)).astype(np.float32)
        if gradients == "identical":
            vectors = vectors[:, :1].repeat(steps, axis=1)
        self._observations, self._reward_weights = vectors
        self.steps, self.size, self.decay, self.response = steps, size, decay, response
        self.spec = EnvSpec(
            name=name,
            observation_shape=(size,),
            action_space=box(-np.inf, np.inf, (size,)),
            episode_length=steps,
        )

    def reset(self, key: Array) -> tuple[LinearState, Observation]:
        t = jnp.zeros((), jnp.int32)
        return LinearState(jnp.zeros(self.size), t), self._observe(t)

    def step(self, key: Array, state: LinearState, action: Array) -> Transition:
        x = np.float32(self.decay) * state.x + action
        x = jnp.tanh(x) if self.response == "tanh" else x
        reward, t = jnp.asarray(self._reward_weights)[state.t] @ x, state.t + 1
        over = t >= self.steps
        return Transition(LinearState(x, t), self._observe(t), reward, jnp.zeros((), bool), over)

    def _observe(self, t: Array) -> Observation:
        # Beyond the last step JAX uses the last index: observations after the end are not used.
        return Observation(jnp.asarray(self._observations)[t])


def make(name: str, options: Any) -> Environment:
    """Returns the environment of this name with `rl_es.envs.unrolled` options of this task."""
    return Linear(
        name, options.steps, options.size, options.gradients, options.decay, options.response
    )
