"""A sweep on a Ray cluster of two nodes: a worker is killed, and a node removed, while it runs.

And the same sweep in two shards, each with a folder of its own, whose tables are merged.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rl_es.analysis import merge
from rl_es.sweep import execution, ray_executor
from rl_es.sweep.cells import Shard
from rl_es.training.resources import Resources
from tests.running import ROUNDING, Said, difference, sweep_of

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
    """Kills a worker at the third report of a run, and removes a node later."""

    def __init__(self, cluster: Any, node: Any):
        self._cluster, self._node, self._reports = cluster, node, 0
        self.killed = self.removed = 0

    def __call__(self, *report: Any) -> None:
        """Receives a report of a run."""
        self._reports += 1
        if self._reports == 3:
            os.kill(next(tasks()), signal.SIGKILL)
            self.killed += 1
        if self._reports >= 8 and not self.removed:
            self._cluster.remove_node(self._node, allow_graceful=False)
            self.removed += 1


def tasks() -> Iterator[int]:
    """Yields the ids of processes of this machine that run a group as a task."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if line.startswith(b"ray::run_ray_group"):
            yield int(folder.name)


def trial(folder: Path) -> tuple[Breaking, list[str]]:
    """Runs the sweep here and on the cluster; returns the disturbance, and what went wrong."""
    from ray.cluster_utils import Cluster

    sweep, expected = sweep_of(SWEEP), folder / "here"
    execution.run_sweep(sweep, expected, Said(), ONE)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    node = cluster.add_node(num_cpus=1)
    breaking = Breaking(cluster, node)
    try:
        make_executor = ray_executor.ray_executor(
            ray_executor.RayResources(cluster.address, cpus=1.0)
        )
        code = execution.run_sweep(
            sweep, folder / "ray", Said(running=breaking), ONE, make_executor=make_executor
        )
    finally:
        cluster.shutdown()
    wrong = [f"exit code {code}"] if code else []
    return breaking, wrong + list(difference(expected, folder / "ray", **ROUNDING))


def in_shards(folder: Path) -> list[str]:
    """Runs the sweep as two merged shards; returns what differs from the run of `trial`."""
    sweep, parts = sweep_of(SWEEP), [folder / "shard0", folder / "shard1"]
    codes = [
        execution.run_sweep(sweep, part, Said(), ONE, shard=Shard(index, len(parts)))
        for index, part in enumerate(parts)
    ]
    merge.merge_folders(parts, folder / "merged")
    wrong = [f"shard {index}: exit code {code}" for index, code in enumerate(codes) if code]
    return wrong + [f"shards: {what}" for what in difference(folder / "here", folder / "merged")]
