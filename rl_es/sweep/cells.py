"""A sweep's cells, one run each, and the groups of cells that share a compiled program.

Settings, weakest first: the agent's own defaults, `defaults.agent`, the agent's `with`, its `grid`
and `random`, the environment's `agents`. A policy, key by key: `PolicyConfig`, `defaults.policy`,
the environment's `policy`, the agent's `policy`. Evaluation, key by key: `defaults.evaluation`, the
environment's. A budget is taken whole: the environment's, else the default.

What holds for one cell: the settings, options and policies of a sweep, the strongest winning.

Every function raises `ConfigError`, with the place in the sweep file, for values that do not fit.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, TypeVar

import pydantic

from rl_es import registry
from rl_es.config import Config, split_traced
from rl_es.errors import ConfigError, ConfigPath, UserError, brief, did_you_mean, explain_validation
from rl_es.rollout.config import EvaluationConfig, PolicyConfig, WrapperConfig
from rl_es.sweep.schema import (
    MAX_CELLS,
    AgentEntry,
    Budget,
    EnvironmentChoice,
    EnvironmentEntry,
    Sweep,
)
from rl_es.sweep.variants import Variant, count_variants, expand_variants

AnyConfig = TypeVar("AnyConfig", bound=Config)


class SettingsLayers:
    """Settings of one variant, and where in the file each of them stands."""

    def __init__(self) -> None:
        """Starts with none: the agent's own defaults hold."""
        self._values: dict[str, Any] = {}
        self._places: dict[str, ConfigPath] = {}

    def add_mapping(self, settings: Mapping[str, Any], where: ConfigPath) -> None:
        """Adds the settings of the mapping at `where`; they win over earlier ones."""
        for name, value in settings.items():
            self.add(name, value, (*where, name))

    def add(self, name: str, value: Any, place: ConfigPath) -> None:
        """Adds one setting."""
        self._values[name] = value
        self._places[name] = place

    def add_variant(self, variant: Variant, where: ConfigPath) -> None:
        """Adds the varied settings of the entry at `where`."""
        for name, value in variant.settings.items():
            self.add(name, value, (*where, *variant.places[name]))

    def validate(self, model: type[AnyConfig], shown: str, where: ConfigPath) -> AnyConfig:
        """The complete settings, by their class; `shown` and `where` name the entry."""
        try:
            return model.model_validate(self._values)
        except pydantic.ValidationError as error:
            problem = explain_validation(error, model)
            if not problem.path:
                raise ConfigError(where, f"{shown}: {problem.reason}") from None
            name = problem.path[0]
            place = self._places.get(str(name), (*where, "with", name))
            reason = problem.reason
            if place[:2] == ("defaults", "agent") and name not in model.model_fields:
                reason += f" ({shown} has none; what only some agents have goes under their `with`)"
            raise ConfigError((*place, *problem.path[1:]), reason) from None


def resolve_settings(sweep: Sweep, i: int, j: int, variant: Variant) -> Config:
    """The complete settings of a variant in an environment, by the agent's own class."""
    agent, overrides = sweep.agents[j], sweep.environments[i].agents
    layers = SettingsLayers()
    layers.add_mapping(sweep.defaults.agent, ("defaults", "agent"))
    layers.add_mapping(agent.fixed, ("agents", j, "with"))
    layers.add_variant(variant, ("agents", j))
    for key in dict.fromkeys((agent.name, agent.display_name)):
        if agent in matching_agents(sweep, key):
            layers.add_mapping(overrides.get(key, {}), ("environments", i, "agents", key))
    module = registry.agents.load(agent.name)
    if hasattr(module, "check"):
        _checked_by(module.check, ("agents", j))
    return layers.validate(module.Hyperparameters, agent.display_name, ("agents", j))


def matching_agents(sweep: Sweep, key: str) -> list[AgentEntry]:
    """The entries that an environment's `agents` key means: one label's, else all of one name."""
    labelled = [agent for agent in sweep.agents if agent.display_name == key]
    return labelled or [agent for agent in sweep.agents if agent.name == key]


def check_overrides(sweep: Sweep, environment: EnvironmentEntry, place: ConfigPath) -> None:
    """Refuses overrides of an agent that is not there, or of a setting that varies."""
    for key, settings in environment.agents.items():
        meant = matching_agents(sweep, key)
        if not meant:
            near = did_you_mean(brief(key), {a.display_name for a in sweep.agents})
            raise ConfigError((*place, key), f"no agent of this sweep has this label{near}")
        for name in settings:
            if any(name in agent.varied_settings for agent in meant):
                raise ConfigError(
                    (*place, key, name), "the agent varies it by grid or random; keep one"
                )


