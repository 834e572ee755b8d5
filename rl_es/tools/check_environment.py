"""The checks of an environment against what `rl_es.interfaces.Environment` promises.

Each method says what it found where the promise is kept, and raises a `CheckFailure` where it is
not.

One compiled run of several instances of an environment, which most checks of it look at.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rl_es.interfaces import Box, Discrete, Environment
from rl_es.terminal import WARN, Check, CheckFailure, make_check
from rl_es.tools import check_agent

# Of actions, a lane each; lanes 0 and 1 take the same.
KINDS = (*4 * ("random",), "the lowest", "the highest", "far below the space",
         "far above the space")  # fmt: skip
LANES = len(KINDS)
MOST_STEPS = 1000


class LaneRollout(NamedTuple):
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
        episode_over = self.terminated | self.truncated
        return np.cumsum(episode_over, 0) - episode_over == 0

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
        values = rng.integers(0, space.n, (steps, LANES)).astype(np.int32)
        values[:, 4:] = np.array([0, space.n - 1, -3, space.n + 3], np.int32)
    else:
        low, high = (np.nan_to_num(bound, posinf=1e3, neginf=-1e3)
                     for bound in (space.low, space.high))  # fmt: skip
        values = rng.uniform(low, high, (steps, LANES, *space.shape)).astype(np.float32)
        values[:, 4], values[:, 5] = low, high
        values[:, 6], values[:, 7] = 1e4 * low, 1e4 * high
    values[:, 1] = values[:, 0]
    return values


def lane_keys() -> jax.Array:
    """[LANES] keys of the resets."""
    numbers = jnp.array([0, 0, *range(1, LANES - 1)], jnp.uint32)
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(7), numbers)


def run_lanes(env: Environment, steps: int) -> LaneRollout:
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
            has_action = jnp.ones(LANES, bool) if mask is None else mask.any(-1)
            outputs = (
                values.sum(-1), finite, after.reward, after.terminated, after.truncated, has_action
            )  # fmt: skip
            return (after.state, after.observation.values), outputs

        carry = states, observations.values
        time = jnp.arange(steps, dtype=jnp.int32)
        (_, last), outputs = jax.lax.scan(step, carry, (time, actions))
        return observations.values, last, *outputs

    outcome = jax.jit(program)(lane_keys(), actions(env.spec.action_space, steps))
    return LaneRollout(*map(np.asarray, outcome))


ALONE_STEPS = 8  # in which an instance is compared with itself in a batch: chaos comes later
SAME = 1e-3  # relative difference that rounding may make in so many steps


class EnvironmentChecks:
    """The checks of one environment, which share one run of it."""

    def __init__(self, env: Environment, steps: int | None = None, library: bool = False):
        """Runs nothing yet.

        Args:
          env: with or without wrappers.
          steps: of the run; by default the environment's time limit and three more.
          library: whether its steps are a library's: a key that is used twice is then a warning.
        """
        limit = env.spec.episode_length
        self.env, self.library = env, library
        self.steps = steps or min(MOST_STEPS, 200 if limit is None else limit + 3)

    def checks(self) -> Mapping[str, Check]:
        """All of them by name, in order."""
        looks = {
            "specification": self.specification,
            "types": self.types,
            "pure": self.pure,
            "keys": self.keys,
            "vmap": self.vmap,
            "compiled once": self.compiled_once,
            "finite": self.finite,
            "ends": self.ends,
            "after the end": self.after_the_end,
            "action mask": self.action_mask,
        }
        return {name: make_check(name, look) for name, look in looks.items()}

    @cached_property
    def run(self) -> LaneRollout:
        """The run that most checks look at."""
        return run_lanes(self.env, self.steps)

    def _functions(self) -> Iterator[tuple[str, Callable[..., Any], tuple[Any, ...]]]:
        """Reset and step: their names, and arguments that they can be traced with."""
        key, space = jax.random.key(0), self.env.spec.action_space
        action = np.int32(0) if isinstance(space, Discrete) else np.zeros(space.shape, np.float32)
        yield "reset", self.env.reset, (key,)
        state, _ = jax.eval_shape(self.env.reset, key)
        yield "step", self.env.step, (key, state, action)

    def specification(self) -> str:
        """The specification makes sense."""
        spec = self.env.spec
        space, shape, length = spec.action_space, spec.observation_shape, spec.episode_length
        if not (isinstance(shape, tuple) and all(isinstance(n, int) and n > 0 for n in shape)):
            raise CheckFailure(f"observation_shape is {shape!r}", "a tuple of sizes")
        if length is not None and not (isinstance(length, int) and length > 0):
            raise CheckFailure(f"episode_length is {length!r}", "a number of steps, or None")
        if isinstance(space, Discrete) and not space.n > 0:
            raise CheckFailure(f"it has {space.n} actions", "Discrete(n) with n > 0")
        if isinstance(space, Box) and not (space.low <= space.high).all():
            raise CheckFailure("low is above high", "Box(low, high)")
        if not isinstance(space, Discrete | Box):
            kind = type(space).__name__
            raise CheckFailure(f"action_space is a {kind}", "Discrete(n) or Box(low, high)")
        acts = f"{space.n} actions" if isinstance(space, Discrete) else f"actions {space.shape}"
        ends = "endless" if length is None else f"at most {length:,} steps"
        return f"observations {shape}, {acts}, {ends}"

    def types(self) -> str:
        """Shapes and dtypes are those of the specification, and a step keeps those of the state."""
        spec = self.env.spec
        (_, reset, (key,)), (_, step, (_, state, action)) = self._functions()
        _, observation = jax.eval_shape(reset, key)
        after = jax.eval_shape(step, key, state, action)
        wrong = [*check_agent.key_differences("state", state, after.state)]
        wrong += check_agent.key_differences("observation", observation, after.observation)
        expected = {
            "observation": (observation.values, spec.observation_shape, np.float32),
            "reward": (after.reward, (), np.float32),
            "terminated": (after.terminated, (), np.bool_),
            "truncated": (after.truncated, (), np.bool_),
            "steps": (after.steps, (), np.int32),
        }
        for name, (array, shape, kind) in expected.items():
            if (array.shape, array.dtype) != (shape, kind):
                text = f"{array.dtype}{list(array.shape)}, not {np.dtype(kind)}{list(shape)}"
                wrong.append(f"{name} is {text}")
        if weak := check_agent.weak_leaves((state, observation, after)):
            wrong.append(f"{weak} arrays are of weak types, such as a Python number gives")
        if wrong:
            remedy = "give arrays of the same shapes and dtypes from reset and step: jnp.float32(x)"
            raise CheckFailure("; ".join(wrong[:3]), remedy)
        return "as specified; the same from reset and step"

    def pure(self) -> str:
        """Tracing it twice gives the same program."""
        for name, function, arguments in self._functions():
            if not check_agent.same_values(function, function, *arguments):
                remedy = (
                    "keep nothing in the object or in globals, and draw numbers by jax.random only"
                )
                raise CheckFailure(f"{name} traced twice gives two programs", remedy)
        return "reset and step are the same program whenever they are traced"

    def keys(self) -> str:
        """All random numbers come from the key, and each key is used once."""
        rollout = self.run
        pairs = (rollout.sums, rollout.reward, rollout.terminated, rollout.truncated)
        if not all(np.array_equal(pair[:, 0], pair[:, 1], equal_nan=True) for pair in pairs):
            remedy = "draw from the key that is handed in, and from nothing else"
            raise CheckFailure("the same key and actions gave other results", remedy)
        for name, function, arguments in self._functions():
            if reused := check_agent.reuses_key(function, *arguments):
                detail = f"{name} uses a key twice ({reused})"
                if self.library:
                    remedy = "know that its draws are not independent: the library's own code"
                    raise CheckFailure(detail, remedy, WARN)
                raise CheckFailure(detail, "split it: one, other = jax.random.split(key)")
        if (rollout.first[0] != rollout.first[2]).any() or self._steps_differ():
            return "the same key gives the same; other keys others"
        return "the same from every key: it is deterministic"

    def _steps_differ(self) -> bool:
        """Whether a step from one state depends on its key."""
        env, space = self.env, self.env.spec.action_space
        state, _ = jax.jit(env.reset)(jax.random.key(0))
        action = actions(space, 1)[0, 0]
        step = jax.jit(lambda key: env.step(key, state, action).observation.values)
        return any((step(jax.random.key(i)) != step(jax.random.key(0))).any() for i in range(1, 4))

    def vmap(self) -> str:
        """An instance does in a batch what it does alone."""
        env, lane, steps = self.env, 3, min(ALONE_STEPS, self.steps)
        actions_taken = actions(env.spec.action_space, self.steps)
        state, observation = jax.jit(env.reset)(lane_keys()[lane])
        step, worst = jax.jit(env.step), 0.0
        for time in range(steps):
            if not self.run.alive[time, lane]:
                break
            key = jax.random.fold_in(lane_keys()[lane], time)
            state, observation, reward, *_ = step(key, state, actions_taken[time, lane])
            alone = np.array([observation.values.sum(), reward])
            batch = np.array([self.run.sums[time, lane], self.run.reward[time, lane]])
            size = np.maximum(np.maximum(np.abs(alone), np.abs(batch)), 1.0)
            worst = max(worst, float((np.abs(alone - batch) / size).max()))
        if worst > SAME:
            detail = f"an instance of a batch differs from the same alone, by {worst:.2g}"
            raise CheckFailure(detail, "let an instance depend on its own state alone")
        return f"an instance of a batch goes as it does alone ({steps} steps)"

    def compiled_once(self) -> str:
        """A step after a step needs no other program."""
        env, space = self.env, self.env.spec.action_space
        state, _ = jax.jit(env.reset)(jax.random.key(0))
        step: Any = jax.jit(lambda key, state, action: env.step(key, state, action))
        for time, action in enumerate(actions(space, 3)[:, 0]):
            state = step(jax.random.key(time), state, action).state
        if (size := step._cache_size()) > 1:
            remedy = "let a step's state have the shapes and dtypes of the one before"
            raise CheckFailure(f"three steps compiled {size} programs", remedy)
        return "three steps, one program"

    def finite(self) -> str:
        """Numbers stay finite whatever the actions are, those outside of the space among them."""
        rollout = self.run
        if not np.isfinite(rollout.first).all():
            raise CheckFailure("reset gives observations that are not finite", "see it")
        if not rollout.finite[rollout.alive].all():
            step, lane = np.argwhere(~rollout.finite & rollout.alive)[0]
            detail = f"not finite after {step + 1} steps of actions: {KINDS[lane]}"
            raise CheckFailure(detail, "clip the action to its space; end the episode")
        return f"{self.steps} steps of random and extreme actions"

    def ends(self) -> str:
        """Termination and truncation are told apart, and truncation comes on time."""
        rollout, limit = self.run, self.env.spec.episode_length
        alive, truncated = rollout.alive, rollout.truncated & rollout.alive
        if (rollout.terminated & truncated).any():
            remedy = "truncated & ~terminated: only one of them ends an episode"
            raise CheckFailure("a step both terminates and truncates", remedy)
        if truncated[: limit - 1 if limit else None].any():
            if limit is None:
                raise CheckFailure("truncates, but episode_length is None", "state the length")
            first = int(np.argwhere(truncated)[0][0]) + 1
            remedy = f"truncate after {limit} steps, or state another episode_length"
            raise CheckFailure(f"truncates after {first} steps, not {limit}", remedy)
        covers_limit = limit is None or self.steps >= limit
        if limit and covers_limit and rollout.going[limit - 1].any():
            remedy = "truncated=time >= episode_length, where it has not terminated"
            raise CheckFailure(f"goes on after its {limit} steps", remedy)
        ends = int((rollout.terminated & alive).any(0).sum())
        note = "" if covers_limit else f"; not run to its limit of {limit:,}"
        return f"{ends} of 8 instances terminated{note}"

    def after_the_end(self) -> str:
        """Steps after a termination give no reward, unless the specification says that they do."""
        rollout = self.run
        if (rollout.dead & (rollout.reward != 0)).any():
            if self.env.spec.rewards_after_end:
                return "gives rewards, as its spec says; the engine counts none"
            remedy = "reward 0 from a state that has ended; or rewards_after_end=True in the spec"
            raise CheckFailure("steps after a termination give rewards", remedy)
        if not rollout.terminated.any():
            return f"no instance terminated in {self.steps} steps"
        return "no reward"

    def action_mask(self) -> str:
        """A mask fits the actions, and allows at least one."""
        space = self.env.spec.action_space
        _, observation = jax.eval_shape(self.env.reset, jax.random.key(0))
        mask = observation.action_mask
        if mask is None:
            return "none: every action is always allowed"
        if not isinstance(space, Discrete) or mask.shape != (space.n,) or mask.dtype != jnp.bool_:
            text = f"{mask.dtype}{list(mask.shape)}"
            raise CheckFailure(f"is {text}", "bool [n], for Discrete(n) only")
        if not self.run.allowed[self.run.going].all():
            raise CheckFailure("allows no action at times", "leave one, or end the episode")
        return "always leaves an action"
