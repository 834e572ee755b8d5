"""Small sweeps of real environments and agents, and what several tests of running them need.

Four groups of four runs, some seconds each with their programs in the cache. Budgets are mostly
generations, so that evaluation points coincide.
"""

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import envs.gymnax
from rl_es import tables
from rl_es.interfaces import Transition
from rl_es.sweep import execution
from rl_es.sweep.cells import Cell
from rl_es.sweep.loading import checked
from rl_es.sweep.overriding import override
from rl_es.sweep.placing import Resources
from rl_es.sweep.reading import parse
from rl_es.sweep.schema import Sweep
from rl_es.training import task

TEXT = """
name: tiny
seeds: 2
defaults:
  budget: {generations: 4}
  evaluation: {points: 2, episodes: 4}
  policy: {widths: [8]}
  agent: {population: 16}
environments:
  - {name: CartPole-v1, episode_length: 30, threshold: 1}
  - {name: Pendulum-v1, episode_length: 20}
agents:
  - {name: eggroll, grid: {lr: [0.05, 0.01]}}
  - {name: pes, with: {window: 10}, grid: {lr: [0.05, 0.01]}}
"""
ONE = """
name: one
seeds: 2
defaults:
  budget: {generations: 6}
  evaluation: {points: 3, episodes: 4}
  policy: {widths: [8]}
environments: [{name: CartPole-v1, episode_length: 30}]
agents: [{name: eggroll, with: {population: 16}}]
"""
PERSISTENT = ("agents=[{name: pes, with: {population: 16, window: 10}}]",)
LASTING = {  # what strategies remember of their pairs, in each form
    "eggroll": (),
    "pes": PERSISTENT,
    "pes list": ("agents=[{name: pes, with: {population: 16, window: 10, rank: 1}}]",),
    "pes keys": (
        "agents=[{name: pes, with: {population: 16, window: 10, rank: 1, accumulator: keys}}]",
    ),
    "nres": ("agents=[{name: nres, with: {population: 16, window: 10, staggered: true}}]",),
    "nres rank 1": ("agents=[{name: nres, with: {population: 16, window: 10, rank: 1}}]",),
    "truncated_es": ("agents=[{name: truncated_es, with: {population: 16, window: 10}}]",),
}


class Silent:
    """Progress that calls a function where a cell reports."""

    def __init__(self, running: Callable[..., None] | None = None):
        self.said: list[tuple[Any, ...]] = []
        self._running = running

    def running(self, *report: Any) -> None:
        self.said.append(("running", *report))
        if self._running is not None:
            self._running(*report)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *report: self.said.append((name, *report))


def made(text: str = TEXT, *assignments: str) -> Sweep:
    document = parse(text, "tiny.yaml")
    override(document, assignments)
    return checked(document)


def ran(
    folder: Path,
    sweep: Sweep,
    lanes: int | None = 1,
    code: int = 0,
    resources: Mapping[str, int] | None = None,
    retry: bool = False,
    **progress: Any,
) -> Path:
    asked = Resources(lanes=lanes, **(resources or {}))
    assert execution.run(sweep, folder, Silent(**progress), asked, retry_failed=retry) == code
    return folder


def same(one: Path, other: Path) -> None:
    """The tables are equal bit for bit, timing aside."""
    for left, right in zip(tables.load(one), tables.load(other), strict=True):
        pd.testing.assert_frame_equal(untimed(left), untimed(right), check_exact=True)


def untimed(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns=[name for name in tables.TIMING if name in table])


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in tables.cell_paths(folder)}


def interrupt_at(seed: int, fraction: float) -> Callable[..., None]:
    def running(cell: Cell, done: float, *rest: Any) -> None:
        if cell.seed == seed and done >= fraction:
            os.kill(os.getpid(), signal.SIGINT)

    return running


class Broken:
    """An environment whose step cannot be traced."""

    def __init__(self, env: Any):
        self.env, self.spec = env, env.spec

    def reset(self, key: Any) -> Any:
        return self.env.reset(key)

    def step(self, key: Any, state: Any, action: Any) -> Transition:
        raise ZeroDivisionError("the pole\nis missing")


@contextmanager
def broken_cartpole() -> Iterator[None]:
    make = envs.gymnax.make

    def sometimes(name: str, options: Any) -> Any:
        env = make(name, options)
        return Broken(env) if name.startswith("CartPole") else env

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(envs.gymnax, "make", sometimes)
        task.forget()
        yield
    task.forget()
