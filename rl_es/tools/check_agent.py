"""The checks of an agent against what `rl_es.interfaces.Learner` promises.

Each check returns a description where the promise is kept, and raises a `CheckFailure` where it is
not. An evolution strategy has further checks, against what `rl_es.interfaces.Agent` promises. Most
of them run the agent on `Target`, a task that any agent learns: to choose an action near a target.
"""

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es import registry
from rl_es.config import Config, split_traced, traced_names
from rl_es.evolution.config import StrategyConfig
from rl_es.evolution.perturbation import PAIRS_PER_KEY, block_keys
from rl_es.interfaces import (
    Box,
    Discrete,
    EnvSpec,
    Hyper,
    Learner,
    Limit,
    Observation,
    Policy,
    Snapshot,
    Transition,
)
from rl_es.rollout.config import PolicyConfig
from rl_es.rollout.policy import make_policy
from rl_es.terminal import Check, expect
from rl_es.training import checkpoint
from rl_es.training.compilation import data_to_keys, keys_to_data, scalar_leaves
from rl_es.training.sharding import PopulationSharding
from rl_es.training.task import make_learner

TARGET = np.array([2.0, -1.0], np.float32)
OBSERVATION = np.array([1.0, -1.0, 0.5], np.float32)
BOUND = 4.0  # of real actions; they are not clipped
POINTS = np.array([[x, y] for x in (-2, 0, 2) for y in (-1, 0, 1)], np.float32)


@dataclass(frozen=True)
class Target:
    """An environment of one observation; a step's reward is minus the action's squared distance.

    Attributes:
      length: steps of an episode.
      scale: factor on rewards; with -1 the best action is the farthest.
      shift: added to each reward.
      discrete: actions are the indices of `POINTS`.
    """

    length: int = 1
    scale: float = 1.0
    shift: float = 0.0
    discrete: bool = False

    @property
    def spec(self) -> EnvSpec:
        bound = np.full(2, BOUND, np.float32)
        space = Discrete(len(POINTS)) if self.discrete else Box(-bound, bound)
        return EnvSpec("target", OBSERVATION.shape, space, self.length)

    def reset(self, key: Array) -> tuple[Array, Observation]:
        return jnp.zeros((), jnp.int32), Observation(jnp.asarray(OBSERVATION))

    def step(self, key: Array, state: Array, action: Array) -> Transition:
        reward = -self.scale * jnp.square(action_point(action) - TARGET).sum() + self.shift
        over, never = state + 1 >= self.length, jnp.zeros((), bool)
        return Transition(state + 1, Observation(jnp.asarray(OBSERVATION)), reward, never, over)


def action_point(action: Array) -> Array:
    """Returns the point [2] that an action stands for: itself, or that of its index."""
    return jnp.asarray(POINTS)[action] if jnp.issubdtype(action.dtype, jnp.integer) else action


def target_policy(env: Target, settings: Mapping[str, Any] = MappingProxyType({})) -> Policy:
    """Returns a policy for the task: linear and deterministic, but for these settings."""
    config = PolicyConfig(**{"network": "linear", "head": "deterministic", **settings})
    return make_policy(config, env.spec)


def target_distance(policy: Policy, snapshot: Snapshot) -> Array:
    """Returns the distance [] between the unperturbed action and the target."""
    observation = Observation(jnp.asarray(OBSERVATION))
    _, action = policy.act(snapshot.params, (), observation, jax.random.key(0))
    return jnp.sqrt(jnp.square(action_point(action) - TARGET).sum())


def is_same_program(first: Callable[..., Any], second: Callable[..., Any], *arguments: Any) -> bool:
    """Returns whether two functions, traced now, are one program with the same constants."""
    programs = [_trace_twice(function, arguments) for function in (first, second)]
    # Functions inside are printed with their addresses, which differ and mean nothing.
    texts = [re.sub(r" at 0x[0-9a-f]+", "", str(program)) for program in programs]
    constants = [[_key_data(leaf) for leaf in program.consts] for program in programs]
    return texts[0] == texts[1] and all(map(np.array_equal, *constants))


