"""What every kind of figure has something to draw of, so that a new kind is tested by existing."""

import functools
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rl_es.analysis import results
from rl_es.analysis.drawing import FigureKind
from rl_es.analysis.gallery import COLLECTIONS
from rl_es.analysis.gradients import tables as gradients
from rl_es.analysis.gradients.tables import RANK_BIAS_COLUMNS as BIAS
from rl_es.analysis.gradients.tables import SUMMARY_COLUMNS
from rl_es.analysis.speed import tables as speed
from rl_es.results import surfaces
from tests.analysis.conftest import write_run
from tests.speed import tables as timed

STATES = ("failed", "diverged", "running")
LONG = " with a long name and lr=0.0"
KINDS = {name: kind for collection in COLLECTIONS for name, kind in collection.kinds.items()}


def source(
    kind: FigureKind[Any],
    envs: Sequence[str] = ("cartpole", "brax/pendulum"),
    seeds: int = 3,
    status: str = "finished",
    more: str = "",
) -> Any:
    """What a kind draws; the arguments are those of `folder`, and matter for results alone."""
    of = {name: collection.name for collection in COLLECTIONS for name in collection.kinds}
    if of[kind.name] == "speed":
        return _speed()
    if of[kind.name] == "gradients":
        return _gradients()
    return folder(tuple(envs), seeds, status, more)


@functools.cache
def folder(envs: tuple[str, ...], seeds: int, status: str, more: str) -> results.ResultTables:
    """Runs at three ranks, and at five learning rates; two parameters, surfaces, a threshold.

    Args:
      envs: environments.
      seeds: of each label.
      status: of the last seed of each label; `mixed`: one of `STATES` each.
      more: at the end of labels.
    """
    with tempfile.TemporaryDirectory() as place:
        for env in envs:
            for number, (label, hyper) in enumerate(_variants(more)):
                own = STATES[(number + 2) % 3] if status == "mixed" else status
                for seed in range(seeds):
                    last = seed == seeds - 1
                    _run(Path(place), env, label, seed, hyper, own if last else "finished")
            axis = [-1.0, -0.5, 0.0, 0.5, 1.0]
            points = [
                dict(first=x, second=y, return_mean=-(x**2) - y**2 - 1, return_std=0.0)
                for x in axis
                for y in axis
            ]
            record = {"env": env, "settings": "x", "points": [5, 5], "episodes": 1}
            surfaces.write(surfaces.path_of(Path(place), env), points, record)
        return results.load_results(Path(place))


def _variants(more: str) -> Iterator[tuple[str, dict[str, float]]]:
    for rank in (1, 2, 4):
        yield f"eggroll r{rank}{more}" if rank > 1 else "eggroll", {"rank": rank, "lr": 0.1}
    for number in range(1, 6):
        yield f"pes {number}{more}", {"lr": 0.01 * 3**number}


def _run(place: Path, env: str, label: str, seed: int, hyper: dict, status: str) -> None:
    evaluations = {"failed": 0, "diverged": 4, "running": 6}.get(status, 11)
    ways = np.linspace([1.0, -1.0], [0.1 * seed, 0.0], 11)
    found: dict[str, Any] = dict(status=status, evaluations=evaluations, hyper=hyper)
    found["steps_to_threshold"] = 3000 + 100 * seed if evaluations > 6 and seed != 1 else None
    found |= {"threshold": 60.0, "centers": [list(way) for way in ways]}
    write_run(place, env, label, seed, agent=label.split()[0], **found)


@functools.cache
def _speed() -> speed.SpeedResults:
    with tempfile.TemporaryDirectory() as place:
        timed.ladder(Path(place))
        return speed.load(Path(place))


@functools.cache
def _gradients() -> gradients.GradientResults:
    rows = [
        {**dict.fromkeys(SUMMARY_COLUMNS, 1), "env": f"{family}-{windows}", "family": family}
        | {"windows": windows, "label": label, "agent": label, "relative_variance": 2.0 * windows}
        for family in ("linear", "sgd")
        for windows in (1, 10, 100)
        for label in ("pes", "nres")
    ]
    bias = [
        {**dict.fromkeys(BIAS, 1.0), "env": "linear-10", "agent": agent, "reference": reference}
        | {"rank": rank, "label": f"{agent} {rank}", "n": 3}
        | {"exact": 1 / rank, "low": 0.9 / rank, "distance": 1 / rank, "high": 1.1 / rank}
        for agent in ("eggroll", "nres")
        for reference in ("known", "measured")
        for rank in (1, 2, 4)
    ]
    return gradients.from_tables(pd.DataFrame(rows), pd.DataFrame(bias))
