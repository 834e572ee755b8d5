"""Action heads: from a network's output to an action, with evolved parameters of their own if any.

Actions of real-valued heads are not squashed; environments clip them to their range.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp
from jax import Array

from rl_es.errors import UserError
from rl_es.interfaces import Box, Discrete, Params


class Head(Protocol):
    """Reads a network's output and chooses an action."""

    @property
    def outputs(self) -> int:
        """Number of network outputs that it reads."""
        ...

    def init(self) -> Params:
        """Its own parameters, {} where it has none."""
        ...

    def act(self, params: Params, output: Array, action_mask: Array | None, key: Array) -> Array:
        """An action from the output [outputs]. Consumes `key` where it samples."""
        ...


class Stochastic(Head, Protocol):
    """A head that samples, from a distribution whose density is known."""

    def log_prob(
        self, params: Params, output: Array, action_mask: Array | None, action: Array
    ) -> Array:
        """[] logarithm of the density of an action (of the probability of a discrete one)."""
        ...

    def entropy(self, params: Params, output: Array, action_mask: Array | None) -> Array:
        """[] entropy of the distribution, in nats."""
        ...


def _allowed(logits: Array, action_mask: Array | None) -> Array:
    """The logits of allowed actions; where none is, as at an episode's end, none is forbidden."""
    if action_mask is None:
        return logits
    return jnp.where(action_mask | ~action_mask.any(), logits, -jnp.inf)


@dataclass(frozen=True)
class _Choosing:
    """What the heads of n discrete actions share: an output for each."""

    n: int

    @property
    def outputs(self) -> int:
        return self.n

    def init(self) -> Params:
        return {}


@dataclass(frozen=True)
class _Real:
    """What the heads of real actions share: an output for each element."""

    shape: tuple[int, ...]

    @property
    def outputs(self) -> int:
        return math.prod(self.shape)

    def init(self) -> Params:
        return {}


@dataclass(frozen=True)
class Categorical(_Choosing):
    """Samples a discrete action from softmax(output); forbidden actions never."""

    def act(self, params: Params, output: Array, action_mask: Array | None, key: Array) -> Array:
        return jax.random.categorical(key, _allowed(output, action_mask)).astype(jnp.int32)

    def log_prob(
        self, params: Params, output: Array, action_mask: Array | None, action: Array
    ) -> Array:
        return jax.nn.log_softmax(_allowed(output, action_mask))[action]

    def entropy(self, params: Params, output: Array, action_mask: Array | None) -> Array:
        logs = jax.nn.log_softmax(_allowed(output, action_mask))
        possible = jnp.isfinite(logs)  # -inf would make its share, and the gradient, not a number
        return -jnp.where(possible, jnp.exp(logs) * jnp.where(possible, logs, 0.0), 0.0).sum()


@dataclass(frozen=True)
class Greedy(_Choosing):
    """The discrete action of the largest output."""

    def act(self, params: Params, output: Array, action_mask: Array | None, key: Array) -> Array:
        return jnp.argmax(_allowed(output, action_mask)).astype(jnp.int32)


@dataclass(frozen=True)
class Gaussian(_Real):
    """Samples Normal(output, exp(log_std)); log_std is evolved and starts at 0."""

    def init(self) -> Params:
        return {"log_std": jnp.zeros(self.shape, jnp.float32)}

    def act(self, params: Params, output: Array, action_mask: Array | None, key: Array) -> Array:
        noise = jax.random.normal(key, self.shape)
        return output.reshape(self.shape) + jnp.exp(params["log_std"]) * noise

    def log_prob(
        self, params: Params, output: Array, action_mask: Array | None, action: Array
    ) -> Array:
        log_std = params["log_std"]
        unit = (action - output.reshape(self.shape)) / jnp.exp(log_std)
        return -(0.5 * jnp.square(unit) + log_std + 0.5 * math.log(2 * math.pi)).sum()

    def entropy(self, params: Params, output: Array, action_mask: Array | None) -> Array:
        return (params["log_std"] + 0.5 * math.log(2 * math.pi * math.e)).sum()


@dataclass(frozen=True)
class Mean(_Real):
    """The output itself, as a real-valued action."""

    def act(self, params: Params, output: Array, action_mask: Array | None, key: Array) -> Array:
        return output.reshape(self.shape)


def stochastic(head: Head) -> Stochastic:
    """The head that samples around what a deterministic one chooses; of others, the head itself.

    Raises:
      UserError: it has no density.
    """
    if isinstance(head, Greedy):
        return Categorical(head.n)
    if isinstance(head, Mean):
        return Gaussian(head.shape)
    if isinstance(head, Categorical | Gaussian):
        return head
    raise UserError(f"head {type(head).__name__}: it has no density")


def make_head(kind: str, space: Discrete | Box) -> Head:
    """The head of a kind (`auto`, `categorical`, `gaussian`, `deterministic`) for an action space.

    Raises:
      UserError: the kind does not fit the space.
    """
    if isinstance(space, Discrete):
        if kind == "gaussian":
            raise UserError(
                "head: gaussian needs real actions; choose categorical or deterministic"
            )
        return Greedy(space.n) if kind == "deterministic" else Categorical(space.n)
    if kind == "categorical":
        raise UserError(
            "head: categorical needs discrete actions; choose gaussian or deterministic"
        )
    return Mean(space.shape) if kind == "deterministic" else Gaussian(space.shape)