def resolve_options(
    suite: ModuleType, environment: EnvironmentChoice, place: ConfigPath
) -> dict[str, Any]:
    """The complete options of an environment, by the suite's own class."""
    try:
        options = suite.Options.model_validate(environment.options)
    except pydantic.ValidationError as error:
        problem = explain_validation(error, suite.Options)
        raise ConfigError((*place, *problem.path), problem.reason) from None
    if hasattr(suite, "check"):
        _checked_by(lambda: suite.check(environment.name, options), place)
    return options.model_dump()


def _checked_by(check: Callable[[], None], place: ConfigPath) -> None:
    try:
        check()
    except UserError as error:
        raise ConfigError(place, str(error)) from None


def merge_configs(place: ConfigPath, *layers: AnyConfig) -> AnyConfig:
    """One configuration from what each layer states, the last winning."""
    values = {name: getattr(layer, name) for layer in layers for name in layer.model_fields_set}
    model = type(layers[0])
    try:
        return model(**values)
    except pydantic.ValidationError as error:
        problem = explain_validation(error, model)
        raise ConfigError((*place, *problem.path), problem.reason) from None


@dataclass(frozen=True)
class Cell:
    """One run: environment x agent x settings x seed.

    Attributes:
      sweep: name of the sweep.
      env: label of the environment.
      env_name: its name in the registry, such as `brax/ant`.
      env_options: the suite's options, complete.
      wrappers: what is put around the environment.
      threshold: return that counts as solved, if the sweep states one.
      agent: the agent's name in the registry.
      label: unique a variant.
      settings: the agent's settings, complete.
      policy: network and action head.
      evaluation: how the unperturbed policy is evaluated.
      budget: when the run ends.
      seed: of the run's keys.
      run_id: 16 hex digits, a hash of everything that determines the numbers.
      group: key of the group the cell is in.
    """

    sweep: str
    env: str
    env_name: str
    env_options: dict[str, Any] = field(hash=False)
    wrappers: WrapperConfig
    threshold: float | None
    agent: str
    label: str
    settings: dict[str, Any] = field(hash=False)
    policy: PolicyConfig
    evaluation: EvaluationConfig
    budget: Budget
    seed: int
    run_id: str
    group: str

    @property
    def config(self) -> Config:
        """The settings as the agent's own class."""
        return registry.agents.load(self.agent).Hyperparameters(**self.settings)

    @property
    def options(self) -> Config:
        """The environment's options as the suite's own class."""
        return registry.environment_suite(self.env_name).Options(**self.env_options)


@dataclass(frozen=True)
class Group:
    """Cells that share one compiled program, in the order of the sweep.

    They differ in seed and traced settings only. A group is fixed by the sweep file alone, never by
    what is still missing: it is the unit of claiming, checkpoint, shard and restart.

    Attributes:
      key: 16 hex digits, a hash of what the cells share and of the environment's label.
      cells: never empty.
    """

    key: str
    cells: tuple[Cell, ...]

    @property
    def label(self) -> str:
        """Environment and agent, with the number of cells: for people."""
        first = self.cells[0]
        labels = {cell.label for cell in self.cells}
        agent = first.label if len(labels) == 1 else f"{first.agent} x{len(labels)}"
        return f"{first.env} / {agent}"


def expand_cells(sweep: Sweep) -> tuple[Cell, ...]:
    """Every cell: environments and agents as listed, then variants, then seeds.

    Variants come in the order of `rl_es.sweep.variants`: the grid's last key fastest, and random
    samples inside a grid point.

    Raises:
      UserError: values that do not fit together; `check` finds the same.
    """
    return tuple(_cells(sweep, sweep.seeds))


def check_sweep(sweep: Sweep) -> None:
    """Checks how the values of a sweep fit together, with one seed.

    Raises:
      ConfigError: the first value that does not fit.
    """
    check_cell_count(sweep)
    for record in sweep.tuning:
        if both := sorted({*sweep.seeds} & {*record.seeds}):
            told = ", ".join(map(str, both[:5])) + (", ..." if len(both) > 5 else "")
            raise ConfigError(
                ("seeds",),
                f"tuning seeds and test seeds must be disjoint; '{record.name}' tuned with {told}",
            )
    labels: set[str] = set()
    for j, agent in enumerate(sweep.agents):
        for variant in expand_variants(agent):
            if variant.label in labels:
                raise ConfigError(
                    ("agents", j), f"label '{variant.label}' is used twice; give another"
                )
            labels.add(variant.label)
    runs: dict[str, str] = {}
    for cell in _cells(sweep, sweep.seeds[:1]):
        name = f"{cell.env} / {cell.label}"
        if cell.run_id in runs:
            raise ConfigError(
                (), f"two runs are the same: '{runs[cell.run_id]}' and '{name}'; remove one"
            )
        runs[cell.run_id] = name


