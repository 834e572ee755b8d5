"""The results schema: what is written is what is read, whatever the cells hold."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rl_es.errors import UserError
from rl_es.results import tables
from rl_es.results.parquet import write_with_record


def run_of(label: str) -> str:
    """The id of a label's run."""
    return label * 16


def path_of(folder: Path, label: str) -> Path:
    """The file of a label's run."""
    return folder / "cells" / f"{run_of(label)}.parquet"


def identity(label: str) -> dict[str, Any]:
    """What a label's run is of."""
    about = {"sweep": "s", "env": "cartpole", "agent": "pes", "seed": 0}
    return {**about, "run_id": run_of(label), "label": label}


def cell(folder: Path, label: str, hyper: dict[str, Any], **changes: Any) -> Path:
    """Writes a cell of two evaluations and returns its path."""
    rows = [
        {"generation": g, "env_steps": 100 * g, "return_mean": 1.5 * g, "population_mean": None}
        for g in range(2)
    ]
    record = {"status": "finished", "final_return": 1.5, "env_steps": 100, **changes}
    path = path_of(folder, label)
    tables.write_cell(path, identity(label), hyper, rows, record)
    return path


def test_round_trip_keeps_values_and_nulls(tmp_path: Path) -> None:
    path = cell(tmp_path, "a", {"lr": 1, "decay": None, "optimiser": "adam", "nesterov": True})
    rows, record = tables.read_cell(path)
    assert [row["return_mean"] for row in rows] == [0.0, 1.5]
    assert rows[0]["population_mean"] is None and rows[0]["hyper.decay"] is None
    assert rows[0]["hyper.lr"] == 1.0 and rows[0]["hyper.nesterov"] is True
    assert record["hyper.optimiser"] == "adam" and record["schema_version"] == 1


def test_centers_are_lists_or_null(tmp_path: Path) -> None:
    centers = enumerate([[0.5, 1e-8], None])
    rows = [{"generation": i, "env_steps": i, "center": center} for i, center in centers]
    tables.write_cell(path_of(tmp_path, "a"), identity("a"), {}, rows, {"status": "running"})
    cell(tmp_path, "b", {})
    curves, runs = tables.load_tables(tmp_path)
    first = curves[curves.run_id == run_of("a")].center.iloc[0]
    assert first.dtype == np.float32 and list(first) == [0.5, np.float32(1e-8)]
    assert curves.center.isna().sum() == 3
    tables.write_tables(tmp_path, curves, runs)
    stored = pq.read_table(tmp_path / "curves.parquet").to_pylist()
    found = [row["center"] for row in stored if row["run_id"] == run_of("a")]
    assert found == [[0.5, float(np.float32(1e-8))], None]


def test_cells_of_before_there_was_a_column_are_read(tmp_path: Path) -> None:
    path = cell(tmp_path, "a", {})
    rows, record = tables.read_cell(path)
    known = {
        name: kind
        for name, kind in {**tables.IDENTITY, **tables.MEASURES}.items()
        if name not in ("center", "nonfinite_members")
    }
    write_with_record(path, known, rows, b"rl_es.run", record)
    curves, runs = tables.load_tables(tmp_path)
    assert len(curves) == 2 and curves[["center", "nonfinite_members"]].isna().all(axis=None)
    tables.write_tables(tmp_path, curves, runs)
    assert (
        pq.read_schema(tmp_path / "curves.parquet").field("center").type
        == tables.MEASURES["center"]
    )


def test_a_setting_that_only_some_agents_have_is_null_elsewhere(tmp_path: Path) -> None:
    cell(tmp_path, "a", {"lr": 0.1})
    cell(tmp_path, "b", {"rank": 4})
    curves, runs = tables.load_tables(tmp_path)
    for frame in (curves, runs):
        assert frame.loc[frame.label == "a", "hyper.rank"].isna().all()
        assert (frame.loc[frame.label == "b", "hyper.rank"] == 4).all()


