"""Flax modules that low-rank noise cannot treat, and some that are no policy at all.

They map six numbers to `outputs` numbers, as those of `modules` do.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn


class ScanOverLayers(nn.Module):
    outputs: int

    @nn.compact
    def __call__(self, x):
        class Layer(nn.Module):
            @nn.compact
            def __call__(self, x, _):
                return jnp.tanh(nn.Dense(6)(x)), None

        layers = nn.scan(Layer, variable_axes={"params": 0}, split_rngs={"params": True}, length=2)
        x, _ = layers()(x, None)
        return nn.Dense(self.outputs)(x)


class KernelEach(nn.Module):
    """Mapped over tokens with a kernel for each."""

    outputs: int

    @nn.compact
    def __call__(self, x):
        each = nn.vmap(nn.Dense, variable_axes={"params": 0}, split_rngs={"params": True})
        return each(self.outputs)(x.reshape(3, 2)).sum(0)


class ReadElsewhere(nn.Module):
    outputs: int

    @nn.compact
    def __call__(self, x):
        layer = nn.Dense(6)
        y = layer(x)
        return nn.Dense(self.outputs)(y @ layer.variables["params"]["kernel"].T)


class WeightNorm(nn.Module):
    outputs: int

    @nn.compact
    def __call__(self, x):
        return nn.WeightNorm(nn.Dense(self.outputs))(x)


class MappedKernel(nn.Module):
    """The layer computes with the sine of the parameter."""

    outputs: int

    @nn.compact
    def __call__(self, x):
        sine = nn.map_variables(
            nn.Dense, "params", lambda params: jax.tree.map(jnp.sin, params), init=True
        )
        return sine(self.outputs)(x)


class Jitted(nn.Module):
    outputs: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.outputs)(jnp.tanh(JITTED_DENSE(6)(JITTED_DENSE(6)(x))))


JITTED_DENSE = nn.jit(nn.Dense)


class JittedBlock(nn.Module):
    outputs: int

    @nn.jit
    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.outputs)(x)


class JittedBlocks(nn.Module):
    """Equal blocks at other paths, which share one cached trace."""

    outputs: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.outputs)(Nest(name="a")(x) + Nest(name="b")(x))


class Nest(nn.Module):
    @nn.compact
    def __call__(self, x):
        return JittedBlock(4, name="inner")(x)


# What is no policy at all.


class Batch(nn.Module):
    outputs: int

    @nn.compact
    def __call__(self, x):
        return nn.BatchNorm(use_running_average=True)(nn.Dense(self.outputs)(x))


class WrongSize(nn.Module):
    outputs: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.outputs + 1)(x)


class TwoOutputs(nn.Module):
    outputs: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.outputs)(x), nn.Dense(1)(x)


class Fixed(nn.Module):
    """Has no parameters."""

    outputs: int

    def __call__(self, x):
        return x[: self.outputs]


class GrowingCarry(nn.Module):
    """Carries more than it was given."""

    outputs: int
    carry = jnp.zeros(2)

    @nn.compact
    def __call__(self, carry, x):
        return jnp.concatenate([carry, x]), nn.Dense(self.outputs)(x)


class NeedsKeys(nn.Module):
    outputs: int

    @nn.compact
    def __call__(self, x):
        return nn.Dropout(0.5, deterministic=False)(nn.Dense(self.outputs)(x))


class NoOutputs(nn.Module):
    """Cannot be told how many outputs are read."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x)
