"""The cells of a sweep, one run each, and the groups of cells that share a compiled program.

A cell's values come from several levels of the file, weakest first:

- settings: the agent's own defaults, `defaults.agent`, the agent's `with`, its `grid` and `random`,
  the environment's `agents`;
- policy, key by key: `PolicyConfig`, `defaults.policy`, the environment's `policy`, the agent's;
- evaluation, key by key: `defaults.evaluation`, the environment's `evaluation`;
- budget, as one value: `defaults.budget`, the environment's `budget`.

Settings and options are validated here, by the classes of the agent and the suite. A cell carries
the validated objects, and its run id is a hash of their values: whoever runs the cell reads them
and validates nothing.
"""

import hashlib
import json
import re
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pydantic

from rl_es import registry
from rl_es.config import Config, traced_names
from rl_es.errors import ConfigError, ConfigPath, UserError, brief, did_you_mean, explain_validation
from rl_es.results.figure_settings import FigureSettings
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


@dataclass(frozen=True)
class Cell:
    """A run: environment x agent x settings x seed.

    Attributes:
      sweep: name of the sweep.
      env: label of the environment.
      env_name: name of the environment in the registry, such as `brax/ant`.
      options: options of the environment, an instance of the suite's `Options`.
      wrappers: wrappers around the environment.
      threshold: return that counts as solved, if the sweep has one.
      agent: name of the agent in the registry.
      label: label of the variant, unique in the sweep.
      config: settings of the agent, an instance of its `Hyperparameters`.
      policy: network and action head.
      evaluation: how the unperturbed policy is evaluated.
      budget: when the run ends.
      seed: seed of the run's keys.
      run_id: 16 hex digits, a hash of everything that determines the numbers.
      group: key of the cell's group.
      evaluator: key of the program that evaluates it, which agents of equal policies share.
    """

    sweep: str
    env: str
    env_name: str
    options: Config = field(hash=False)
    wrappers: WrapperConfig
    threshold: float | None
    agent: str
    label: str
    config: Config = field(hash=False)
    policy: PolicyConfig
    evaluation: EvaluationConfig
    budget: Budget
    seed: int
    run_id: str
    group: str
    evaluator: str

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the agent as plain values, for files and messages."""
        return self.config.model_dump()

    @property
    def env_options(self) -> dict[str, Any]:
        """The options of the environment as plain values, for files and messages."""
        return self.options.model_dump()


@dataclass(frozen=True)
class Group:
    """Cells that share a compiled program, in the order of the sweep.

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
        """Environment and agent for people, with the number of variants if there are several."""
        first = self.cells[0]
        labels = {cell.label for cell in self.cells}
        agent = first.label if len(labels) == 1 else f"{first.agent} x{len(labels)}"
        return f"{first.env} / {agent}"


def expand_cells(sweep: Sweep) -> tuple[Cell, ...]:
    """Returns every cell: environments and agents as listed, then variants, then seeds.

    Variants come in the order of `rl_es.sweep.variants`: the grid's last key fastest, and random
    samples inside a grid point.

    Raises:
      UserError: values that do not fit together, as in `check_sweep`.
    """
    return tuple(
        replace(cell, seed=seed, run_id=digest([configuration, seed]))
        for configuration, cell in _CONFIGURATIONS.get(id(sweep)) or _resolve(sweep)
        for seed in sweep.seeds
    )


