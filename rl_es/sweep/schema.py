"""The sweep file's format: which keys it has and what each may hold.

```yaml
name: example                # names the default results folder; never a path
description: what it is for  # optional
seeds: 5                     # 0 to 4; or a list, [0, 3, 7]; or {first: 100, count: 10}
defaults:                    # each of these is optional
  budget: {env_steps: 5e6}   # exactly one of env_steps, generations, seconds
  evaluation: {points: 20, episodes: 16}
  policy: {network: mlp, widths: [32, 32]}
  agent: {population: 128}   # settings of every agent; each must have them
environments:
  - CartPole-v1              # a plain name, or
  - name: brax/inverted_pendulum
    label: pendulum_generalized     # optional, unique; default: the name
    options: {backend: generalized} # of the suite
    episode_length: 500             # also action_repeat, reward_scale
    threshold: 450                  # the return that counts as solved
    budget: {env_steps: 1e6}        # instead of the default; so are evaluation and policy, by key
    agents: {open_es: {lr: 0.05}}   # settings of an agent here, by its label, else by its name
agents:
  - open_es
  - name: eggroll
    label: eggroll searched         # optional, unique; default: the name
    policy: {head: deterministic}   # overrides the policy, by key
    with: {weight_decay: 0.01}      # fixed settings
    grid: {lr: [0.1, 0.01], update_scale: [paper, official]}  # every combination
    random: {samples: 20, seed: 0, sigma: {log_uniform: [0.05, 0.5]}, rank: {choice: [1, 2, 4]}}
```

A random setting has one of uniform: [low, high], log_uniform: [low, high] and choice: [values].
Two things are checked later, where the values come together (`rl_es.sweep.cells`): an agent's
settings, by its own `Hyperparameters`, and whether every cell has a budget and differs from others.
"""

from typing import Annotated, Any, ClassVar, Self

import pydantic
from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from rl_es import registry
from rl_es.config import Config
from rl_es.errors import UserError
from rl_es.rollout.config import EvaluationConfig, PolicyConfig, WrapperConfig
from rl_es.sweep.fields import (
    MAX_CELLS,
    MAX_SEED,
    AgentLabel,
    EnvironmentLabel,
    Seeds,
    SweepName,
    Values,
)
from rl_es.sweep.reading import brief


def _named(value: Any) -> Any:
    """An entry that is a plain name, as a mapping."""
    return {"name": value} if isinstance(value, str) else value


def _labels_differ(entries: tuple[Any, ...]) -> tuple[Any, ...]:
    seen: set[str] = set()
    for entry in entries:
        if entry.shown in seen:
            raise ValueError(f"two are labelled '{entry.shown}'; give one another label")
        seen.add(entry.shown)
    return entries


class Budget(Config):
    """When a run ends: after environment steps, generations, or (not reproducible) seconds."""

    env_steps: int | None = Field(None, ge=1, le=10**15)
    generations: int | None = Field(None, ge=1, le=10**12)
    seconds: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _one(self) -> Self:
        kinds = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(kinds) != 1:
            given = " and ".join(kinds) or "none"
            raise ValueError(
                f"needs exactly one of env_steps, generations and seconds, has {given}"
            )
        return self


class Distribution(Config):
    """What a random setting is drawn from; exactly one."""

    uniform: tuple[float, float] | None = Field(None, strict=False)
    log_uniform: tuple[float, float] | None = Field(None, strict=False)
    choice: Values | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        kinds = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(kinds) != 1:
            given = " and ".join(kinds) or "none"
            raise ValueError(f"needs exactly one of uniform, log_uniform and choice, has {given}")
        low, high = self.uniform or self.log_uniform or (1.0, 2.0)
        if not low < high or (self.log_uniform and low <= 0):
            positive = "0 < " if self.log_uniform else ""
            raise ValueError(f"{kinds[0]}: must be [low, high] with {positive}low < high")
        return self


class RandomSearch(Config):
    """Random settings: `samples` and `seed`, and a distribution for each setting drawn."""

    model_config: ClassVar[pydantic.ConfigDict] = pydantic.ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Distribution] = Field(init=False)  # pyright: ignore

    samples: int = Field(ge=1, le=MAX_CELLS)
    seed: int = Field(0, ge=0, le=MAX_SEED)

    @property
    def settings(self) -> dict[str, Distribution]:
        """Distributions by setting."""
        return self.__pydantic_extra__ or {}

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.settings:
            raise ValueError("draws nothing; add a line such as lr: {log_uniform: [1e-3, 1e-1]}")
        return self


class AgentEntry(Config):
    """One agent: fixed settings, and settings that vary."""

    name: str
    label: AgentLabel | None = None
    policy: PolicyConfig = PolicyConfig()
    fixed: dict[str, Any] = Field(default_factory=dict, alias="with")
    grid: dict[str, Values] = Field(default_factory=dict)
    random: RandomSearch | None = None

    @property
    def shown(self) -> str:
        """The label, which is the name unless one is given."""
        return self.label or self.name

    @property
    def varied(self) -> set[str]:
        """Settings that grid or random gives."""
        return {*self.grid, *(self.random.settings if self.random else ())}

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            registry.agents.load(name)
        except UserError as error:
            raise ValueError(str(error)) from None
        return name

    @model_validator(mode="after")
    def _varied_once(self) -> Self:
        for name in self.random.settings if self.random else ():
            if name in self.grid:
                raise ValueError(f"'{brief(name)}' is varied by grid and by random; keep one")
        return self


class EnvironmentEntry(WrapperConfig):
    """One environment: its wrappers, and what it overrides."""

    name: str
    label: EnvironmentLabel | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    threshold: float | None = None
    budget: Budget | None = None
    evaluation: EvaluationConfig = EvaluationConfig()
    policy: PolicyConfig = PolicyConfig()
    agents: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The label, which is the name unless one is given."""
        return self.label or self.name

    @property
    def wrappers(self) -> WrapperConfig:
        """The wrappers' settings alone."""
        return WrapperConfig(**{name: getattr(self, name) for name in WrapperConfig.model_fields})

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            registry.environment_suite(name)
        except UserError as error:
            raise ValueError(str(error)) from None
        return name


class Defaults(Config):
    """What holds wherever nothing overrides it."""

    budget: Budget | None = None
    evaluation: EvaluationConfig = EvaluationConfig()
    policy: PolicyConfig = PolicyConfig()
    agent: dict[str, Any] = Field(default_factory=dict)


class Sweep(Config):
    """A whole sweep file."""

    name: SweepName
    description: str | None = None
    seeds: Seeds
    defaults: Defaults = Defaults()
    environments: Annotated[
        tuple[Annotated[EnvironmentEntry, BeforeValidator(_named)], ...],
        Field(min_length=1, strict=False),
        AfterValidator(_labels_differ),
    ]
    agents: Annotated[
        tuple[Annotated[AgentEntry, BeforeValidator(_named)], ...],
        Field(min_length=1, strict=False),
        AfterValidator(_labels_differ),
    ]
