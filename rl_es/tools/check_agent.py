"""The checks of an agent against what `rl_es.interfaces.Learner` promises.

Each method says what it found where the promise is kept, and raises a `CheckFailure` where it is
not.

The further checks of an evolution strategy, against what `rl_es.interfaces.Agent` promises.

A task that any agent learns: to choose an action near a target.

What tracing a function says about it.

An agent on a `Target`, made and run by plain calls: most of its checks consist of these.
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
from rl_es.terminal import Check, CheckFailure, make_check
from rl_es.training import checkpoint
from rl_es.training.compilation import data_to_keys, keys_to_data, scalar_leaves
from rl_es.training.sharding import PopulationSharding
from rl_es.training.task import make_learner

TARGET = np.array([2.0, -1.0], np.float32)
OBSERVATION = np.array([1.0, -1.0, 0.5], np.float32)


@dataclass(frozen=True)
class Target:
    """An environment of one observation; a step's reward is minus the action's squared distance.

    Attributes:
      length: steps of an episode.
      scale: factor on rewards; with -1 the best action is the farthest.
      shift: added to each reward.
    """

    length: int = 1
    scale: float = 1.0
    shift: float = 0.0

    @property
    def spec(self) -> EnvSpec:
        bound = np.full(2, np.inf, np.float32)
        return EnvSpec("target", OBSERVATION.shape, Box(-bound, bound), self.length)

    def reset(self, key: Array) -> tuple[Array, Observation]:
        return jnp.zeros((), jnp.int32), Observation(jnp.asarray(OBSERVATION))

    def step(self, key: Array, state: Array, action: Array) -> Transition:
        reward = -self.scale * jnp.square(action - TARGET).sum() + self.shift
        over, never = state + 1 >= self.length, jnp.zeros((), bool)
        return Transition(state + 1, Observation(jnp.asarray(OBSERVATION)), reward, never, over)


def target_policy(env: Target) -> Policy:
    """A linear, deterministic policy for the task."""
    return make_policy(PolicyConfig(network="linear", head="deterministic"), env.spec)


def target_distance(policy: Policy, snapshot: Snapshot) -> Array:
    """[] between the unperturbed action and the target."""
    observation = Observation(jnp.asarray(OBSERVATION))
    _, action = policy.act(snapshot.params, (), observation, jax.random.key(0))
    return jnp.sqrt(jnp.square(action - TARGET).sum())


def same_values(before: Callable[..., Any], after: Callable[..., Any], *arguments: Any) -> bool:
    """Tells whether two functions, traced now, are one program with the same constants."""
    first, second = (_trace_twice(function, arguments) for function in (before, after))
    # Functions inside are printed with their addresses, which differ and mean nothing.
    texts = [re.sub(r" at 0x[0-9a-f]+", "", str(program)) for program in (first, second)]
    return texts[0] == texts[1] and all(
        np.array_equal(_plain(a), _plain(b)) for a, b in zip(first.consts, second.consts)
    )


def _trace_twice(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """The program of a function, traced twice since libraries fill caches the first time.

    It is wrapped anew each time: jax remembers the trace of a function that it has seen.
    """
    _, program = (jax.make_jaxpr(lambda *given: function(*given))(*arguments) for _ in range(2))
    return program


def _plain(constant: Any) -> np.ndarray:
    key = hasattr(constant, "dtype") and jnp.issubdtype(constant.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(constant) if key else constant)


def reuses_key(function: Callable[..., Any], *arguments: Any) -> str:
    """What jax says about a random key that is used twice; empty if there is none."""
    concrete = jax.tree.map(_blank, arguments)
    try:
        with jax.debug_key_reuse(True):
            jax.jit(lambda *given: function(*given))(*concrete)
    except jax.errors.KeyReuseError as error:
        return str(error).splitlines()[0]
    return ""


def _blank(leaf: Any) -> Any:
    """Zeros for a shape, and a fresh key for a key: jax marks those that were used."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jnp.zeros((*leaf.shape, 2), jnp.uint32))
    return np.zeros(leaf.shape, leaf.dtype) if isinstance(leaf, jax.ShapeDtypeStruct) else leaf


