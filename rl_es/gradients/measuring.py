"""A cell's estimates of the gradient of an episode's return, parameters held still.

A sample is the sum of the estimates of as many windows as an episode has (of one generation, where
generations are whole episodes). With the parameters frozen that sum is an unbiased estimate of the
smoothed return's gradient for PES and NRES where all episodes have that many windows; where they
end earlier it is the estimate of as many windows as a whole episode has. A sample in which a
member's return is not finite is NaN: the way in which training treats such members has no
expectation to compare with.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.flatten_util import ravel_pytree

from rl_es.config import split
from rl_es.errors import UserError
from rl_es.evolution.strategy import EvolutionStrategy
from rl_es.gradients.expected import expectations
from rl_es.interfaces import Episode, Hyper, Learner
from rl_es.rollout.evaluation import horizon
from rl_es.sweep.cells import Cell
from rl_es.training.learner import Evolution, TrainState
from rl_es.training.platform import quiet_loading
from rl_es.training.program import scalars

_NUMBERS = 2**22  # the most numbers that one call of the program returns


def watch(hyper: Hyper, lr: Array) -> optax.GradientTransformation:
    """An optimiser that changes no parameter and keeps the last estimate as its state."""

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        return jax.tree.map(jnp.zeros_like, updates), jax.tree.map(jnp.negative, updates)

    return optax.GradientTransformation(lambda params: params, update)


def frozen(learner: Learner, name: str) -> Evolution:
    """The learner with parameters held still, and with unscaled estimates of the gradient.

    Raises:
      UserError: the agent estimates no gradient.
    """
    if not isinstance(learner, Evolution) or not isinstance(learner.agent, EvolutionStrategy):
        raise UserError(f"{name}: it estimates no gradient; leave it out")
    agent = dataclasses.replace(learner.agent, optimiser=watch, update_scale="gradient")
    return dataclasses.replace(learner, agent=agent)


def windows(learner: Evolution) -> int:
    """How many generations' estimates add up to one estimate of an episode's gradient."""
    segment = learner.agent.segment
    return 1 if isinstance(segment, Episode) else segment.windows(horizon(learner.env))


@dataclasses.dataclass(frozen=True, eq=False)
class Sampler:
    """The compiled functions of a group, whose cells differ in seed and traced settings.

    Attributes:
      learner: frozen.
      length: windows of a sample.
      count: samples per call.
      init: (seed [], settings) -> state.
      run: state -> (state, samples [count, parameters], environment steps []). Consumes the state.
    """

    learner: Evolution
    length: int
    count: int
    init: Callable[..., TrainState]
    run: Callable[[TrainState], Any]


def wanted(cell: Cell, learner: Evolution) -> int:
    """How many samples a cell's budget allows, without the first, which is left out.

    Raises:
      UserError: the budget is not one of generations, or too small.
    """
    length = windows(learner)
    samples = (cell.budget.generations or 0) // length - 1
    if samples < 2:
        raise UserError(
            f"{cell.env} / {cell.label}: gradients needs a budget of generations for 3 samples of "
            f"{length} each; give budget: {{generations: {3 * length}}} or more"
        )
    return samples


def sampler(cell: Cell, learner: Learner) -> Sampler:
    """Builds the sampler of the cells of a group.

    Raises:
      UserError: the agent estimates no gradient, or the budget holds too few samples.
    """
    still = frozen(learner, f"{cell.env} / {cell.label}")
    length, samples = windows(still), wanted(cell, still)
    count = max(1, min(samples + 1, _NUMBERS // still.policy.parameters.size))

    def generation(state: Any, _: None) -> tuple[Any, tuple[Array, Array]]:
        state, segment, done = still.generation(state)
        estimate = ravel_pytree(state.agent.optimiser)[0]
        return state, (jnp.where(done.nonfinite_members > 0, jnp.nan, estimate), segment.steps)

    def sample(state: Any, _: None) -> tuple[Any, tuple[Array, Array]]:
        state, (estimates, steps) = jax.lax.scan(generation, state, None, length=length)
        return state, (estimates.sum(0), steps.sum())

    def run(state: TrainState) -> Any:
        state, (samples, steps) = jax.lax.scan(sample, state, None, length=count)
        return state, samples, steps.astype(jnp.float32).sum()

    def init(seed: Array, hyper: Hyper) -> TrainState:
        return still.init(jax.random.key(seed), hyper)

    seed, number = (jax.ShapeDtypeStruct((), kind) for kind in (jnp.uint32, jnp.float32))
    hyper = dict.fromkeys(split(cell.config)[1], number)
    first = jax.jit(init).lower(seed, hyper)
    further = jax.jit(run, donate_argnums=0).lower(jax.eval_shape(init, seed, hyper))
    with quiet_loading():
        return Sampler(still, length, count, first.compile(), further.compile())


@dataclasses.dataclass
class Moments:
    """Mean and sum of squared deviations of samples, joined part by part in float64."""

    count: int = 0
    mean: Any = 0.0
    squares: float = 0.0

    def add(self, samples: np.ndarray) -> None:
        """Adds samples [n, parameters]."""
        n, mean = len(samples), samples.mean(0)
        inside = float(np.square(samples - mean).sum())
        total, apart = self.count + n, mean - self.mean
        self.squares += inside + float(np.square(apart).sum()) * self.count * n / total
        self.mean = self.mean + apart * n / total
        self.count = total


def measure(cell: Cell, sampler: Sampler) -> Mapping[str, Any]:
    """The row of a cell: of as many samples as its budget of generations allows.

    The first sample is left out, because a lagged scale is filled during it.
    """
    learner, samples = sampler.learner, wanted(cell, sampler.learner)
    hyper = scalars(split(cell.config)[1])
    state = sampler.init(np.uint32(cell.seed), hyper)
    known = expectations(cell, learner.env, learner.agent.center(state.agent))
    found, env_steps, skipped = Moments(), 0, 1
    while found.count < samples:
        state, drawn, steps = sampler.run(state)
        drawn = np.asarray(drawn[skipped:], np.float64)[: samples - found.count]
        skipped = 0
        if len(drawn):
            found.add(drawn)
        env_steps += int(steps)
    return {
        "windows": sampler.length,
        "pairs": learner.pairs,
        "parameters": learner.policy.parameters.size,
        "samples": found.count,
        "env_steps": env_steps,
        "mean": np.asarray(found.mean).tolist(),
        "variance": found.squares / (found.count - 1),
        **known,
    }
