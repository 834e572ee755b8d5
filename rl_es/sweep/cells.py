"""A sweep's cells, one run each, and the groups of cells that share a compiled program.

Settings, weakest first: the agent's own defaults, `defaults.agent`, the agent's `with`, its `grid`
and `random`, the environment's `agents`. A policy, key by key: `PolicyConfig`, `defaults.policy`,
the environment's `policy`, the agent's `policy`. Evaluation, key by key: `defaults.evaluation`, the
environment's. A budget is taken whole: the environment's, else the default.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rl_es import registry
from rl_es.config import Config, split
from rl_es.places import Place, Problem
from rl_es.rollout.config import EvaluationConfig, PolicyConfig, WrapperConfig
from rl_es.sweep import resolving
from rl_es.sweep.entries import World
from rl_es.sweep.fields import MAX_CELLS
from rl_es.sweep.schema import Budget, Sweep
from rl_es.sweep.variants import count, variants


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


def cells(sweep: Sweep) -> tuple[Cell, ...]:
    """Every cell: environments and agents as listed, then variants, then seeds.

    Variants come in the order of `rl_es.sweep.variants`: the grid's last key fastest, and random
    samples inside a grid point.

    Raises:
      UserError: values that do not fit together; `check` finds the same.
    """
    return tuple(_cells(sweep, sweep.seeds))


def check(sweep: Sweep) -> None:
    """Checks how the values of a sweep fit together, with one seed.

    Raises:
      Problem: the first value that does not fit.
    """
    check_size(sweep)
    for record in sweep.tuning:
        if both := sorted({*sweep.seeds} & {*record.seeds}):
            told = ", ".join(map(str, both[:5])) + (", ..." if len(both) > 5 else "")
            raise Problem(
                ("seeds",),
                f"tuning seeds and test seeds must be disjoint; '{record.name}' tuned with {told}",
            )
    labels: set[str] = set()
    for j, agent in enumerate(sweep.agents):
        for variant in variants(agent):
            if variant.label in labels:
                raise Problem(("agents", j), f"label '{variant.label}' is used twice; give another")
            labels.add(variant.label)
    runs: dict[str, str] = {}
    for cell in _cells(sweep, sweep.seeds[:1]):
        name = f"{cell.env} / {cell.label}"
        if cell.run_id in runs:
            raise Problem(
                (), f"two runs are the same: '{runs[cell.run_id]}' and '{name}'; remove one"
            )
        runs[cell.run_id] = name


def check_size(sweep: Sweep) -> None:
    """Refuses more cells than fit; nothing is built.

    Raises:
      Problem: says how many there are.
    """
    total = len(sweep.environments) * len(sweep.seeds) * sum(map(count, sweep.agents))
    if total > MAX_CELLS:
        raise Problem((), f"has {total:,} cells; at most {MAX_CELLS:,} fit")


def groups(cells: tuple[Cell, ...]) -> tuple[Group, ...]:
    """The groups of a sweep's cells, in order of their first cell."""
    members: dict[str, list[Cell]] = {}
    for cell in cells:
        members.setdefault(cell.group, []).append(cell)
    return tuple(Group(key, tuple(inside)) for key, inside in members.items())


def _cells(sweep: Sweep, seeds: tuple[int, ...]) -> Iterator[Cell]:
    chosen = [tuple(variants(agent)) for agent in sweep.agents]
    for i, environment in enumerate(sweep.environments):
        place: Place = ("environments", i)
        resolving.check_overrides(sweep, environment, (*place, "agents"))
        own = world(environment, place)
        budget = environment.budget or sweep.defaults.budget
        if budget is None:
            raise Problem(place, "has no budget; add defaults: {budget: {env_steps: 1e6}}")
        evaluation = resolving.merged(
            (*place, "evaluation"), sweep.defaults.evaluation, environment.evaluation
        )
        for j, agent in enumerate(sweep.agents):
            policy = resolving.merged(
                ("agents", j, "policy"), sweep.defaults.policy, environment.policy, agent.policy
            )
            for variant in chosen[j]:
                config = resolving.settings(sweep, i, j, variant)
                fixed, _ = split(config)
                common = {
                    "environment": own,
                    "agent": agent.name,
                    "numerics": registry.agents.load(agent.name).NUMERICS,
                    "policy": policy.identity(),
                    "evaluation_episodes": evaluation.episodes,
                }
                settings = config.model_dump()
                group = digest({**common, "label": environment.shown, "settings": fixed})
                configuration = digest({**common, "settings": settings})
                for seed in seeds:
                    yield Cell(
                        sweep=sweep.name,
                        env=environment.shown,
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


def world(environment: World, place: Place) -> dict[str, Any]:
    """What of an environment determines numbers, as JSON; `place` is that of its entry.

    Raises:
      Problem: its options do not fit.
    """
    suite = registry.environment_suite(environment.name)
    return {
        "name": environment.name,
        "options": resolving.options(suite, environment, (*place, "options")),
        "wrappers": environment.wrappers.model_dump(mode="json"),
        "numerics": suite.NUMERICS,
    }


def digest(content: Any) -> str:
    """16 hex digits of the SHA-256 of canonical JSON: sorted keys, shortest numbers, no spaces."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
