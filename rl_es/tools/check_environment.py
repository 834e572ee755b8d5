"""The checks of an environment against what `rl_es.interfaces.Environment` promises.

Each check returns a description where the promise is kept, and raises a `CheckFailure` where it is
not. Most checks look at one compiled run of several instances of the environment.
"""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rl_es.interfaces import Box, Discrete, Environment, EnvSpec
from rl_es.terminal import FAIL, WARN, Check, expect
from rl_es.tools.check_agent import find_key_reuse, is_same_program, shape_differences

# Of actions, a lane each; lanes 0, 1 and 2 take the same.
KINDS = (*4 * ("random",), "the lowest", "the highest", "far below the space",
         "far above the space")  # fmt: skip
LANES = len(KINDS)
MOST_STEPS = 1000


class LaneRollout(NamedTuple):
    """A run of `LANES` instances; lanes 0, 1 and 2 share actions, and 0 and 1 keys, too."""

    first: np.ndarray  # [LANES, ...] observation values at reset
    last: np.ndarray  # [LANES, ...] observation values at the end
    sums: np.ndarray  # [T, LANES] of each observation's values
    finite: np.ndarray  # [T, LANES] bool: observation and reward are
    reward: np.ndarray  # [T, LANES]
    terminated: np.ndarray  # [T, LANES] bool
    truncated: np.ndarray  # [T, LANES] bool
    has_action: np.ndarray  # [T, LANES] bool: at least one action is allowed

    def is_same(self, lane: int, other: int) -> bool:
        """Returns whether two lanes have equal observations, rewards and ends."""
        by_lane = (self.first, self.last)
        by_step = (self.sums, self.reward, self.terminated, self.truncated)
        pairs = [(a[lane], a[other]) for a in by_lane]
        pairs += [(a[:, lane], a[:, other]) for a in by_step]
        return all(np.array_equal(*pair, equal_nan=True) for pair in pairs)

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


def actions(spec: EnvSpec, steps: int) -> np.ndarray:
    """[T, LANES, *action_shape] actions of the kinds of `KINDS`."""
    rng, space = np.random.default_rng(0), spec.action_space
    shape = (steps, LANES, *spec.action_shape)
    if isinstance(space, Discrete):
        values = rng.integers(0, space.n, shape).astype(np.int32)
        extremes = np.array([0, space.n - 1, -3, space.n + 3], np.int32)
        values[:, 4:] = extremes.reshape(-1, *(1,) * len(spec.action_shape))
    else:
        low, high = (np.nan_to_num(bound, posinf=1e3, neginf=-1e3)
                     for bound in (space.low, space.high))  # fmt: skip
        values = rng.uniform(low, high, shape).astype(np.float32)
        values[:, 4], values[:, 5] = low, high
        values[:, 6], values[:, 7] = 1e4 * low, 1e4 * high
    values[:, 1:3] = values[:, :1]
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
            has_action = jnp.ones(LANES, bool)
            if mask is not None:
                has_action = mask.any(-1).reshape(LANES, -1).all(-1)
            outputs = (
                values.sum(-1), finite, after.reward, after.terminated, after.truncated, has_action
            )  # fmt: skip
            return (after.state, after.observation.values), outputs

        carry = states, observations.values
        time = jnp.arange(steps, dtype=jnp.int32)
        (_, last), outputs = jax.lax.scan(step, carry, (time, actions))
        return observations.values, last, *outputs

    outcome = jax.jit(program)(lane_keys(), actions(env.spec, steps))
    return LaneRollout(*map(np.asarray, outcome))


ALONE_STEPS = 8  # in which an instance is compared with itself in a batch: chaos comes later
SAME = 1e-3  # relative difference that rounding may make in so many steps


