"""Evolution in integers: noise of rank 1, integer weights of pairs, and steps of one unit.

The integer form of EGGROLL, for networks whose parameters are integers within ±127 where 16 stands
for 1.0 (Sarkar et al., arXiv 2511.16652, appendix H). Integers are held in float32, or in int8
where they are only stored, and every sum is exact. So no sum depends on its order, and neither
chunks nor devices change a bit of a run.

`IntegerLowRank` draws factors 16 N(0, 1), rounded and clipped to ±127. To the exact sum x W of a
product it adds sign floor((x . B) A / 2^(4 + s)): with the sign outside the floor, the noise of a
pair's members is exactly opposite. `PairSigns` and `FixedPointScale` turn returns into integer
weights. `IntegerStrategy` moves each parameter by one unit where the weighted sum of its noise is
significant.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array
from jax.scipy.special import ndtri

from rl_es.errors import UserError
from rl_es.evolution.fitness_shaping import LaggedScale, ReturnScale
from rl_es.evolution.perturbation import (
    Factors,
    RandomTable,
    draw_table,
    global_norm,
    leaves_by_path,
    nest_by_path,
    number_columns,
)
from rl_es.evolution.strategy import PairStrategy
from rl_es.interfaces import (
    Hyper,
    Members,
    Noise,
    ParameterSpec,
    Params,
    Segment,
    Update,
)

LARGEST = 127  # of parameters, factors and weights
ONE = 16  # the integer that stands for 1.0
EXACT = 2**24  # integers up to it are float32 numbers
_TERMS = EXACT // LARGEST**2  # products of two integers within ±127 whose sum is exact
_DIGIT = LARGEST + 1
_MEAN_NOISE = 164  # mean of |a b| for factors 16 N(0, 1), with room for its own noise


@struct.dataclass
class IntegerProduct:
    """The integer factors of one pair's noise on a matrix, b a^T / 2^shift before the floor."""

    a: Array  # [N]
    b: Array  # [M]
    shift: int = struct.field(pytree_node=False)

    def apply(self, x: Array) -> Array:
        """Returns floor((x . b) a / 2^shift): [..., M] -> [..., N]."""
        sums, divisor = (x @ self.b)[..., None], 2**self.shift
        # (x . b) a may exceed 2^24, but with x . b = divisor q + r it is divisor q a + r a.
        quotients = jnp.floor(sums / divisor)
        rests = sums - divisor * quotients
        a = self.a.reshape((1,) * (x.ndim - 1) + self.a.shape)
        return quotients * a + jnp.floor(rests * a / divisor)

    def apply_transposed(self, y: Array) -> Array:
        """Returns floor((y . a) b / 2^shift): [..., N] -> [..., M]."""
        return IntegerProduct(a=self.b, b=self.a, shift=self.shift).apply(y)

    def take(self, index: Array) -> Array:
        """Returns the rows of the noise at an integer index [...], as [..., N]."""
        a = self.a.reshape((1,) * index.ndim + self.a.shape)
        return jnp.floor(self.b[index][..., None] * a / 2**self.shift)


