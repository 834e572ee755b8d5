"""Optimisers of optax, built inside the trace from traced numbers: one program for all of them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax import Array

from rl_es.evolution.perturbation import global_norm
from rl_es.interfaces import Hyper, Params, Update

# (traced hyper-parameters, learning rate) -> optimiser
OptimiserFactory = Callable[[Hyper, Array], optax.GradientTransformation]


def sgd(hyper: Hyper, lr: Array) -> optax.GradientTransformation:
    """Returns gradient descent with momentum; weight decay is an L2 term of the gradient."""
    return optax.chain(
        optax.add_decayed_weights(hyper["weight_decay"]),
        optax.sgd(lr, momentum=hyper["momentum"]),  # pyright: ignore[reportArgumentType]
    )


def adam(hyper: Hyper, lr: Array) -> optax.GradientTransformation:
    """Returns Adam; weight decay is an L2 term of the gradient."""
    return optax.chain(
        optax.add_decayed_weights(hyper["weight_decay"]),
        optax.adam(lr, b1=hyper["b1"], b2=hyper["b2"]),  # pyright: ignore[reportArgumentType]
    )


def adamw(hyper: Hyper, lr: Array) -> optax.GradientTransformation:
    """Returns Adam with decoupled weight decay."""
    return optax.adamw(
        lr,
        b1=hyper["b1"],  # pyright: ignore[reportArgumentType]
        b2=hyper["b2"],  # pyright: ignore[reportArgumentType]
        weight_decay=hyper["weight_decay"],  # pyright: ignore[reportArgumentType]
    )


OPTIMISERS: dict[str, OptimiserFactory] = {"sgd": sgd, "adam": adam, "adamw": adamw}


def ascend(
    optimiser: OptimiserFactory,
    hyper: Hyper,
    lr: Array,
    state: optax.OptState,
    params: Params,
    estimate: Update,
) -> tuple[Params, optax.OptState, Array]:
    """Takes one step up a gradient estimate.

    Returns:
      The new parameters, the new state of the optimiser, and the norm of the change [].
    """
    descent = jax.tree.map(jnp.negative, estimate)
    with jax.numpy_dtype_promotion("standard"):  # optax raises floats to integer powers
        change, state = optimiser(hyper, lr).update(descent, state, params)
    return optax.apply_updates(params, change), state, global_norm(change)
