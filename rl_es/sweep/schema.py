"""The format of a sweep file: its keys, and the values that each key accepts.

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
    baselines: {random: 5.2}        # returns of other methods, drawn as lines
    surface: {low: [-8, -8], high: [8, 8], points: 41, episodes: 1}  # of a two-parameter policy
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
figures: [best_so_far]              # optional: further figures of the report; or a mapping, which
                                    # adapts figures (`rl_es.results.figure_settings`)
tuning:                             # optional, as `tuned` writes it: where tuned settings come from
  - {name: tuning, search: random, trials: {open_es: 20}, seeds: [1000],
     budget: {CartPole-v1: {env_steps: 1e6}}, chosen_by: mean final return}
```

A random setting has one of uniform: [low, high], log_uniform: [low, high] and choice: [values].
A surface is the objective on a grid of both parameters, for the report; it changes no run.

The classes here check every value by itself. `rl_es.sweep.cells` checks the values against each
other: an agent's settings by its own `Hyperparameters`, the budget of every cell, and that no two
cells are equal. `VariedEntry`, `EnvironmentChoice` and the value types are shared with the format
of a speed file, `rl_es.speed.schema`.
"""

import re
from typing import Annotated, Any, ClassVar, Literal, Self

import pydantic
from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from rl_es import registry
from rl_es.config import Config, static
from rl_es.errors import UserError, brief
from rl_es.plugins import short_name
from rl_es.results.figure_settings import (
    FigureSettings,
    OptionalFigure,
    check_distinct,
    list_or_settings,
)
from rl_es.rollout.config import EvaluationConfig, PolicyConfig, SurfaceConfig, WrapperConfig

MAX_CELLS = 1_000_000
MAX_SEED = 2**31 - 1

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.-]*"


def _matching(pattern: str, description: str) -> AfterValidator:
    """Returns a validator for text of at most 100 characters that matches `pattern`."""

    def check(text: str) -> str:
        if len(text) > 100:
            raise ValueError(f"must be at most 100 characters, has {len(text)}")
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must be {description}, is {brief(text)!r}")
        return text

    return AfterValidator(check)


def _expand_seeds(value: Any) -> Any:
    """Returns the seeds of 5 (0 to 4), [0, 3, 7] or {first: 100, count: 10} as a tuple."""
    first, count = 0, value
    if isinstance(value, dict):
        if set(value) != {"first", "count"}:
            raise ValueError("must hold 'first' and 'count', such as {first: 100, count: 10}")
        first, count = value["first"], value["count"]
    elif isinstance(value, list):
        return tuple(value)
    if not all(
        isinstance(number, int) and not isinstance(number, bool) for number in (first, count)
    ):
        raise ValueError(
            f"must be a count, a list or {{first: 100, count: 10}}, is {brief(value)!r}"
        )
    if not 1 <= count <= MAX_CELLS:
        raise ValueError(f"must be at least 1 and at most {MAX_CELLS}, is {brief(count)}")
    return tuple(range(first, first + count)) if abs(first) <= MAX_SEED else (first,)


Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Seeds = Annotated[
    tuple[Seed, ...],
    BeforeValidator(_expand_seeds),
    Field(min_length=1),
    AfterValidator(check_distinct),
]
SweepName = Annotated[str, _matching(NAME_PATTERN, "letters, digits, '_', '.' and '-', not a path")]
EnvironmentLabel = Annotated[
    str,
    _matching(rf"{NAME_PATTERN}(/{NAME_PATTERN})*", "letters, digits, '_', '.', '-' and inner '/'"),
]
AgentLabel = Annotated[
    str,
    _matching(
        r"[A-Za-z0-9]([A-Za-z0-9 _.=,+-]*[A-Za-z0-9_.=,+-])?", "letters, digits and ' _.=,+-'"
    ),
]
Values = Annotated[
    tuple[Any, ...], Field(min_length=1, strict=False), AfterValidator(check_distinct)
]


def name_to_mapping(value: Any) -> Any:
    """Returns an entry that is a plain name as a mapping, any other value unchanged."""
    return {"name": value} if isinstance(value, str) else value


