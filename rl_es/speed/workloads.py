"""Loads a speed file, and expands it into workloads and their contestants.

A workload is one combination of the file's axes: environment, network, population, episodes and
horizon. Its contestants have complete settings. Those of an agent come from, weakest first: its own
defaults, the file's `agent`, its `with`, its `grid` and `random`; population and episodes are the
workload's. A peer takes from `agent` the settings that it has.

A workload's key is a hash of everything that is measured and how. It names the workload's results.
"""

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_es import registry
from rl_es.config import Config
from rl_es.errors import ConfigError, ConfigPath
from rl_es.rollout.config import PolicyConfig, Precision
from rl_es.speed import peers
from rl_es.speed.schema import BARE, EVOSAX, FLOORS, PEERS, Benchmark, ContestantEntry, Horizon
from rl_es.sweep.cells import SettingsLayers, digest, environment_identity, resolve_options
from rl_es.sweep.loading import override, refuse_other_kind, validate_document
from rl_es.sweep.schema import EnvironmentChoice
from rl_es.sweep.variants import Variant, count_variants, expand_variants
from rl_es.sweep.yaml_reader import Document, read_yaml

MAX_PROGRAMS = 100_000
MEMBERS_PER_KEY = 128  # members of a block of antithetic pairs, `rl_es.evolution.perturbation`
_WORKLOAD_AXES = {"population": "populations", "episodes": "episodes"}  # by an agent's setting


