"""Optimisers by optax, built inside the trace from traced numbers, so that they compile once."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax import Array

from rl_es.evolution.perturbation import global_norm
from rl_es.interfaces import Hyper, Params, Update

Build = Callable[[Hyper, Array], optax.GradientTransformation]


def sgd(hyper: Hyper, lr: Array) -> optax.GradientTransformation:
    """Gradient descent with momentum; weight decay as an L2 term of the gradient."""
    return optax.chain(
        optax.add_decayed_weights(hyper["weight_decay"]),
        optax.sgd(lr, momentum=hyper["momentum"]),  # pyright: ignore[reportArgumentType]
    )


def adam(hyper: Hyper, lr: Array) -> optax.GradientTransformation:
    """Adam; weight decay as an L2 term of the gradient."""
    return optax.chain(
        optax.add_decayed_weights(hyper["weight_decay"]),
        optax.adam(lr, b1=hyper["b1"], b2=hyper["b2"]),  # pyright: ignore[reportArgumentType]
    )


def adamw(hyper: Hyper, lr: Array) -> optax.GradientTransformation:
    """Adam with decoupled weight decay."""
    return optax.adamw(
        lr,
        b1=hyper["b1"],  # pyright: ignore[reportArgumentType]
        b2=hyper["b2"],  # pyright: ignore[reportArgumentType]
        weight_decay=hyper["weight_decay"],  # pyright: ignore[reportArgumentType]
    )


OPTIMISERS: dict[str, Build] = {"sgd": sgd, "adam": adam, "adamw": adamw}


def ascend(
    build: Build, hyper: Hyper, lr: Array, state: optax.OptState, params: Params, estimate: Update
) -> tuple[Params, optax.OptState, Array]:
    """One step up the estimate.

    Returns:
      New parameters, new optimiser state, and [] the norm of the change.
    """
    descent = jax.tree.map(jnp.negative, estimate)
    with jax.numpy_dtype_promotion("standard"):  # optax raises floats to integer powers
        change, state = build(hyper, lr).update(descent, state, params)
    return optax.apply_updates(params, change), state, global_norm(change)
