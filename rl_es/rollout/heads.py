"""Action heads: from a network's output to an action.

A head may have parameters, which are evolved, too. Actions of `Gaussian` and `Mean` are not
squashed; environments clip them to their range. Those of `Tanh` and its relatives are within it. A
`TeamHead` is a head for each of several agents, whose actions are independent given the network's
outputs.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.errors import UserError
from rl_es.interfaces import Box, Discrete, Params

LOG_STD_RANGE = (-10.0, 2.0)


class Head(Protocol):
    """A map from a network's output to an action."""

    @property
    def outputs(self) -> int:
        """Number of network outputs that the head reads."""
        ...

    def init(self) -> Params:
        """Returns the head's initial parameters, {} if it has none."""
        ...

    def act(self, params: Params, output: Array, action_mask: Array | None, key: Array) -> Array:
        """Returns an action for a network's output [outputs]. Consumes `key` if it samples."""
        ...


class Stochastic(Head, Protocol):
    """A head that samples from a distribution of known density."""

    def log_prob(
        self, params: Params, output: Array, action_mask: Array | None, action: Array
    ) -> Array:
        """Returns the logarithm of an action's density, or of its probability if discrete, []."""
        ...

    def entropy(self, params: Params, output: Array, action_mask: Array | None) -> Array:
        """Returns the entropy of the distribution [], in nats."""
        ...

    def temper(self, params: Params, output: Array, temperature: Array) -> tuple[Params, Array]:
        """Returns the parameters and the output of the density to the power 1 / temperature []."""
        ...


def mask_logits(logits: Array, action_mask: Array | None) -> Array:
    """Returns logits [A], -inf for forbidden actions, unless all are, as at an episode's end."""
    if action_mask is None:
        return logits
    return jnp.where(action_mask | ~action_mask.any(), logits, -jnp.inf)


@dataclass(frozen=True)
class _DiscreteHead:
    """A head of n discrete actions, with an output for each and no parameters."""

    n: int

    @property
    def outputs(self) -> int:
        return self.n

    def init(self) -> Params:
        return {}


@dataclass(frozen=True)
class _ContinuousHead:
    """A head of real actions, with an output for each element and no parameters."""

    shape: tuple[int, ...]

    @property
    def outputs(self) -> int:
        return math.prod(self.shape)

    def init(self) -> Params:
        return {}


@dataclass(frozen=True)
class Categorical(_DiscreteHead):
    """Samples a discrete action from softmax(output); forbidden actions never."""

    def act(self, params: Params, output: Array, action_mask: Array | None, key: Array) -> Array:
        return jax.random.categorical(key, mask_logits(output, action_mask)).astype(jnp.int32)

    def log_prob(
        self, params: Params, output: Array, action_mask: Array | None, action: Array
    ) -> Array:
        return jax.nn.log_softmax(mask_logits(output, action_mask))[action]

    def entropy(self, params: Params, output: Array, action_mask: Array | None) -> Array:
        logs = jax.nn.log_softmax(mask_logits(output, action_mask))
        possible = jnp.isfinite(logs)  # 0 times -inf would be nan, and so would the gradient
        return -jnp.where(possible, jnp.exp(logs) * jnp.where(possible, logs, 0.0), 0.0).sum()

    def temper(self, params: Params, output: Array, temperature: Array) -> tuple[Params, Array]:
        return params, output / temperature


@dataclass(frozen=True)
class Greedy(_DiscreteHead):
    """The discrete action of the largest output."""

    def act(self, params: Params, output: Array, action_mask: Array | None, key: Array) -> Array:
        return jnp.argmax(mask_logits(output, action_mask)).astype(jnp.int32)


@dataclass(frozen=True)
class Gaussian(_ContinuousHead):
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

    def temper(self, params: Params, output: Array, temperature: Array) -> tuple[Params, Array]:
        return {"log_std": params["log_std"] + 0.5 * jnp.log(temperature)}, output


@dataclass(frozen=True)
class Mean(_ContinuousHead):
    """The output itself, as a real-valued action."""

    def act(self, params: Params, output: Array, action_mask: Array | None, key: Array) -> Array:
        return output.reshape(self.shape)


@dataclass(frozen=True)
class _BoundedHead:
    """A head of real actions within a box, with no parameters."""

    box: Box

    def init(self) -> Params:
        return {}

    def squash(self, unit: Array) -> Array:
        """Returns actions [*shape] for numbers within [-1, 1], in order [A]."""
        low, high = jnp.asarray(self.box.low), jnp.asarray(self.box.high)
        return (high + low) / 2 + unit.reshape(self.box.shape) * (high - low) / 2


@dataclass(frozen=True)
class Tanh(_BoundedHead):
    """The tanh of the output, which reaches from one bound of the actions to the other."""

    @property
    def outputs(self) -> int:
        return math.prod(self.box.shape)

    def act(self, params: Params, output: Array, action_mask: Array | None, key: Array) -> Array:
        return self.squash(jnp.tanh(output))


