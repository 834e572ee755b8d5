"""An evolution strategy: a perturbation, a segment, a noise memory, a shaping and an optimiser.

The update is a sum over N members of weight z_i times signed unit noise E_i (for a memory that
accumulates noise, sigma times the accumulated score). The optimiser ascends it in one of three
scales:

  gradient  1 / (N sigma) sum z_i E_i    the ES estimator of the smoothed objective's gradient
  paper     1 / N sum z_i E_i            as the EGGROLL paper states it: sigma times `gradient`
  official  sigma / sqrt(N) sum z_i E_i  sigma sqrt(N) times `paper`: the authors' code, with which
                                         the paper's learning rates for SGD were selected

`episodic_strategy` and `persistent_strategy` compose a strategy from an agent's settings.
"""

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from rl_es.errors import UserError
from rl_es.evolution.config import (
    EpisodicConfig,
    FactorDistribution,
    PersistentConfig,
    StrategyConfig,
)
from rl_es.evolution.fitness_shaping import STATELESS_SHAPINGS, LaggedScale, Shaping
from rl_es.evolution.noise_memory import FreshNoise, PairMemory
from rl_es.evolution.optimiser import OPTIMISERS, OptimiserFactory, ascend
from rl_es.evolution.perturbation import (
    FullRank,
    LowRank,
    leaves_by_path,
    nest_by_path,
    replace_leaves,
    without_vectors,
)
from rl_es.interfaces import (
    Episode,
    Hyper,
    Members,
    Memory,
    Noise,
    ParameterSpec,
    Params,
    Persistent,
    Perturbation,
    ProblemSpec,
    Segment,
    Update,
)

UPDATE_SCALES: dict[str, Callable[[int, Array], Array]] = {
    "gradient": lambda members, sigma: 1 / (members * sigma),
    "paper": lambda members, sigma: jnp.full_like(sigma, 1 / members),
    "official": lambda members, sigma: sigma / members**0.5,
}


@struct.dataclass
class StrategyState:
    """The state of an `EvolutionStrategy`.

    Attributes:
      params: The unperturbed parameters, the population's centre.
      optimiser: State of the optimiser.
      shaping: State of the fitness shaping.
      hyper: Traced hyper-parameters, by name.
      generation: [] int32, number of generations so far.
    """

    params: Params
    optimiser: Any
    shaping: Any
    hyper: Hyper
    generation: Array


@dataclass(frozen=True)
class PairStrategy:
    """What strategies of antithetic pairs have in common; their states have params and shaping.

    Attributes:
      population: Number of members (P), half of them antithetic partners.
      perturbation: Draws, applies and contracts noise.
      segment: The part of an episode that members are evaluated on each generation.
      shaping: Maps returns to weights.
      pair_memory: Decides which noise a pair gets, and what is kept of it.
    """

    population: int
    perturbation: Perturbation
    segment: Episode | Persistent
    shaping: Shaping
    pair_memory: PairMemory = field(default_factory=FreshNoise, kw_only=True)

    def remember(self, pairs: int) -> Memory:
        return self.pair_memory.init(self.perturbation, pairs)

    def ask(self, keys: Array, state: Any, memory: Memory, fresh: Array) -> tuple[Noise, Memory]:
        return self.pair_memory.ask(self.perturbation, keys, memory, fresh, self._sigma(state))

    def members(self, state: Any, noise: Noise) -> Members:
        return self.perturbation.members(state.params, noise.unit, noise.sigma)

    def shape(self, state: Any, segment: Segment) -> Array:
        return self.shaping.weigh(state.shaping, segment.returns)

    def contract(self, state: Any, noise: Noise, memory: Memory, weights: Array) -> Update:
        pairs = weights.reshape(-1, 2)
        return self.pair_memory.contract(
            self.perturbation, memory, noise, pairs[:, 0] - pairs[:, 1], self._sigma(state)
        )

    def center(self, state: Any) -> Params:
        return state.params

    def _sigma(self, state: Any) -> Array:
        """Returns the noise scale of this generation []."""
        raise NotImplementedError


