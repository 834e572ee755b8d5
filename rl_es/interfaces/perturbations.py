"""Noise on the parameters of a population."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from jax import Array

from rl_es.interfaces.policies import ParameterSpec
from rl_es.interfaces.pytrees import Noise, Params, Update


class Members(NamedTuple):
    """A population around shared parameters.

    Attributes:
      shared: the unperturbed parameters (no population axis).
      direct: by path, what is added to an array of the plus member and taken from that of the
        minus member, [H, ...].
      products: by path, noise that is applied as a product inside the policy, leading axis [H].
    """

    shared: Params
    direct: Mapping[tuple[str, ...], Array]
    products: Mapping[tuple[str, ...], Any]


class Perturbation(Protocol):
    """Draws unit noise for antithetic pairs, applies it inside a policy, contracts it."""

    @property
    def parameters(self) -> ParameterSpec: ...

    def draw(self, keys: Array, pairs: int) -> Noise:
        """Unit noise of the plus members [H, ...]; `keys` [blocks] is one per block of 64 pairs."""
        ...

    def members(self, params: Params, noise: Noise, sigma: Array) -> Members:
        """Everything a rollout needs of a population, once a segment; `sigma` is [] or [H]."""
        ...

    def contract(self, noise: Noise, weights: Array) -> Update:
        """Sum over pairs of weights [H] times unit noise."""
        ...

    def dense(self, noise: Noise) -> Params:
        """The noise written out, shaped like the parameters with a leading [H]."""
        ...
