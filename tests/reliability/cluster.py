"""A sweep on a Ray cluster of two nodes: a worker is killed, and a node removed, while it runs."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from rl_es import tables
from rl_es.sweep import execution, on_ray
from rl_es.sweep.loading import checked
from rl_es.sweep.placing import Resources
from rl_es.sweep.reading import parse

SWEEP = """
name: cluster
seeds: 2
defaults:
  budget: {generations: 2000}
  evaluation: {points: 5, episodes: 8}
  policy: {widths: [16]}
  agent: {population: 128}
environments:
  - {name: CartPole-v1, episode_length: 100}
  - {name: Pendulum-v1, episode_length: 50}
agents: [open_es, eggroll, {name: pes, with: {window: 25}}]
"""


class Breaking:
    """A `Progress` that kills a worker at the first report, and later removes a node."""

    def __init__(self, cluster: Any, node: Any):
        self.said: list[tuple[Any, ...]] = []
        self._cluster, self._node, self._reports = cluster, node, 0
        self.killed = self.removed = 0

    def running(self, *about: Any) -> None:
        """Breaks something."""
        self._reports += 1
        if self._reports == 3:
            os.kill(next(tasks()), signal.SIGKILL)
            self.killed += 1
        if self._reports >= 8 and not self.removed:
            self._cluster.remove_node(self._node, allow_graceful=False)
            self.removed += 1

    def __getattr__(self, name: str) -> Any:
        return lambda *about: self.said.append((name, *about))


def tasks() -> Iterator[int]:
    """Process ids of tasks that run a group on this machine."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if line.startswith(b"ray::run_group"):
            yield int(folder.name)


def trial(folder: Path) -> tuple[Breaking, list[str]]:
    """Runs the sweep here and on the cluster; returns what happened, and what is wrong."""
    from ray.cluster_utils import Cluster

    sweep = checked(parse(SWEEP, "cluster"))
    one = Resources(lanes=1, checkpoint_seconds=1.0)
    whole = folder / "here"
    execution.run(sweep, whole, _Silent(), one)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    node = cluster.add_node(num_cpus=1)
    breaking = Breaking(cluster, node)
    try:
        crew = on_ray.crew(on_ray.Cluster(cluster.address, cpus=1.0))
        code = execution.run(sweep, folder / "ray", breaking, one, crew=crew)
    finally:
        cluster.shutdown()
    wrong = [f"exit code {code}"] if code else []
    return breaking, wrong + list(differences(whole, folder / "ray"))


def differences(whole: Path, other: Path) -> Iterator[str]:
    """How tables differ by more than rounding, timing aside."""
    names = ("curves", "runs")
    for name, left, right in zip(names, tables.load(whole), tables.load(other), strict=True):
        keep = [column for column in left if column not in tables.TIMING]
        try:
            pd.testing.assert_frame_equal(left[keep], right[keep], rtol=1e-4, atol=1e-5)
        except AssertionError as error:
            yield f"{name}: {' '.join(str(error).split())[:200]}"


class _Silent:
    def __getattr__(self, name: str) -> Any:
        return lambda *about: None
