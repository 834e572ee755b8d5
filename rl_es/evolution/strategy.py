"""An evolution strategy: a perturbation, a segment, a memory, a shaping and an optimiser composed.

The estimate is a sum over N members of weight z_i times signed unit noise E_i (for a memory that
accumulates, sigma times the accumulated score), ascended by the optimiser in one of three scales:

  gradient  1 / (N sigma) sum z_i E_i   the ES estimator of the smoothed objective's gradient
  paper     1 / N sum z_i E_i           as the EGGROLL paper writes it: sigma times `gradient`
  official  sigma / sqrt(N) sum z_i E_i sigma sqrt(N) times `paper`, which is what the paper's
                                        learning rates for SGD were selected with

From an agent's settings to its composition.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from rl_es.errors import UserError
from rl_es.evolution.config import EpisodicConfig, PersistentConfig, StrategyConfig
from rl_es.evolution.fitness_shaping import STATELESS_SHAPINGS, LaggedScale, Shaping
from rl_es.evolution.noise_memory import FreshNoise, PairMemory
from rl_es.evolution.optimiser import OPTIMISERS, Build, ascend
from rl_es.evolution.perturbation import FullRank, LowRank
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
    """The state of an `EvolutionStrategy`."""

    params: Params  # the centre
    optimiser: Any
    shaping: Any
    hyper: Hyper
    generation: Array  # [] int32


@dataclass(frozen=True)
class EvolutionStrategy:
    """The `Agent` that all strategies here are compositions of."""

    population: int
    perturbation: Perturbation
    segment: Episode | Persistent
    shaping: Shaping
    optimiser: Build
    update_scale: str = "gradient"
    pair_memory: PairMemory = field(default_factory=FreshNoise)

    def init(self, params: Params, hyper: Hyper) -> StrategyState:
        return StrategyState(
            params=params,
            optimiser=self.optimiser(hyper, hyper["lr"]).init(params),
            shaping=self.shaping.init(self.population // 2),
            hyper=hyper,
            generation=jnp.zeros((), jnp.int32),
        )

    def remember(self, pairs: int) -> Memory:
        return self.pair_memory.init(self.perturbation, pairs)

    def ask(
        self, keys: Array, state: StrategyState, memory: Memory, fresh: Array
    ) -> tuple[Noise, Memory]:
        return self.pair_memory.ask(self.perturbation, keys, memory, fresh, self._sigma(state))

    def members(self, state: StrategyState, noise: Noise) -> Members:
        return self.perturbation.members(state.params, noise.unit, noise.sigma)

    def shape(self, state: StrategyState, segment: Segment) -> Array:
        return self.shaping.weigh(state.shaping, segment.returns)

    def contract(
        self, state: StrategyState, noise: Noise, memory: Memory, weights: Array
    ) -> Update:
        pairs = weights.reshape(-1, 2)
        return self.pair_memory.contract(
            self.perturbation, memory, noise, pairs[:, 0] - pairs[:, 1], self._sigma(state)
        )

    def tell(
        self, state: StrategyState, update: Update, segment: Segment
    ) -> tuple[StrategyState, Array]:
        hyper, power = state.hyper, state.generation.astype(jnp.float32)
        scale = UPDATE_SCALES[self.update_scale](self.population, self._sigma(state))
        estimate = jax.tree.map(lambda leaf: scale * leaf, update)
        lr = hyper["lr"] * hyper["lr_decay"] ** power
        params, optimiser, length = ascend(
            self.optimiser, hyper, lr, state.optimiser, state.params, estimate
        )
        ready = self.shaping.ready(state.shaping)
        if ready is not True:
            params, optimiser, length = jax.tree.map(
                lambda new, old: jnp.where(ready, new, old),
                (params, optimiser, length),
                (state.params, state.optimiser, jnp.zeros_like(length)),
            )
        return (
            StrategyState(
                params=params,
                optimiser=optimiser,
                shaping=self.shaping.observe(state.shaping, segment),
                hyper=hyper,
                generation=state.generation + 1,
            ),
            length,
        )

    def center(self, state: StrategyState) -> Params:
        return state.params

    def _sigma(self, state: StrategyState) -> Array:
        power = state.generation.astype(jnp.float32)
        return state.hyper["sigma"] * state.hyper["sigma_decay"] ** power


Strategy = TypeVar("Strategy", bound=EvolutionStrategy)
ENDLESS_CYCLE = 10  # windows taken for a cycle where episodes never end


def make_perturbation(parameters: ParameterSpec, rank: int | None) -> Perturbation:
    """Noise of rank R on weight matrices, or of full rank where there is none.

    Raises:
      UserError: the policy has a matrix that cannot be perturbed as a product.
    """
    return FullRank(parameters) if rank is None else LowRank(parameters, rank)


def windows_per_episode(config: PersistentConfig, problem: ProblemSpec) -> int | None:
    """Most windows of an episode; None where it never ends."""
    length = problem.episode_length
    return None if length is None else Persistent(config.window).windows(length)


def episodic_strategy(
    config: EpisodicConfig, perturbation: Perturbation, kind: type[Strategy] = EvolutionStrategy
) -> Strategy:
    """A strategy whose members are evaluated on whole episodes; `kind` may be one of your own."""
    return kind(
        population=config.population,
        perturbation=perturbation,
        segment=Episode(config.episodes),
        shaping=_shaping(config, cycle=1),
        optimiser=OPTIMISERS[config.optimiser],
        update_scale=config.update_scale,
    )


def persistent_strategy(
    config: PersistentConfig,
    perturbation: Perturbation,
    problem: ProblemSpec,
    *,
    start: Literal["particle", "centre"] = "particle",
    memory: PairMemory | None = None,
    kind: type[Strategy] = EvolutionStrategy,
) -> Strategy:
    """A strategy whose members live on from window to window; `kind` may be one of your own.

    Raises:
      UserError: the window is longer than an episode, or episodes that never end are staggered.
    """
    length, cycle = problem.episode_length, windows_per_episode(config, problem)
    if length is not None and config.window > length:
        raise UserError(
            f"window: {config.window} steps, but an episode ends after {length}; "
            f"choose at most {length}, and no longer than a typical early episode"
        )
    if cycle is None and config.staggered:
        raise UserError("staggered: episodes that never end have no phases; leave it out")
    return kind(
        population=config.population,
        perturbation=perturbation,
        segment=Persistent(config.window, start, config.staggered),
        shaping=_shaping(config, cycle or ENDLESS_CYCLE),
        optimiser=OPTIMISERS[config.optimiser],
        update_scale=config.update_scale,
        pair_memory=memory or FreshNoise(),
    )


def _shaping(config: StrategyConfig, cycle: int) -> Shaping:
    return (
        LaggedScale(cycle)
        if config.shaping == "lagged_scale"
        else STATELESS_SHAPINGS[config.shaping]
    )