def _trace_twice(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Returns a function's program, traced twice since libraries fill caches the first time.

    It is wrapped anew each time: jax remembers the trace of a function that it has seen.
    """
    _, program = (jax.make_jaxpr(lambda *inputs: function(*inputs))(*arguments) for _ in range(2))
    return program


def _is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _key_data(leaf: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def find_key_reuse(function: Callable[..., Any], *arguments: Any) -> str:
    """Returns jax's message about a random key that is used twice; empty if there is none."""

    def concrete(leaf: Any) -> Any:
        """Returns zeros for a shape, and a fresh key for a key: jax marks those that were used."""
        if _is_key(leaf):
            return jax.random.wrap_key_data(jnp.zeros((*leaf.shape, 2), jnp.uint32))
        return np.zeros(leaf.shape, leaf.dtype) if isinstance(leaf, jax.ShapeDtypeStruct) else leaf

    try:
        with jax.debug_key_reuse(True):
            jax.jit(lambda *inputs: function(*inputs))(*jax.tree.map(concrete, arguments))
    except jax.errors.KeyReuseError as error:
        return str(error).splitlines()[0]
    return ""


def shape_differences(name: str, before: Any, after: Any) -> Iterator[str]:
    """Yields the differences between two pytrees of shapes, in words."""
    leaves, structure = jax.tree.flatten_with_path(before)
    new_leaves, new_structure = jax.tree.flatten_with_path(after)
    if structure != new_structure:
        yield f"{name} changes its structure"
        return
    for (path, old), (_, new) in zip(leaves, new_leaves):
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            yield (
                f"{name}{jax.tree_util.keystr(path)} is {old.dtype}{list(old.shape)} at first, "
                f"then {new.dtype}{list(new.shape)}"
            )


MOST_STEPS = 2**30
NO_SETTINGS: Mapping[str, float] = MappingProxyType({})
SEED = jax.ShapeDtypeStruct((), np.uint32)


@dataclass(frozen=True, eq=False)
class AgentTrial:
    """An agent on a task; its functions are compiled once. `replace(trial)` is a fresh one.

    Attributes:
      name: the agent's.
      config: its settings.
      env: the task.
    """

    name: str
    config: Config
    env: Target = field(default_factory=Target)

    def with_placement(self, lane_axis: str | None, sharding: PopulationSharding) -> "AgentTrial":
        """Returns the same trial with its learner for this lane axis and sharding."""
        trial = replace(self)
        trial.__dict__["learner"] = self.learner.with_placement(lane_axis, sharding)
        return trial

    @cached_property
    def learner(self) -> Learner:
        """The learner of this trial alone."""
        return make_learner(self.name, self.config, self.env, self.policy, False)

    @property
    def policy(self) -> Policy:
        """A policy that the agent can train: its module may state settings."""
        settings = getattr(registry.agents.load(self.name), "CHECK_POLICY", {})
        return target_policy(self.env, settings)

    @property
    def numbers(self) -> Hyper:
        """The traced settings, as arrays."""
        return scalar_leaves(split_traced(self.config)[1])

    @cached_property
    def init(self) -> Any:
        """(seed, hyper) -> state, whose keys are integers; jitted."""
        return jax.jit(
            lambda seed, hyper: keys_to_data(self.learner.init(jax.random.key(seed), hyper))
        )

    @cached_property
    def shapes(self) -> Any:
        """Shapes of the learner's state."""
        return jax.eval_shape(lambda: self.learner.init(jax.random.key(0), self.numbers))

    @property
    def data_shapes(self) -> Any:
        """Shapes of the state whose keys are integers."""
        return jax.eval_shape(self.init, SEED, self.numbers)

    @cached_property
    def advance(self) -> Any:
        """(state, generations) -> state, whose keys are integers; jitted."""
        return jax.jit(self.plain)

    def plain(self, state: Any, generations: Any) -> Any:
        """Returns what `advance` does; not jitted."""
        limit = Limit(generations, jnp.int32(MOST_STEPS))
        return keys_to_data(self.learner.advance(data_to_keys(state, self.shapes), limit)[0])

    def run(
        self, generations: int, seed: int = 0, settings: Mapping[str, float] = NO_SETTINGS
    ) -> Any:
        """Returns the state after some generations, with some traced settings changed."""
        hyper = {**self.numbers, **scalar_leaves(settings)}
        return self.advance(self.init(np.uint32(seed), hyper), np.int32(generations))

    def snapshot(self, state: Any) -> Snapshot:
        """Returns what is evaluated and saved of a state whose keys are integers."""
        return self.learner.snapshot(data_to_keys(state, self.shapes))

    def params(self, state: Any) -> np.ndarray:
        """Returns the parameters [n] that are evaluated and saved."""
        leaves = jax.tree.leaves(self.snapshot(state).params)
        return np.concatenate([np.ravel(leaf) for leaf in leaves])

    def change(self, generations: int) -> np.ndarray:
        """Returns how far [n] the parameters move in some generations."""
        return self.params(self.run(generations)) - self.params(self.run(0))


def complete_config(
    name: str, settings: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the settings, and the defaults that the agent has, if it has a population."""
    fields = registry.agents.load(name).Hyperparameters.model_fields
    usual = {key: value for key, value in defaults.items() if key in fields}
    return {**(usual if "population" in fields else {}), **settings}


FEW = 4  # generations, where few are enough
SAME = 1e-3  # relative difference that rounding may make
GENERATIONS = 200  # in which it has to come near the target
NEAR = 0.5  # of the distance at the start
# Settings of optimisers: those of the others have no effect on one of them.
OPTIMISERS = {"momentum", "b1", "b2"}


class AgentChecks:
    """The checks of one agent."""

    names: tuple[str, ...] = (
        "settings", "types", "pure", "keys", "traced settings", "checkpoints", "lanes",
        "improves",
    )  # fmt: skip

    def __init__(self, name: str, settings: Mapping[str, Any]):
        """Makes nothing yet.

        Args:
          name: the agent's, as in a sweep file.
          settings: of the agent; the others are chosen so that the checks are quick.
        """
        self.name, self.overrides = name, dict(settings)
        self.module = registry.agents.load(name)

    def checks(self) -> dict[str, Check]:
        """Returns all checks by name, in order."""
        return {name: getattr(self, name.replace(" ", "_")) for name in self.names}

    def trial(self, env: Target = Target(), **settings: Any) -> AgentTrial:
        """Returns the agent on a task, with some settings changed."""
        quick = {"population": 32, "lr": 0.05, "window": max(1, env.length // 2)}
        config = complete_config(self.name, {**self.overrides, **settings}, quick)
        env = replace(env, discrete=getattr(self.module, "ACTIONS", None) == "discrete")
        return AgentTrial(self.name, self.module.Hyperparameters(**config), env)

    @cached_property
    def usual(self) -> AgentTrial:
        """The agent on episodes of several steps, which are windows for persistent strategies."""
        return self.trial(Target(length=4))

    def settings(self) -> str:
        """All settings have defaults, and the traced ones are numbers."""
        model = self.module.Hyperparameters
        defaults, traced = model(), traced_names(model)
        wrong = [name for name in traced if not isinstance(getattr(defaults, name), float)]
        remedy = "traced settings are numbers: declare them as float"
        expect(not wrong, f"traced, but no float: {', '.join(wrong)}", remedy)
        return f"{len(model.model_fields)} settings, traced: {', '.join(traced) or 'none'}"

    def types(self) -> str:
        """A generation keeps the shapes and dtypes of the state."""
        before = self.usual.data_shapes
        after = jax.eval_shape(self.usual.plain, before, jnp.int32(1))
        wrong = list(shape_differences("state", before, after))
        remedy = "tell has to give arrays of the shapes and dtypes that init gave"
        expect(not wrong, "; ".join(wrong[:3]), remedy)
        return f"a state of {len(jax.tree.leaves(before))} arrays that keep their types"

    def pure(self) -> str:
        """It is the same program whenever it is made, and whatever its traced settings are."""
        trial = self.usual
        inputs = trial.data_shapes, jnp.int32(1)
        expect(
            is_same_program(trial.plain, replace(trial).plain, *inputs),
            "made and traced twice it gives two programs",
            "keep nothing in the object or in globals: all that changes is in the state",
        )
        for name, (value, *_) in self._other_values().items():
            expect(
                is_same_program(trial.plain, self.trial(trial.env, **{name: value}).plain, *inputs),
                f"another {name} compiles another program",
                f"read hyper['{name}'] from the state, not config.{name}",
            )
        return "one program, whatever the traced settings are"

    def _other_values(self) -> dict[str, list[float]]:
        """Returns other values of each traced setting that its class accepts."""
        fixed, traced = split_traced(self.usual.config)
        values: dict[str, list[float]] = {}
        for name, value in traced.items():
            for candidate in (value * 0.9, value + 0.1, value / 2, value * 1.1):
                try:
                    self.module.Hyperparameters(**{**fixed, **traced, name: candidate})
                except ValueError:
                    continue
                if candidate != value:
                    values.setdefault(name, []).append(candidate)
        return values

    def keys(self) -> str:
        """The random key decides what comes out, and nothing else does."""
        trial = self.usual
        first, repeat, second = (trial.params(trial.run(FEW, seed)) for seed in (0, 0, 1))
        is_repeated = np.array_equal(first, repeat)
        expect(is_repeated, "the same key gave other parameters", "jax.random only")
        is_finite = np.isfinite(first).all()
        expect(is_finite, "parameters are not finite", "see what it divides by")
        remedy = "draw from the keys that are handed in"
        is_other = not np.array_equal(first, second)
        expect(is_other, "another key gave the same parameters", remedy)
        return "the same key gives the same parameters, another others"

    def traced_settings(self) -> str:
        """Each traced setting has an effect, and no value of it compiles another program."""
        trial = self.usual
        usual = trial.params(trial.run(2 * FEW))
        idle = [  # steps of one unit differ only after large changes of a setting
            name
            for name, values in self._other_values().items()
            if all(
                np.array_equal(usual, trial.params(trial.run(2 * FEW, settings={name: value})))
                for value in values
            )
        ]
        size = trial.advance._cache_size()
        expect(size <= 1, f"their values compiled {size} programs", "use jax.numpy")
        # Of a learner they may change another part than the policy, such as a critic.
        is_learner = hasattr(self.module, "make_learner")
        wrong = [name for name in idle if name not in OPTIMISERS and not is_learner]
        remedy = (
            "read them from hyper, which init is given, and keep them in the state; or fix what is "
            f"not used as a constant of Hyperparameters, {(*wrong, 'lr')[0]}: ClassVar[float] = 0.0"
        )
        expect(not wrong, f"another value changes nothing: {', '.join(wrong)}", remedy)
        suffix = f", but not {', '.join(idle)}" if idle else ""
        return f"they change the policy{suffix}; none compiles anything"

    def checkpoints(self) -> str:
        """It goes on from a saved state as if it had not stopped."""
        trial, fresh = self.usual, replace(self.usual)
        half = trial.run(FEW)
        unbroken = trial.advance(half, np.int32(FEW))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "state.msgpack"
            checkpoint.save(path, half, {})
            state = checkpoint.load(path, fresh.data_shapes)[0]
            continuation = fresh.advance(state, np.int32(FEW))
        worst = relative_difference(trial.params(unbroken), fresh.params(continuation))
        remedy = "keep all that it needs in the arrays of its state"
        expect(worst <= SAME, f"resumed, it differs by {worst:.2g}", remedy)
        return "goes on from a saved state as if it had not stopped"

    def lanes(self) -> str:
        """Runs that share a call give what each gives alone."""
        trial = self.usual
        batch = trial.with_placement("lanes", PopulationSharding())
        seeds = np.arange(2, dtype=np.uint32)
        state = jax.vmap(batch.init, (0, None), axis_name="lanes")(seeds, trial.numbers)
        advance = jax.jit(jax.vmap(batch.plain, (0, None), axis_name="lanes"))
        outputs = advance(state, jnp.int32(FEW))
        worst = max(
            relative_difference(
                trial.params(trial.run(FEW, int(seed))),
                trial.params(jax.tree.map(lambda leaf, seed=seed: leaf[seed], outputs)),
            )
            for seed in seeds
        )
        remedy = "let nothing of a run depend on the others"
        expect(worst <= SAME, f"vmapped, a run differs by {worst:.2g}", remedy)
        return "two runs in one call give what each gives alone"

    def improves(self) -> str:
        """It comes nearer to the target, by which its update has the right sign."""
        trial = self.trial()
        policy = trial.policy
        states = trial.run(0), trial.run(GENERATIONS)
        before, after = (float(target_distance(policy, trial.snapshot(s))) for s in states)
        detail = f"distance to the target {before:.2f}, after {GENERATIONS} generations {after:.2f}"
        downhill = "it goes downhill: higher returns are better"
        expect(not after > before, detail, downhill)
        slow = "see its step; state settings by --settings"
        expect(after < NEAR * before, detail, slow)
        return detail


def relative_difference(first: np.ndarray, second: np.ndarray) -> float:
    """Returns the largest difference, relative to the largest number of the first."""
    size = max(float(np.abs(first).max()), 1e-9)
    return float(np.nan_to_num(np.abs(first - second) / size, nan=np.inf).max())


ALIKE = 0.9  # least cosine of two changes in the same direction


class StrategyChecks(AgentChecks):
    """The checks of one strategy: two more if it has the settings that all strategies share."""

    def __init__(self, name: str, settings: Mapping[str, Any]):
        super().__init__(name, settings)
        self.names = (*self.names, "noise", "chunks", "shift")
        if issubclass(self.module.Hyperparameters, StrategyConfig):
            self.names = (*self.names, "scale", "symmetry")

    def noise(self) -> str:
        """Every pair draws noise of its own, and each key is used once."""
        trial, pairs = self.usual, 2 * PAIRS_PER_KEY
        agent: Any = trial.learner.agent  # pyright: ignore[reportAttributeAccessIssue]
        state = data_to_keys(trial.run(0), trial.shapes).agent
        keys, fresh = block_keys(jax.random.key(0), pairs), jnp.ones(pairs, bool)

        def draw(keys: Any) -> Any:
            return agent.ask(keys, state, agent.remember(pairs), fresh)[0]

        reuse = find_key_reuse(draw, keys)
        remedy = "split it: one, other = jax.random.split(key)"
        expect(not reuse, f"ask uses a key twice ({reuse})", remedy)
        members = jax.jit(lambda keys: agent.members(state, draw(keys)))(keys)
        distinct = [
            len(np.unique(np.asarray(leaf).reshape(pairs, -1), axis=0))
            for noise in (*members.direct.values(), *members.products.values())
            for leaf in self._noise_arrays(noise, pairs)
        ]
        fewest = min(distinct, default=pairs)
        detail = f"of {pairs} pairs, {pairs - fewest} share their noise with another"
        remedy = "each block of 64 pairs has its own key; each pair its own draw"
        expect(fewest >= pairs, detail, remedy)
        return "each pair has noise of its own; keys are used once"

    @staticmethod
    def _noise_arrays(noise: Any, pairs: int) -> list[np.ndarray]:
        """Returns the arrays [H, n] of one parameter's noise that two pairs must not share.

        Factors of few integers can be equal by chance: integers are compared all together.
        """
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(noise)]
        arrays = [leaf.reshape(pairs, -1) for leaf in leaves if leaf.shape[:1] == (pairs,)]
        if all(np.array_equal(array, np.rint(array)) for array in arrays):
            arrays = [np.concatenate(arrays, axis=1)] if arrays else []
        return [array for array in arrays if array.size > pairs]

    def chunks(self) -> str:
        """A population that is evaluated in chunks gives what it gives at once."""
        if "population" not in self.module.Hyperparameters.model_fields:
            return "not asked: it has no setting 'population'"
        trial = self._with_sgd(Target(length=4), population=4 * PAIRS_PER_KEY)
        parts = trial.with_placement(None, PopulationSharding(chunks=2))
        worst = relative_difference(trial.params(trial.run(FEW)), parts.params(parts.run(FEW)))
        remedy = "ask and contract see a block of pairs; what needs all of them is in shape or tell"
        expect(worst <= SAME, f"in two chunks it differs by {worst:.2g}", remedy)
        return "a population in two chunks gives what it gives at once"

    def _with_sgd(self, env: Target, **settings: Any) -> AgentTrial:
        """Returns a trial with SGD, where the optimiser can be chosen: it hides no factor."""
        if "optimiser" in self.module.Hyperparameters.model_fields:
            settings = {"optimiser": "sgd", "lr": 0.01, **settings}
        return self.trial(env, **settings)

    def _changes(self, **task: float) -> tuple[np.ndarray, np.ndarray]:
        """Returns the changes [n] of the parameters in two tasks: the first that is not zero."""
        before, after = self._with_sgd(Target()), self._with_sgd(replace(Target(), **task))
        for generations in range(1, 2 * FEW):
            change = before.change(generations)
            if change.any():
                return change, after.change(generations)
        raise RuntimeError(f"its parameters do not move in {2 * FEW} generations")

    def _cosine(self, **task: float) -> float:
        """Returns the cosine of the changes of the parameters in two tasks."""
        first, second = self._changes(**task)
        norms = float(np.linalg.norm(first) * np.linalg.norm(second))
        return float(first @ second / max(norms, 1e-30))

    def shift(self) -> str:
        """A constant that is added to all returns changes nothing."""
        worst = relative_difference(*self._changes(shift=1.0))
        detail = f"a constant added to all returns changes the step by {worst:.2g}"
        remedy = "weights may depend on differences of returns, not on where they are"
        expect(worst <= 10 * SAME, detail, remedy)
        return "a constant added to all returns changes nothing"

    def scale(self) -> str:
        """Returns in other units lead in the same direction."""
        cosine = self._cosine(scale=10.0)
        detail = f"returns ten times as large: cosine of the steps {cosine:.2f}"
        expect(cosine >= ALIKE, detail, "direction may not depend on the returns' unit")
        return detail

    def symmetry(self) -> str:
        """Opposite returns lead in the opposite direction, as the noise is in antithetic pairs."""
        cosine = self._cosine(scale=-1.0)
        detail = f"returns of the opposite sign: cosine of the steps {cosine:.2f}"
        remedy = "contract the difference of a pair's two weights with its noise"
        expect(cosine <= -ALIKE, detail, remedy)
        return detail
