"""One compiled run of several instances of an environment, which most checks of it look at."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rl_es.interfaces import Box, Discrete, Environment

# Of actions, a lane each; lanes 0 and 1 take the same.
KINDS = (*4 * ("random",), "the lowest", "the highest", "far below the space",
         "far above the space")  # fmt: skip
LANES = len(KINDS)
MOST_STEPS = 1000


class Run(NamedTuple):
    """A run of `LANES` instances; lanes 0 and 1 share keys and actions."""

    first: np.ndarray  # [LANES, ...] observation values at reset
    last: np.ndarray  # [LANES, ...] observation values at the end
    sums: np.ndarray  # [T, LANES] of each observation's values
    finite: np.ndarray  # [T, LANES] bool: observation and reward are
    reward: np.ndarray  # [T, LANES]
    terminated: np.ndarray  # [T, LANES] bool
    truncated: np.ndarray  # [T, LANES] bool
    allowed: np.ndarray  # [T, LANES] bool: at least one action is

    @property
    def alive(self) -> np.ndarray:
        """[T, LANES] bool: steps up to the first end, and that one."""
        ended = self.terminated | self.truncated
        return np.cumsum(ended, 0) - ended == 0

    @property
    def going(self) -> np.ndarray:
        """[T, LANES] bool: steps after which the episode goes on."""
        return self.alive & ~self.terminated & ~self.truncated

    @property
    def dead(self) -> np.ndarray:
        """[T, LANES] bool: steps after the first termination."""
        return np.cumsum(self.terminated, 0) - self.terminated > 0


def actions(space: Discrete | Box, steps: int) -> np.ndarray:
    """[T, LANES, ...] actions of the kinds of `KINDS`."""
    rng = np.random.default_rng(0)
    if isinstance(space, Discrete):
        drawn = rng.integers(0, space.n, (steps, LANES)).astype(np.int32)
        drawn[:, 4:] = np.array([0, space.n - 1, -3, space.n + 3], np.int32)
    else:
        low, high = (np.nan_to_num(bound, posinf=1e3, neginf=-1e3)
                     for bound in (space.low, space.high))  # fmt: skip
        drawn = rng.uniform(low, high, (steps, LANES, *space.shape)).astype(np.float32)
        drawn[:, 4], drawn[:, 5] = low, high
        drawn[:, 6], drawn[:, 7] = 1e4 * low, 1e4 * high
    drawn[:, 1] = drawn[:, 0]
    return drawn


def lane_keys() -> jax.Array:
    """[LANES] keys of the resets."""
    numbers = jnp.array([0, 0, *range(1, LANES - 1)], jnp.uint32)
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(7), numbers)


def run(env: Environment, steps: int) -> Run:
    """Runs `steps` steps under jit, vmap and scan, which refuses a state whose types change."""

    def program(keys: Any, actions: Any) -> Any:
        states, observations = jax.vmap(env.reset)(keys)

        def step(carry: Any, inputs: Any) -> Any:
            time, actions = inputs
            keys_now = jax.vmap(jax.random.fold_in, (0, None))(keys, time)
            after = jax.vmap(env.step)(keys_now, carry[0], actions)
            values, mask = after.observation
            values = values.reshape(LANES, -1)
            finite = jnp.isfinite(values).all(-1) & jnp.isfinite(after.reward)
            allowed = jnp.ones(LANES, bool) if mask is None else mask.any(-1)
            outputs = (
                values.sum(-1), finite, after.reward, after.terminated, after.truncated, allowed
            )  # fmt: skip
            return (after.state, after.observation.values), outputs

        carry = states, observations.values
        time = jnp.arange(steps, dtype=jnp.int32)
        (_, last), outputs = jax.lax.scan(step, carry, (time, actions))
        return observations.values, last, *outputs

    found = jax.jit(program)(lane_keys(), actions(env.spec.action_space, steps))
    return Run(*map(np.asarray, found))