def key_differences(name: str, before: Any, after: Any) -> Iterator[str]:
    """The differences between two pytrees of shapes, in words."""
    leaves, structure = jax.tree.flatten_with_path(before)
    new_leaves, new_tree = jax.tree.flatten_with_path(after)
    if structure != new_tree:
        yield f"{name} changes its structure"
        return
    for (path, old), (_, new) in zip(leaves, new_leaves):
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            yield (
                f"{name}{jax.tree_util.keystr(path)} is {old.dtype}{list(old.shape)} at first, "
                f"then {new.dtype}{list(new.shape)}"
            )


def weak_leaves(tree: Any) -> int:
    """How many arrays of a pytree of shapes have weak types."""
    return sum(bool(getattr(leaf, "weak_type", False)) for leaf in jax.tree.leaves(tree))


MOST_STEPS = 2**30
FIXED: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class AgentTrial:
    """An agent on a task; its functions are compiled once.

    Attributes:
      name: the agent's.
      config: its settings.
      env: the task.
    """

    name: str
    config: Config
    env: Target = field(default_factory=Target)

    def anew(self) -> "AgentTrial":
        """The same with a learner of its own."""
        return AgentTrial(self.name, self.config, self.env)

    def with_placement(self, lane_axis: str | None, sharding: PopulationSharding) -> "AgentTrial":
        """Returns the same trial with its learner for this lane axis and sharding."""
        trial = self.anew()
        trial.__dict__["learner"] = self.learner.with_placement(
            lane_axis, sharding
        )  # in place of its own
        return trial

    @cached_property
    def learner(self) -> Learner:
        """Made for this trial alone."""
        return make_learner(self.name, self.config, self.env, target_policy(self.env), False)

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
        """Those of the learner's own state."""
        return jax.eval_shape(lambda: self.learner.init(jax.random.key(0), self.numbers))

    @cached_property
    def advance(self) -> Any:
        """(state, generations) -> state, whose keys are integers; jitted."""
        return jax.jit(self.plain)

    def plain(self, state: Any, generations: Any) -> Any:
        """What `advance` compiles."""
        limit = Limit(generations, jnp.int32(MOST_STEPS))
        return keys_to_data(self.learner.advance(data_to_keys(state, self.shapes), limit)[0])

    def run(self, generations: int, seed: int = 0, settings: Mapping[str, float] = FIXED) -> Any:
        """The state after so many generations, with some traced settings changed."""
        hyper = {**self.numbers, **scalar_leaves(settings)}
        return self.advance(self.init(np.uint32(seed), hyper), np.int32(generations))

    def params(self, state: Any) -> np.ndarray:
        """[n] the parameters that are evaluated and saved."""
        params = self.learner.snapshot(data_to_keys(state, self.shapes)).params
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])

    def change(self, generations: int) -> np.ndarray:
        """[n] how far the parameters move in so many generations."""
        return self.params(self.run(generations)) - self.params(self.run(0))

    def save(self, path: Path, state: Any) -> None:
        """Writes a state as a checkpoint."""
        checkpoint.save(path, state, {})

    def load(self, path: Path) -> Any:
        """The state that a trial of the same settings saved."""
        shapes = jax.eval_shape(self.init, jax.ShapeDtypeStruct((), np.uint32), self.numbers)
        return checkpoint.load(path, shapes)[0]