def group_cells(cells: tuple[Cell, ...]) -> tuple[Group, ...]:
    """Returns the groups of a sweep's cells, in the order of their first cells."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.group, []).append(cell)
    return tuple(Group(key, tuple(members)) for key, members in groups.items())


def check_sweep(sweep: Sweep) -> None:
    """Checks how the values of a sweep fit together.

    What it resolves is kept as long as this object, so that `expand_cells` validates nothing again.

    Raises:
      ConfigError: the first value that does not fit.
    """
    check_cell_count(sweep)
    for record in sweep.tuning:
        if common := sorted({*sweep.seeds} & {*record.seeds}):
            seeds = ", ".join(map(str, common[:5])) + (", ..." if len(common) > 5 else "")
            raise ConfigError(
                ("seeds",),
                f"tuning seeds and test seeds must be disjoint; '{record.name}' tuned with {seeds}",
            )
    labels: set[str] = set()
    for j, agent in enumerate(sweep.agents):
        for variant in expand_variants(agent):
            if variant.label in labels:
                raise ConfigError(
                    ("agents", j), f"label '{variant.label}' is used twice; give another"
                )
            labels.add(variant.label)
    _check_figures(sweep, labels)
    configurations: dict[str, Cell] = {}
    for configuration, cell in _resolve(sweep):
        if configuration in configurations:
            first, second = (f"{c.env} / {c.label}" for c in (configurations[configuration], cell))
            raise ConfigError((), f"two runs are the same: '{first}' and '{second}'; remove one")
        configurations[configuration] = cell
    _CONFIGURATIONS[id(sweep)] = tuple(configurations.items())
    weakref.finalize(sweep, _CONFIGURATIONS.pop, id(sweep), None)


def _check_figures(sweep: Sweep, labels: set[str]) -> None:
    """Refuses figures of labels or environments that the sweep does not have.

    Raises:
      ConfigError: names the first of them.
    """
    settings = sweep.figures
    if not isinstance(settings, FigureSettings):
        return
    environments = {environment.display_name for environment in sweep.environments}
    try:
        settings.check_names(labels, environments, {agent.name for agent in sweep.agents})
    except ConfigError as problem:
        raise ConfigError(("figures", *problem.path), problem.reason) from None


def check_cell_count(sweep: Sweep) -> None:
    """Refuses a sweep of more than `MAX_CELLS` cells, without building them.

    Raises:
      ConfigError: names the number of cells.
    """
    total = len(sweep.environments) * len(sweep.seeds) * sum(map(count_variants, sweep.agents))
    if total > MAX_CELLS:
        raise ConfigError((), f"has {total:,} cells; at most {MAX_CELLS:,} fit")


_CONFIGURATIONS: dict[int, tuple[tuple[str, Cell], ...]] = {}  # of checked sweeps, by id


def _resolve(sweep: Sweep) -> Iterator[tuple[str, Cell]]:
    """Yields the hash of each configuration, and its cell but for the seed and the run id."""
    variants = [tuple(expand_variants(agent)) for agent in sweep.agents]
    configs: dict[tuple[int, int], Config] = {}  # of environments that override nothing
    for i, environment in enumerate(sweep.environments):
        path: ConfigPath = ("environments", i)
        check_overrides(sweep, environment, (*path, "agents"))
        options = resolve_options(environment, (*path, "options"))
        identity = environment_identity(environment, options)
        budget = environment.budget or sweep.defaults.budget
        if budget is None:
            raise ConfigError(path, "has no budget; add defaults: {budget: {env_steps: 1e6}}")
        evaluation = merge_configs(
            (*path, "evaluation"), sweep.defaults.evaluation, environment.evaluation
        )
        for j, agent in enumerate(sweep.agents):
            policy = merge_configs(
                ("agents", j, "policy"), sweep.defaults.policy, environment.policy, agent.policy
            )
            evaluation_content = {
                "environment": identity,
                "policy": policy.identity(),
                "evaluation_episodes": evaluation.episodes,
            }
            evaluator = digest(evaluation_content)
            numerics = registry.agents.load(agent.name).NUMERICS
            common = {**evaluation_content, "agent": agent.name, "numerics": numerics}
            for k, variant in enumerate(variants[j]):
                config = None if environment.agents else configs.get((j, k))
                config = config or resolve_settings(sweep, i, j, variant)
                if not environment.agents:
                    configs[j, k] = config
                settings, traced = config.identity(), traced_names(type(config))
                static_settings = {
                    name: value for name, value in settings.items() if name not in traced
                }
                group = digest(
                    {**common, "label": environment.display_name, "settings": static_settings}
                )
                yield (
                    digest({**common, "settings": settings}),
                    Cell(
                        sweep=sweep.name,
                        env=environment.display_name,
                        env_name=environment.name,
                        options=options,
                        wrappers=environment.wrappers,
                        threshold=environment.threshold,
                        agent=agent.name,
                        label=variant.label,
                        config=config,
                        policy=policy,
                        evaluation=evaluation,
                        budget=budget,
                        seed=-1,
                        run_id="",
                        group=group,
                        evaluator=evaluator,
                    ),
                )


def environment_identity(environment: EnvironmentChoice, options: Config) -> dict[str, Any]:
    """Returns everything of an environment that determines numbers, as JSON.

    Args:
      environment: an entry of a file.
      options: the entry's options, validated.
    """
    data = registry.data_digest(environment.name, options)
    return {
        "name": environment.name,
        "options": options.identity(),
        "wrappers": environment.wrappers.model_dump(mode="json"),
        "numerics": registry.environment_suite(environment.name).NUMERICS,
        **({} if data is None else {"data": data}),
    }


def digest(content: Any) -> str:
    """Returns 16 hex digits of the SHA-256 of canonical JSON: sorted keys, no spaces."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class SettingsLayers:
    """Settings of a variant from several levels of a file, with the path of each of them."""

    def __init__(self) -> None:
        """Starts without settings: the agent's own defaults hold."""
        self._values: dict[str, Any] = {}
        self._paths: dict[str, ConfigPath] = {}

    def add_mapping(self, settings: Mapping[str, Any], path: ConfigPath) -> None:
        """Adds the settings of the mapping at `path`; they replace earlier ones."""
        for name, value in settings.items():
            self.add(name, value, (*path, name))

    def add_variant(self, variant: Variant, path: ConfigPath) -> None:
        """Adds the varied settings of the entry at `path`."""
        for name, value in variant.settings.items():
            self.add(name, value, (*path, *variant.paths[name]))

    def add(self, name: str, value: Any, path: ConfigPath) -> None:
        """Adds the setting at `path`."""
        self._values[name] = value
        self._paths[name] = path

    def validate(self, model: type[AnyConfig], label: str, entry: ConfigPath) -> AnyConfig:
        """Returns the complete settings as an instance of `model`.

        Args:
          model: the agent's `Hyperparameters`.
          label: label of the agent's entry, for messages.
          entry: path of the agent's entry.

        Raises:
          ConfigError: the first setting that does not fit, with its path.
        """
        try:
            return model.model_validate(self._values)
        except pydantic.ValidationError as error:
            problem = explain_validation(error, model)
            if not problem.path:
                raise ConfigError(entry, f"{label}: {problem.reason}") from None
            name = problem.path[0]
            path = self._paths.get(str(name), (*entry, "with", name))
            reason = problem.reason
            if path[:2] == ("defaults", "agent") and name not in model.model_fields:
                reason += f" ({label} has none; what only some agents have goes under their `with`)"
            raise ConfigError((*path, *problem.path[1:]), reason) from None


