"""Where a group is run: devices, shared calls and chunks; and that four devices change nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rl_es.errors import UserError
from rl_es.results import tables
from rl_es.training.resources import (
    PairBytes,
    Resources,
    describe_excess_devices,
    divide_devices,
    place_group,
)
from tests.running import alike

ROOT = Path(__file__).parents[2]
EACH = PairBytes(state=0, rollout=100)
TEXT = """
name: four
seeds: 1
defaults:
  budget: {generations: 3}
  evaluation: {points: 3, episodes: 4}
  policy: {widths: [8], normalise_observations: true}
  agent: {population: 512}
environments: [{name: CartPole-v1, episode_length: 30}]
agents: [eggroll]
"""


@pytest.mark.parametrize(
    ("pairs", "runs", "devices", "lanes", "shards", "over_runs"),
    [
        (64, 5, 2, 2, 1, 2),  # one block of pairs: the runs are shared
        (64, 1, 2, 1, 1, 1),
        (128, 5, 2, 1, 2, 1),
        (128, 5, 1, 1, 1, 1),
        (50, 5, 2, 2, 1, 2),
    ],
)
def test_devices_go_where_more_are_used(
    pairs: int, runs: int, devices: int, lanes: int, shards: int, over_runs: int
) -> None:
    place = place_group(pairs, runs, EACH, Resources(devices=devices))
    where = place.placement
    assert (place.lanes, where.shards, where.runs) == (lanes, shards, over_runs)


@pytest.mark.parametrize(
    ("pairs", "members", "chunks"), [(256, 512, 1), (256, 256, 2), (192, 200, 3)]
)
def test_chunks_are_equal_and_of_whole_blocks(pairs: int, members: int, chunks: int) -> None:
    assert (
        place_group(pairs, 1, EACH, Resources(population_chunk=members)).placement.chunks == chunks
    )


def test_a_population_that_cannot_be_cut_is_refused() -> None:
    with pytest.raises(UserError, match="a population of 100 cannot be cut"):
        place_group(50, 1, EACH, Resources(population_chunk=128))


def test_what_is_held_of_all_pairs_is_not_divided_by_chunks() -> None:
    """Accumulators are there for the whole population; chunks are cut to what they leave."""
    place = place_group(
        256, 1, PairBytes(state=100, rollout=100), Resources(memory=100 * (256 + 128))
    )
    assert place.placement.chunks == 2 and place.unchunked_bytes == 100 * 512
    assert place.needed_bytes == place.budget_bytes


def test_devices_beyond_the_cores_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    assert describe_excess_devices(Resources(devices=99)).startswith("99 devices on 2 cores: ")
    for devices in (None, 1, 2):
        assert describe_excess_devices(Resources(devices=devices)) == ""


@pytest.mark.parametrize("option", ["devices", "lanes", "population_chunk"])
def test_too_little_is_refused(option: str) -> None:
    with pytest.raises(UserError, match=rf"--{option.replace('_', '-')}: must be at least"):
        Resources(**{option: 0})


@pytest.mark.parametrize(
    ("pairs", "runs", "devices", "processes", "expected"),
    [
        (128, 1, 1, 1, (1, 1)),
        (128, 5, 2, 2, (1, 2)),
        (64, 5, 2, 2, (2, 1)),
        (192, 5, 4, 1, (4, 1)),
        (192, 2, 4, 1, (1, 3)),
        (192, 2, 4, 2, (2, 1)),
        (256, 3, 8, 2, (2, 4)),
        (100, 3, 4, 1, (3, 1)),
    ],
)
def test_how_devices_are_shared(
    pairs: int, runs: int, devices: int, processes: int, expected: tuple[int, int]
) -> None:
    assert divide_devices(pairs, runs, devices, processes) == expected


def test_too_small_a_population_for_so_many_processes_is_refused() -> None:
    with pytest.raises(UserError, match="2 processes.*of 128 in 1 run .*multiple of 256, or 2 or"):
        divide_devices(64, 1, 2, 2)


def test_four_devices_give_the_curve_of_one(tmp_path: Path) -> None:
    """In processes of their own, since how many a CPU counts as is said before jax is used."""
    sweep = tmp_path / "four.yaml"
    sweep.write_text(TEXT)
    for devices in ("1", "4"):
        out = tmp_path / devices
        command = [sys.executable, "run_benchmark.py", "run", str(sweep), "--out", str(out)]
        command += ["--devices", devices, "--quiet", "--no-replays"]
        subprocess.run(command, cwd=ROOT, check=True, timeout=300, capture_output=True)
        assert list(tables.load_tables(out)[1].devices) == [int(devices)]
    alike(tmp_path / "1", tmp_path / "4", but=("devices", "lanes"))