@pytest.mark.parametrize("second", ["window", True])
def test_a_setting_of_two_types_becomes_text(tmp_path: Path, second: Any) -> None:
    cell(tmp_path, "a", {"hold": 0.25})
    cell(tmp_path, "b", {"hold": second})
    cell(tmp_path, "c", {})
    curves, runs = tables.load_tables(tmp_path)
    assert list(runs["hyper.hold"][:2]) == ["0.25", str(second)] and runs["hyper.hold"].isna()[2]
    tables.write_tables(tmp_path, curves, runs)


def test_rows_are_in_a_fixed_order(tmp_path: Path) -> None:
    for label in ("b", "c", "a"):
        cell(tmp_path, label, {})
    curves, runs = tables.load_tables(tmp_path)
    assert list(runs.label) == ["a", "b", "c"]
    assert list(curves.generation) == [0, 1] * 3


def test_files_hold_the_schema_types_even_with_gaps(tmp_path: Path) -> None:
    cell(tmp_path, "a", {}, steps_to_threshold=50, threshold=1.0)
    cell(tmp_path, "b", {})
    tables.write_tables(tmp_path, *tables.load_tables(tmp_path))
    curves, runs = (pq.read_schema(tmp_path / f"{name}.parquet") for name in ("curves", "runs"))
    for schema, columns in ((curves, tables.MEASURES), (runs, tables.RUN)):
        for name, kind in {**tables.IDENTITY, **columns}.items():
            assert schema.field(name).type == kind, name
    stored = pq.read_table(tmp_path / "runs.parquet").to_pylist()
    assert [row["steps_to_threshold"] for row in stored] == [50, None]
    assert ",50," in (tmp_path / "runs.csv").read_text()


def test_a_run_without_an_evaluation_is_still_a_run(tmp_path: Path) -> None:
    record = {"status": "failed", "reason": "out of memory"}
    tables.write_cell(path_of(tmp_path, "e"), identity("e"), {}, [], record)
    curves, runs = tables.load_tables(tmp_path)
    assert len(curves) == 0 and list(runs.reason) == ["out of memory"]
    tables.write_tables(tmp_path, curves, runs)


def test_structures_of_a_record_become_json(tmp_path: Path) -> None:
    cell(tmp_path, "a", {}, versions={"numpy": "2", "jax": "0.9"}, policy={"widths": [4, 4]})
    _, runs = tables.load_tables(tmp_path)
    assert runs.versions[0] == '{"jax": "0.9", "numpy": "2"}'
    assert json.loads(runs.policy[0]) == {"widths": [4, 4]}


def test_an_empty_folder_is_the_readers_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no results here"):
        tables.load_tables(tmp_path)


def test_a_damaged_cell_is_named(tmp_path: Path) -> None:
    path = cell(tmp_path, "a", {})
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=r"a\.parquet: not a readable cell"):
        tables.load_tables(tmp_path)


@pytest.mark.parametrize("metadata", [None, {b"rl_es.run": b"{"}, {b"rl_es.run": b"[]"}])
def test_a_foreign_parquet_file_is_named(tmp_path: Path, metadata: Any) -> None:
    path = path_of(tmp_path, "a")
    path.parent.mkdir()
    pq.write_table(pa.table({"x": [1]}).replace_schema_metadata(metadata), path)
    with pytest.raises(UserError, match=r"a\.parquet: not a readable cell"):
        tables.load_tables(tmp_path)


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    path = path_of(tmp_path, "a")
    write_with_record(path, {"x": pa.int64()}, [{"x": 1}], b"rl_es.run", {"schema_version": 99})
    with pytest.raises(UserError, match="schema 99"):
        tables.load_tables(tmp_path)


def test_a_write_that_fails_leaves_the_old_cell(tmp_path: Path) -> None:
    path = cell(tmp_path, "a", {})
    before = path.read_bytes()
    with pytest.raises((TypeError, pa.ArrowException)):
        tables.write_cell(path, {"seed": "zero"}, {}, [{"generation": "x"}], {})
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    (path.parent / ".b.tmp.parquet").write_bytes(b"half")
    assert tables.cell_paths(tmp_path) == [path]
