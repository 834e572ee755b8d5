"""Policies, and what of them is evolved."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import jax
import numpy as np
from flax import struct
from jax import Array

from rl_es.interfaces.environments import Observation
from rl_es.interfaces.pytrees import Params, PolicyState


@dataclass(frozen=True)
class Matrix:
    """How a weight array is read as a matrix: `inputs` x `outputs`, in that order of its axes."""

    inputs: int
    outputs: int


@dataclass(frozen=True)
class ParameterSpec:
    """Static description of what is evolved.

    Attributes:
      shapes: pytree of `jax.ShapeDtypeStruct`, structured like the parameters (nested dicts).
      matrices: the weight arrays that are used as matrices only, by path; their noise is applied
        inside the policy, as a product. Every other array is perturbed directly.
      refused: weight arrays whose noise cannot be applied as a product, by path, with the reason.
        They can be perturbed directly, but not by low-rank noise.
      bounds: (low, high), structured like the parameters, where they are known to lie within.
    """

    shapes: Any
    matrices: Mapping[tuple[str, ...], Matrix] = field(default_factory=dict)
    refused: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    bounds: tuple[Any, Any] | None = None

    @property
    def size(self) -> int:
        """Number of scalars evolved."""
        return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(self.shapes))


class Policy(Protocol):
    """A network and an action head. Anything whose `act` runs Flax Linen modules qualifies."""

    @property
    def parameters(self) -> ParameterSpec:
        """What is evolved."""
        ...

    def init(self, key: Array) -> Params:
        """Draws initial parameters. Consumes `key`."""
        ...

    def initial_state(self) -> PolicyState:
        """The state carried by a particle at the start of an episode."""
        ...

    def act(
        self, params: Params, state: PolicyState, observation: Observation, key: Array
    ) -> tuple[PolicyState, Array]:
        """Chooses one action. Consumes `key` (unused by deterministic heads)."""
        ...


@struct.dataclass
class Snapshot:
    """A policy's parameters and the observation statistics that belong to them."""

    params: Params
    statistics: Any = None  # rl_es.rollout.normalisation.Statistics, or None