def resolve_settings(sweep: Sweep, i: int, j: int, variant: Variant) -> Config:
    """Returns the settings of a variant of the j-th agent in the i-th environment.

    Raises:
      ConfigError: the first setting that does not fit.
    """
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
        _call_check(module.check, ("agents", j))
    return layers.validate(module.Hyperparameters, agent.display_name, ("agents", j))


def matching_agents(sweep: Sweep, key: str) -> list[AgentEntry]:
    """Returns the entries that a key of an environment's `agents` refers to.

    These are the entry with this label, or else all entries with this name.
    """
    matches = [agent for agent in sweep.agents if agent.display_name == key]
    return matches or [agent for agent in sweep.agents if agent.name == key]


def check_overrides(sweep: Sweep, environment: EnvironmentEntry, path: ConfigPath) -> None:
    """Refuses overrides of an agent that the sweep lacks, and of a setting that varies.

    Raises:
      ConfigError: the first of them, with its path.
    """
    for key, settings in environment.agents.items():
        agents = matching_agents(sweep, key)
        if not agents:
            hint = did_you_mean(brief(key), {agent.display_name for agent in sweep.agents})
            raise ConfigError((*path, key), f"no agent of this sweep has this label{hint}")
        for name in settings:
            if any(name in agent.varied_settings for agent in agents):
                raise ConfigError(
                    (*path, key, name), "the agent varies it by grid or random; keep one"
                )


def resolve_options(environment: EnvironmentChoice, path: ConfigPath) -> Config:
    """Returns the options of an environment as an instance of its suite's `Options`.

    Args:
      environment: an entry of a file.
      path: path of its `options`.

    Raises:
      ConfigError: the first option that does not fit.
    """
    suite = registry.environment_suite(environment.name)
    try:
        options = suite.Options.model_validate(environment.options)
    except pydantic.ValidationError as error:
        problem = explain_validation(error, suite.Options)
        raise ConfigError((*path, *problem.path), problem.reason) from None
    if hasattr(suite, "check"):
        _call_check(lambda: suite.check(environment.name, options), path)
    return options


def _call_check(check: Callable[[], None], path: ConfigPath) -> None:
    """Calls the check of an agent or a suite, and adds the path to its error."""
    try:
        check()
    except UserError as error:
        raise ConfigError(path, str(error)) from None


def merge_configs(path: ConfigPath, *layers: AnyConfig) -> AnyConfig:
    """Returns one configuration from the keys that each layer sets; later layers win.

    Raises:
      ConfigError: the values do not fit together.
    """
    values = {name: getattr(layer, name) for layer in layers for name in layer.model_fields_set}
    model = type(layers[0])
    try:
        return model(**values)
    except pydantic.ValidationError as error:
        problem = explain_validation(error, model)
        raise ConfigError((*path, *problem.path), problem.reason) from None


@dataclass(frozen=True)
class Shard:
    """Every n-th group, from the i-th on: 0 <= i < n. It is fixed by the sweep file alone.

    Attributes:
      index: i.
      count: n.
    """

    index: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this shard also runs what a sweep runs once, beside its groups."""
        return self.index == 0

    def select(self, groups: Sequence[Group]) -> tuple[Group, ...]:
        """Returns the shard's groups, in order."""
        return tuple(groups[self.index :: self.count])

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


ALL_GROUPS = Shard()


def parse_shard(text: str) -> Shard:
    """Reads 'i/n'.

    Raises:
      UserError: the text is not of this form, or i is not below n.
    """
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    index, count = map(int, match.groups()) if match else (0, 0)
    if not index < count:
        raise UserError(
            f"--shard: must be I/N with I from 0 to N - 1, such as 0/4; is '{brief(text)}'"
        )
    return Shard(index, count)