def check_labels(entries: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuses two entries with the same label."""
    labels: set[str] = set()
    for entry in entries:
        if entry.display_name in labels:
            raise ValueError(f"two are labelled '{entry.display_name}'; give one another label")
        labels.add(entry.display_name)
    return entries


def _only_key(config: Config) -> str:
    """Returns the key of the one value that is not None.

    Raises:
      ValueError: none or several values are given.
    """
    keys = list(type(config).model_fields)
    keys_with_value = [key for key in keys if getattr(config, key) is not None]
    if len(keys_with_value) != 1:
        valid = f"{', '.join(keys[:-1])} and {keys[-1]}"
        raise ValueError(
            f"needs exactly one of {valid}, has {' and '.join(keys_with_value) or 'none'}"
        )
    return keys_with_value[0]


class Distribution(Config):
    """The distribution of a random setting: exactly one of three kinds."""

    uniform: tuple[float, float] | None = static(None, "between low and high", strict=False)
    log_uniform: tuple[float, float] | None = static(
        None, "between low and high, both above 0, on a logarithmic scale", strict=False
    )
    choice: Values | None = static(None, "one of these values")

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        kind = _only_key(self)
        low, high = self.uniform or self.log_uniform or (1.0, 2.0)
        if not low < high or (self.log_uniform and low <= 0):
            positive = "0 < " if self.log_uniform else ""
            raise ValueError(f"{kind}: must be [low, high] with {positive}low < high")
        return self


class RandomSearch(Config):
    """Random settings: `samples`, `seed`, and one distribution per setting."""

    model_config: ClassVar[pydantic.ConfigDict] = pydantic.ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Distribution] = Field(init=False)  # pyright: ignore

    samples: int = static(help="number of samples", ge=1, le=MAX_CELLS)
    seed: int = static(0, "seed of the draws", ge=0, le=MAX_SEED)

    @property
    def settings(self) -> dict[str, Distribution]:
        """The distribution of each random setting."""
        return self.__pydantic_extra__ or {}

    @model_validator(mode="after")
    def _check_not_empty(self) -> Self:
        if not self.settings:
            raise ValueError("draws nothing; add a line such as lr: {log_uniform: [1e-3, 1e-1]}")
        return self


class VariedEntry(Config):
    """A named entry with fixed settings and with settings that vary by grid or at random."""

    name: str = static(help="as `list` shows it")
    label: AgentLabel | None = static(None, "unique in the file; the name if absent")
    fixed: dict[str, Any] = Field(default_factory=dict, alias="with", description="fixed settings")
    grid: dict[str, Values] = Field(
        default_factory=dict, description="values by setting: every combination of them"
    )
    random: RandomSearch | None = static(None, "settings drawn at random, beside the grid")

    @property
    def display_name(self) -> str:
        """The label; without one the name, or the class that a plug-in's reference names."""
        return self.label or short_name(self.name)

    @property
    def varied_settings(self) -> set[str]:
        """The names of the settings that vary by grid or at random."""
        return {*self.grid, *(self.random.settings if self.random else ())}

    @model_validator(mode="after")
    def _check_disjoint(self) -> Self:
        if conflicts := sorted(self.varied_settings & {*self.fixed}):
            raise ValueError(
                f"'{brief(conflicts[0])}' is fixed by `with` and varied by grid or random; keep one"
            )
        for name in self.random.settings if self.random else ():
            if name in self.grid:
                raise ValueError(f"'{brief(name)}' is varied by grid and by random; keep one")
        return self


class EnvironmentChoice(WrapperConfig):
    """A named environment with its suite's options and its wrappers."""

    name: str = static(help="as `list` shows it")
    label: EnvironmentLabel | None = static(None, "unique in the file; the name if absent")
    options: dict[str, Any] = Field(default_factory=dict, description="options of the suite")

    @property
    def display_name(self) -> str:
        """The label; without one the name, or the class that a plug-in's reference names."""
        return self.label or short_name(self.name)

    @property
    def wrappers(self) -> WrapperConfig:
        """The settings of the wrappers, without the entry's other keys."""
        return WrapperConfig(**{name: getattr(self, name) for name in WrapperConfig.model_fields})

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        try:
            registry.environment_suite(name)
        except UserError as error:
            raise ValueError(str(error)) from None
        return name


class Budget(Config):
    """The end of a run: exactly one of environment steps, generations and seconds."""

    env_steps: int | None = static(None, "environment steps of training", ge=1, le=10**15)
    generations: int | None = static(
        None, "generations; of agents of rejax: iterations", ge=1, le=10**12
    )
    seconds: float | None = static(None, "seconds of training; not reproducible", gt=0)

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        _only_key(self)
        return self


class AgentEntry(VariedEntry):
    """An agent of a sweep."""

    policy: PolicyConfig = static(PolicyConfig(), "overrides the policy, by key")

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        try:
            registry.agents.load(name)
        except UserError as error:
            raise ValueError(str(error)) from None
        return name


class EnvironmentEntry(EnvironmentChoice):
    """An environment of a sweep with its overrides."""

    threshold: float | None = static(  # within the range of float32, the type of returns
        None, "the return that counts as solved", ge=-1e38, le=1e38
    )
    baselines: dict[AgentLabel, Annotated[float, Field(ge=-1e38, le=1e38)]] = Field(
        default_factory=dict,
        description="returns of other methods, by name: lines in figures, which change no run",
    )
    surface: SurfaceConfig | None = static(
        None, "the objective on a grid of the policy's two parameters, for the report"
    )
    budget: Budget | None = static(None, "replaces the default")
    evaluation: EvaluationConfig = static(EvaluationConfig(), "overrides the default, by key")
    policy: PolicyConfig = static(PolicyConfig(), "overrides the default, by key")
    agents: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="settings of an agent in this environment, by its label or its name",
    )