@dataclass(frozen=True)
class Contestant:
    """A floor, a peer or an agent that is timed.

    Attributes:
      label: unique in the file.
      name: `bare`, `inference`, `evosax` or the agent's name in the registry.
      config: its settings; None for a floor, which has none.
      up_to: the largest population that it is run with; None for any.
      numerics: the `NUMERICS` of the agent's file, raised by hand when the agent's numbers change.
      horizon: `full` or `natural`.
      precision: of the network's products, instead of the workload's; None for that.
      devices: number of devices that share its population.
      chunks: number of chunks in which each device evaluates its part.
      lanes: number of runs that share a call.
    """

    label: str
    name: str
    config: Config | None
    up_to: int | None
    numerics: int
    horizon: Horizon
    precision: Precision | None
    devices: int
    chunks: int
    lanes: int

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that determines what is timed, as JSON."""
        settings = {} if self.config is None else self.config.identity()
        precision = {} if self.precision is None else {"precision": self.precision}
        return {"label": self.label, "name": self.name, "settings": settings,
                "up_to": self.up_to, "numerics": self.numerics, "horizon": self.horizon,
                "devices": self.devices, "chunks": self.chunks, "lanes": self.lanes,
                **precision}  # fmt: skip

    @property
    def is_spread(self) -> bool:
        """Whether it has more than one device, chunk or lane."""
        return (self.devices, self.chunks, self.lanes) != (1, 1, 1)


def expand_contestants(
    benchmark: Benchmark, i: int, j: int, horizon: Horizon
) -> Iterator[Contestant]:
    """Yields the contestants of the i-th population and j-th episodes, in the file's order.

    Raises:
      ConfigError: some settings do not fit.
    """
    for k, entry in enumerate(benchmark.contestants):
        for variant in expand_variants(entry):
            config = None if entry.name in FLOORS else _settings(benchmark, i, j, k, variant)
            is_agent = entry.name not in FLOORS and entry.name not in PEERS
            numerics = registry.agents.load(entry.name).NUMERICS if is_agent else 1
            yield Contestant(
                variant.label,
                entry.name,
                config,
                entry.up_to,
                numerics,
                horizon=entry.horizon or horizon,
                precision=entry.precision,
                devices=entry.devices,
                chunks=entry.chunks,
                lanes=entry.lanes,
            )


def check_contestants(benchmark: Benchmark) -> None:
    """Checks the contestants, as far as this needs no workload.

    Raises:
      ConfigError: the first thing that is wrong.
    """
    _refuse_sizes(benchmark.agent, ("agent",))
    labels: set[str] = set()
    for k, entry in enumerate(benchmark.contestants):
        path: ConfigPath = ("contestants", k)
        _check_floor(entry, path)
        for key, settings in (("with", entry.fixed), ("grid", entry.grid)):
            _refuse_sizes(settings, (*path, key))
        if entry.random:
            _refuse_sizes(entry.random.settings, (*path, "random"))
        _check_peer(entry, path)
        _check_parts(benchmark, entry, path)
        if entry.name == EVOSAX and benchmark.policy.normalise_observations:
            raise ConfigError(path, "runs without policy.normalise_observations; leave one out")
        for variant in expand_variants(entry):
            if variant.label in labels:
                raise ConfigError(path, f"label '{variant.label}' is used twice; give another")
            labels.add(variant.label)


def _check_floor(entry: ContestantEntry, path: ConfigPath) -> None:
    """Refuses settings of a floor."""
    if entry.name not in FLOORS:
        return
    for key, settings in (("with", entry.fixed), ("grid", entry.grid), ("random", entry.random)):
        if settings:
            raise ConfigError((*path, key), f"{entry.name} is no agent, it has no settings")
    if entry.name == BARE and entry.precision is not None:
        raise ConfigError((*path, "precision"), f"{entry.name} has no network; leave it out")


def _refuse_sizes(settings: Any, path: ConfigPath) -> None:
    """Refuses settings that are axes of the workloads."""
    for name, axis in _WORKLOAD_AXES.items():
        if name in settings:
            raise ConfigError(
                (*path, name), f"every contestant has the workload's; see workloads.{axis}"
            )


def _check_peer(entry: ContestantEntry, path: ConfigPath) -> None:
    """Refuses devices, chunks and lanes of a peer."""
    for key in ("devices", "chunks", "lanes"):
        if entry.name in PEERS and getattr(entry, key) != 1:
            raise ConfigError((*path, key), f"{entry.name} runs alone, at once, on one device")


def _check_parts(benchmark: Benchmark, entry: ContestantEntry, path: ConfigPath) -> None:
    """Refuses devices and chunks that do not hold whole blocks of pairs."""
    parts = entry.devices * entry.chunks
    for population in benchmark.workloads.populations:
        run = entry.up_to is None or population <= entry.up_to
        if run and parts > 1 and population % (parts * MEMBERS_PER_KEY):
            raise ConfigError(
                path,
                f"devices times chunks must divide each population into whole multiples of "
                f"{MEMBERS_PER_KEY} members; {population} / {parts} is none",
            )


def _settings(benchmark: Benchmark, i: int, j: int, k: int, variant: Variant) -> Config:
    """Returns a contestant's complete settings, from its `i`, `j`, `k` in the file."""
    entry = benchmark.contestants[k]
    peer = entry.name in PEERS
    model = peers.PeerSettings if peer else registry.agents.load(entry.name).Hyperparameters
    fields = benchmark.agent.keys() & model.model_fields.keys() if peer else benchmark.agent
    layers = SettingsLayers()
    layers.add_mapping({n: v for n, v in benchmark.agent.items() if n in fields}, ("agent",))
    layers.add_mapping(entry.fixed, ("contestants", k, "with"))
    layers.add_variant(variant, ("contestants", k))
    for name, position in (("population", i), ("episodes", j)):
        axis = _WORKLOAD_AXES[name]
        if name in model.model_fields:
            value = getattr(benchmark.workloads, axis)[position]
            layers.add(name, value, ("workloads", axis, position))
    return layers.validate(model, entry.display_name, ("contestants", k))


