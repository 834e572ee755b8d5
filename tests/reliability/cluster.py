"""A sweep on a Ray cluster of two nodes: a worker is killed, and a node removed, while it runs.

And the same sweep in two shards, each with a folder of its own, whose tables are merged.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from rl_es import tables
from rl_es.analysis import merging
from rl_es.sweep import execution, on_ray
from rl_es.sweep.loading import checked
from rl_es.sweep.placing import Resources
from rl_es.sweep.reading import parse
from rl_es.sweep.shards import Shard

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
ONE = Resources(lanes=1, checkpoint_seconds=1.0)


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

    sweep, whole = checked(parse(SWEEP, "cluster")), folder / "here"
    execution.run(sweep, whole, _Silent(), ONE)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    node = cluster.add_node(num_cpus=1)
    breaking = Breaking(cluster, node)
    try:
        crew = on_ray.crew(on_ray.Cluster(cluster.address, cpus=1.0))
        code = execution.run(sweep, folder / "ray", breaking, ONE, crew=crew)
    finally:
        cluster.shutdown()
    wrong = [f"exit code {code}"] if code else []
    return breaking, wrong + list(differences(whole, folder / "ray"))


def in_shards(folder: Path) -> list[str]:
    """Runs the sweep as two shards and merges them; returns what differs from `trial`'s own run."""
    sweep, parts = checked(parse(SWEEP, "cluster")), [folder / "shard0", folder / "shard1"]
    codes = [
        execution.run(sweep, part, _Silent(), ONE, shard=Shard(index, len(parts)))
        for index, part in enumerate(parts)
    ]
    merging.merge(parts, folder / "merged")
    wrong = [f"shard {index}: exit code {code}" for index, code in enumerate(codes) if code]
    return wrong + [
        f"shards: {what}" for what in differences(folder / "here", folder / "merged", exact=True)
    ]


def differences(whole: Path, other: Path, exact: bool = False) -> Iterator[str]:
    """How tables differ, by more than rounding unless `exact`, timing aside."""
    names = ("curves", "runs")
    allowed = {"check_exact": True} if exact else {"rtol": 1e-4, "atol": 1e-5}
    for name, left, right in zip(names, tables.load(whole), tables.load(other), strict=True):
        keep = [column for column in left if column not in tables.TIMING]
        try:
            pd.testing.assert_frame_equal(left[keep], right[keep], **allowed)
        except AssertionError as error:
            yield f"{name}: {' '.join(str(error).split())[:200]}"


class _Silent:
    def __getattr__(self, name: str) -> Any:
        return lambda *about: None
