"""Resident memory of one process that runs many cells, each with programs of its own."""

import os
from pathlib import Path
from typing import Any

from rl_es.sweep import execution
from rl_es.training.resources import Resources
from tests.running import Said, sweep_of

SWEEP = """
name: memory
seeds: 1
defaults:
  budget: {generations: 2}
  evaluation: {points: 1, episodes: 4}
  policy: {widths: [16]}
environments:
  - {name: CartPole-v1, episode_length: 50}
  - {name: Pendulum-v1, episode_length: 50}
agents:
"""
POPULATIONS = [*range(16, 66, 2)]  # 25 of them
AGENTS = ("open_es", "full_rank_es", "eggroll", "nres")


def trial(folder: Path) -> list[int]:
    """Runs 200 cells, each a group; returns the resident bytes after each."""
    window = {"nres": "window: 25, "}
    text = SWEEP + "".join(
        f"  - {{name: {name}, with: {{{window.get(name, '')}lr: 0.1}}, "
        f"grid: {{population: {POPULATIONS}}}}}\n"
        for name in AGENTS
    )
    resident: list[int] = []

    def finish(*report: Any) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        resident.append(pages * os.sysconf("SC_PAGE_SIZE"))

    execution.run_sweep(sweep_of(text), folder, Said(finish=finish), Resources(lanes=1))
    return resident
