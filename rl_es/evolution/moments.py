"""Moments of the unit noise E [M, N] on a weight matrix, exactly, for every kind of noise.

For a linear return <G, E> one member's estimate of G is <G, E> E. Its second moment is the price of
the noise: `second_moment` is E[<G, E>^2 |E|^2] / |G|^2, and the variance of the estimate, summed
over elements, is |G|^2 less. For unit vectors v [M] and u [N], `fourth_moment` is
E[(v' E u)^4], the multiple by which the cubic part of a return enters the expected estimate.
`output_moment` is E[|v' E|^4] / N^2: 1 if noise moves a layer's outputs as far for every member.

Low-rank noise is E = sum over R of b_r a_r' / sqrt(R). On a side of size S, its factors are

  normal      independent standard normal numbers
  sphere      of length sqrt(S), in independent uniform directions
  orthogonal  of length sqrt(S), in uniform directions at right angles; as on the sphere where R > S

docs/low_rank.md has the proofs.
"""

from dataclasses import dataclass

from rl_es.evolution.config import FactorDistribution


@dataclass(frozen=True)
class MatrixNoise:
    """The distribution of unit noise on a weight matrix.

    Attributes:
      rank: Rank of the noise (R); None for independent normal elements.
      factors: Distribution of the factors of low-rank noise.
    """

    rank: int | None
    factors: FactorDistribution = "normal"

    def second_moment(self, inputs: int, outputs: int) -> float:
        """Returns E[<G, E>^2 |E|^2] / |G|^2 for G [M, N], M inputs and N outputs."""
        sizes = inputs, outputs
        if self.rank is None:
            return inputs * outputs + 2
        same, other = 1.0, inputs * outputs  # of one factor pair's norm, of two's
        for size in sizes:
            same *= size + 2 if self.factors == "normal" else size
        products = 0 if any(map(self._is_orthogonal, sizes)) else 2
        return (same + (self.rank - 1) * (other + products)) / self.rank

    def fourth_moment(self, inputs: int, outputs: int) -> float:
        """Returns E[(v' E u)^4] for unit vectors v [M] and u [N], M inputs and N outputs."""
        if self.rank is None:
            return 3.0
        same, other = 1.0, 1.0  # moments of one factor's projection, of two factors' projections
        for size in (inputs, outputs):
            sphere = size / (size + 2)
            same *= 3 * (1 if self.factors == "normal" else sphere)
            other *= sphere if self._is_orthogonal(size) else 1
        return (same + 3 * (self.rank - 1) * other) / self.rank

    def output_moment(self, inputs: int, outputs: int) -> float:
        """Returns E[|v' E|^4] / N^2 for a unit vector v [M], M inputs and N outputs."""
        if self.rank is None:
            return 1 + 2 / outputs
        is_normal, sphere = self.factors == "normal", inputs / (inputs + 2)
        same = 3 * (1 + 2 / outputs if is_normal else sphere)
        other = sphere if self._is_orthogonal(inputs) else 1.0
        other *= 1.0 if self._is_orthogonal(outputs) else 1 + 2 / outputs
        return (same + (self.rank - 1) * other) / self.rank

    def _is_orthogonal(self, size: int) -> bool:
        """Returns whether the factors of a side are at right angles."""
        return self.rank is not None and self.factors == "orthogonal" and self.rank <= size
