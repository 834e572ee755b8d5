"""Results folders of sweeps that were not run: each cell's returns are a function of it."""

from collections.abc import Callable
from pathlib import Path

from rl_es.sweep.cells import Cell, expand_cells
from rl_es.sweep.schema import Sweep
from rl_es.sweep.store import Store, cell_origin

SEARCH = """
name: search
seeds: {first: 1000, count: 2}
defaults: {budget: {env_steps: 1e4}, agent: {population: 16}}
environments: [CartPole-v1, Pendulum-v1]
agents:
  - name: eggroll
    random: {samples: 4, sigma: {uniform: [0.1, 0.5]}, lr: {log_uniform: [0.001, 0.5]}}
  - {name: open_es, grid: {lr: [0.1, 0.2], optimiser: [sgd, adam]}}
"""


def fill(
    folder: Path,
    sweep: Sweep,
    returns: Callable[[Cell], list[float]],
    status: Callable[[Cell], str] = lambda cell: "finished",
) -> None:
    """Writes a run of every cell; `returns` gives its evaluations after the first."""
    store = Store(folder)
    cells = expand_cells(sweep)
    for cell in cells:
        write(store, cell, returns(cell), status(cell))
    store.write_manifest(sweep, cells)


def write(store: Store, cell: Cell, returns: list[float], status: str) -> None:
    """Writes one run."""
    rows = [
        {"generation": i, "env_steps": 5000 * i, "episodes": i, "return_mean": value}
        for i, value in enumerate([-1e6, *returns])
    ]
    run_progress = {
        "generations": len(returns),
        "env_steps": 10_000,
        "episodes": 1,
        "wall_seconds": 1.0,
    }
    store.write(cell, rows, {"status": status, **run_progress, **cell_origin(cell)})
