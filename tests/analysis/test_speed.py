"""Tables and figures of speed, from samples whose times are known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rl_es.analysis.speed import report
from rl_es.analysis.speed.figures import slope, width_ladders
from rl_es.analysis.speed.tables import COLUMNS, format_seconds, network_text, summarise
from rl_es.errors import UserError
from rl_es.results import timings
from tests.speed import tables

TIMES = {
    "bare": ("bare", 0.1, 0),
    "inference": ("inference", 1.0, 0),
    "eggroll rank=1": ("eggroll", 1.25, 300),
    "full_rank_es": ("full_rank_es", 10.0, 9000),
    "evosax": ("evosax", None, 0),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two workloads; in the second, everything is twice as slow and pure inference is missing."""
    slow = {label: (agent, step and 2 * step, size) for label, (agent, step, size) in TIMES.items()}
    slow.pop("inference")
    tables.write(tmp_path, [{"times": TIMES}, {"population": 8, "times": slow}])
    return tmp_path


def _whole(table: pd.DataFrame) -> pd.DataFrame:
    whole = table[table["part"] == "generation"]
    return whole[whole["population"] == 4].set_index("contestant")


def test_shares(folder: Path) -> None:
    table = summarise(*timings.load(folder)[:2])
    whole = _whole(table)
    assert list(whole.index) == list(TIMES)
    for column, expected in {
        "share": [1000, 100, 80, 10, np.nan],
        "share_low": [1000, 100, 80, 10, np.nan],
        "times_bare": [1, 10, 12.5, 100, np.nan],
        # Rounds take 10, 11 and 12 times a step; the median is that of the second.
        "seconds": [1.1, 11, 13.75, 110, np.nan],
        "seconds_low": [1.05, 10.5, 13.125, 105, np.nan],
        "seconds_high": [1.15, 11.5, 14.375, 115, np.nan],
        "steps_per_second": [40 / 1.1, 40 / 11, 40 / 13.75, 40 / 110, np.nan],
        "extra_seconds": [1.1 - 11, 0, 2.75, 99, np.nan],
        "cpu_ratio": [2, 2, 2, 2, np.nan],
        "perturbation_bytes": [0, 0, 300, 9000, np.nan],
    }.items():
        np.testing.assert_allclose(whole[column].to_numpy(float), expected, atol=1e-9)
    assert whole.loc["evosax", "status"] == "skipped"
    assert set(COLUMNS) <= set(table)


def test_no_share_without_pure_inference(folder: Path) -> None:
    table = summarise(*timings.load(folder)[:2])
    other = table[(table["population"] == 8) & (table["part"] == "generation")]
    assert other["share"].isna().all() and other["times_bare"].notna().sum() == 3


def test_parts(folder: Path) -> None:
    table = summarise(*timings.load(folder)[:2])
    own = table[(table["population"] == 4) & (table["contestant"] == "eggroll rank=1")]
    assert list(own["part"]) == ["generation", *timings.PARTS]
    np.testing.assert_allclose(own["seconds"][1:], 13.75 * np.array([0.1, 0.8, 0.02, 0.08]))
    assert own["share"].notna().sum() == 1


def test_report(folder: Path) -> None:
    stale = folder / "figures" / "cost_against_width.png"
    stale.parent.mkdir()
    stale.write_bytes(b"")
    written = report.write(folder)
    names = [path.relative_to(folder).as_posix() for path in written]
    figures = [f"figures/{n}.{k}" for n in ("share_of_inference", "parts") for k in ("png", "svg")]
    assert names == ["samples.parquet", "speed.csv", *figures, "index.md"] and not stale.exists()
    before = [path.read_bytes() for path in written]
    assert before == [path.read_bytes() for path in report.write(folder)]
    page = (folder / "index.md").read_text()
    assert "### Toy-v0, 2 × 8, P = 4" in page and "too large" in page and "skipped" in page
    assert "## Environment steps a second" not in page  # a single environment
    assert len(pd.read_parquet(folder / "samples.parquet")) == 3 * (4 + 3) + 3 * 4 * 2 * 2
    assert len(pd.read_csv(folder / "speed.csv")) == 5 + 4 + 2 * 2 * 4


def test_slopes_of_a_ladder(tmp_path: Path) -> None:
    tables.ladder(tmp_path)
    (group,) = width_ladders(summarise(*timings.load(tmp_path)[:2]))
    for label, column, expected in (
        ("eggroll", "noise_seconds", 1),
        ("full_rank_es", "noise_seconds", 2),
        ("eggroll", "perturbation_bytes", 1),
        ("full_rank_es", "perturbation_bytes", 2),
    ):
        own = group[group["contestant"] == label].sort_values("width")
        found = slope(own["width"].to_numpy(), own[column].to_numpy(float))
        assert found == pytest.approx(expected, abs=1e-6)
    assert tmp_path / "figures" / "cost_against_width.svg" in report.write(tmp_path)


def test_two_widths_are_no_ladder(folder: Path) -> None:
    assert width_ladders(summarise(*timings.load(folder)[:2])) == []
    assert slope(np.array([1.0, 2.0]), np.array([1.0, 2.0])) is None


def test_only_workloads_of_the_manifest_are_read(folder: Path) -> None:
    other = timings.path_of(folder, "f" * 16)
    other.write_bytes(b"damaged, of an earlier file")
    assert len(timings.load(folder)[1]) == 9
    timings.path_of(folder, tables.KEY.format(0)).write_bytes(b"damaged")
    with pytest.raises(UserError, match="not a readable workload"):
        timings.load(folder)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a readable manifest"):
        timings.load(tmp_path)
    tables.write(tmp_path, [])
    with pytest.raises(UserError, match="no workload is finished here"):
        timings.load(tmp_path)


@pytest.mark.parametrize(
    ("time", "text"), [(2.0, "2 s"), (0.0123456, "12.3 ms"), (5e-6, "5 μs"), (4e-8, "0.04 μs")]
)
def test_seconds(time: float, text: str) -> None:
    assert format_seconds(time) == text


def test_networks() -> None:
    assert [network_text(w) for w in ("64x64", "8", "64x32", "")] == [
        "2 × 64",
        "1 × 8",
        "64×32",
        "no hidden layer",
    ]


def test_floors_of_several_environments_stand_in_one_table(tmp_path: Path) -> None:
    floors = {label: TIMES[label] for label in ("bare", "inference")}
    other = {"env": "Other-v0", "episode_length": 20, "times": {"bare": ("bare", 0.01, 0)}}
    tables.write(tmp_path, [{"times": floors}, other])
    written = report.write(tmp_path)
    assert not [path for path in written if path.parent.name == "figures"]
    page = (tmp_path / "index.md").read_text()
    section = page.split("## Environment steps a second")[1].split("##")[0]
    heads, _, *rows = [line.strip("| ").split(" | ") for line in section.split("\n") if line]
    assert heads == ["workload", "steps per episode", "bare", "inference"]
    # The medians: 40 steps in 1.1 s and in 11 s, 80 steps in 0.11 s.
    assert [row[1:] for row in rows] == [["10", "36.36", "3.636"], ["20", "727.3", "\N{EM DASH}"]]