@dataclass(frozen=True)
class EvolutionStrategy(PairStrategy):
    """An `Agent` composed of its parts.

    Attributes:
      optimiser: Returns the optimiser for hyper-parameters and a learning rate.
      update_scale: A key of `UPDATE_SCALES`.
    """

    optimiser: OptimiserFactory
    update_scale: str = "gradient"

    def init(self, params: Params, hyper: Hyper) -> StrategyState:
        return StrategyState(
            params=params,
            optimiser=self.optimiser(hyper, hyper["lr"]).init(self._perturbed(params)),
            shaping=self.shaping.init(self.population // 2),
            hyper=hyper,
            generation=jnp.zeros((), jnp.int32),
        )

    def tell(
        self, state: StrategyState, update: Update, segment: Segment
    ) -> tuple[StrategyState, Array]:
        hyper, power = state.hyper, state.generation.astype(jnp.float32)
        scale = UPDATE_SCALES[self.update_scale](self.population, self._sigma(state))
        estimate = jax.tree.map(lambda leaf: scale * leaf, update)
        lr = hyper["lr"] * hyper["lr_decay"] ** power
        params, optimiser, change = ascend(
            self.optimiser, hyper, lr, state.optimiser, self._perturbed(state.params), estimate
        )
        params = replace_leaves(state.params, params)
        ready = self.shaping.ready(state.shaping)
        if ready is not True:
            params, optimiser, change = jax.tree.map(
                lambda new, old: jnp.where(ready, new, old),
                (params, optimiser, change),
                (state.params, state.optimiser, jnp.zeros_like(change)),
            )
        return (
            StrategyState(
                params=params,
                optimiser=optimiser,
                shaping=self.shaping.observe(state.shaping, segment),
                hyper=hyper,
                generation=state.generation + 1,
            ),
            change,
        )

    def _perturbed(self, params: Params) -> Params:
        """Returns those of the parameters that noise perturbs: the others are not updated."""
        leaves = leaves_by_path(params)
        paths = leaves_by_path(self.perturbation.parameters.shapes)
        return nest_by_path({path: leaves[path] for path in paths})

    def _sigma(self, state: StrategyState) -> Array:
        """Returns the noise scale of this generation []."""
        power = state.generation.astype(jnp.float32)
        return state.hyper["sigma"] * state.hyper["sigma_decay"] ** power


Strategy = TypeVar("Strategy", bound=EvolutionStrategy)
ENDLESS_CYCLE = 10  # windows that count as a cycle where episodes never end


def make_perturbation(
    parameters: ParameterSpec, rank: int | None, factors: FactorDistribution = "normal"
) -> Perturbation:
    """Returns noise of rank R on weight matrices, or of full rank if `rank` is None.

    Raises:
      UserError: the policy has a matrix that cannot be perturbed as a product.
    """
    return FullRank(parameters) if rank is None else LowRank(parameters, rank, factors)


class WindowConfig(Protocol):
    """The settings of a persistent segment."""

    @property
    def window(self) -> int: ...

    @property
    def staggered(self) -> bool: ...


def windows_per_episode(config: WindowConfig, problem: ProblemSpec) -> int | None:
    """Returns the most windows that an episode has; None if it never ends."""
    length = problem.episode_length
    return None if length is None else Persistent(config.window).windows(length)


def persistent_segment(
    config: WindowConfig, problem: ProblemSpec, start: Literal["particle", "centre"]
) -> Persistent:
    """Returns a segment of particles that live on.

    Raises:
      UserError: the window is longer than an episode, or episodes that never end are staggered.
    """
    length = problem.episode_length
    if length is not None and config.window > length:
        raise UserError(
            f"window: {config.window} steps, but an episode ends after {length}; "
            f"choose at most {length}, and no longer than a typical early episode"
        )
    if length is None and config.staggered:
        raise UserError("staggered: episodes that never end have no phases; leave it out")
    return Persistent(config.window, start, config.staggered)


def episodic_strategy(
    config: EpisodicConfig,
    perturbation: Perturbation,
    kind: type[Strategy] = EvolutionStrategy,
    **fields: Any,
) -> Strategy:
    """Returns a strategy of class `kind` that evaluates its members on whole episodes.

    `fields` are static fields of `kind` that `EvolutionStrategy` does not have.

    Raises:
      UserError: `kind` has no such field.
    """
    _check_fields(kind, fields)
    return kind(
        population=config.population,
        perturbation=_frozen_perturbation(config, perturbation),
        segment=Episode(config.episodes),
        shaping=_shaping(config, cycle=1),
        optimiser=OPTIMISERS[config.optimiser],
        update_scale=config.update_scale,
        **fields,
    )


def _check_fields(kind: type[EvolutionStrategy], fields: Iterable[str]) -> None:
    names = {field.name for field in dataclasses.fields(kind)}
    if missing := sorted(set(fields) - names):
        raise UserError(
            f"{kind.__name__} has no field {missing[0]}; write @dataclass(frozen=True) above the "
            f"class, and {missing[0]}: int = ... in it"
        )


def persistent_strategy(
    config: PersistentConfig,
    perturbation: Perturbation,
    problem: ProblemSpec,
    *,
    start: Literal["particle", "centre"] = "particle",
    memory: PairMemory | None = None,
    kind: type[Strategy] = EvolutionStrategy,
    **fields: Any,
) -> Strategy:
    """Returns a strategy whose particles go on from window to window.

    Args:
      config: The agent's settings.
      perturbation: The noise.
      problem: What the agent is made for.
      start: The particle that a window starts from, as in `Persistent`.
      memory: The noise memory; `FreshNoise` if None.
      kind: The strategy's class.
      fields: Static fields of `kind` that `EvolutionStrategy` does not have.

    Raises:
      UserError: the window is longer than an episode, or episodes that never end are staggered, or
        `kind` has no such field.
    """
    _check_fields(kind, fields)
    cycle = windows_per_episode(config, problem)
    return kind(
        population=config.population,
        perturbation=_frozen_perturbation(config, perturbation),
        segment=persistent_segment(config, problem, start),
        shaping=_shaping(config, cycle or ENDLESS_CYCLE),
        optimiser=OPTIMISERS[config.optimiser],
        update_scale=config.update_scale,
        pair_memory=memory or FreshNoise(),
        **fields,
    )


def _frozen_perturbation(config: StrategyConfig, perturbation: Any) -> Perturbation:
    """Returns the perturbation, of matrices alone where vectors are frozen."""
    if not config.freeze_vectors:
        return perturbation
    return dataclasses.replace(perturbation, parameters=without_vectors(perturbation.parameters))


def _shaping(config: StrategyConfig, cycle: int) -> Shaping:
    """Returns the fitness shaping for episodes of `cycle` windows."""
    return (
        LaggedScale(cycle)
        if config.shaping == "lagged_scale"
        else STATELESS_SHAPINGS[config.shaping]
    )
