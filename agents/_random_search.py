"""Random search as an `Agent`: what it draws owes nothing to what it has seen."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from rl_es.evolution.perturbation import PAIRS_PER_KEY, global_norm, leaves_by_path, weighted_sum
from rl_es.interfaces import Episode, Hyper, Members, Noise, ParameterSpec, Params, Segment, Update


@struct.dataclass
class SearchState:
    """The state of a `RandomSearch`."""

    start: Params
    best: Params
    best_return: Array  # [], as the best member's own episodes gave it
    sigma: Array


@dataclass(frozen=True)
class RandomSearchStrategy:
    """Members mirrored in the middle of what is searched, each as likely as any other sample."""

    population: int
    parameters: ParameterSpec
    segment: Episode

    def init(self, params: Params, hyper: Hyper) -> SearchState:
        return SearchState(params, params, jnp.full((), -jnp.inf), hyper["sigma"])

    def remember(self, pairs: int) -> tuple[()]:
        return ()

    def ask(
        self, keys: Array, state: SearchState, memory: tuple[()], fresh: Array
    ) -> tuple[Noise, tuple[()]]:
        (pairs,) = fresh.shape
        leaves, tree = jax.tree.flatten(self.parameters.shapes)
        draw = jax.random.normal if self.parameters.bounds is None else _symmetric

        def block(key: Array) -> list[Array]:
            each = jax.random.split(key, len(leaves))
            return [
                draw(own, (PAIRS_PER_KEY, *leaf.shape))
                for own, leaf in zip(each, leaves, strict=True)
            ]

        drawn = [part.reshape(-1, *part.shape[2:])[:pairs] for part in jax.lax.map(block, keys)]
        return jax.tree.unflatten(tree, drawn), ()

    def members(self, state: SearchState, noise: Noise) -> Members:
        middle, reach = self._searched(state)
        offsets = jax.tree.map(lambda unit, one: unit * one[None], noise, reach)
        return Members(middle, leaves_by_path(offsets), {})

    def shape(self, state: SearchState, segment: Segment) -> Array:
        """[P] one for the best member, nothing for the others."""
        return jax.nn.one_hot(jnp.argmax(segment.returns), self.population)

    def contract(
        self, state: SearchState, noise: Noise, memory: tuple[()], weights: Array
    ) -> Update:
        """The best member's offset from the middle, in units of its reach."""
        pairs = weights.reshape(-1, 2)
        chosen = pairs[:, 0] - pairs[:, 1]
        return weighted_sum(chosen, noise)

    def tell(
        self, state: SearchState, update: Update, segment: Segment
    ) -> tuple[SearchState, Array]:
        middle, reach = self._searched(state)
        found = jax.tree.map(lambda m, one, unit: m + one * unit, middle, reach, update)
        best_return = segment.returns.max()
        better = best_return > state.best_return
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), found, state.best)
        change = global_norm(jax.tree.map(jnp.subtract, best, state.best))
        kept = jnp.where(better, best_return, state.best_return)
        return state.replace(best=best, best_return=kept), change  # pyright: ignore

    def center(self, state: SearchState) -> Params:
        """The best member so far."""
        return state.best

    def _searched(self, state: SearchState) -> tuple[Params, Params]:
        """The middle of what is searched, and how far a unit of noise reaches from it."""
        if self.parameters.bounds is None:
            return state.start, jax.tree.map(lambda p: jnp.full(p.shape, state.sigma), state.start)
        low, high = (jax.tree.map(jnp.asarray, bound) for bound in self.parameters.bounds)
        middle = jax.tree.map(lambda a, b: (a + b) / 2, low, high)
        return middle, jax.tree.map(lambda a, b: (b - a) / 2, low, high)


def _symmetric(key: Array, shape: tuple[int, ...]) -> Any:
    """Uniform numbers in [-1, 1]."""
    return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)