class EnvironmentChecks:
    """The checks of one environment, which share one run of it."""

    names = (
        "specification", "types", "pure", "keys", "vmap", "compiled once", "finite", "ends",
        "after the end", "action mask",
    )  # fmt: skip

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

    def checks(self) -> dict[str, Check]:
        """Returns all checks by name, in order."""
        return {name: getattr(self, name.replace(" ", "_")) for name in self.names}

    @cached_property
    def run(self) -> LaneRollout:
        """The run that most checks look at."""
        return run_lanes(self.env, self.steps)

    def _functions(self) -> Iterator[tuple[str, Callable[..., Any], tuple[Any, ...]]]:
        """Yields reset and step: their names, and arguments that they can be traced with."""
        key, spec = jax.random.key(0), self.env.spec
        kind = np.int32 if isinstance(spec.action_space, Discrete) else np.float32
        action = np.zeros(spec.action_shape, kind)
        yield "reset", self.env.reset, (key,)
        state, _ = jax.eval_shape(self.env.reset, key)
        yield "step", self.env.step, (key, state, action)

    def specification(self) -> str:
        """The specification makes sense."""
        spec = self.env.spec
        space, shape, length = spec.action_space, spec.observation_shape, spec.episode_length
        is_shape = isinstance(shape, tuple) and all(isinstance(n, int) and n > 0 for n in shape)
        expect(is_shape, f"observation_shape is {shape!r}", "a tuple of sizes")
        agents = spec.agents
        is_roles = isinstance(agents, tuple) and all(isinstance(role, str) for role in agents)
        expect(is_roles, f"agents is {agents!r}", "the role of each agent: ('agent', 'agent')")
        detail = f"observation_shape is {shape}, of {len(agents)} agents"
        fits = not agents or (len(shape) > 1 and shape[0] == len(agents))
        expect(fits, detail, f"({len(agents)}, ...): a row for each agent")
        is_length = length is None or (isinstance(length, int) and length > 0)
        expect(is_length, f"episode_length is {length!r}", "a number of steps, or None")
        if isinstance(space, Discrete):
            expect(space.n > 0, f"it has {space.n} actions", "Discrete(n) with n > 0")
            actions = f"{space.n} actions"
        else:
            kind = type(space).__name__
            remedy = "Discrete(n) or Box(low, high)"
            expect(isinstance(space, Box), f"action_space is a {kind}", remedy)
            expect((space.low <= space.high).all(), "low is above high", "Box(low, high)")
            actions = f"actions {space.shape}"
        if agents:
            roles = ", ".join(f"{agents.count(role)} {role}" for role in dict.fromkeys(agents))
            actions = f"{actions} of each of {len(agents)} agents ({roles})"
        ends = "endless" if length is None else f"at most {length:,} steps"
        return "; ".join((f"observations {shape}, {actions}, {ends}", *spec.notes))

    def types(self) -> str:
        """Shapes and dtypes are those of the specification, and a step keeps those of the state."""
        spec = self.env.spec
        (_, reset, (key,)), (_, step, (_, state, action)) = self._functions()
        _, observation = jax.eval_shape(reset, key)
        after = jax.eval_shape(step, key, state, action)
        wrong = [*shape_differences("state", state, after.state)]
        wrong += shape_differences("observation", observation, after.observation)
        for name, array, shape, kind in (
            ("observation", observation.values, spec.observation_shape, np.float32),
            ("reward", after.reward, (), np.float32),
            ("terminated", after.terminated, (), np.bool_),
            ("truncated", after.truncated, (), np.bool_),
            ("steps", after.steps, (), np.int32),
        ):
            if (array.shape, array.dtype) != (shape, kind):
                text = f"{array.dtype}{list(array.shape)}, not {np.dtype(kind)}{list(shape)}"
                wrong.append(f"{name} is {text}")
        leaves = jax.tree.leaves((state, observation, after))
        if weak := sum(bool(getattr(leaf, "weak_type", False)) for leaf in leaves):
            wrong.append(f"{weak} arrays are of weak types, such as a Python number gives")
        remedy = "give arrays of the same shapes and dtypes from reset and step: jnp.float32(x)"
        if spec.agents and after.reward.shape == (len(spec.agents),):
            remedy = "give one reward for the whole team, such as the sum of its agents': r.sum()"
        expect(not wrong, "; ".join(wrong[:3]), remedy)
        return "as specified; the same from reset and step"

    def pure(self) -> str:
        """Tracing it twice gives the same program."""
        remedy = "keep nothing in the object or in globals, and draw numbers by jax.random only"
        for name, function, arguments in self._functions():
            is_same = is_same_program(function, function, *arguments)
            expect(is_same, f"{name} traced twice gives two programs", remedy)
        return "reset and step are the same program whenever they are traced"

    def keys(self) -> str:
        """All random numbers come from the key, and each key is used once."""
        rollout = self.run
        expect(
            rollout.is_same(0, 1),
            "the same key and actions gave other results",
            "draw from the key that is handed in, and from nothing else",
        )
        remedy = "split it: one, other = jax.random.split(key)"
        if self.library:
            remedy = "know that its draws are not independent: the library's own code"
        for name, function, arguments in self._functions():
            reuse = find_key_reuse(function, *arguments)
            detail = f"{name} uses a key twice ({reuse})"
            expect(not reuse, detail, remedy, WARN if self.library else FAIL)
        if rollout.is_same(0, 2):
            return "the same from every key: it is deterministic"
        return "the same key gives the same; other keys others"

    def vmap(self) -> str:
        """An instance does in a batch what it does alone."""
        env, lane, steps = self.env, 3, min(ALONE_STEPS, self.steps)
        lane_actions = actions(env.spec, self.steps)[:, lane]
        state, observation = jax.jit(env.reset)(lane_keys()[lane])
        step, worst = jax.jit(env.step), 0.0
        for time in range(steps):
            if not self.run.alive[time, lane]:
                break
            key = jax.random.fold_in(lane_keys()[lane], time)
            state, observation, reward, *_ = step(key, state, lane_actions[time])
            alone = np.array([observation.values.sum(), reward])
            batch = np.array([self.run.sums[time, lane], self.run.reward[time, lane]])
            size = np.maximum(np.maximum(np.abs(alone), np.abs(batch)), 1.0)
            worst = max(worst, float((np.abs(alone - batch) / size).max()))
        detail = f"an instance of a batch differs from the same alone, by {worst:.2g}"
        expect(worst <= SAME, detail, "let an instance depend on its own state alone")
        return f"an instance of a batch goes as it does alone ({steps} steps)"

    def compiled_once(self) -> str:
        """A step after a step needs no other program."""
        env = self.env
        state, _ = jax.jit(env.reset)(jax.random.key(0))
        step: Any = jax.jit(lambda key, state, action: env.step(key, state, action))
        for time, action in enumerate(actions(env.spec, 3)[:, 0]):
            state = step(jax.random.key(time), state, action).state
        size = step._cache_size()
        remedy = "let a step's state have the shapes and dtypes of the one before"
        expect(size <= 1, f"three steps compiled {size} programs", remedy)
        return "three steps, one program"

    def finite(self) -> str:
        """Numbers stay finite whatever the actions are, those outside of the space among them."""
        rollout = self.run
        is_finite = np.isfinite(rollout.first).all()
        expect(is_finite, "reset gives observations that are not finite", "see it")
        wrong = np.argwhere(~rollout.finite & rollout.alive)
        step, lane = wrong[0] if len(wrong) else (0, 0)
        detail = f"not finite after {step + 1} steps of actions: {KINDS[lane]}"
        expect(not len(wrong), detail, "clip the action to its space; end the episode")
        return f"{self.steps} steps of random and extreme actions"

    def ends(self) -> str:
        """Termination and truncation are told apart, and truncation comes on time."""
        rollout, limit = self.run, self.env.spec.episode_length
        terminated, truncated = (
            rollout.terminated & rollout.alive,
            rollout.truncated & rollout.alive,
        )
        expect(
            not (terminated & truncated).any(),
            "a step both terminates and truncates",
            "truncated & ~terminated: only one of them ends an episode",
        )
        one_step = (rollout.terminated | rollout.truncated)[0].all() and limit != 1
        if one_step and self.library:
            return "each episode is one step long"
        remedy = "end later; or state episode_length=1 where one step is the task"
        expect(not one_step, "every episode ends after one step, whatever the action", remedy)
        if limit is None:
            detail = "truncates, but episode_length is None"
            expect(not truncated.any(), detail, "state the length")
        covers_limit = limit is None or self.steps >= limit
        if limit:
            times = np.argwhere(truncated[: limit - 1])[:, 0]
            detail = f"truncates after {times.min(initial=limit) + 1} steps, not {limit}"
            remedy = f"truncate after {limit} steps, or state another episode_length"
            expect(not len(times), detail, remedy)
            goes_on = covers_limit and rollout.going[limit - 1].any()
            remedy = "truncated=time >= episode_length, where it has not terminated"
            expect(not goes_on, f"goes on after its {limit} steps", remedy)
        note = "" if covers_limit else f"; not run to its limit of {limit:,}"
        return f"{int(terminated.any(0).sum())} of 8 instances terminated{note}"

    def after_the_end(self) -> str:
        """Steps after a termination give no reward, unless the specification says that they do."""
        rollout = self.run
        rewards = (rollout.dead & (rollout.reward != 0)).any()
        if rewards and self.env.spec.rewards_after_end:
            return "gives rewards, as its spec says; the engine counts none"
        remedy = "reward 0 from a state that has ended; or rewards_after_end=True in the spec"
        expect(not rewards, "steps after a termination give rewards", remedy)
        if not rollout.terminated.any():
            return f"no instance terminated in {self.steps} steps"
        return "no reward"

    def action_mask(self) -> str:
        """A mask fits the actions, and allows at least one."""
        spec = self.env.spec
        _, observation = jax.eval_shape(self.env.reset, jax.random.key(0))
        mask = observation.action_mask
        if mask is None:
            return "none: every action is always allowed"
        text = f"is {mask.dtype}{list(mask.shape)}"
        space = spec.action_space
        shape = (*spec.action_shape, space.n) if isinstance(space, Discrete) else None
        remedy = f"bool [{'agents, ' * bool(spec.agents)}n], for Discrete(n) only"
        expect((mask.shape, mask.dtype) == (shape, jnp.bool_), text, remedy)
        has_action = self.run.has_action[self.run.going].all()
        expect(has_action, "allows no action at times", "leave one, or end the episode")
        return "always leaves an action"