@dataclass(frozen=True)
class TanhGaussian(_BoundedHead):
    """Samples the tanh of Normal(mean, exp(log_std)): half of the outputs are log_std.

    Haarnoja et al. 2018, https://arxiv.org/abs/1812.05905, appendix C. As in rejax, log_std is
    clipped to [-10, 2].
    """

    @property
    def outputs(self) -> int:
        return 2 * math.prod(self.box.shape)

    def act(self, params: Params, output: Array, action_mask: Array | None, key: Array) -> Array:
        mean, _ = jnp.split(output, 2)
        return self.squash_noise(output, jax.random.normal(key, mean.shape))[0]

    def squash_noise(self, output: Array, noise: Array) -> tuple[Array, Array]:
        """Returns the action for standard normal noise [A], and the logarithm of its density [].

        The density is that of actions in units of half their range.
        """
        mean, log_std = jnp.split(output, 2)
        log_std = jnp.clip(log_std, *LOG_STD_RANGE)
        latent = mean + jnp.exp(log_std) * noise
        log_normal = -(0.5 * jnp.square(noise) + log_std + 0.5 * math.log(2 * math.pi))
        # The logarithm of the derivative of tanh, which tanh itself rounds to 0 far from 0.
        log_slope = 2 * (math.log(2) - latent - jax.nn.softplus(-2 * latent))
        return self.squash(jnp.tanh(latent)), (log_normal - log_slope).sum()


@dataclass(frozen=True)
class TanhMean(TanhGaussian):
    """The tanh of the mean of `TanhGaussian`, of the same outputs."""

    def act(self, params: Params, output: Array, action_mask: Array | None, key: Array) -> Array:
        return self.squash(jnp.tanh(jnp.split(output, 2)[0]))


@dataclass(frozen=True)
class TeamHead:
    """One head for each agent of a team: from outputs [I * outputs of one] to actions [I, ...].

    Attributes:
      head: The head of one agent.
      networks: Name of each agent's network [I]; agents of one network share the head's parameters.
    """

    head: Head
    networks: tuple[str, ...]

    @property
    def outputs(self) -> int:
        return len(self.networks) * self.head.outputs

    def init(self) -> Params:
        """Returns the head's initial parameters by the name of the network, {} if it has none."""
        params = self.head.init()
        return {name: params for name in self.networks} if params else {}

    def act(self, params: Params, output: Array, action_mask: Array | None, key: Array) -> Array:
        keys = jax.random.split(key, len(self.networks))
        return self._map(self.head.act, params, output, action_mask, keys)

    def log_prob(
        self, params: Params, output: Array, action_mask: Array | None, action: Array
    ) -> Array:
        """Returns the logarithm of the density of all agents' actions together []."""
        log_prob = cast(Stochastic, self.head).log_prob
        return self._map(log_prob, params, output, action_mask, action).sum()

    def entropy(self, params: Params, output: Array, action_mask: Array | None) -> Array:
        """Returns the entropy of all agents' actions together [], in nats."""
        return self._map(cast(Stochastic, self.head).entropy, params, output, action_mask).sum()

    def temper(self, params: Params, output: Array, temperature: Array) -> tuple[Params, Array]:
        temper = cast(Stochastic, self.head).temper
        tempered = {name: temper(head, output, temperature)[0] for name, head in params.items()}
        _, output = temper(params[self.networks[0]] if params else {}, output, temperature)
        return tempered, output

    def _map(
        self, function: Callable[..., Array], params: Params, output: Array, *rest: Any
    ) -> Any:
        """Maps a function of one agent's head over the agents."""
        agent_params = [params[name] for name in self.networks] if params else []
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *agent_params) if params else {}
        return jax.vmap(function)(stacked, output.reshape(len(self.networks), -1), *rest)


def stochastic(head: Head) -> Stochastic:
    """Returns the sampling form of a head: itself, or the one around a deterministic head's action.

    Raises:
      UserError: it has no density.
    """
    if isinstance(head, TeamHead):
        return replace(head, head=stochastic(head.head))
    if isinstance(head, Greedy):
        return Categorical(head.n)
    if isinstance(head, Mean):
        return Gaussian(head.shape)
    if isinstance(head, Categorical | Gaussian):
        return head
    if isinstance(head, _BoundedHead):
        raise UserError(
            "head: the entropy of a tanh is not known in closed form; choose gaussian or "
            "deterministic"
        )
    raise UserError(f"head {type(head).__name__}: it has no density")


BOUNDED = {"tanh": Tanh, "tanh_gaussian": TanhGaussian, "tanh_mean": TanhMean}


def make_head(kind: str, space: Discrete | Box) -> Head:
    """Returns the head of a kind, as `PolicyConfig.head` has it, for an action space.

    Raises:
      UserError: the kind does not fit the space.
    """
    if isinstance(space, Discrete):
        if kind == "gaussian" or kind in BOUNDED:
            raise UserError(f"head: {kind} needs real actions; choose categorical or deterministic")
        return Greedy(space.n) if kind == "deterministic" else Categorical(space.n)
    if kind == "categorical":
        raise UserError(
            "head: categorical needs discrete actions; choose gaussian or deterministic"
        )
    if kind in BOUNDED:
        if not np.isfinite([space.low, space.high]).all():
            raise UserError(
                f"head: {kind} needs actions with bounds; choose gaussian or deterministic"
            )
        return BOUNDED[kind](space)
    return Mean(space.shape) if kind == "deterministic" else Gaussian(space.shape)
