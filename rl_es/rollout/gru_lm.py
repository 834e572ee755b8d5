"""A small recurrent language model of gated recurrent units.

An embedding, L layers and a head. A layer adds the state of a gated recurrent unit (Cho et al.,
"Learning phrase representations using RNN encoder-decoder", 2014, arXiv 1406.1078), which reads
the RMS norm of its input (Zhang and Sennrich 2019, arXiv 1910.07467). The reset gate acts after
the product with the state, so that all gates of a layer take two products.

All weights are in `nn.Dense` and `nn.Embed`, so that noise of low rank applies to all matrices.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from rl_es.errors import UserError
from rl_es.interfaces import EnvSpec
from rl_es.rollout.config import PolicyConfig
from rl_es.rollout.networks import KERNEL


class GRULanguageModel(nn.Module):
    """Maps the index of a token, and a state, to the logits of the next token in nats.

    Attributes:
      outputs: Number of tokens (V).
      widths: The width (D) of each of the L layers; all are equal.
    """

    outputs: int
    widths: Sequence[int] = (64, 64)

    @property
    def carry(self) -> tuple[Array, ...]:
        """State of each layer at the start of a document [D]."""
        return tuple(jnp.zeros((width,), jnp.float32) for width in self.widths)

    @nn.compact
    def __call__(
        self, state: tuple[Array, ...], x: Array
    ) -> tuple[tuple[Array, ...], Array]:  # L of [D], [1] -> L of [D], [V]
        """Reads a token; token 0, which separates documents, sets the state to zero first."""
        width, token = self.widths[0], x.reshape(()).astype(jnp.int32)
        x = nn.Embed(self.outputs, width, embedding_init=nn.initializers.normal(1.0), name="embed")(
            token
        )
        layers: list[Array] = []
        for i, layer in enumerate(state):
            layer = jnp.where(token == 0, 0.0, layer)
            inputs = nn.Dense(3 * width, kernel_init=KERNEL, name=f"gru_{i}_input")(_norm(x))
            past = nn.Dense(3 * width, kernel_init=KERNEL, name=f"gru_{i}_state", use_bias=False)(
                layer
            )
            update, reset, change = jnp.split(inputs, 3)
            past_update, past_reset, past_change = jnp.split(past, 3)
            update = nn.sigmoid(update + past_update)
            change = jnp.tanh(change + nn.sigmoid(reset + past_reset) * past_change)
            layers.append(update * layer + (1 - update) * change)
            x = x + layers[-1]
        head = nn.Dense(self.outputs, use_bias=False, kernel_init=KERNEL, name="head")
        return tuple(layers), head(_norm(x))


def _norm(x: Array) -> Array:
    """Returns x [D] divided by the root of its mean square."""
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x)) + 1e-6)


def make_gru_lm(config: PolicyConfig, spec: EnvSpec, outputs: int) -> GRULanguageModel:
    """Returns the model that a sweep's settings describe, for an environment of tokens.

    Raises:
      UserError: the observation is no index of a token, or the widths differ.
    """
    widths = config.widths
    if spec.observation_shape != (1,):
        raise UserError(
            f"network: gru_lm reads the index of a token, of shape (1,); {spec.name} observes "
            f"{spec.observation_shape}: choose an environment of text or reasoning, or another "
            "network"
        )
    if not widths or len(set(widths)) > 1:
        raise UserError(
            f"widths: {list(widths)}; gru_lm has one width for all layers, such as [64, 64]"
        )
    return GRULanguageModel(outputs, widths)
