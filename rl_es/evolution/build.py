"""From an agent's settings to its composition."""

from typing import Literal, TypeVar

from rl_es.errors import UserError
from rl_es.evolution.config import EpisodicConfig, PersistentConfig, StrategyConfig
from rl_es.evolution.memory import Forget, PairMemory
from rl_es.evolution.optimiser import OPTIMISERS
from rl_es.evolution.perturbation import FullRank, LowRank
from rl_es.evolution.shaping import STATELESS, LaggedScale, Shaping
from rl_es.evolution.strategy import EvolutionStrategy
from rl_es.interfaces import Episode, ParameterSpec, Persistent, Perturbation, Problem

Strategy = TypeVar("Strategy", bound=EvolutionStrategy)
ENDLESS_CYCLE = 10  # windows taken for a cycle where episodes never end


def noise(parameters: ParameterSpec, rank: int | None) -> Perturbation:
    """Noise of rank R on weight matrices, or of full rank where there is none.

    Raises:
      UserError: the policy has a matrix that cannot be perturbed as a product.
    """
    return FullRank(parameters) if rank is None else LowRank(parameters, rank)


def windows(config: PersistentConfig, problem: Problem) -> int | None:
    """Most windows of an episode; None where it never ends."""
    length = problem.episode_length
    return None if length is None else Persistent(config.window).windows(length)


def episodic(
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


def persistent(
    config: PersistentConfig,
    perturbation: Perturbation,
    problem: Problem,
    *,
    start: Literal["particle", "centre"] = "particle",
    memory: PairMemory | None = None,
    kind: type[Strategy] = EvolutionStrategy,
) -> Strategy:
    """A strategy whose members live on from window to window; `kind` may be one of your own.

    Raises:
      UserError: the window is longer than an episode, or episodes that never end are staggered.
    """
    length, cycle = problem.episode_length, windows(config, problem)
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
        pair_memory=memory or Forget(),
    )


def _shaping(config: StrategyConfig, cycle: int) -> Shaping:
    return LaggedScale(cycle) if config.shaping == "lagged_scale" else STATELESS[config.shaping]
