"""The workloads of a speed file: every combination of its axes."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rl_es import registry
from rl_es.places import Problem
from rl_es.rollout.config import PolicyConfig
from rl_es.speed import contestants as entered
from rl_es.speed.contestants import Contestant
from rl_es.speed.schema import Benchmark, Horizon
from rl_es.sweep import resolving
from rl_es.sweep.cells import digest
from rl_es.sweep.entries import World
from rl_es.sweep.variants import count

MOST_PROGRAMS = 100_000


@dataclass(frozen=True, eq=False)
class Workload:
    """What all contestants run: one environment, network, population and number of steps.

    Attributes:
      key: 16 hex digits, a hash of everything that is measured and how.
      world: the environment's entry.
      options: of its suite, complete.
      policy: network and head.
      population: members (P).
      episodes: whole episodes a member and generation (E).
      horizon: `full` or `natural`.
      contestants: in the file's order.
    """

    key: str
    world: World
    options: dict[str, Any]
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
            "env": self.world.shown,
            "widths": "x".join(map(str, self.policy.widths)),
            "population": self.population,
            "episodes": self.episodes,
            "horizon": self.horizon,
        }

    @property
    def label(self) -> str:
        """For people, on one line."""
        widths = " x ".join(map(str, self.policy.widths)) or "no hidden layer"
        return (
            f"{self.world.shown}, {widths}, P = {self.population}, E = {self.episodes}, "
            f"{self.horizon} horizon"
        )


def workloads(benchmark: Benchmark) -> tuple[Workload, ...]:
    """Every combination of the axes, the last fastest.

    Raises:
      Problem: values that do not fit together.
    """
    return tuple(_workloads(benchmark))


def check(benchmark: Benchmark) -> None:
    """Checks how the values of a speed file fit together.

    Raises:
      Problem: the first value that does not fit.
    """
    if "widths" in benchmark.policy.model_fields_set:
        raise Problem(("policy", "widths"), "the workloads state them; see workloads.widths")
    _check_size(benchmark)
    entered.check(benchmark)
    seen: dict[str, str] = {}
    for workload in _workloads(benchmark):
        if workload.key in seen:
            raise Problem(("workloads",), f"two are the same: {workload.label}; remove one")
        seen[workload.key] = workload.label


def _check_size(benchmark: Benchmark) -> None:
    axes = (getattr(benchmark.workloads, name) for name in type(benchmark.workloads).model_fields)
    total = math.prod(map(len, axes)) * sum(map(count, benchmark.contestants))
    if total > MOST_PROGRAMS:
        raise Problem((), f"has {total:,} contestants in workloads; at most {MOST_PROGRAMS:,} fit")


def _workloads(benchmark: Benchmark) -> Iterator[Workload]:
    axes = benchmark.workloads
    how = benchmark.model_dump(include={"rounds", "min_seconds", "compile", "parts"})
    runners = {
        (i, j, horizon): tuple(entered.contestants(benchmark, i, j, horizon))
        for i in range(len(axes.populations))
        for j in range(len(axes.episodes))
        for horizon in axes.horizons
    }
    for e, world in enumerate(axes.environments):
        suite = registry.environment_suite(world.name)
        place = ("workloads", "environments", e, "options")
        options = resolving.options(suite, world, place)
        environment = {
            "name": world.name,
            "options": options,
            "wrappers": world.wrappers.model_dump(mode="json"),
            "numerics": suite.NUMERICS,
        }
        sizes = itertools.product(
            axes.widths, enumerate(axes.populations), enumerate(axes.episodes), axes.horizons
        )
        for widths, (i, population), (j, episodes), horizon in sizes:
            policy = benchmark.policy.model_copy(update={"widths": widths})
            content = {
                "how": how,
                "environment": environment,
                "label": world.shown,
                "policy": policy.identity(),
                "population": population,
                "episodes": episodes,
                "horizon": horizon,
                "contestants": [one.identity for one in runners[i, j, horizon]],
            }
            yield Workload(
                key=digest(content),
                world=world,
                options=options,
                policy=policy,
                population=population,
                episodes=episodes,
                horizon=horizon,
                contestants=runners[i, j, horizon],
            )
