"""An agent on a `Target`, made and run by plain calls: most of its checks consist of these."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rl_es import registry
from rl_es.config import Config, split
from rl_es.conformance.target import Target, policy
from rl_es.interfaces import Hyper, Learner, Limit
from rl_es.training import checkpoint
from rl_es.training.program import as_data, as_keys, scalars
from rl_es.training.spread import Spread
from rl_es.training.task import make_learner

MOST_STEPS = 2**30
FIXED: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Trial:
    """An agent on a task; its functions are compiled once.

    Attributes:
      name: the agent's.
      config: its settings.
      env: the task.
    """

    name: str
    config: Config
    env: Target = field(default_factory=Target)

    def anew(self) -> "Trial":
        """The same with a learner of its own."""
        return Trial(self.name, self.config, self.env)

    def placed(self, lanes: str | None, spread: Spread) -> "Trial":
        """The same with its learner so placed."""
        trial = self.anew()
        trial.__dict__["learner"] = self.learner.placed(lanes, spread)  # in place of its own
        return trial

    @cached_property
    def learner(self) -> Learner:
        """Made for this trial alone."""
        return make_learner(self.name, self.config, self.env, policy(self.env), False)

    @property
    def numbers(self) -> Hyper:
        """The traced settings, as arrays."""
        return scalars(split(self.config)[1])

    @cached_property
    def init(self) -> Any:
        """(seed, hyper) -> state, whose keys are integers; jitted."""
        return jax.jit(lambda seed, hyper: as_data(self.learner.init(jax.random.key(seed), hyper)))

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
        return as_data(self.learner.advance(as_keys(state, self.shapes), limit)[0])

    def run(self, generations: int, seed: int = 0, changed: Mapping[str, float] = FIXED) -> Any:
        """The state after so many generations, with some traced settings changed."""
        hyper = {**self.numbers, **scalars(changed)}
        return self.advance(self.init(np.uint32(seed), hyper), np.int32(generations))

    def params(self, state: Any) -> np.ndarray:
        """[n] the parameters that are evaluated and saved."""
        found = self.learner.snapshot(as_keys(state, self.shapes)).params
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(found)])

    def change(self, generations: int) -> np.ndarray:
        """[n] how far the parameters move in so many generations."""
        return self.params(self.run(generations)) - self.params(self.run(0))

    def save(self, path: Path, state: Any) -> None:
        """Writes a state as a checkpoint."""
        checkpoint.save(path, state, {})

    def loaded(self, path: Path) -> Any:
        """The state that a trial of the same settings saved."""
        shapes = jax.eval_shape(self.init, jax.ShapeDtypeStruct((), np.uint32), self.numbers)
        return checkpoint.load(path, shapes)[0]


def settings(name: str, stated: Mapping[str, Any], env: Target) -> Config:
    """An agent's settings for a task: those that are stated, and others that make it quick."""
    quick = {"population": 32, "lr": 0.05, "window": max(1, env.length // 2)}
    return registry.agents.load(name).Hyperparameters(**completed(name, stated, quick))


def completed(name: str, stated: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """Stated settings, and of the usual ones those that the agent has, if it is a strategy."""
    module = registry.agents.load(name)
    known = () if hasattr(module, "make_learner") else module.Hyperparameters.model_fields
    return {**{key: value for key, value in usual.items() if key in known}, **stated}
