"""Observations and cubes that are fixed in advance; nothing carries over from step to step."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.envs._adapter import box
from rl_es.interfaces import EnvSpec, Observation, Params, Transition


class Cubic:
    """Step h shows v_h and rewards c_h (x^3 - 3 s^2 x) for the action's projection x on u_h.

    All v_h [M] and u_h [N] are drawn once, uniformly on the sphere, and all c_h from a standard
    normal distribution; they are the same in every episode. The state is the number of the step.
    """

    def __init__(self, name: str, steps: int, inputs: int, outputs: int, control: float):
        """`control` is s; M inputs are observed, N outputs are an action."""
        rng = np.random.default_rng(0)
        self._shown = _directions(rng, steps, inputs)
        self._wanted = _directions(rng, steps, outputs)
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
        x = jnp.asarray(self._wanted)[state] @ action
        linear = np.float32(3 * self.control**2)
        reward = jnp.asarray(self._factors)[state] * (x**2 - linear) * x
        t = state + 1
        over = t >= self.steps
        return Transition(t, self._observe(t), reward, jnp.zeros((), bool), over)

    def expected(self, params: Params, sigma: float, rank: int | None) -> Params | None:
        """The formula of `envs.unrolled.cubic`, for a linear policy without bias."""
        leaves, structure = jax.tree.flatten(params)
        kernel = self._shown.shape[1], self._wanted.shape[1]
        if [leaf.shape for leaf in leaves] != [kernel]:
            return None
        v, u, c = (np.float64(part) for part in (self._shown, self._wanted, self._factors))
        x = np.einsum("hm,mn,hn->h", v, np.float64(leaves[0]), u)
        fourth = 3 + (0 if rank is None else 6 / rank)
        slopes = c * (3 * x**2 + fourth * sigma**2 - 3 * self.control**2)
        return jax.tree.unflatten(structure, [np.einsum("h,hm,hn->mn", slopes, v, u)])

    def _observe(self, t: Array) -> Observation:
        # An index beyond the last step is the last: what is shown after the end is not used.
        return Observation(jnp.asarray(self._shown)[t])


def _directions(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Unit vectors [count, size], float32."""
    drawn = rng.normal(size=(count, size))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
