"""What the tests of navix and jumanji share: the library's own steps beside ours."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.interfaces import Environment
from rl_es.rollout.wrappers import implicit_promotion

LANES = 8


class Step(NamedTuple):
    """A step of ours and the library's own, up to and with the episode's end [T, LANES, ...]."""

    action: Any
    allowed: Any  # by the mask before the step; True where there is none
    reward: Any
    terminated: Any
    truncated: Any
    own: Any  # whatever the library says of it

    @property
    def alive(self) -> np.ndarray:
        ended = self.terminated | self.truncated
        return np.cumsum(ended, 0) - ended == 0


def beside(env: Environment, own_reset: Any, own_step: Any, steps: int) -> Step:
    """Both under the same keys and the same random actions of those that are allowed.

    Args:
      env: ours.
      own_reset: of a key, gives a state of the library's.
      own_step: of a key, a state and an action, gives a state and what is to be compared.
      steps: to take.
    """
    count = env.spec.action_space.n  # type: ignore[union-attr]

    def lane(key: Array) -> Step:
        state, observation = env.reset(key)
        with implicit_promotion():
            own = own_reset(key)

        def step(carry: Any, time: Array) -> Any:
            state, mask, own = carry
            key_now, choice = jax.random.split(jax.random.fold_in(key, time))
            logits = jnp.zeros(count) if mask is None else jnp.where(mask, 0.0, -1e9)
            action = jax.random.categorical(choice, logits).astype(jnp.int32)
            after = env.step(key_now, state, action)
            with implicit_promotion():
                next_own, message = own_step(key_now, own, action)
                next_own = jax.tree.map(lambda new, old: new.astype(old.dtype), next_own, own)
            allowed = jnp.asarray(True) if mask is None else mask[action]
            observed = Step(
                action, allowed, after.reward, after.terminated, after.truncated, message
            )
            return (after.state, after.observation.action_mask, next_own), observed

        start = state, observation.action_mask, own
        return jax.lax.scan(step, start, jnp.arange(steps, dtype=jnp.int32))[1]

    keys = jax.random.split(jax.random.key(2), LANES)
    result = jax.jit(jax.vmap(lane, out_axes=1))(keys)
    return jax.tree.map(np.asarray, result)