def check_cell_count(sweep: Sweep) -> None:
    """Refuses more cells than fit; nothing is built.

    Raises:
      ConfigError: says how many there are.
    """
    total = len(sweep.environments) * len(sweep.seeds) * sum(map(count_variants, sweep.agents))
    if total > MAX_CELLS:
        raise ConfigError((), f"has {total:,} cells; at most {MAX_CELLS:,} fit")


def group_cells(cells: tuple[Cell, ...]) -> tuple[Group, ...]:
    """The groups of a sweep's cells, in order of their first cell."""
    members: dict[str, list[Cell]] = {}
    for cell in cells:
        members.setdefault(cell.group, []).append(cell)
    return tuple(Group(key, tuple(inside)) for key, inside in members.items())


def _cells(sweep: Sweep, seeds: tuple[int, ...]) -> Iterator[Cell]:
    chosen = [tuple(expand_variants(agent)) for agent in sweep.agents]
    for i, environment in enumerate(sweep.environments):
        place: ConfigPath = ("environments", i)
        check_overrides(sweep, environment, (*place, "agents"))
        own = environment_identity(environment, place)
        budget = environment.budget or sweep.defaults.budget
        if budget is None:
            raise ConfigError(place, "has no budget; add defaults: {budget: {env_steps: 1e6}}")
        evaluation = merge_configs(
            (*place, "evaluation"), sweep.defaults.evaluation, environment.evaluation
        )
        for j, agent in enumerate(sweep.agents):
            policy = merge_configs(
                ("agents", j, "policy"), sweep.defaults.policy, environment.policy, agent.policy
            )
            for variant in chosen[j]:
                config = resolve_settings(sweep, i, j, variant)
                fixed, _ = split_traced(config)
                common = {
                    "environment": own,
                    "agent": agent.name,
                    "numerics": registry.agents.load(agent.name).NUMERICS,
                    "policy": policy.identity(),
                    "evaluation_episodes": evaluation.episodes,
                }
                settings = config.model_dump()
                group = digest({**common, "label": environment.display_name, "settings": fixed})
                configuration = digest({**common, "settings": settings})
                for seed in seeds:
                    yield Cell(
                        sweep=sweep.name,
                        env=environment.display_name,
                        env_name=environment.name,
                        env_options=own["options"],
                        wrappers=environment.wrappers,
                        threshold=environment.threshold,
                        agent=agent.name,
                        label=variant.label,
                        settings=settings,
                        policy=policy,
                        evaluation=evaluation,
                        budget=budget,
                        seed=seed,
                        run_id=digest([configuration, seed]),
                        group=group,
                    )


def environment_identity(environment: EnvironmentChoice, place: ConfigPath) -> dict[str, Any]:
    """What of an environment determines numbers, as JSON; `place` is that of its entry.

    Raises:
      ConfigError: its options do not fit.
    """
    suite = registry.environment_suite(environment.name)
    return {
        "name": environment.name,
        "options": resolve_options(suite, environment, (*place, "options")),
        "wrappers": environment.wrappers.model_dump(mode="json"),
        "numerics": suite.NUMERICS,
    }


def digest(content: Any) -> str:
    """16 hex digits of the SHA-256 of canonical JSON: sorted keys, shortest numbers, no spaces."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Shard:
    """Every n-th group, from the i-th on: 0 <= i < n. It is fixed by the sweep file alone."""

    index: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether what is run once for a sweep, beside its groups, is this one's to run."""
        return self.index == 0

    def of(self, groups: Sequence[Group]) -> tuple[Group, ...]:
        """Its groups, in order."""
        return tuple(groups[self.index :: self.count])

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


ALL_GROUPS = Shard()


def parse_shard(text: str) -> Shard:
    """Reads 'i/n'.

    Raises:
      UserError: it is none.
    """
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    index, count = map(int, found.groups()) if found else (0, 0)
    if not index < count:
        raise UserError(
            f"--shard: must be I/N with I from 0 to N - 1, such as 0/4; is '{brief(text)}'"
        )
    return Shard(index, count)
