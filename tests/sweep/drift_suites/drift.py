"""A suite of one environment, quickly imported: a drift that starts at random."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import Array

from rl_es.config import Config
from rl_es.interfaces import Box, EnvSpec, Observation
from tests.toys import Drift

NAMES = ("Drift-v0",)
NUMERICS = 1


class Options(Config):
    """None."""


@dataclass(frozen=True)
class Pushed(Drift):
    """Bounded actions, and a start of its own for each episode."""

    @property
    def spec(self) -> EnvSpec:
        one = np.ones(1, np.float32)
        return EnvSpec("Drift-v0", (1,), Box(-one, one), self.horizon)

    def reset(self, key: Array) -> tuple[Any, Observation]:
        (_, t), _ = super().reset(key)
        x = self.start * jax.random.normal(key, dtype=np.float32)
        return (x, t), Observation(x[None])


def make(name: str, options: Options) -> Pushed:
    """The environment."""
    return Pushed(horizon=20, edge=2.0)
