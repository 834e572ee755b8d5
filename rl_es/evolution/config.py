"""Settings that agents share; an agent's file adds its own. Loads no jax."""

from typing import Literal, Self

from pydantic import field_validator, model_validator

from rl_es.config import Config, static, traced

Shaping = Literal["raw", "z_score", "centred_ranks", "lagged_scale"]
Optimiser = Literal["sgd", "adam", "adamw"]
UpdateScale = Literal["gradient", "paper", "official"]
FactorDistribution = Literal["normal", "sphere", "orthogonal"]
Accumulator = Literal["auto", "dense", "list", "keys", "held-B"]

FACTORS_HELP = (
    "factors A, B of low-rank noise: normal; sphere, scaled to the length that normal factors have "
    "on average; orthogonal, on the sphere and at right angles"
)


def check_even(population: int) -> int:
    """Returns the population, or raises a ValueError if its members do not come in pairs."""
    if population % 2:
        raise ValueError(
            f"members come in antithetic pairs: must be even, such as {population + 1}"
        )
    return population


class PopulationConfig(Config):
    """Population and perturbation scale."""

    population: int = static(256, "members, half of them antithetic partners", ge=2)
    sigma: float = traced(0.1, "standard deviation of the perturbation", gt=0)
    sigma_decay: float = traced(1.0, "factor on sigma a generation", gt=0, le=1)

    @field_validator("population")
    @classmethod
    def _check_even(cls, population: int) -> int:
        return check_even(population)


class OptimiserConfig(Config):
    """The rule that applies an estimate of the gradient."""

    optimiser: Optimiser = static("adam", "rule that applies the estimate")
    lr: float = traced(0.01, "learning rate", gt=0)
    lr_decay: float = traced(1.0, "factor on the learning rate a generation", gt=0, le=1)
    momentum: float = traced(0.0, "sgd: momentum", ge=0, lt=1)
    b1: float = traced(0.9, "adam, adamw: decay of the first moment", ge=0, lt=1)
    b2: float = traced(0.999, "adam, adamw: decay of the second moment", ge=0, lt=1)
    weight_decay: float = traced(
        0.0, "adamw: decoupled decay; sgd, adam: L2 term in the gradient", ge=0
    )


class StrategyConfig(OptimiserConfig, PopulationConfig):
    """What all evolution strategies have: population, optimiser and shaping."""

    update_scale: UpdateScale = static(
        "gradient",
        "gradient: sum z E / (N sigma); paper: sum z E / N; official: sigma sum z E / sqrt(N)",
    )
    shaping: Shaping = static("z_score", "how returns become weights")
    freeze_vectors: bool = static(
        False,
        "perturb and update matrices and convolution kernels only: biases, gains and other vectors "
        "stay as they start",
        implied=False,
    )


class EpisodicConfig(StrategyConfig):
    """A strategy that evaluates each member on whole episodes."""

    episodes: int = static(1, "episodes a member and generation; their mean is its return", ge=1)


class PersistentConfig(StrategyConfig):
    """A strategy that evaluates each member on windows of a longer episode."""

    window: int = static(50, "steps of a window (K), one per generation", ge=1)
    shaping: Shaping = static("lagged_scale", "how a window's returns become weights")
    staggered: bool = static(
        False, "cut first episodes short by whole windows, so that pairs are in all phases at once"
    )
    allow_biased_shaping: bool = static(
        False, "accept z_score or centred_ranks, which can reverse a persistent estimate (ablation)"
    )

    @model_validator(mode="after")
    def _check_bias(self) -> Self:
        if self.shaping in ("z_score", "centred_ranks") and not self.allow_biased_shaping:
            raise ValueError(
                f"shaping {self.shaping} can reverse a persistent estimate; choose lagged_scale or "
                "raw, or set allow_biased_shaping: true for an ablation"
            )
        return self


class LowRankPersistentConfig(PersistentConfig):
    """A persistent strategy whose noise may be of low rank."""

    rank: int | None = static(
        None, "rank of the noise on a weight matrix (R); full rank if absent", ge=1
    )
    factors: FactorDistribution = static("normal", FACTORS_HELP, implied="normal")

    @model_validator(mode="after")
    def _check_factors(self) -> Self:
        if self.rank is None and self.factors != "normal":
            raise ValueError(f"factors {self.factors} are of low-rank noise: give a rank")
        return self
