"""Random search as an `Agent`: its noise does not depend on earlier returns."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from rl_es.evolution.perturbation import (
    RandomTable,
    column_numbers,
    draw_table,
    global_norm,
    leaves_by_path,
    weighted_sum,
)
from rl_es.interfaces import Episode, Hyper, Members, Noise, ParameterSpec, Params, Segment, Update


@struct.dataclass
class SearchState:
    """The state of a `RandomSearchStrategy`.

    Attributes:
      start: The initial parameters.
      best: Parameters of the best member so far.
      best_return: [] return of that member in its generation.
      sigma: [] standard deviation of parameters without bounds.
    """

    start: Params
    best: Params
    best_return: Array
    sigma: Array


@dataclass(frozen=True)
class RandomSearchStrategy:
    """Random search: pairs of members are mirrored in the middle of the search space."""

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
        draw = RandomTable.normal if self.parameters.bounds is None else RandomTable.uniform
        leaf_keys = jax.vmap(lambda key: jax.random.split(key, len(leaves)))(keys)

        def draw_leaf(keys: Array, leaf: jax.ShapeDtypeStruct) -> Array:
            columns = column_numbers(0, *leaf.shape)
            return draw_table(keys, pairs, columns.size, lambda table: draw(table, columns))

        noise = [draw_leaf(leaf_keys[:, i], leaf) for i, leaf in enumerate(leaves)]
        return jax.tree.unflatten(tree, noise), ()

    def members(self, state: SearchState, noise: Noise) -> Members:
        middle, reach = self._search_space(state)
        offsets = jax.tree.map(lambda unit, scale: unit * scale[None], noise, reach)
        return Members(middle, leaves_by_path(offsets), {})

    def shape(self, state: SearchState, segment: Segment) -> Array:
        """Returns the weight 1 for the best member, 0 for all others."""
        return jax.nn.one_hot(jnp.argmax(segment.returns), self.population)

    def contract(
        self, state: SearchState, noise: Noise, memory: tuple[()], weights: Array
    ) -> Update:
        """Returns the best member's offset from the middle, in units of the reach."""
        pairs = weights.reshape(-1, 2)
        return weighted_sum(pairs[:, 0] - pairs[:, 1], noise)

    def tell(
        self, state: SearchState, update: Update, segment: Segment
    ) -> tuple[SearchState, Array]:
        middle, reach = self._search_space(state)
        winner = jax.tree.map(lambda m, scale, unit: m + scale * unit, middle, reach, update)
        best_return = segment.returns.max()
        better = best_return > state.best_return
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), winner, state.best)
        change = global_norm(jax.tree.map(jnp.subtract, best, state.best))
        best_return = jnp.where(better, best_return, state.best_return)
        return state.replace(best=best, best_return=best_return), change  # pyright: ignore

    def center(self, state: SearchState) -> Params:
        """Returns the best member so far."""
        return state.best

    def _search_space(self, state: SearchState) -> tuple[Params, Params]:
        """Returns the middle of the search space, and the reach of a unit of noise from it."""
        if self.parameters.bounds is None:
            return state.start, jax.tree.map(lambda p: jnp.full(p.shape, state.sigma), state.start)
        low, high = (jax.tree.map(jnp.asarray, bound) for bound in self.parameters.bounds)
        middle = jax.tree.map(lambda a, b: (a + b) / 2, low, high)
        return middle, jax.tree.map(lambda a, b: (b - a) / 2, low, high)
