"""RWKV-7 ("Goose"): a recurrent language model whose state is a matrix for each head.

Peng et al. 2025, arXiv 2503.14456, sections 3 and 4. A block is a time mix, which reads and writes
the state, and a channel mix, which is an MLP. Both see a blend of this token and the one before
("token shift"). The state S [N, N] of a head follows the generalised delta rule

    S = S (diag(w) - c (a c)^T) + v k^T

with a decay w, a removal key c of length 1, a rate a, a value v and a key k. Its output is S r.

Values of later layers are blends of their own and of the first layer's. Adapters, products of two
narrow matrices, give w, a, the blend of values and the gate of the output.

Modules and parameters have the names of the published checkpoints, with `blocks_0` for `blocks.0`.
Departures: token 0, which separates documents, sets the state to zero; matrices start as those of
the suite's other networks, and vectors at values in the range of the published start.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from rl_es.errors import UserError
from rl_es.interfaces import EnvSpec
from rl_es.rollout.config import PolicyConfig
from rl_es.rollout.networks import KERNEL

DECAY = math.exp(-0.5)  # a decay is exp(-DECAY sigmoid(.)), and so 0.545 at least
HEAD_EPSILON = 64e-5  # of the norm of a head, whatever its size
UNIT_NORMAL = nn.initializers.normal(1.0)
SMALL_KERNEL = nn.initializers.variance_scaling(0.01, "fan_in", "normal")


class LayerState(NamedTuple):
    """What a block carries to the next token; its field names are in checkpoints.

    Attributes:
      time_input: [D] what the time mix read.
      channel_input: [D] what the channel mix read.
      memory: [heads, N, N] the state S of each head, by value and key.
    """

    time_input: Array
    channel_input: Array
    memory: Array


class AdapterRanks(NamedTuple):
    """The ranks of the adapters of a time mix."""

    decay: int
    rate: int
    value: int
    gate: int


def published_ranks(width: int) -> AdapterRanks:
    """Returns the ranks of the published models of a width: multiples of 32."""
    sizes = (1.8 * width**0.5, 1.8 * width**0.5, 1.3 * width**0.5, 0.6 * width**0.8)
    return AdapterRanks(*(max(32, 32 * round(size / 32)) for size in sizes))


def _norm(name: str) -> nn.LayerNorm:
    return nn.LayerNorm(epsilon=1e-5, use_fast_variance=False, name=name)


def _linear(outputs: int, name: str, init: Any = KERNEL) -> nn.Dense:
    return nn.Dense(outputs, use_bias=False, kernel_init=init, name=name)


def _falling_decays(key: Array, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
    """Returns -6 .. 0: decays from 0.9985 to 0.74, for memories of 1000 tokens to a few."""
    return jnp.linspace(-6, 0, shape[0], dtype=dtype)


class TimeMix(nn.Module):
    """The time mix of a block: reads and writes the state of the heads.

    Attributes:
      width: Width of the input and the output (D).
      ranks: The ranks of the adapters.
    """

    width: int
    ranks: AdapterRanks

    @nn.compact
    def __call__(
        self, x: Array, previous: Array, memory: Array, first_value: Array | None
    ) -> tuple[Array, Array, Array]:  # [D], [D], [heads, N, N], [D] -> [D], [heads, N, N], [D]
        """Returns the output, the next state, and the value of the first layer.

        `first_value` is None in the first layer.
        """
        width, (heads, size, _) = self.width, memory.shape
        r, w, k, v, a, g = (
            x + (previous - x) * self._vector(f"x_{name}", 0.5) for name in "rwkvag"
        )
        receptance, key, value = (
            _linear(width, name)(mixed)
            for name, mixed in (("receptance", r), ("key", k), ("value", v))
        )
        decay = self.param("w0", _falling_decays, (width,))
        decay = decay + self._adapter("w", self.ranks.decay, w, jnp.tanh)
        decay = jnp.exp(-DECAY * nn.sigmoid(decay))
        rate = nn.sigmoid(self._vector("a0", 0) + self._adapter("a", self.ranks.rate, a))
        first = value if first_value is None else first_value
        if first_value is not None:
            blend = nn.sigmoid(self._vector("v0", 1) + self._adapter("v", self.ranks.value, v))
            value = value + (first - value) * blend
        gate = self._adapter("g", self.ranks.gate, g, nn.sigmoid, KERNEL)
        removal = (key * self._vector("k_k", 0.85)).reshape(heads, -1)
        squares = jnp.square(removal).sum(-1, keepdims=True)
        removal = removal / jnp.sqrt(jnp.maximum(squares, 1e-24))  # a root has no derivative at 0
        key = key * (1 + (rate - 1) * self._vector("k_a", 1))

        receptance, decay, key, value_heads, rate = (
            vector.reshape(heads, -1) for vector in (receptance, decay, key, value, rate)
        )
        removed = _times(memory, removal)  # [heads, N], what the state holds under that key
        memory = memory * decay[:, None, :] - _outer(removed, rate * removal)
        memory = memory + _outer(value_heads, key)
        y = nn.GroupNorm(heads, epsilon=HEAD_EPSILON, use_fast_variance=False, name="ln_x")(
            _times(memory, receptance).reshape(1, -1)
        ).reshape(-1)
        bonus = self.param("r_k", nn.initializers.zeros, (heads, size))
        weight = (receptance * key * bonus).sum(-1, keepdims=True)
        y = y + (weight * value_heads).reshape(-1)
        return _linear(width, "output")(y * gate), memory, first

    def _vector(self, name: str, start: float) -> Array:
        """Returns a parameter [D]."""
        return self.param(name, nn.initializers.constant(start), (self.width,))

    def _adapter(
        self,
        name: str,
        rank: int,
        x: Array,
        activation: Callable[[Array], Array] = lambda x: x,
        init: Any = SMALL_KERNEL,
    ) -> Array:
        """Returns f(x W1) W2 [D], with W1 [D, rank]."""
        hidden = activation(_linear(rank, f"{name}1")(x))
        return _linear(self.width, f"{name}2", init)(hidden)


def _times(matrices: Array, vectors: Array) -> Array:
    """Returns M x of each head: [heads, N, N], [heads, N] -> [heads, N]."""
    return (matrices * vectors[:, None, :]).sum(-1)


def _outer(rows: Array, columns: Array) -> Array:
    """Returns the outer product of each head: [heads, N], [heads, N] -> [heads, N, N]."""
    return rows[:, :, None] * columns[:, None, :]


class ChannelMix(nn.Module):
    """The channel mix of a block: an MLP with squared relus.

    Attributes:
      width: Width of the input and the output (D).
      hidden: Width of the hidden layer.
    """

    width: int
    hidden: int

    @nn.compact
    def __call__(self, x: Array, previous: Array) -> Array:  # [D], [D] -> [D]
        mix = self.param("x_k", nn.initializers.constant(0.5), (self.width,))
        hidden = nn.relu(_linear(self.hidden, "key")(x + (previous - x) * mix))
        return _linear(self.width, "value")(jnp.square(hidden))


class Block(nn.Module):
    """A time mix and a channel mix, each after a layer norm and around a residual.

    Attributes:
      ranks: The ranks of the adapters.
      hidden: Width of the channel mix.
    """

    ranks: AdapterRanks
    hidden: int

    @nn.compact
    def __call__(
        self, state: LayerState, x: Array, first_value: Array | None
    ) -> tuple[LayerState, Array, Array]:  # -> state, [D], [D]
        width = x.shape[0]
        time_input = _norm("ln1")(x)
        change, memory, first_value = TimeMix(width, self.ranks, name="att")(
            time_input, state.time_input, state.memory, first_value
        )
        x = x + change
        channel_input = _norm("ln2")(x)
        x = x + ChannelMix(width, self.hidden, name="ffn")(channel_input, state.channel_input)
        return LayerState(time_input, channel_input, memory), x, first_value


class RWKV7(nn.Module):
    """The model: an embedding, L blocks and a head, one token a call.

    Attributes:
      outputs: Number of tokens (V).
      widths: The width (D) of each of the L blocks; all are equal.
      head_size: Width of a head (N), a divisor of D.
      ranks: The ranks of the adapters.
      hidden: Width of the channel mix.
    """

    outputs: int
    widths: Sequence[int]
    head_size: int
    ranks: AdapterRanks
    hidden: int

    @property
    def carry(self) -> tuple[LayerState, ...]:
        """State of each block at the start of a document."""
        width, size = self.widths[0], self.head_size
        inputs, memory = jnp.zeros((width,)), jnp.zeros((width // size, size, size))
        return tuple(LayerState(inputs, inputs, memory) for _ in self.widths)

    @nn.compact
    def __call__(
        self, state: tuple[LayerState, ...], x: Array
    ) -> tuple[tuple[LayerState, ...], Array]:  # L states, [1] -> L states, [V]
        """Reads a token, and returns the logits of the next one, in nats."""
        token = x.reshape(()).astype(jnp.int32)
        state = jax.tree.map(lambda leaf: jnp.where(token == 0, 0.0, leaf), state)
        embed = nn.Embed(self.outputs, self.widths[0], embedding_init=UNIT_NORMAL, name="emb")
        x, first_value = _norm("ln0")(embed(token)), None
        layers: list[LayerState] = []
        for i, layer in enumerate(state):
            block = Block(self.ranks, self.hidden, name=f"blocks_{i}")
            layer, x, first_value = block(layer, x, first_value)
            layers.append(layer)
        return tuple(layers), _linear(self.outputs, "head")(_norm("ln_out")(x))


def make_rwkv7(config: PolicyConfig, spec: EnvSpec, outputs: int) -> RWKV7:
    """Returns the model that a sweep's settings describe, for an environment of tokens.

    Raises:
      UserError: the observation is no index of a token, or the widths do not fit together.
    """
    widths, size = config.widths, config.head_size
    if spec.observation_shape != (1,):
        raise UserError(
            f"network: rwkv7 reads the index of a token, of shape (1,); {spec.name} observes "
            f"{spec.observation_shape}: choose an environment of text, or another network"
        )
    if not widths or len(set(widths)) > 1 or widths[0] % size:
        raise UserError(
            f"widths: {list(widths)}; rwkv7 has one width for all layers, a multiple of head_size "
            f"({size}), such as [{size}, {size}]"
        )
    width, ranks = widths[0], published_ranks(widths[0])
    if config.adapter_ranks is not None:
        ranks = AdapterRanks(*config.adapter_ranks)
    return RWKV7(outputs, widths, size, ranks, config.channel_width or 4 * width)
