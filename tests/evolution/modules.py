"""Flax modules as a stranger would write them: each maps six numbers to `outputs` numbers."""

import jax
import jax.numpy as jnp
from flax import linen as nn


def category(x):
    """[6] real numbers -> [3] integers in 0 .. 3."""
    bits = (x > 0).astype(jnp.int32)
    return bits[:3] + 2 * bits[3:]


class Attention(nn.Module):
    outputs: int

    @nn.compact
    def __call__(self, x):
        tokens = nn.Dense(4)(x.reshape(3, 2))
        tokens = tokens + nn.MultiHeadDotProductAttention(num_heads=2)(tokens)
        return nn.Dense(self.outputs)(tokens.mean(0))


class Embedding(nn.Module):
    outputs: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.outputs)(jnp.tanh(nn.Embed(4, 5)(category(x))).reshape(-1))


class TiedEmbedding(nn.Module):
    outputs: int

    @nn.compact
    def __call__(self, x):
        table = nn.Embed(self.outputs, 5)
        return table.attend(jnp.tanh(table(category(x) % self.outputs)).sum(0))


class Attend(nn.Module):
    """An embedding of which only the transpose is used, by keyword."""

    outputs: int

    @nn.compact
    def __call__(self, x):
        return nn.Embed(self.outputs, 6).attend(query=x)


class Convolution(nn.Module):
    outputs: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.outputs)(jnp.tanh(nn.Conv(4, (3,))(x[:, None])).reshape(-1))


class ScanOverTime(nn.Module):
    outputs: int

    @nn.compact
    def __call__(self, x):
        cell = nn.scan(
            nn.GRUCell, variable_broadcast="params", split_rngs={"params": False}, out_axes=0
        )(5)
        last, _ = cell(jnp.zeros(5), x.reshape(3, 2))
        return nn.Dense(self.outputs)(last)


class RNN(nn.Module):
    outputs: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.outputs)(nn.RNN(nn.SimpleCell(5))(x.reshape(3, 2))[-1])


class Twice(nn.Module):
    outputs: int

    @nn.compact
    def __call__(self, x):
        layer = nn.Dense(6)
        return nn.Dense(self.outputs)(layer(jnp.tanh(layer(x))))


class Axes(nn.Module):
    """Contracts axes 0 and 2 of [3, 2, 1], named in the other order."""

    outputs: int

    @nn.compact
    def __call__(self, x):
        y = nn.DenseGeneral((2, 3), axis=(-1, 0))(x.reshape(3, 2, 1))  # [2, 2, 3]
        return nn.DenseGeneral(self.outputs, axis=(0, 1, 2))(jnp.tanh(y))


class AxesReversed(nn.Module):
    """Two axes of more than one element, named in the other order."""

    outputs: int

    @nn.compact
    def __call__(self, x):
        return nn.DenseGeneral(self.outputs, axis=(1, 0))(x.reshape(3, 2))


class BatchAxis(nn.Module):
    """One matrix for each entry of a batch axis: no single matrix, so perturbed directly."""

    outputs: int

    @nn.compact
    def __call__(self, x):
        return nn.DenseGeneral(self.outputs, axis=-1, batch_dims=(0,))(x.reshape(3, 2)).sum(0)


class Keyword(nn.Module):
    outputs: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.outputs)(inputs=x)


class Remat(nn.Module):
    outputs: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.outputs)(jnp.tanh(nn.remat(nn.Dense)(5)(x)))


class RematBlock(nn.Module):
    outputs: int

    @nn.remat
    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.outputs)(jnp.tanh(nn.Dense(5)(x)))


class SharedVmap(nn.Module):
    """Mapped over tokens with one kernel for all of them."""

    outputs: int

    @nn.compact
    def __call__(self, x):
        over_tokens = nn.vmap(
            nn.Dense, variable_axes={"params": None}, split_rngs={"params": False}
        )
        return nn.Dense(self.outputs)(jnp.tanh(over_tokens(4)(x.reshape(3, 2))).reshape(-1))


class Doubled(nn.Dense):
    """A Dense that does with its kernel what it likes."""

    @nn.compact
    def __call__(self, inputs):
        kernel = self.param("kernel", self.kernel_init, (inputs.shape[-1], self.features))
        return inputs @ jnp.sin(2 * kernel)


class Subclass(nn.Module):
    outputs: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.outputs)(Doubled(4)(x))


class OwnProduct(nn.Module):
    """A Dense with a product of its own, which is not linear in its kernel."""

    outputs: int

    @nn.compact
    def __call__(self, x):
        def product(a, b, dimensions, precision=None, preferred_element_type=None):
            return jax.lax.dot_general(a, jnp.tanh(b), dimensions)

        return nn.Dense(self.outputs, dot_general=product)(x)


class Setup(nn.Module):
    outputs: int

    def setup(self):
        self.blocks = [Keyword(6), Twice(6)]
        self.last = nn.Sequential([nn.Dense(5), jnp.tanh, nn.Dense(self.outputs)])

    def __call__(self, x):
        for block in self.blocks:
            x = jnp.tanh(block(x))
        return self.last(x)


class Norm(nn.Module):
    outputs: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.outputs)(nn.LayerNorm()(nn.Dense(5)(x)))


class Partitioned(nn.Module):
    """Parameters that come boxed with the names of their axes."""

    outputs: int

    @nn.compact
    def __call__(self, x):
        init = nn.with_partitioning(nn.initializers.lecun_normal(), ("in", "out"))
        return nn.Dense(self.outputs, kernel_init=init)(x)


class Half(nn.Module):
    """Computes in bfloat16."""

    outputs: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.outputs, dtype=jnp.bfloat16)(x).astype(jnp.float32)
