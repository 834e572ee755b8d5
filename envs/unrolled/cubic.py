"""Cubic: a return of which the expected estimates are known exactly, for any rank of the noise.

For the bias of low-rank noise: EGGROLL's expected update is O(1/r) from the full-rank one (Sarkar
et al. 2025, arXiv 2511.16652, theorem on convergence in the rank). The simplest return that shows
it is a sum of cubes of a linear policy's action (`network: linear`, `head: deterministic`),

  f(W) = sum_h c_h ((v_h' W u_h)^3 - 3 s^2 v_h' W u_h),

with unit vectors v_h, which are observed, and u_h, which the action is projected on. Noise sigma E
of rank r makes estimates that are on average

  sum_h c_h (3 (v_h' W u_h)^2 + (3 + 6 / r) sigma^2 - 3 s^2) v_h u_h',

and full-rank noise the same without 6 / r: their distance is (6 sigma^2 / r) |sum_h c_h v_h u_h'|.
`control` (s) subtracts a linear part, whose estimate is on average the same at any rank: a control
variate. With s = sigma what is left at W = 0 is 6 / r alone, and nothing at full rank.

Proof. Let q = v' E u, which has mean 0 and variance 1. In E[f(W + sigma E) E] / sigma,

  (x + sigma q)^3 = x^3 + 3 x^2 sigma q + 3 x sigma^2 q^2 + sigma^3 q^3,

even powers of q vanish, because -E has the distribution of E. E[q E] = v u' at any rank, and
E[q^3 E] is a multiple of it: the part of the noise that is orthogonal to v or to u has a factor of
mean 0 that is independent of q. The multiple is E[q^4]. Full rank: q is normal, E[q^4] = 3. Rank r,
where E = B A' / sqrt(r) as inputs x outputs: q = sum_k b_k a_k / sqrt(r) with independent standard
normal numbers, so that

  E[q^4] = (r E[b^4] E[a^4] + 3 r (r - 1) (E[b^2] E[a^2])^2) / r^2 = (9 r + 3 r (r - 1)) / r^2,

which is 3 + 6 / r.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rl_es.config import Config, static

if TYPE_CHECKING:
    from rl_es.interfaces import Environment

NUMERICS = 1
NAMES = ("unrolled/cubic",)


class Options(Config):
    """Settings of the cubic return."""

    steps: int = static(4, "steps of an episode, each with a cube of its own", ge=1)
    inputs: int = static(16, "numbers observed (M)", ge=1)
    outputs: int = static(16, "numbers that an action has (N)", ge=1)
    control: float = static(
        0.0, "s, of the linear part that is subtracted; sigma cancels all that full rank sees", ge=0
    )


def make(name: str, options: Options) -> Environment:
    """The environment of this name, one of `NAMES`."""
    from rl_es.envs._unrolled.cubic import Cubic

    return Cubic(name, options.steps, options.inputs, options.outputs, options.control)
