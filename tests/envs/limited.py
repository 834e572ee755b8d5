"""What the tests of Craftax and Kinetix share: the library's own steps beside ours."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.interfaces import Environment
from rl_es.rollout.wrappers import implicit_promotion

LANES = 4


class Steps(NamedTuple):
    """Steps up to and with the end of each episode, all lanes one after the other."""

    values: np.ndarray
    reward: np.ndarray
    ended: np.ndarray


def beside(env: Environment, own: Any, params: Any, actions: np.ndarray) -> tuple[Steps, Steps]:
    """Our steps and the library's, from the same states under the same keys and actions.

    Two episodes begin at their start and two shortly before the time limit, which they reach.

    Args:
      env: ours.
      own: the library's environment.
      params: its parameters.
      actions: of all steps [T, LANES, ...].
    """
    limit = env.spec.episode_length
    assert limit is not None
    starts = np.array([0, 0, limit - 7, limit - 1], np.int32)
    theirs = jax.vmap(own.step, (0, 0, 0, None))

    @jax.jit
    def run(keys: Array) -> Any:
        states, _ = jax.vmap(env.reset)(keys)
        states = states.replace(timestep=jnp.asarray(starts))

        def step(carry: Any, argument: tuple[Array, Array]) -> Any:
            time, action = argument
            now = jax.vmap(jax.random.fold_in, (0, None))(keys, time)
            after = jax.vmap(env.step)(now, carry[0], action)
            with implicit_promotion():
                values, state, reward, done, _ = theirs(now, carry[1], action, params)
                state = jax.tree.map(lambda leaf, old: leaf.astype(old.dtype), state, carry[1])
            ended = after.terminated | after.truncated
            ours = Steps(after.observation.values, after.reward, ended)
            return (after.state, state), (ours, Steps(values, reward, done), after.truncated)

        inputs = jnp.arange(len(actions), dtype=jnp.int32), jnp.asarray(actions)
        return jax.lax.scan(step, (states, states), inputs)[1]

    result = run(jax.random.split(jax.random.key(2), LANES))
    ours, own_steps, truncated = jax.tree.map(np.asarray, result)
    first = ours.ended.argmax(0)
    assert ours.ended.any(0).all() and list(first[2:]) == [6, 0]
    at_end = truncated[first, range(LANES)]
    assert at_end[2:].all() and not at_end[0]
    alive = np.cumsum(ours.ended, 0) - ours.ended == 0
    return tuple(Steps(*(part[alive] for part in steps)) for steps in (ours, own_steps))