@dataclass(frozen=True, eq=False)
class Workload:
    """One environment, network, population and number of steps that all contestants run.

    Attributes:
      key: 16 hex digits, a hash of everything that is measured and how.
      environment: the environment's entry in the file.
      options: complete options of its suite.
      policy: network and head.
      population: number of members (P).
      episodes: number of whole episodes a member and generation (E).
      horizon: `full` or `natural`.
      contestants: in the file's order.
    """

    key: str
    environment: EnvironmentChoice
    options: Config
    policy: PolicyConfig
    population: int
    episodes: int
    horizon: Horizon
    contestants: tuple[Contestant, ...]

    @property
    def columns(self) -> dict[str, Any]:
        """The `timings.WORKLOAD` columns that are known before the environment is made."""
        return {
            "workload": self.key,
            "env": self.environment.display_name,
            "widths": "x".join(map(str, self.policy.widths)),
            "population": self.population,
            "episodes": self.episodes,
            "horizon": self.horizon,
        }

    @property
    def label(self) -> str:
        """One line for people."""
        widths = " x ".join(map(str, self.policy.widths)) or "no hidden layer"
        return (
            f"{self.environment.display_name}, {widths}, P = {self.population}, "
            f"E = {self.episodes}, {self.horizon} horizon"
        )


def expand_workloads(benchmark: Benchmark) -> tuple[Workload, ...]:
    """Returns every combination of the axes, the last axis fastest.

    Raises:
      ConfigError: values that do not fit together.
    """
    return tuple(_workloads(benchmark))


def check_benchmark(benchmark: Benchmark) -> None:
    """Checks that the values of a speed file fit together.

    Raises:
      ConfigError: the first value that does not fit.
    """
    if "widths" in benchmark.policy.model_fields_set:
        raise ConfigError(("policy", "widths"), "the workloads state them; see workloads.widths")
    _check_size(benchmark)
    check_contestants(benchmark)
    keys: set[str] = set()
    for workload in _workloads(benchmark):
        if workload.key in keys:
            raise ConfigError(("workloads",), f"two are the same: {workload.label}; remove one")
        keys.add(workload.key)


def _check_size(benchmark: Benchmark) -> None:
    axes = (getattr(benchmark.workloads, name) for name in type(benchmark.workloads).model_fields)
    total = math.prod(map(len, axes)) * sum(map(count_variants, benchmark.contestants))
    if total > MAX_PROGRAMS:
        raise ConfigError(
            (), f"has {total:,} contestants in workloads; at most {MAX_PROGRAMS:,} fit"
        )


def _workloads(benchmark: Benchmark) -> Iterator[Workload]:
    axes = benchmark.workloads
    measurement = benchmark.model_dump(include={"rounds", "min_seconds", "compile", "parts"})
    contestants = {
        (i, j, horizon): tuple(expand_contestants(benchmark, i, j, horizon))
        for i in range(len(axes.populations))
        for j in range(len(axes.episodes))
        for horizon in axes.horizons
    }
    for e, entry in enumerate(axes.environments):
        options = resolve_options(entry, ("workloads", "environments", e, "options"))
        environment = environment_identity(entry, options)
        sizes = itertools.product(
            axes.widths, enumerate(axes.populations), enumerate(axes.episodes), axes.horizons
        )
        for widths, (i, population), (j, episodes), horizon in sizes:
            policy = benchmark.policy.model_copy(update={"widths": widths})
            content = {
                "how": measurement,
                "environment": environment,
                "label": entry.display_name,
                "policy": policy.identity(),
                "population": population,
                "episodes": episodes,
                "horizon": horizon,
                "contestants": [contestant.identity for contestant in contestants[i, j, horizon]],
            }
            yield Workload(
                key=digest(content),
                environment=entry,
                options=options,
                policy=policy,
                population=population,
                episodes=episodes,
                horizon=horizon,
                contestants=contestants[i, j, horizon],
            )


def load_benchmark(path: Path, assignments: Iterable[str] = ()) -> Benchmark:
    """Reads a speed file, sets what `assignments` say, and validates it.

    Raises:
      UserError: the first thing that is wrong, with its place in the file.
    """
    document = read_yaml(path)
    override(document, assignments, sweep_wide_keys={})
    return validate_benchmark(document)


def validate_benchmark(document: Document) -> Benchmark:
    """Validates a document as a speed file.

    Raises:
      UserError: the first thing that is wrong, with its place in the file.
    """
    refuse_other_kind(document, ("environments", "agents"), "a sweep; `run` takes it")
    return validate_document(document, Benchmark, check_benchmark)
