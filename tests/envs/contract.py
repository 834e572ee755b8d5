"""What every environment has to keep, checked by running one compiled program."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rl_es.interfaces import Box, Discrete, Environment

LANES = 8


class Run(NamedTuple):
    """A run of `LANES` instances; lanes 0 and 1 share keys and actions."""

    first: Any  # observation values at reset [LANES, ...]
    last: Any  # observation values at the end [LANES, ...]
    sums: Any  # of each observation's values [T, LANES]
    finite: Any  # observation and reward, [T, LANES]
    reward: Any  # [T, LANES]
    terminated: Any  # [T, LANES]
    truncated: Any  # [T, LANES]

    @property
    def alive(self) -> np.ndarray:
        """[T, LANES] bool: steps up to and with the first end."""
        ended = np.asarray(self.terminated) | np.asarray(self.truncated)
        return np.cumsum(ended, 0) - ended == 0


def actions(space: Discrete | Box, steps: int) -> np.ndarray:
    """Actions [T, LANES, ...]: random ones, the extremes, and some that the space has not."""
    rng = np.random.default_rng(0)
    if isinstance(space, Discrete):
        drawn = rng.integers(0, space.n, (steps, LANES)).astype(np.int32)
        drawn[:, 4:] = np.array([0, space.n - 1, -3, space.n + 3], np.int32)
    else:
        drawn = rng.uniform(space.low, space.high, (steps, LANES, *space.shape)).astype(np.float32)
        drawn[:, 4], drawn[:, 5] = space.low, space.high
        drawn[:, 6], drawn[:, 7] = 1e4 * space.low, 1e4 * space.high
    drawn[:, 1] = drawn[:, 0]
    return drawn


def run(env: Environment, steps: int) -> Run:
    """Runs `steps` steps under jit, vmap and scan, which refuses a state whose types change."""

    def program(keys, actions):
        states, observations = jax.vmap(env.reset)(keys)

        def step(carry, inputs):
            time, actions = inputs
            keys_now = jax.vmap(jax.random.fold_in, (0, None))(keys, time)
            after = jax.vmap(env.step)(keys_now, carry[0], actions)
            values = after.observation.values.reshape(LANES, -1)
            finite = jnp.isfinite(values).all(-1) & jnp.isfinite(after.reward)
            outputs = values.sum(-1), finite, after.reward, after.terminated, after.truncated
            return (after.state, after.observation.values), outputs

        carry = states, observations.values
        time = jnp.arange(steps, dtype=jnp.int32)
        (_, last), outputs = jax.lax.scan(step, carry, (time, actions))
        return observations.values, last, *outputs

    numbers = jnp.array([0, 0, *range(1, LANES - 1)], jnp.uint32)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(7), numbers)
    return Run(*jax.jit(program)(keys, actions(env.spec.action_space, steps)))


def check_types(env: Environment) -> None:
    """Shapes and dtypes are the specification's; reset and step agree; nothing is weak."""
    key = jax.random.key(0)
    space = env.spec.action_space
    action = np.int32(0) if isinstance(space, Discrete) else np.zeros(space.shape, np.float32)
    state, observation = jax.eval_shape(env.reset, key)
    after = jax.eval_shape(env.step, key, state, action)
    for leaf in jax.tree.leaves((state, observation, after)):
        assert not leaf.weak_type

    def kinds(tree):
        leaves, structure = jax.tree.flatten(tree)  # nodes may have an equality of their own
        return structure, [(leaf.shape, leaf.dtype) for leaf in leaves]

    assert kinds(state) == kinds(after.state)
    assert kinds(observation) == kinds(after.observation)
    assert observation.values.shape == env.spec.observation_shape
    assert observation.values.dtype == np.float32
    assert (after.reward.shape, after.reward.dtype) == ((), np.float32)
    assert (after.terminated.shape, after.terminated.dtype) == ((), np.bool_)
    assert (after.truncated.shape, after.truncated.dtype) == ((), np.bool_)


def check(env: Environment, steps: int) -> Run:
    """Everything that holds for every environment, over `steps` steps."""
    check_types(env)
    result = Run(*map(np.asarray, run(env, steps)))
    assert result.finite[result.alive].all()
    assert np.isfinite(result.first).all()
    for output in (result.sums, result.reward, result.terminated, result.truncated):
        np.testing.assert_array_equal(output[:, 0], output[:, 1])
    np.testing.assert_array_equal(result.last[0], result.last[1])
    assert not (result.terminated & result.truncated).any()
    limit = env.spec.episode_length
    if limit is None or steps < limit:
        assert not result.truncated.any()
    else:
        assert not result.truncated[: limit - 1].any()
        np.testing.assert_array_equal(result.truncated[limit - 1], ~result.terminated[limit - 1])
    return result