class Defaults(Config):
    """Values for every environment and agent that does not override them."""

    budget: Budget | None = static(None, "when a run ends; each environment may have its own")
    evaluation: EvaluationConfig = static(EvaluationConfig(), "how runs are evaluated")
    policy: PolicyConfig = static(PolicyConfig(), "the network and its action head")
    agent: dict[str, Any] = Field(
        default_factory=dict, description="settings of every agent; each must have them"
    )


class Tuning(Config):
    """The source of tuned settings: another sweep, with its trials, seeds and budgets."""

    name: SweepName = static(help="name of the tuning sweep")
    search: Literal["random", "grid", "tpe"] = static(help="how settings were proposed")
    trials: dict[str, Annotated[int, Field(ge=1)]] = static(
        help="number of an agent's trials in each environment, by label"
    )
    seeds: Seeds = static(help="seeds of the trials; disjoint from the sweep's own")
    budget: dict[str, Budget] = static(help="budget of a run, by the environment's label")
    chosen_by: str = static(help="the criterion that ranked the trials")


class Sweep(Config):
    """A sweep file."""

    name: SweepName = static(help="name of the results folder, results/NAME")
    description: str | None = static(None, "what the sweep is for; the report shows it")
    seeds: Seeds = static(
        help="a count (5: seeds 0 to 4), a list, or {first: 100, count: 10}; each runs every agent"
    )
    defaults: Defaults = static(Defaults(), "values that environments and agents may override")
    environments: Annotated[
        tuple[Annotated[EnvironmentEntry, BeforeValidator(name_to_mapping)], ...],
        Field(min_length=1, strict=False),
        AfterValidator(check_labels),
    ] = static(help="names, or mappings with a name")
    agents: Annotated[
        tuple[Annotated[AgentEntry, BeforeValidator(name_to_mapping)], ...],
        Field(min_length=1, strict=False),
        AfterValidator(check_labels),
    ] = static(help="names, or mappings with a name")
    figures: Annotated[
        tuple[OptionalFigure, ...] | FigureSettings, list_or_settings(OptionalFigure)
    ] = static((), "further figures of the report, or a mapping of how figures are adapted")
    tuning: Annotated[tuple[Tuning, ...], Field(strict=False)] = static(
        (), "where tuned settings come from, as `tuned` writes it"
    )
