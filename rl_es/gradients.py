"""Measures a sweep's estimates of the gradient of an episode's return, parameters held still.

A sample is the sum of the estimates of as many windows as an episode has (of one generation, where
generations are whole episodes). With the parameters frozen that sum is an unbiased estimate of the
smoothed return's gradient for PES and NRES where all episodes have that many windows; where they
end earlier it is the estimate of as many windows as a whole episode has. A sample in which a
member's return is not finite is NaN: the way in which training treats such members has no
expectation to compare with. Where an environment knows the expectations of the estimates, these
are recorded beside them.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.flatten_util import ravel_pytree
from rich.console import Console

from rl_es.config import split_traced
from rl_es.errors import UserError
from rl_es.evolution.moments import MatrixNoise
from rl_es.evolution.perturbation import replace_leaves
from rl_es.evolution.strategy import EvolutionStrategy
from rl_es.interfaces import Environment, Episode, Hyper, Learner, Params, Solved
from rl_es.results import gradient_estimates, manifest
from rl_es.results.files import Note, read_or_set_aside
from rl_es.rollout.unroll import time_limit
from rl_es.sweep.cells import Cell, expand_cells, group_cells
from rl_es.sweep.queue import make_group_training
from rl_es.sweep.schema import Sweep
from rl_es.sweep.store import cell_identity, cell_origin
from rl_es.training.compilation import compile_function, prepare_jax, scalar_leaves
from rl_es.training.learner import Evolution, TrainState


def expectations(cell: Cell, env: Environment, params: Params) -> Mapping[str, Any]:
    """Returns what is known of a cell's estimates at given parameters, and the noise's columns.

    `exact` and `exact_full` are None where the environment does not know them or is wrapped, and
    where the policy or the settings change the expectations.
    """
    settings, rank = cell.settings, cell.settings.get("rank")
    factors = None if rank is None else settings.get("factors", "normal")
    row: dict[str, Any] = {"rank": rank, "factors": factors, "exact": None, "exact_full": None}
    plain = (
        settings["shaping"] == "raw"
        and settings["sigma_decay"] == 1
        and cell.policy.network in ("linear", "parameters")
        and cell.policy.head == "deterministic"
        and not cell.policy.normalise_observations
    )
    if plain and hasattr(env, "expected_gradient"):
        noises = {"exact": MatrixNoise(rank, factors or "normal"), "exact_full": MatrixNoise(None)}
        for name, noise in noises.items():
            update = cast(Solved, env).expected_gradient(
                params, settings["sigma"], noise.fourth_moment
            )
            row[name] = None if update is None else flatten(update)
    return row


def flatten(update: Any) -> list[float]:
    """Returns all numbers of an update, in the order of `ravel_pytree`."""
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(update)]).tolist()


_NUMBERS = 2**22  # the most numbers that one call of the program returns


def watch(hyper: Hyper, lr: Array) -> optax.GradientTransformation:
    """Returns an optimiser that changes no parameter and keeps the last estimate as its state."""

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        return jax.tree.map(jnp.zeros_like, updates), jax.tree.map(jnp.negative, updates)

    return optax.GradientTransformation(lambda params: params, update)


def frozen(learner: Learner, name: str) -> Evolution:
    """Returns a learner with parameters held still, and with unscaled estimates of the gradient.

    Raises:
      UserError: the agent estimates no gradient.
    """
    if not isinstance(learner, Evolution) or not isinstance(learner.agent, EvolutionStrategy):
        raise UserError(f"{name}: it estimates no gradient; leave it out")
    agent = dataclasses.replace(learner.agent, optimiser=watch, update_scale="gradient")
    return dataclasses.replace(learner, agent=agent)


def windows(learner: Evolution) -> int:
    """Returns how many generations' estimates add up to one of an episode's gradient."""
    segment = learner.agent.segment
    return 1 if isinstance(segment, Episode) else segment.windows(time_limit(learner.env))


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


def sample_count(cell: Cell, learner: Evolution) -> int:
    """Returns how many samples a cell's budget allows, without the first, which is left out.

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
    length, samples = windows(still), sample_count(cell, still)
    count = max(1, min(samples + 1, _NUMBERS // still.policy.parameters.size))

    def generation(state: Any, _: None) -> tuple[Any, tuple[Array, Array]]:
        state, segment, done = still.generation(state)
        zeros = jax.tree.map(jnp.zeros_like, state.agent.params)  # where vectors are frozen
        estimate = ravel_pytree(replace_leaves(zeros, state.agent.optimiser))[0]
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
    hyper = dict.fromkeys(split_traced(cell.config)[1], number)
    state = jax.eval_shape(init, seed, hyper)
    return Sampler(
        still,
        length,
        count,
        init=compile_function(init, seed, hyper).call,
        run=compile_function(run, state, donate=(0,)).call,
    )


@dataclasses.dataclass
class Moments:
    """The mean and the sum of squared deviations of samples, added part by part in float64."""

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


def measure_estimates(cell: Cell, sampler: Sampler) -> Mapping[str, Any]:
    """Returns the row of a cell: of as many samples as its budget of generations allows.

    The first sample is left out, because a lagged scale is filled during it.
    """
    learner, samples = sampler.learner, sample_count(cell, sampler.learner)
    hyper = scalar_leaves(split_traced(cell.config)[1])
    state = sampler.init(np.uint32(cell.seed), hyper)
    expectation_columns = expectations(cell, learner.env, learner.agent.center(state.agent))
    moments, env_steps, first = Moments(), 0, 1
    while moments.count < samples:
        state, estimates, steps = sampler.run(state)
        estimates = np.asarray(estimates, np.float64)[first:][: samples - moments.count]
        first = 0
        if len(estimates):
            moments.add(estimates)
        env_steps += int(steps)
    return {
        "windows": sampler.length,
        "pairs": learner.pairs,
        "parameters": learner.policy.parameters.size,
        "samples": moments.count,
        "env_steps": env_steps,
        "mean": np.asarray(moments.mean).tolist(),
        "variance": moments.squares / (moments.count - 1),
        **expectation_columns,
    }


def run_gradients(sweep: Sweep, out: Path, quiet: bool) -> None:
    """Runs the cells of a sweep that have no row yet, with parameters held still.

    Args:
      sweep: validated; budgets are in generations.
      out: the results folder.
      quiet: whether nothing is printed.

    Raises:
      UserError: a cell cannot be measured; what was measured before is kept.
    """
    prepare_jax(None)
    cells = expand_cells(sweep)
    sweep_content = sweep.model_dump(mode="json", by_alias=True)
    console = Console(quiet=quiet)

    def note(text: str) -> None:
        console.print(text, highlight=False, soft_wrap=True)

    manifest.write_manifest(out, "gradients", sweep_content, {"cells": len(cells)}, note)
    done = 0
    for group in group_cells(cells):
        missing = [cell for cell in group.cells if not _is_done(out, cell, note)]
        done += len(group.cells) - len(missing)
        if not missing:
            continue
        samples = sampler(missing[0], make_group_training(group).learner)
        for cell in missing:
            row = measure_estimates(cell, samples)
            record = {
                "device": manifest.device_name(),
                "settings": cell.settings,
                "generations": cell.budget.generations,
                **cell_origin(cell),
            }
            gradient_estimates.write(out, {**cell_identity(cell), **row}, record)
            done += 1
            square = sum(x * x for x in row["mean"])
            relative = row["variance"] * row["pairs"] / square if square else math.nan
            note(
                f"{done} of {len(cells)}: {cell.env} / {cell.label} / seed {cell.seed}: "
                f"{row['samples']:,} samples, relative variance of a pair {relative:,.4g}"
            )


def _is_done(out: Path, cell: Cell, note: Note) -> bool:
    """Tells whether a cell was measured with this budget; its row then gets the current labels."""
    estimates = read_or_set_aside(
        out, gradient_estimates.path(out, cell.run_id), gradient_estimates.read, note
    )
    if estimates is None:
        return False
    row, record = estimates
    if record["generations"] != cell.budget.generations:
        return False
    if not cell_identity(cell).items() <= row.items():
        gradient_estimates.write(out, {**row, **cell_identity(cell)}, record)
    return True