@dataclass(frozen=True)
class IntegerLowRank:
    """Integer noise: of rank 1 on weight matrices, a product of two factors on all other numbers.

    Noise is a dictionary by path: `Factors` of a matrix (int8), an array [H, ...] of anything else
    (int16). The standard deviation of every number is 256; parameters are perturbed by it shifted
    by 4 + `sigma_shift` bits, so that sigma is 2^-sigma_shift of the fixed point's 1.0.

    Attributes:
      parameters: Description of the parameters.
      sigma_shift: The shift of the noise's scale.
      largest_weight: Largest weight of a pair in `contract`, at most 127.

    Raises:
      UserError: the policy has a matrix whose noise cannot be applied as a product, or whose sums
        would not be exact.
    """

    parameters: ParameterSpec
    sigma_shift: int = 4
    largest_weight: int = 1

    def __post_init__(self) -> None:
        for reason in self.parameters.refused.values():
            raise UserError(f"integer noise cannot treat this policy: {reason}")
        for path, matrix in self.parameters.matrices.items():
            if matrix.inputs > _TERMS:
                raise UserError(
                    f"integer noise: '{'/'.join(path)}' sums over {matrix.inputs} inputs; sums of "
                    f"more than {_TERMS} products of integers are not exact in float32"
                )
            if LARGEST**3 * matrix.inputs >= EXACT * 2**self._shift:
                raise UserError(
                    f"sigma_shift: {self.sigma_shift} makes the noise on '{'/'.join(path)}', of "
                    f"{matrix.inputs} inputs, too large to be exact in float32; choose a larger one"
                )

    @property
    def _shift(self) -> int:
        return int(math.log2(ONE)) + self.sigma_shift

    def draw(self, keys: Array, pairs: int) -> Noise:
        matrices, shapes = self.parameters.matrices, {}
        for path, leaf in leaves_by_path(self.parameters.shapes).items():
            matrix = matrices.get(path)
            shapes[path, "a"] = (matrix.outputs,) if matrix else leaf.shape
            shapes[path, "b"] = (matrix.inputs,) if matrix else leaf.shape
        columns, width = number_columns(shapes)

        def draw(table: RandomTable) -> Noise:
            factors = {
                name: to_fixed_point(table.normal(numbers)).astype(jnp.int8)
                for name, numbers in columns.items()
            }
            noise: dict[Any, Any] = {}
            for path in leaves_by_path(self.parameters.shapes):
                a, b = factors[path, "a"], factors[path, "b"]
                if path in matrices:
                    noise[path] = Factors(a[:, None], b[:, None])
                else:
                    noise[path] = a.astype(jnp.int16) * b.astype(jnp.int16)
            return noise

        return draw_table(keys, pairs, width, draw)

    def members(self, params: Params, noise: Noise, sigma: Array) -> Members:
        """Returns the population; `sigma` is not read, since the noise is scaled by its shift."""
        direct, products = {}, {}
        for path, unit in noise.items():
            if isinstance(unit, Factors):
                a, b = unit.a[:, 0].astype(jnp.float32), unit.b[:, 0].astype(jnp.float32)
                products[path] = IntegerProduct(a, b, self._shift)
            else:
                direct[path] = jnp.floor(unit.astype(jnp.float32) / 2**self._shift)
        return Members(params, direct, products)

    def contract(self, noise: Noise, weights: Array) -> Update:
        """Returns the sum over pairs of integer weights [H] times unit noise, int32."""
        shapes = leaves_by_path(self.parameters.shapes)
        update = {}
        for path, unit in noise.items():
            if isinstance(unit, Factors):
                total = self._contract_factors(unit, weights)
            else:
                integers = weights.astype(jnp.int32)
                total = jnp.tensordot(integers, unit.astype(jnp.int32), axes=1)
            update[path] = total.reshape(shapes[path].shape)
        return nest_by_path(update)

    def _contract_factors(self, factors: Factors, weights: Array) -> Array:
        """Returns the sum [M, N] over pairs of weight b a^T, int32."""
        a, b = (side[:, 0].astype(jnp.float32) for side in (factors.a, factors.b))
        weighted_b = weights[:, None] * b
        if self.largest_weight == 1:
            return _sum_products(weighted_b, a)
        # Up to 127 * 127, a weighted factor is a number of two digits, each within ±127.
        high = jnp.floor(weighted_b / _DIGIT)
        low = weighted_b - _DIGIT * high
        return _DIGIT * _sum_products(high, a) + _sum_products(low, a)

    def dense(self, noise: Noise) -> Params:
        dense: dict[Any, Any] = {}
        shapes = leaves_by_path(self.parameters.shapes)
        for path, unit in noise.items():
            if isinstance(unit, Factors):
                a, b = (side[:, 0].astype(jnp.float32) for side in (unit.a, unit.b))
                unit = (b[:, :, None] * a[:, None]).reshape(-1, *shapes[path].shape)
            dense[path] = unit.astype(jnp.float32)
        return nest_by_path(dense)


def saturate(numbers: Array) -> Array:
    """Clips to ±127."""
    return jnp.clip(numbers, -LARGEST, LARGEST)


def to_fixed_point(numbers: Array) -> Array:
    """Returns 16 times the numbers, rounded and clipped to ±127."""
    return saturate(jnp.round(ONE * numbers))


def _sum_products(left: Array, right: Array) -> Array:
    """Returns left^T right for integers within ±127, [H, M] and [H, N], as int32 [M, N].

    Sums over as many pairs as are exact in float32 are added up in int32.
    """
    total = jnp.zeros((left.shape[1], right.shape[1]), jnp.int32)
    for start in range(0, left.shape[0], _TERMS):
        part = slice(start, start + _TERMS)
        total += (left[part].T @ right[part]).astype(jnp.int32)
    return total


class PairSigns:
    """Weights of a pair's members whose difference is the sign of that of their returns."""

    def init(self, pairs: int) -> tuple[()]:
        return ()

    def weigh(self, state: tuple[()], returns: Array) -> Array:
        return _split_weights(jnp.sign(_pair_differences(returns)))

    def observe(self, state: tuple[()], segment: Segment) -> tuple[()]:
        return state

    def ready(self, state: tuple[()]) -> bool:
        return True


@dataclass(frozen=True)
class FixedPointScale(LaggedScale):
    """A lagged scale whose weights are rounded to 1/16 of the scale and clipped to ±127 / 16.

    A sign would reverse estimates that sum over windows; this is linear, but for the clip at eight
    times the scale.
    """

    def weigh(self, state: ReturnScale, returns: Array) -> Array:
        differences = _pair_differences(super().weigh(state, returns))
        return _split_weights(to_fixed_point(differences))


