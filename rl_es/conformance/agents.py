"""The checks of an agent against what `rl_es.interfaces.Learner` promises.

Each method says what it found where the promise is kept, and raises a `Fault` where it is not.
"""

import tempfile
from collections.abc import Callable, Mapping
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
from rl_es.findings import Check, Fault, check_of
from rl_es.training.spread import Spread

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
        return {what: check_of(what, look) for what, look in self.looks().items()}

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

    def trial(self, env: Target = Target(), **changed: Any) -> Trial:  # noqa: B008
        """The agent on a task, with some settings changed."""
        return Trial(self.name, settings(self.name, {**self.stated, **changed}, env), env)

    @cached_property
    def usual(self) -> Trial:
        """The agent on episodes of several steps, which are windows for persistent strategies."""
        return self.trial(Target(length=4))

    def settings(self) -> str:
        """All settings have defaults, and the traced ones are numbers."""
        model = self.module.Hyperparameters
        defaults, traced = model(), traced_names(model)
        if bad := [name for name in traced if not isinstance(getattr(defaults, name), float)]:
            remedy = "traced settings are numbers: declare them as float"
            raise Fault(f"traced, but no float: {', '.join(bad)}", remedy)
        return f"{len(model.model_fields)} settings, traced: {', '.join(traced) or 'none'}"

    def types(self) -> str:
        """A generation keeps the shapes and dtypes of the state."""
        trial = self.usual
        before = jax.eval_shape(trial.init, jax.ShapeDtypeStruct((), np.uint32), trial.numbers)
        after = jax.eval_shape(trial.plain, before, jnp.int32(1))
        if wrong := list(tracing.differences("state", before, after)):
            remedy = "tell has to give arrays of the shapes and dtypes that init gave"
            raise Fault("; ".join(wrong[:3]), remedy)
        return f"a state of {len(jax.tree.leaves(before))} arrays that keep their types"

    def pure(self) -> str:
        """It is the same program whenever it is made, and whatever its traced settings are."""
        trial = self.usual
        state = jax.eval_shape(trial.init, jax.ShapeDtypeStruct((), np.uint32), trial.numbers)
        again = trial.anew()
        if not tracing.same(trial.plain, again.plain, state, jnp.int32(1)):
            remedy = "keep nothing in the object or in globals: all that changes is in the state"
            raise Fault("made and traced twice it gives two programs", remedy)
        for name, value in self._others().items():
            other = self.trial(trial.env, **{name: value})
            if not tracing.same(trial.plain, other.plain, state, jnp.int32(1)):
                remedy = f"read hyper['{name}'] from the state, not config.{name}"
                raise Fault(f"another {name} compiles another program", remedy)
        return "one program, whatever the traced settings are"

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

    def keys(self) -> str:
        """The random key decides what comes out, and nothing else does."""
        trial = self.usual
        one, same, other = (trial.params(trial.run(FEW, seed)) for seed in (0, 0, 1))
        if not np.array_equal(one, same):
            raise Fault("the same key gave other parameters", "jax.random only")
        if not np.isfinite(one).all():
            raise Fault("parameters are not finite", "see what it divides by")
        if np.array_equal(one, other):
            remedy = "draw from the keys that are handed in"
            raise Fault("another key gave the same parameters", remedy)
        return "the same key gives the same parameters, another others"

    def traced(self) -> str:
        """Each traced setting has an effect, and no value of it compiles another program."""
        trial = self.usual
        usual = trial.params(trial.run(2 * FEW))
        idle = [
            name
            for name, value in self._others().items()
            if np.array_equal(usual, trial.params(trial.run(2 * FEW, changed={name: value})))
        ]
        if (size := trial.advance._cache_size()) > 1:
            raise Fault(f"their values compiled {size} programs", "use jax.numpy")
        # Of a learner they may change another part than the policy, such as a critic.
        learner = hasattr(self.module, "make_learner")
        if told := [name for name in idle if name not in OPTIMISERS and not learner]:
            remedy = "read them from hyper, which init is given, and keep them in the state"
            raise Fault(f"another value changes nothing: {', '.join(told)}", remedy)
        unused = f", but not {', '.join(idle)}" if idle else ""
        return f"they change the policy{unused}; none compiles anything"

    def checkpoints(self) -> str:
        """It goes on from a saved state as if it had not stopped."""
        trial = self.usual
        half = trial.run(FEW)
        whole = trial.advance(half, np.int32(FEW))
        other = trial.anew()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "state.msgpack"
            trial.save(path, half)
            resumed = other.advance(other.loaded(path), np.int32(FEW))
        worst = apart(trial.params(whole), other.params(resumed))
        if worst > SAME:
            remedy = "keep all that it needs in the arrays of its state"
            raise Fault(f"resumed, it differs by {worst:.2g}", remedy)
        return "goes on from a saved state as if it had not stopped"

    def lanes(self) -> str:
        """Runs that share a call give what each gives alone."""
        trial = self.usual
        together = trial.placed("lanes", Spread())
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
            raise Fault(f"vmapped, a run differs by {worst:.2g}", remedy)
        return "two runs in one call give what each gives alone"


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
