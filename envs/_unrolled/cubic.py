"""Cubic: a return of which the expected estimates are known exactly, for any low-rank noise.

For the bias of low-rank noise: EGGROLL's expected update is O(1/r) from the full-rank one (Sarkar
et al. 2025, arXiv 2511.16652, theorem on convergence in the rank). The simplest return that shows
it is a sum of cubes of a linear policy's action (`network: linear`, `head: deterministic`),

  f(W) = sum_h c_h ((v_h' W u_h)^3 - 3 s^2 v_h' W u_h),

with unit vectors v_h, which are observed, and u_h, which the action is projected on. Noise sigma E
of rank r makes estimates that are on average

  sum_h c_h (3 (v_h' W u_h)^2 + (3 + 6 / r) sigma^2 - 3 s^2) v_h u_h',

and full-rank noise the same without 6 / r: their distance is (6 sigma^2 / r) |sum_h c_h v_h u_h'|.
Factors of fixed length have a smaller fourth moment than 3 + 6 / r (docs/low_rank.md).
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

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.envs._adapter import box
from rl_es.interfaces import Environment, EnvSpec, Observation, Params, Transition


class Cubic:
    """Step h shows v_h and rewards c_h (x^3 - 3 s^2 x) for the action's projection x on u_h.

    All v_h [M] and u_h [N] are drawn once, uniformly on the sphere, and all c_h from a standard
    normal distribution; they are the same in every episode. The state is the number of the step.
    """

    def __init__(self, name: str, steps: int, inputs: int, outputs: int, control: float):
        """`control` is s; M inputs are observed, N outputs are an action."""
        rng = np.random.default_rng(0)
        self._observations = _directions(rng, steps, inputs)
        self._projections = _directions(rng, steps, outputs)
        self._factors = rng.normal(size=steps).astype(np.float32)
        self.steps, self.control = steps, control
        self.spec = EnvSpec(
            name=name,
            observation_shape=(inputs,),
            action_space=box(-np.inf, np.inf, (outputs,)),
            episode_length=steps,
        )

    def reset(self, key: Array) -> tuple[Array, Observation]:
        t = jnp.zeros((), jnp.int32)
        return t, self._observe(t)

    def step(self, key: Array, state: Array, action: Array) -> Transition:
        x = jnp.asarray(self._projections)[state] @ action
        linear = np.float32(3 * self.control**2)
        reward = jnp.asarray(self._factors)[state] * (x**2 - linear) * x
        t = state + 1
        over = t >= self.steps
        return Transition(t, self._observe(t), reward, jnp.zeros((), bool), over)

    def expected_gradient(
        self, params: Params, sigma: float, fourth_moment: Callable[[int, int], float]
    ) -> Params | None:
        """Returns the formula above for a linear policy without bias; None for other policies."""
        leaves, structure = jax.tree.flatten(params)
        kernel = self._observations.shape[1], self._projections.shape[1]
        if [leaf.shape for leaf in leaves] != [kernel]:
            return None
        v, u, c = (
            np.float64(part) for part in (self._observations, self._projections, self._factors)
        )
        x = np.einsum("hm,mn,hn->h", v, np.float64(leaves[0]), u)
        slopes = c * (3 * x**2 + fourth_moment(*kernel) * sigma**2 - 3 * self.control**2)
        return jax.tree.unflatten(structure, [np.einsum("h,hm,hn->mn", slopes, v, u)])

    def _observe(self, t: Array) -> Observation:
        # Beyond the last step JAX uses the last index: observations after the end are not used.
        return Observation(jnp.asarray(self._observations)[t])


def _directions(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Draws unit vectors [count, size], float32, uniformly on the sphere."""
    normal = rng.normal(size=(count, size))
    return (normal / np.linalg.norm(normal, axis=1, keepdims=True)).astype(np.float32)


def make(name: str, options: Any) -> Environment:
    """Returns the environment of this name with `rl_es.envs.unrolled` options of this task."""
    return Cubic(name, options.steps, options.inputs, options.outputs, options.control)
