"""A learned optimiser: a small network that reads features of each parameter makes its update.

After Metz et al. ("Understanding and correcting pathologies in the training of learned optimizers",
2019, arXiv 1810.10180; "Practical tradeoffs between memory, compute, and performance in learned
optimizers", 2022, arXiv 2203.11860) and the experiments on noise reuse (Li et al. 2023, arXiv
2304.12180); the features are our own choice. The task of `unrolled/sgd` is the same, trained by
SGD.

The observation is [n, 13], a row per parameter, and the action [n] its update in units of
`step_scale`; the policy for it is `network: shared_mlp, head: deterministic`. The reward of a step
is minus the training loss of the new weights on a new minibatch. What is evaluated is minus the
loss on training images at the end (the first 2048, if there are more).

Features of a parameter, in this order; "relative" ones are divided by their root mean square over
the parameters of the same weight matrix or bias vector:

  1       the gradient, relative
  2-4     its running means with decays 0.5, 0.9 and 0.99, each relative
  5       the parameter, relative
  6-8     the running means over the root of the running mean of squares (decay 0.999), all
          corrected for their start at zero: Adam's direction
  9, 10   logarithms of the gradient's size and of that root, from -1 (1e-8) over 0 (1e-4)
  11-13   the time: t / T, tanh(t / 10 - 1), tanh(t / 100 - 1)

All are clipped at 10, and 0 where they are no numbers.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.envs._adapter import box
from rl_es.envs._unrolled import inner_training as inner
from rl_es.envs._unrolled.inner_training import InnerState, InnerTraining
from rl_es.interfaces import Box, Environment

MEANS = np.array([0.5, 0.9, 0.99], np.float32)
SQUARES = 0.999
FEATURES = 13
LARGEST = 10.0  # of a feature, and of an action
SMALL = 1e-8  # sizes below it count as zero


class Averages(NamedTuple):
    """Running means over the gradients so far, started at zero."""

    means: Array  # [3, n]
    squares: Array  # [n]
    seen: Array  # [] int32, gradients so far


def flat(weights: inner.Weights) -> Array:
    """[n] all parameters, array by array."""
    return jnp.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(weights)])


class LearnedRule:
    """Weights change by `step_scale` times the action [n]."""

    def __init__(self, weights: inner.Weights, step_scale: float, steps: int):
        """For weights of these shapes, trained for so many steps (T)."""
        self.step_scale, self.steps = step_scale, steps
        leaves, self._tree = jax.tree.flatten(weights)
        self._shapes = [leaf.shape for leaf in leaves]
        self._ends = np.cumsum([math.prod(shape) for shape in self._shapes]).tolist()

    @property
    def size(self) -> int:
        """n, parameters that are trained."""
        return self._ends[-1]

    @property
    def actions(self) -> Box:
        return box(-LARGEST, LARGEST, (self.size,))

    @property
    def initial_action(self) -> None:
        return None

    @property
    def observation_shape(self) -> tuple[int, ...]:
        return (self.size, FEATURES)

    def init(self, weights: inner.Weights) -> Averages:
        zeros = jnp.zeros((len(MEANS), self.size))
        return Averages(zeros, zeros[0], jnp.zeros((), jnp.int32))

    def receive(self, memory: Averages, gradient: inner.Weights) -> Averages:
        new, decay = flat(gradient), jnp.asarray(MEANS)[:, None]
        return Averages(
            means=decay * memory.means + (1 - decay) * new[None],
            squares=SQUARES * memory.squares + (1 - SQUARES) * jnp.square(new),
            seen=memory.seen + 1,
        )

    def observe(self, memory: Averages, state: InnerState) -> Array:
        gradient, weights = flat(state.gradient), flat(state.weights)
        relative = self._relative(jnp.stack([gradient, *memory.means, weights]))
        count = memory.seen.astype(jnp.float32)
        means = memory.means / (1 - jnp.asarray(MEANS) ** count)[:, None]
        root = jnp.sqrt(memory.squares / (1 - SQUARES**count))
        sizes = _magnitude(jnp.stack([gradient, root]))
        times = jnp.broadcast_to(self._times(state.t)[:, None], (3, self.size))
        rows = jnp.concatenate([relative, means / (root + SMALL)[None], sizes, times])
        return jnp.where(jnp.isfinite(rows), jnp.clip(rows, -LARGEST, LARGEST), 0.0).T

    def apply(
        self, memory: Averages, state: InnerState, action: Array
    ) -> tuple[inner.Weights, Averages]:
        parts = jnp.split(self.step_scale * action, self._ends[:-1])
        change = [part.reshape(shape) for part, shape in zip(parts, self._shapes, strict=True)]
        update = jax.tree.unflatten(self._tree, change)
        return jax.tree.map(jnp.add, state.weights, update), memory

    def _relative(self, rows: Array) -> Array:
        """Rows [k, n], each over its root mean square in each array of parameters."""
        parts = jnp.split(rows, self._ends[:-1], axis=1)
        features = [
            part / (jnp.sqrt(jnp.square(part).mean(1, keepdims=True)) + SMALL) for part in parts
        ]
        return jnp.concatenate(features, axis=1)

    def _times(self, t: Array) -> Array:
        """[3] where in its course the training is."""
        steps = t.astype(jnp.float32)
        return jnp.stack([steps / self.steps, jnp.tanh(steps / 10 - 1), jnp.tanh(steps / 100 - 1)])


def _magnitude(values: Array) -> Array:
    middle = math.log(1e-4)
    return (jnp.log(jnp.abs(values) + SMALL) - middle) / -middle


def make(name: str, options: Any) -> Environment:
    """Returns the environment of this name with `rl_es.envs.unrolled` options of this task.

    Raises:
      UserError: the data is missing, damaged or does not suffice.
    """
    scale, steps = options.step_scale, options.steps
    return InnerTraining(name, options, lambda weights: LearnedRule(weights, scale, steps))