def _pair_differences(returns: Array) -> Array:
    """Returns the differences [H] of the returns [2H] of the members of pairs."""
    pairs = returns.reshape(-1, 2)
    return pairs[:, 0] - pairs[:, 1]


def _split_weights(differences: Array) -> Array:
    """Returns weights [2H] of opposite members whose differences are these [H]."""
    return jnp.stack([differences / 2, -differences / 2], 1).reshape(-1)


@struct.dataclass
class IntegerState:
    """The state of an `IntegerStrategy`.

    Attributes:
      params: The unperturbed parameters, integers within ±127.
      shaping: State of the fitness shaping.
      windows: [H] int32, number of windows whose noise a pair's next weight is for.
      hyper: Traced hyper-parameters, by name.
      generation: [] int32, number of generations so far.
    """

    params: Params
    shaping: Any
    windows: Array
    hyper: Hyper
    generation: Array


@dataclass(frozen=True)
class IntegerStrategy(PairStrategy):
    """An `Agent` whose parameters are integers that move by one unit.

    With Z the sum over pairs of weight times noise, a parameter moves by the sign of Z where a
    two-sided test at a level alpha rejects that Z is noise: |Z| >= quantile(1 - alpha / 2) times
    the standard deviation of Z for weights that have nothing to do with the noise. That is
    256 sqrt(sum over pairs of weight^2 times windows), 256 sqrt(H) for the signs of H pairs without
    ties. In generation t alpha is 1 / (decay t + 1), or `level`.

    Attributes:
      perturbation: Draws, applies and contracts integer noise.
      shaping: Maps returns to weights whose difference in a pair is an integer.
      most_windows: Most windows whose noises a weight is for; 1 without a history.
      level: The level of the test in every generation; None for the schedule.

    Z is at most the sum of weight |noise|. |noise| is 163 on average, the square of
    16 sqrt(2 / pi), and so int32 holds Z of signs up to 13 million pairs.

    Raises:
      UserError: Z, or the sum of squared weights, can be too large for int32.
    """

    perturbation: IntegerLowRank
    most_windows: int = 1
    level: float | None = None

    def __post_init__(self) -> None:
        noises = self.population // 2 * self.most_windows
        largest = self.perturbation.largest_weight
        if noises * largest * max(largest, _MEAN_NOISE) >= 2**31:
            raise UserError(
                f"population: {self.population} members with {self.most_windows} windows an "
                "episode; sums over their noise must stay below 2^31: choose fewer or longer ones"
            )

    def init(self, params: Params, hyper: Hyper) -> IntegerState:
        return IntegerState(
            params=jax.tree.map(lambda leaf: saturate(jnp.round(leaf)), params),
            shaping=self.shaping.init(self.population // 2),
            windows=jnp.ones((self.population // 2,), jnp.int32),
            hyper=hyper,
            generation=jnp.zeros((), jnp.int32),
        )

    def tell(
        self, state: IntegerState, update: Update, segment: Segment
    ) -> tuple[IntegerState, Array]:
        weights = _pair_differences(self.shape(state, segment)).astype(jnp.int32)
        squares = jnp.sum(jnp.square(weights) * state.windows, dtype=jnp.int32)
        deviation = ONE * ONE * jnp.sqrt(squares.astype(jnp.float32))
        threshold = self._quantile(state) * deviation
        ready = self.shaping.ready(state.shaping)

        def move(leaf: Array, total: Array) -> Array:
            total = total.astype(leaf.dtype)
            is_significant = (jnp.abs(total) >= threshold) & ready
            return saturate(leaf + jnp.where(is_significant, jnp.sign(total), 0))

        params = jax.tree.map(move, state.params, update)
        windows = jnp.where(segment.ended, 1, jnp.minimum(state.windows + 1, self.most_windows))
        after = IntegerState(
            params=params,
            shaping=self.shaping.observe(state.shaping, segment),
            windows=windows,
            hyper=state.hyper,
            generation=state.generation + 1,
        )
        return after, global_norm(jax.tree.map(jnp.subtract, params, state.params))

    def _sigma(self, state: IntegerState) -> Array:
        return jnp.ones(())  # noise is scaled by its shift

    def _quantile(self, state: IntegerState) -> Array:
        """Returns the normal quantile of the test of this generation, at least 0 []."""
        if self.level is None:
            time = state.generation.astype(jnp.float32)
            alpha = 1 / (state.hyper["decay"] * time + 1)
        else:
            alpha = jnp.float32(self.level)
        return jnp.maximum(-ndtri(alpha / 2), 0.0)
