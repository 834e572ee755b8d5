"""Resident memory of one process that runs many cells, each with programs of its own."""

import os
from pathlib import Path
from typing import Any

from rl_es.sweep import execution
from rl_es.sweep.loading import checked
from rl_es.sweep.placing import Resources
from rl_es.sweep.reading import parse

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


class Watching:
    """A `Progress` that notes the resident memory after each cell, in bytes."""

    def __init__(self) -> None:
        self.resident: list[int] = []

    def finished(self, *about: Any) -> None:
        """Notes it."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.resident.append(pages * os.sysconf("SC_PAGE_SIZE"))

    def __getattr__(self, name: str) -> Any:
        return lambda *about: None


def trial(folder: Path) -> list[int]:
    """Runs 200 cells, each a group of its own; returns the resident memory after each."""
    window = {"nres": "window: 25, "}
    text = SWEEP + "".join(
        f"  - {{name: {name}, with: {{{window.get(name, '')}lr: 0.1}}, "
        f"grid: {{population: {POPULATIONS}}}}}\n"
        for name in AGENTS
    )
    watching = Watching()
    execution.run(checked(parse(text, "memory")), folder, watching, Resources(lanes=1))
    return watching.resident


def growth(resident: list[int], first: int = 20) -> float:
    """Most resident memory after the first cells, over that after them."""
    return max(resident[first:]) / resident[first - 1] - 1
