"""The checks of an agent: what `rl_es.interfaces.Learner` promises, held against it."""

import tempfile
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rl_es import registry
from rl_es.config import split, traced_names
from rl_es.conformance import tracing
from rl_es.conformance.target import Target
from rl_es.conformance.trial import Trial, settings
from rl_es.findings import FAIL, OK, Check, Finding
from rl_es.training.spread import Spread

FEW = 4  # generations, where little has to be seen
SAME = 1e-3  # relative difference that rounding may make
# Settings of the optimisers, of which each reads its own.
OPTIMISERS = {"momentum", "b1", "b2"}


class AgentChecks:
    """The checks of one agent; what several look at is made once."""

    def __init__(self, name: str, stated: Mapping[str, Any]):
        """Prepares them.

        Args:
          name: of the agent, as in a sweep file.
          stated: settings; the others are chosen so that it is quick.
        """
        self.name, self.stated = name, dict(stated)
        self.module = registry.agents.load(name)

    def checks(self) -> Mapping[str, Check]:
        """All of them that it can be asked for, by name, in order."""
        return {
            "settings": self.settings,
            "types": self.types,
            "pure": self.pure,
            "keys": self.keys,
            "traced settings": self.traced,
            "checkpoints": self.checkpoints,
            "lanes": self.lanes,
        }

    def trial(self, env: Target = Target(), **changed: Any) -> Trial:  # noqa: B008
        """One on a task, with other settings where they are given."""
        return Trial(self.name, settings(self.name, {**self.stated, **changed}, env), env)

    @cached_property
    def usual(self) -> Trial:
        """On episodes of several steps, so that persistent strategies have windows of them."""
        return self.trial(Target(length=4))

    def settings(self) -> Iterator[Finding]:
        """Whether it has defaults, and which of its settings are traced."""
        model = self.module.Hyperparameters
        model()
        bad = [name for name in traced_names(model)
               if not isinstance(getattr(model(), name), float)]  # fmt: skip
        if bad:
            remedy = "traced settings are numbers: declare them as float"
            yield Finding("settings", FAIL, f"traced, but no float: {', '.join(bad)}", remedy)
            return
        traced = ", ".join(traced_names(model)) or "none"
        yield Finding("settings", OK, f"{len(model.model_fields)} settings, traced: {traced}")

    def types(self) -> Iterator[Finding]:
        """Whether its state keeps shapes and dtypes."""
        trial = self.usual
        before = jax.eval_shape(trial.init, jax.ShapeDtypeStruct((), np.uint32), trial.numbers)
        after = jax.eval_shape(trial.plain, before, jnp.int32(1))
        wrong = list(tracing.differences("state", before, after))
        if wrong:
            remedy = "tell has to give arrays of the shapes and dtypes that init gave"
            yield Finding("types", FAIL, "; ".join(wrong[:3]), remedy)
        else:
            leaves = len(jax.tree.leaves(before))
            yield Finding("types", OK, f"a state of {leaves} arrays that keep their types")

    def pure(self) -> Iterator[Finding]:
        """Whether it is the same program whenever it is made, whatever traced settings are."""
        trial, what = self.usual, "pure"
        state = jax.eval_shape(trial.init, jax.ShapeDtypeStruct((), np.uint32), trial.numbers)
        again = Trial(self.name, trial.config, trial.env)
        if not tracing.same(trial.plain, again.plain, state, jnp.int32(1)):
            remedy = "keep nothing in the object or in globals: all that changes is in the state"
            yield Finding(what, FAIL, "made and traced twice it gives two programs", remedy)
            return
        for name, value in self._others().items():
            other = self.trial(trial.env, **{name: value})
            if not tracing.same(trial.plain, other.plain, state, jnp.int32(1)):
                remedy = f"read hyper['{name}'] from the state, not config.{name}"
                yield Finding(what, FAIL, f"another {name} compiles another program", remedy)
                return
        yield Finding(what, OK, "one program, whatever the traced settings are")

    def _others(self) -> dict[str, float]:
        """Another value of each traced setting that its class accepts."""
        fixed, traced = split(self.usual.config)
        found: dict[str, float] = {}
        for name, value in traced.items():
            for other in (value * 0.9, value + 0.1, value / 2, value * 1.1):
                if other != value and _accepted(self.module, {**fixed, **traced, name: other}):
                    found[name] = other
                    break
        return found

    def keys(self) -> Iterator[Finding]:
        """Whether the key decides."""
        trial = self.usual
        one, same, other = (trial.params(trial.run(FEW, seed)) for seed in (0, 0, 1))
        if not np.array_equal(one, same):
            yield Finding("keys", FAIL, "the same key gave other parameters", "jax.random only")
        elif not np.isfinite(one).all():
            yield Finding("keys", FAIL, "parameters are not finite", "see what it divides by")
        elif np.array_equal(one, other):
            remedy = "draw from the keys that are handed in"
            yield Finding("keys", FAIL, "another key gave the same parameters", remedy)
        else:
            yield Finding("keys", OK, "the same key gives the same parameters, another others")

    def traced(self) -> Iterator[Finding]:
        """Whether each traced setting counts."""
        trial, what = self.usual, "traced settings"
        usual = trial.params(trial.run(2 * FEW))
        idle = [
            name
            for name, value in self._others().items()
            if np.array_equal(usual, trial.params(trial.run(2 * FEW, changed={name: value})))
        ]
        size = trial.advance._cache_size()
        # Of a learner they may change another part than the policy, such as a critic.
        learner = hasattr(self.module, "make_learner")
        told = [name for name in idle if name not in OPTIMISERS and not learner]
        if size > 1:
            yield Finding(what, FAIL, f"their values compiled {size} programs", "use jax.numpy")
        elif told:
            remedy = "read them from hyper, which init is given, and keep them in the state"
            yield Finding(what, FAIL, f"another value changes nothing: {', '.join(told)}", remedy)
        else:
            unused = f", but not {', '.join(idle)}" if idle else ""
            yield Finding(what, OK, f"they change the policy{unused}; none compiles anything")

    def checkpoints(self) -> Iterator[Finding]:
        """Whether it goes on from a saved state as if it had not stopped."""
        trial = self.usual
        half = trial.run(FEW)
        whole = trial.advance(half, np.int32(FEW))
        other = Trial(self.name, trial.config, trial.env)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "state.msgpack"
            trial.save(path, half)
            resumed = other.advance(other.loaded(path), np.int32(FEW))
        worst = apart(trial.params(whole), other.params(resumed))
        if worst > SAME:
            remedy = "keep all that it needs in the arrays of its state"
            yield Finding("checkpoints", FAIL, f"resumed, it differs by {worst:.2g}", remedy)
        else:
            yield Finding("checkpoints", OK, "goes on from a saved state as if it had not stopped")

    def lanes(self) -> Iterator[Finding]:
        """Whether runs that share a call give what each gives alone."""
        trial = self.usual
        learner = trial.learner.placed("lanes", Spread())
        together = Trial(self.name, trial.config, trial.env)
        together.__dict__["learner"] = learner
        seeds = np.arange(2, dtype=np.uint32)
        state = jax.vmap(together.init, (0, None), axis_name="lanes")(seeds, trial.numbers)
        both = jax.jit(jax.vmap(together.plain, (0, None), axis_name="lanes"))(
            state, jnp.int32(FEW)
        )
        worst = max(
            apart(
                trial.params(trial.run(FEW, int(seed))),
                trial.params(jax.tree.map(lambda leaf, seed=seed: leaf[seed], both)),
            )
            for seed in seeds
        )
        if worst > SAME:
            remedy = "let nothing of a run depend on the others"
            yield Finding("lanes", FAIL, f"vmapped, a run differs by {worst:.2g}", remedy)
        else:
            yield Finding("lanes", OK, "two runs in one call give what each gives alone")


def _accepted(module: Any, values: dict[str, Any]) -> bool:
    try:
        module.Hyperparameters(**values)
    except ValueError:
        return False
    return True


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """Largest difference, relative to the largest number of the first."""
    size = max(float(np.abs(one).max()), 1e-9)
    return float(np.nan_to_num(np.abs(one - other) / size, nan=np.inf).max())
