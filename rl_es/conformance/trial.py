"""An agent made and run on the target, as plain calls: what most of its checks are made of."""

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
from rl_es.interfaces import Learner, Limit
from rl_es.training import checkpoint
from rl_es.training.program import as_data, as_keys
from rl_es.training.task import make_learner

MOST_STEPS = 2**30
FIXED: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Trial:
    """A learner on a task, with functions that are compiled once.

    Attributes:
      name: of the agent.
      config: its settings.
      env: the task.
    """

    name: str
    config: Config
    env: Target = field(default_factory=Target)

    @cached_property
    def learner(self) -> Learner:
        """Made anew for this trial."""
        return make_learner(self.name, self.config, self.env, policy(self.env), False)

    @property
    def numbers(self) -> dict[str, Any]:
        """The traced settings, as arrays."""
        return {name: jnp.float32(value) for name, value in split(self.config)[1].items()}

    @cached_property
    def init(self) -> Any:
        """(seed, hyper) -> state, with its keys as integers; jitted."""
        return jax.jit(lambda seed, hyper: as_data(self.learner.init(jax.random.key(seed), hyper)))

    @cached_property
    def shapes(self) -> Any:
        """Of the learner's own state."""
        return jax.eval_shape(lambda: self.learner.init(jax.random.key(0), self.numbers))

    @cached_property
    def advance(self) -> Any:
        """(state, generations) -> state, as integers; jitted."""
        return jax.jit(self.plain)

    def plain(self, state: Any, generations: Any) -> Any:
        """What `advance` compiles."""
        limit = Limit(generations, jnp.int32(MOST_STEPS))
        return as_data(self.learner.advance(as_keys(state, self.shapes), limit)[0])

    def run(self, generations: int, seed: int = 0, changed: Mapping[str, float] = FIXED) -> Any:
        """The state after so many generations; traced settings may be changed."""
        hyper = self.numbers | {name: jnp.float32(value) for name, value in changed.items()}
        return self.advance(self.init(np.uint32(seed), hyper), np.int32(generations))

    def params(self, state: Any) -> np.ndarray:
        """[n] what is evaluated and saved, in one row."""
        found = self.learner.snapshot(as_keys(state, self.shapes)).params
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(found)])

    def change(self, generations: int) -> np.ndarray:
        """[n] by what the parameters move in so many generations."""
        return self.params(self.run(generations)) - self.params(self.run(0))

    def save(self, path: Path, state: Any) -> None:
        """Writes a state as a checkpoint holds it."""
        checkpoint.save(path, state, {})

    def loaded(self, path: Path) -> Any:
        """A state that another trial of the same settings saved."""
        shapes = jax.eval_shape(self.init, jax.ShapeDtypeStruct((), np.uint32), self.numbers)
        return checkpoint.load(path, shapes)[0]


def settings(name: str, stated: Mapping[str, Any], env: Target) -> Config:
    """An agent's settings for a task: those that are stated, and what makes it quick."""
    module = registry.agents.load(name)
    quick = {"population": 32, "lr": 0.05, "window": max(1, env.length // 2)}
    if hasattr(module, "make_learner"):
        quick = {}
    known = {
        key: value for key, value in quick.items() if key in module.Hyperparameters.model_fields
    }
    return module.Hyperparameters(**{**known, **stated})
