"""The checks of an environment: what `rl_es.interfaces.Environment` promises, held against it."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rl_es.conformance import tracing
from rl_es.conformance.run import MOST_STEPS, Run, actions, lane_keys, run
from rl_es.findings import FAIL, OK, WARN, Check, Finding
from rl_es.interfaces import Box, Discrete, Environment

ALONE_STEPS = 8  # of an instance alone beside the same one in a batch: chaos comes later
SAME = 1e-3  # relative difference that rounding may make in so many steps


class EnvironmentChecks:
    """The checks of one environment; what several look at is run once."""

    def __init__(self, env: Environment, steps: int | None = None, library: bool = False):
        """Prepares them.

        Args:
          env: without wrappers, or with them.
          steps: that are run; by default the environment's time limit and three more.
          library: whether its steps are a library's own, whose use of keys is told, not failed.
        """
        limit = env.spec.episode_length
        self.env, self.library = env, library
        self.steps = steps or min(MOST_STEPS, 200 if limit is None else limit + 3)

    def checks(self) -> Mapping[str, Check]:
        """All of them, by name, in order."""
        return {
            "specification": self.specification,
            "types": self.types,
            "pure": self.pure,
            "keys": self.keys,
            "vmap": self.batched,
            "compiled once": self.compiled_once,
            "finite": self.finite,
            "ends": self.ends,
            "after the end": self.after_the_end,
            "action mask": self.action_mask,
        }

    @cached_property
    def run(self) -> Run:
        """The run that the checks look at."""
        return run(self.env, self.steps)

    def _step_arguments(self) -> tuple[Any, Any, Any]:
        space = self.env.spec.action_space
        action = np.int32(0) if isinstance(space, Discrete) else np.zeros(space.shape, np.float32)
        state, _ = jax.eval_shape(self.env.reset, jax.random.key(0))
        return jax.random.key(0), state, action

    def specification(self) -> Iterator[Finding]:
        """Whether the specification makes sense."""
        spec, what = self.env.spec, "specification"
        space, shape, length = spec.action_space, spec.observation_shape, spec.episode_length
        if not (isinstance(shape, tuple) and all(isinstance(n, int) and n > 0 for n in shape)):
            yield Finding(what, FAIL, f"observation_shape is {shape!r}", "a tuple of sizes")
        elif length is not None and not (isinstance(length, int) and length > 0):
            yield Finding(what, FAIL, f"episode_length is {length!r}", "a number of steps, or None")
        elif isinstance(space, Discrete) and not space.n > 0:
            yield Finding(what, FAIL, f"it has {space.n} actions", "Discrete(n) with n > 0")
        elif isinstance(space, Box) and not (space.low <= space.high).all():
            yield Finding(what, FAIL, "low is above high", "Box(low, high)")
        elif not isinstance(space, Discrete | Box):
            kind = type(space).__name__
            yield Finding(what, FAIL, f"action_space is a {kind}", "Discrete(n) or Box(low, high)")
        else:
            acts = f"{space.n} actions" if isinstance(space, Discrete) else f"actions {space.shape}"
            ends = "endless" if length is None else f"at most {length:,} steps"
            yield Finding(what, OK, f"observations {shape}, {acts}, {ends}")

    def types(self) -> Iterator[Finding]:
        """Whether shapes and dtypes are the specification's, and a state keeps its own."""
        env, what = self.env, "types"
        key, state, action = self._step_arguments()
        _, observation = jax.eval_shape(env.reset, key)
        after = jax.eval_shape(env.step, key, state, action)
        wrong = [*tracing.differences("state", state, after.state)]
        wrong += tracing.differences("observation", observation, after.observation)
        wanted = {
            "observation": (observation.values, env.spec.observation_shape, np.float32),
            "reward": (after.reward, (), np.float32),
            "terminated": (after.terminated, (), np.bool_),
            "truncated": (after.truncated, (), np.bool_),
            "steps": (after.steps, (), np.int32),
        }
        for name, (found, shape, kind) in wanted.items():
            if (found.shape, found.dtype) != (shape, kind):
                told = f"{found.dtype}{list(found.shape)}, not {np.dtype(kind)}{list(shape)}"
                wrong.append(f"{name} is {told}")
        weak = tracing.weak((state, observation, after))
        if weak:
            wrong.append(f"{weak} arrays are of weak types, such as a Python number gives")
        if wrong:
            remedy = "give arrays of the same shapes and dtypes from reset and step: jnp.float32(x)"
            yield Finding(what, FAIL, "; ".join(wrong[:3]), remedy)
        else:
            yield Finding(what, OK, "as specified; the same from reset and step")

    def pure(self) -> Iterator[Finding]:
        """Whether tracing it twice gives the same program."""
        key, state, action = self._step_arguments()
        for name, function, arguments in (
            ("reset", self.env.reset, (key,)),
            ("step", self.env.step, (key, state, action)),
        ):
            if not tracing.same(function, function, *arguments):
                yield Finding(
                    "pure",
                    FAIL,
                    f"{name} traced twice gives two programs",
                    "keep nothing in the object or in globals, and draw numbers by jax.random only",
                )
                return
        yield Finding("pure", OK, "reset and step are the same program whenever they are traced")

    def keys(self) -> Iterator[Finding]:
        """Whether random numbers come from the key, all of them, each once."""
        what, found = "keys", self.run
        pairs = (found.sums, found.reward, found.terminated, found.truncated)
        if not all(np.array_equal(one[:, 0], one[:, 1], equal_nan=True) for one in pairs):
            remedy = "draw from the key that is handed in, and from nothing else"
            yield Finding(what, FAIL, "the same key and actions gave other results", remedy)
            return
        key, before, action = self._step_arguments()
        for name, function, arguments in (
            ("reset", self.env.reset, (key,)),
            ("step", self.env.step, (key, before, action)),
        ):
            if reused := tracing.reuses_key(function, *arguments):
                state = WARN if self.library else FAIL
                remedy = "split it: one, other = jax.random.split(key)"
                if self.library:
                    remedy = "know that its draws are not independent: the library's own code"
                yield Finding(what, state, f"{name} uses a key twice ({reused})", remedy)
                return
        differ = (found.first[0] != found.first[2]).any() or self._steps_differ()
        told = "the same key gives the same; other keys others" if differ else (
            "the same from every key: it is deterministic")  # fmt: skip
        yield Finding(what, OK, told)

    def _steps_differ(self) -> bool:
        """Whether a step from one state depends on its key."""
        env, space = self.env, self.env.spec.action_space
        state, _ = jax.jit(env.reset)(jax.random.key(0))
        action = actions(space, 1)[0, 0]
        step = jax.jit(lambda key: env.step(key, state, action).observation.values)
        return any((step(jax.random.key(i)) != step(jax.random.key(0))).any() for i in range(1, 4))

    def batched(self) -> Iterator[Finding]:
        """Whether an instance of a batch goes as it would alone."""
        env, lane, steps = self.env, 3, min(ALONE_STEPS, self.steps)
        taken = actions(env.spec.action_space, self.steps)
        state, observation = jax.jit(env.reset)(lane_keys()[lane])
        step, worst = jax.jit(env.step), 0.0
        for time in range(steps):
            if not self.run.alive[time, lane]:
                break
            key = jax.random.fold_in(lane_keys()[lane], time)
            state, observation, reward, *_ = step(key, state, taken[time, lane])
            both = np.array([
                [observation.values.sum(), reward],
                [self.run.sums[time, lane], self.run.reward[time, lane]],
            ])  # fmt: skip
            size = np.maximum(np.abs(both).max(0), 1.0)
            worst = max(worst, float((np.abs(both[0] - both[1]) / size).max()))
        if worst > SAME:
            detail = f"an instance of a batch differs from the same alone, by {worst:.2g}"
            yield Finding("vmap", FAIL, detail, "let an instance depend on its own state alone")
        else:
            yield Finding(
                "vmap", OK, f"an instance of a batch goes as it does alone ({steps} steps)"
            )

    def compiled_once(self) -> Iterator[Finding]:
        """Whether a step after a step needs no other program."""
        env, space = self.env, self.env.spec.action_space
        state, _ = jax.jit(env.reset)(jax.random.key(0))
        step: Any = jax.jit(lambda key, state, action: env.step(key, state, action))
        for time, action in enumerate(actions(space, 3)[:, 0]):
            state = step(jax.random.key(time), state, action).state
        size = step._cache_size()
        if size > 1:
            remedy = "let a step's state have the shapes and dtypes of the one before"
            yield Finding("compiled once", FAIL, f"three steps compiled {size} programs", remedy)
        else:
            yield Finding("compiled once", OK, "three steps, one program")

    def finite(self) -> Iterator[Finding]:
        """Whether numbers stay finite under any action, also under such as the space has not."""
        found = self.run
        if not np.isfinite(found.first).all():
            yield Finding("finite", FAIL, "reset gives observations that are not finite", "see it")
        elif not found.finite[found.alive].all():
            step, lane = np.argwhere(~found.finite & found.alive)[0]
            kind = ("random", "random", "random", "random", "the lowest", "the highest",
                    "far below the space", "far above the space")[lane]  # fmt: skip
            detail = f"not finite after {step + 1} steps of actions: {kind}"
            yield Finding("finite", FAIL, detail, "clip the action to its space; end the episode")
        else:
            yield Finding("finite", OK, f"{self.steps} steps of random and extreme actions")

    def ends(self) -> Iterator[Finding]:
        """Whether termination and truncation are told apart, and truncation comes on time."""
        found, limit, what = self.run, self.env.spec.episode_length, "ends"
        alive, truncated = found.alive, found.truncated & found.alive
        early = truncated[: limit - 1 if limit else None].any()
        if (found.terminated & found.truncated & alive).any():
            remedy = "truncated & ~terminated: only one of them ends an episode"
            yield Finding(what, FAIL, "a step both terminates and truncates", remedy)
        elif early and limit is None:
            yield Finding(what, FAIL, "truncates, but episode_length is None", "state the length")
        elif early:
            first = int(np.argwhere(truncated)[0][0]) + 1
            remedy = f"truncate after {limit} steps, or state another episode_length"
            yield Finding(what, FAIL, f"truncates after {first} steps, not {limit}", remedy)
        elif limit and self.steps >= limit and (alive[limit - 1] & ~(
            found.terminated | found.truncated)[limit - 1]).any():  # fmt: skip
            remedy = "truncated=time >= episode_length, where it has not terminated"
            yield Finding(what, FAIL, f"goes on after its {limit} steps", remedy)
        else:
            ended = int((found.terminated & alive).any(0).sum())
            seen = "" if limit is None or self.steps >= limit else (
                f"; not run to its limit of {limit:,}")  # fmt: skip
            yield Finding(what, OK, f"{ended} of 8 instances terminated{seen}")

    def after_the_end(self) -> Iterator[Finding]:
        """Whether nothing is given after a termination, unless it is said to be so."""
        found, what = self.run, "after the end"
        given = (found.dead & (found.reward != 0)).any()
        if given and not self.env.spec.rewards_after_end:
            remedy = "reward 0 from a state that has ended; or rewards_after_end=True in the spec"
            yield Finding(what, FAIL, "steps after a termination give rewards", remedy)
        elif given:
            yield Finding(what, OK, "gives rewards, as its spec says; the engine counts none")
        elif not found.terminated.any():
            yield Finding(what, OK, f"no instance terminated in {self.steps} steps")
        else:
            yield Finding(what, OK, "no reward")

    def action_mask(self) -> Iterator[Finding]:
        """Whether a mask fits the actions, and leaves one."""
        what, space = "action mask", self.env.spec.action_space
        _, observation = jax.eval_shape(self.env.reset, jax.random.key(0))
        mask = observation.action_mask
        if mask is None:
            yield Finding(what, OK, "none: every action is always allowed")
        elif not isinstance(space, Discrete) or mask.shape != (space.n,) or mask.dtype != jnp.bool_:
            told = f"{mask.dtype}{list(mask.shape)}"
            yield Finding(what, FAIL, f"is {told}", "bool [n], for Discrete(n) only")
        elif not self.run.allowed[self.run.going].all():
            yield Finding(what, FAIL, "allows no action at times", "leave one, or end the episode")
        else:
            yield Finding(what, OK, "always leaves an action")
