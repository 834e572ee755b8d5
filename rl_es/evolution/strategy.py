"""An evolution strategy: a perturbation, a segment, a memory, a shaping and an optimiser composed.

The estimate is a sum over N members of weight z_i times signed unit noise E_i (for a memory that
accumulates, sigma times the accumulated score), ascended by the optimiser in one of three scales:

  gradient  1 / (N sigma) sum z_i E_i   the ES estimator of the smoothed objective's gradient
  paper     1 / N sum z_i E_i           as the EGGROLL paper writes it: sigma times `gradient`
  official  sigma / sqrt(N) sum z_i E_i sigma sqrt(N) times `paper`, which is what the paper's
                                        learning rates for SGD were selected with
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from rl_es.evolution.memory import Forget, PairMemory
from rl_es.evolution.optimiser import Build, ascend
from rl_es.evolution.shaping import Shaping
from rl_es.interfaces import (
    Episode,
    Hyper,
    Members,
    Memory,
    Noise,
    Params,
    Persistent,
    Perturbation,
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
    pair_memory: PairMemory = field(default_factory=Forget)

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
