"""Text that a policy writes: each token is drawn from its action, and is what it observes next.

Axis letters: T tokens.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rl_es.interfaces import Generative, Policy, Snapshot
from rl_es.rollout.normalisation import normalise


def make_generator(
    env: Generative, policy: Policy, size: int, temperature: float
) -> Callable[[Array, Snapshot], Array]:
    """Returns a function that draws a text of `size` tokens. Compile it once.

    Its arguments are a key, which it consumes, and a snapshot; it returns tokens [T] int32. The
    policy starts from its initial state, and observes token 0 first.

    Args:
      env: The environment; nothing is read of its text.
      policy: The policy that writes.
      size: Number of tokens.
      temperature: Tokens are drawn with probabilities to the power of its inverse; 1 leaves them.
    """

    def generate(key: Array, snapshot: Snapshot) -> Array:
        def write_token(carry: tuple[Any, Array], key: Array) -> tuple[tuple[Any, Array], Array]:
            state, token = carry
            act_key, token_key = jax.random.split(key)
            observation = normalise(snapshot.statistics, env.observe(token))
            state, action = policy.act(snapshot.params, state, observation, act_key)
            logits = env.log_probabilities(action) / temperature
            token = jax.random.categorical(token_key, logits).astype(jnp.int32)
            return (state, token), token

        start = policy.initial_state(), jnp.zeros((), jnp.int32)
        return jax.lax.scan(write_token, start, jax.random.split(key, size))[1]

    return generate