def trial_settings(name: str, stated: Mapping[str, Any], env: Target) -> Config:
    """An agent's settings for a task: those that are stated, and others that make it quick."""
    quick = {"population": 32, "lr": 0.05, "window": max(1, env.length // 2)}
    return registry.agents.load(name).Hyperparameters(**complete_config(name, stated, quick))


def complete_config(
    name: str, stated: Mapping[str, Any], usual: Mapping[str, Any]
) -> dict[str, Any]:
    """Stated settings, and of the usual ones those that the agent has, if it is a strategy."""
    module = registry.agents.load(name)
    fields = () if hasattr(module, "make_learner") else module.Hyperparameters.model_fields
    return {**{key: value for key, value in usual.items() if key in fields}, **stated}


FEW = 4  # generations, where few are enough
SAME = 1e-3  # relative difference that rounding may make
# Settings of optimisers: those of the others have no effect on one of them.
OPTIMISERS = {"momentum", "b1", "b2"}


class AgentChecks:
    """The checks of one agent."""

    def __init__(self, name: str, stated: Mapping[str, Any]):
        """Makes nothing yet.

        Args:
          name: the agent's, as in a sweep file.
          stated: settings; the others are chosen so that the checks are quick.
        """
        self.name, self.stated = name, dict(stated)
        self.module = registry.agents.load(name)

    def checks(self) -> Mapping[str, Check]:
        """All of them by name, in order."""
        return {name: make_check(name, look) for name, look in self.looks().items()}

    def looks(self) -> dict[str, Callable[[], str]]:
        """What `checks` are made of."""
        return {
            "settings": self.settings,
            "types": self.types,
            "pure": self.pure,
            "keys": self.keys,
            "traced settings": self.traced,
            "checkpoints": self.checkpoints,
            "lanes": self.lanes,
        }

    def trial(self, env: Target = Target(), **changed: Any) -> AgentTrial:
        """The agent on a task, with some settings changed."""
        return AgentTrial(
            self.name, trial_settings(self.name, {**self.stated, **changed}, env), env
        )

    @cached_property
    def usual(self) -> AgentTrial:
        """The agent on episodes of several steps, which are windows for persistent strategies."""
        return self.trial(Target(length=4))

    def settings(self) -> str:
        """All settings have defaults, and the traced ones are numbers."""
        model = self.module.Hyperparameters
        defaults, traced = model(), traced_names(model)
        if bad := [name for name in traced if not isinstance(getattr(defaults, name), float)]:
            remedy = "traced settings are numbers: declare them as float"
            raise CheckFailure(f"traced, but no float: {', '.join(bad)}", remedy)
        return f"{len(model.model_fields)} settings, traced: {', '.join(traced) or 'none'}"

    def types(self) -> str:
        """A generation keeps the shapes and dtypes of the state."""
        trial = self.usual
        before = jax.eval_shape(trial.init, jax.ShapeDtypeStruct((), np.uint32), trial.numbers)
        after = jax.eval_shape(trial.plain, before, jnp.int32(1))
        if wrong := list(key_differences("state", before, after)):
            remedy = "tell has to give arrays of the shapes and dtypes that init gave"
            raise CheckFailure("; ".join(wrong[:3]), remedy)
        return f"a state of {len(jax.tree.leaves(before))} arrays that keep their types"

    def pure(self) -> str:
        """It is the same program whenever it is made, and whatever its traced settings are."""
        trial = self.usual
        state = jax.eval_shape(trial.init, jax.ShapeDtypeStruct((), np.uint32), trial.numbers)
        again = trial.anew()
        if not same_values(trial.plain, again.plain, state, jnp.int32(1)):
            remedy = "keep nothing in the object or in globals: all that changes is in the state"
            raise CheckFailure("made and traced twice it gives two programs", remedy)
        for name, value in self._other_values().items():
            changed = self.trial(trial.env, **{name: value})
            if not same_values(trial.plain, changed.plain, state, jnp.int32(1)):
                remedy = f"read hyper['{name}'] from the state, not config.{name}"
                raise CheckFailure(f"another {name} compiles another program", remedy)
        return "one program, whatever the traced settings are"

    def _other_values(self) -> dict[str, float]:
        """Another value of each traced setting that its class accepts."""
        fixed, traced = split_traced(self.usual.config)
        values: dict[str, float] = {}
        for name, value in traced.items():
            for candidate in (value * 0.9, value + 0.1, value / 2, value * 1.1):
                if candidate != value and _is_accepted(
                    self.module, {**fixed, **traced, name: candidate}
                ):
                    values[name] = candidate
                    break
        return values

    def keys(self) -> str:
        """The random key decides what comes out, and nothing else does."""
        trial = self.usual
        first, repeated_params, second = (trial.params(trial.run(FEW, seed)) for seed in (0, 0, 1))
        if not np.array_equal(first, repeated_params):
            raise CheckFailure("the same key gave other parameters", "jax.random only")
        if not np.isfinite(first).all():
            raise CheckFailure("parameters are not finite", "see what it divides by")
        if np.array_equal(first, second):
            remedy = "draw from the keys that are handed in"
            raise CheckFailure("another key gave the same parameters", remedy)
        return "the same key gives the same parameters, another others"

    def traced(self) -> str:
        """Each traced setting has an effect, and no value of it compiles another program."""
        trial = self.usual
        usual = trial.params(trial.run(2 * FEW))
        idle = [
            name
            for name, value in self._other_values().items()
            if np.array_equal(usual, trial.params(trial.run(2 * FEW, settings={name: value})))
        ]
        if (size := trial.advance._cache_size()) > 1:
            raise CheckFailure(f"their values compiled {size} programs", "use jax.numpy")
        # Of a learner they may change another part than the policy, such as a critic.
        learner = hasattr(self.module, "make_learner")
        if ignored := [name for name in idle if name not in OPTIMISERS and not learner]:
            remedy = "read them from hyper, which init is given, and keep them in the state"
            raise CheckFailure(f"another value changes nothing: {', '.join(ignored)}", remedy)
        suffix = f", but not {', '.join(idle)}" if idle else ""
        return f"they change the policy{suffix}; none compiles anything"

    def checkpoints(self) -> str:
        """It goes on from a saved state as if it had not stopped."""
        trial = self.usual
        half = trial.run(FEW)
        unbroken = trial.advance(half, np.int32(FEW))
        fresh = trial.anew()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "state.msgpack"
            trial.save(path, half)
            continued = fresh.advance(fresh.load(path), np.int32(FEW))
        worst = settings_apart(trial.params(unbroken), fresh.params(continued))
        if worst > SAME:
            remedy = "keep all that it needs in the arrays of its state"
            raise CheckFailure(f"resumed, it differs by {worst:.2g}", remedy)
        return "goes on from a saved state as if it had not stopped"

    def lanes(self) -> str:
        """Runs that share a call give what each gives alone."""
        trial = self.usual
        together = trial.with_placement("lanes", PopulationSharding())
        seeds = np.arange(2, dtype=np.uint32)
        state = jax.vmap(together.init, (0, None), axis_name="lanes")(seeds, trial.numbers)
        outputs = jax.jit(jax.vmap(together.plain, (0, None), axis_name="lanes"))(
            state, jnp.int32(FEW)
        )
        worst = max(
            settings_apart(
                trial.params(trial.run(FEW, int(seed))),
                trial.params(jax.tree.map(lambda leaf, seed=seed: leaf[seed], outputs)),
            )
            for seed in seeds
        )
        if worst > SAME:
            remedy = "let nothing of a run depend on the others"
            raise CheckFailure(f"vmapped, a run differs by {worst:.2g}", remedy)
        return "two runs in one call give what each gives alone"


def _is_accepted(module: Any, values: dict[str, Any]) -> bool:
    try:
        module.Hyperparameters(**values)
    except ValueError:
        return False
    return True


def settings_apart(first: np.ndarray, second: np.ndarray) -> float:
    """Largest difference, relative to the largest number of the first."""
    size = max(float(np.abs(first).max()), 1e-9)
    return float(np.nan_to_num(np.abs(first - second) / size, nan=np.inf).max())


GENERATIONS = 200  # in which it has to come near the target
NEAR = 0.5  # of the distance at the start
ALIKE = 0.9  # least cosine of two changes in the same direction


class StrategyChecks(AgentChecks):
    """The checks of one strategy: two more if it has the settings that all strategies share."""

    def looks(self) -> dict[str, Callable[[], str]]:
        checks = {
            "noise": self.noise,
            "chunks": self.chunks,
            "improves": self.improves,
            "shift": self.shift,
        }
        if issubclass(self.module.Hyperparameters, StrategyConfig):
            checks |= {"scale": self.scale, "symmetry": self.symmetry}
        return {**super().looks(), **checks}

    def noise(self) -> str:
        """Every pair draws noise of its own, and each key is used once."""
        trial, pairs = self.usual, 2 * PAIRS_PER_KEY
        agent: Any = trial.learner.agent  # pyright: ignore[reportAttributeAccessIssue]
        state = data_to_keys(trial.run(0), trial.shapes).agent
        keys, fresh = block_keys(jax.random.key(0), pairs), jnp.ones(pairs, bool)

        def draw(keys: Any) -> Any:
            return agent.ask(keys, state, agent.remember(pairs), fresh)[0]

        if reused := reuses_key(draw, keys):
            remedy = "split it: one, other = jax.random.split(key)"
            raise CheckFailure(f"ask uses a key twice ({reused})", remedy)
        members = jax.jit(lambda keys: agent.members(state, draw(keys)))(keys)
        rows = [
            np.asarray(leaf).reshape(pairs, -1)
            for leaf in jax.tree.leaves((members.direct, members.products))
            if leaf.shape[:1] == (pairs,) and leaf.size > pairs
        ]
        alike = [len(np.unique(part, axis=0)) for part in rows]
        if any(count < pairs for count in alike):
            remedy = "each block of 64 pairs has its own key; each pair its own draw"
            detail = f"of {pairs} pairs, {pairs - min(alike)} share their noise with another"
            raise CheckFailure(detail, remedy)
        return "each pair has noise of its own; keys are used once"

    def chunks(self) -> str:
        """A population that is evaluated in chunks gives what it gives at once."""
        if "population" not in self.module.Hyperparameters.model_fields:
            return "not asked: it has no setting 'population'"
        unchunked = self._plain(Target(length=4), population=4 * PAIRS_PER_KEY)
        parts = unchunked.with_placement(None, PopulationSharding(chunks=2))
        worst = settings_apart(unchunked.params(unchunked.run(FEW)), parts.params(parts.run(FEW)))
        if worst > SAME:
            remedy = (
                "ask and contract see a block of pairs; what needs all of them is in shape or tell"
            )
            raise CheckFailure(f"in two chunks it differs by {worst:.2g}", remedy)
        return "a population in two chunks gives what it gives at once"

    def improves(self) -> str:
        """It comes nearer to the target, by which its update has the right sign."""
        trial = self.trial()
        first, last = trial.run(0), trial.run(GENERATIONS)
        before, after = (
            float(
                target_distance(
                    target_policy(trial.env), trial.learner.snapshot(data_to_keys(s, trial.shapes))
                )
            )
            for s in (first, last)
        )
        detail = f"distance to the target {before:.2f}, after {GENERATIONS} generations {after:.2f}"
        if after > before:
            raise CheckFailure(
                detail, "it goes downhill: higher returns are better, and tell ascends"
            )
        if not after < NEAR * before:
            raise CheckFailure(detail, "see its weights and its step; state settings by --settings")
        return detail

    def _plain(self, env: Target, **settings: Any) -> AgentTrial:
        """A trial with SGD, where the optimiser can be chosen: it hides no factor of the update."""
        if "optimiser" in self.module.Hyperparameters.model_fields:
            settings = {"optimiser": "sgd", "lr": 0.01, **settings}
        return self.trial(env, **settings)

    def _changes(self, **task: float) -> tuple[np.ndarray, np.ndarray]:
        """[n] each: the change of the parameters in two tasks, after the first that is not zero."""
        before, after = self._plain(Target()), self._plain(replace(Target(), **task))
        for generations in range(1, 2 * FEW):
            change = before.change(generations)
            if change.any():
                return change, after.change(generations)
        raise RuntimeError(f"its parameters do not move in {2 * FEW} generations")

    def shift(self) -> str:
        """A constant that is added to all returns changes nothing."""
        worst = settings_apart(*self._changes(shift=1.0))
        if worst > 10 * SAME:
            remedy = "weights may depend on differences of returns, not on where they are"
            detail = f"a constant added to all returns changes the step by {worst:.2g}"
            raise CheckFailure(detail, remedy)
        return "a constant added to all returns changes nothing"

    def scale(self) -> str:
        """Returns in other units lead in the same direction."""
        cosine = _cosine(*self._changes(scale=10.0))
        detail = f"returns ten times as large: cosine of the steps {cosine:.2f}"
        if cosine < ALIKE:
            raise CheckFailure(detail, "direction may not depend on the returns' unit")
        return detail

    def symmetry(self) -> str:
        """Opposite returns lead in the opposite direction, as the noise is in antithetic pairs."""
        cosine = _cosine(*self._changes(scale=-1.0))
        detail = f"returns of the opposite sign: cosine of the steps {cosine:.2f}"
        if cosine > -ALIKE:
            raise CheckFailure(
                detail, "contract the difference of a pair's two weights with its noise"
            )
        return detail


def _cosine(first: np.ndarray, second: np.ndarray) -> float:
    return float(first @ second / max(float(np.linalg.norm(first) * np.linalg.norm(second)), 1e-30))
