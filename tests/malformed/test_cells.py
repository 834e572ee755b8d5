"""Cells and tables that hold what no sweep can have written, under a checksum that is right."""

import csv
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rl_es import cli
from rl_es.results import checksums, parquet, tables
from tests.malformed import folders
from tests.malformed.cases import state

KEY = b"rl_es.run"
OTHER = "f" * 16
DEEP = "[" * 3000


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The parent of a good folder, `results`."""
    root = tmp_path_factory.mktemp("swept")
    folders.swept(root / "results")
    return root


@pytest.fixture
def refused(
    good: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Callable[[Callable[[Path], None], str], None]:
    """Damages a copy of a good folder, and sees a table of it refused."""

    def check(damage: Callable[[Path], None], says: str) -> None:
        shutil.copytree(good, tmp_path / "here")
        damage(tmp_path / "here" / "results")
        monkeypatch.chdir(tmp_path / "here")
        before = state(tmp_path)
        code = cli.main(["table", "results"])
        output = capfd.readouterr()
        assert code == 2, output
        (message,) = output.err.splitlines()
        assert message.startswith("error: results/") and says in message and len(message) < 500
        assert not output.out and state(tmp_path) == before

    return check


def first(folder: Path) -> Path:
    """The first cell."""
    return tables.cell_paths(folder)[0]


def rewrite(folder: Path, change: Callable[[Any, Any, Any], Any]) -> None:
    """Writes the first cell anew; `change` is given its columns, rows and record to change."""
    path = first(folder)
    rows, record = tables.read_cell(path)
    columns = {field.name: field.type for field in pq.read_schema(path)}
    change(columns, rows, record)
    parquet.write_with_record(path, columns, rows, KEY, record)


RECORDS: list[tuple[str, Any, str]] = [
    ("run_id", None, "run_id is missing"),
    ("run_id", "../../x", "run_id must be 16 hex digits, is '../../x'"),
    ("run_id", "", "run_id must have 1 to 1000 characters"),
    ("run_id", 7, "column run_id: "),
    ("run_id", OTHER, "is of another run"),
    ("env", None, "env is missing"),
    ("env", "", "env must have 1 to 1000 characters"),
    ("env", " ", "env must have 1 to 1000 characters"),
    ("env", "x" * 100_000, "env must have 1 to 1000 characters, is 'xxx"),
    ("env", "a\0b", "env must be without control characters, has '\\x00'"),
    ("env", "\x1b[2J", "env must be without control characters"),
    ("env", "../../x", "is of another run"),
    ("env", [1], "column env: "),
    ("label", None, "label is missing"),
    ("label", {"a": 1}, "column label: "),
    ("agent", None, "agent is missing"),
    ("sweep", 5, "column sweep: "),
    ("seed", None, "seed is missing"),
    ("seed", "a", "column seed: "),
    ("seed", -1, "column seed: must be whole, from 0, is -1"),
    ("seed", 1.5, "column seed: must be whole, from 0, is 1.5"),
    ("seed", True, "column seed: "),
    ("seed", 2**70, "column seed: "),
    ("status", "done", "status must be one of running, finished, diverged, failed, is 'done'"),
    ("status", 5, "column status: "),
    ("reason", 5, "column reason: "),
    ("final_return", "high", "column final_return: "),
    ("final_return", [1], "column final_return: "),
    ("threshold", "x", "column threshold: "),
    ("env_steps", -5, "column env_steps: must be whole, from 0, is -5"),
    ("env_steps", "many", "column env_steps: "),
    ("final_return", 1e308, "column final_return: no measure is as large as 1e+308"),
    ("wall_seconds", float("inf"), "column wall_seconds: must be finite"),
    ("lanes", -1, "column lanes: must be whole, from 0, is -1"),
    ("device", ["cpu"], "column device: "),
    ("git_revision", 5, "column git_revision: "),
    ("versions", "x", "versions must be JSON"),
    ("versions", DEEP, "versions must be JSON (nested too deep)"),
    ("versions", '"\\ud800"', "versions must be JSON"),
    ("versions", "[]", "versions must be a mapping, is []"),
    ("versions", {"jax": 1}, "versions must be texts"),
    ("versions", 7, "versions must be a mapping, is 7"),
    ("environment", "no", "environment must be JSON"),
    ("environment", [1], "environment must be a mapping, is [1]"),
    ("policy", "[]", "policy must be a mapping"),
    ("hyper.lr", {"a": 1}, "hyper.lr must be a number, a switch or text"),
    ("hyper.lr", [1], "hyper.lr must be a number, a switch or text"),
    ("schema_version", 2, "written with results schema 2, this version reads 1"),
    ("schema_version", "1", "written with results schema 1, this version reads 1"),
    ("schema_version", None, "written with results schema None, this version reads 1"),
]


@pytest.mark.parametrize(("name", "value", "says"), RECORDS)
def test_a_record(refused: Any, name: str, value: Any, says: str) -> None:
    def change(columns: Any, rows: Any, record: Any) -> None:
        record[name] = value

    refused(lambda folder: rewrite(folder, change), says)


ROWS: list[tuple[str, Any, pa.DataType | None, str]] = [
    ("run_id", OTHER, None, f"a row of run {OTHER} is of another run"),
    ("env", "other", None, "is of another run"),
    ("label", "other", None, "is of another run"),
    ("seed", 9, None, "is of another run"),
    ("seed", 0.5, pa.float64(), "column seed: must be whole, from 0, is 0.5"),
    ("generation", None, None, "row 0: generation is missing"),
    ("generation", -1, None, "column generation: must be whole, from 0, is -1"),
    ("env_steps", None, None, "row 0: env_steps is missing"),
    ("env_steps", "many", pa.string(), "column env_steps: "),
    ("return_mean", -1e200, None, "column return_mean: no measure is as large as -1e+200"),
    ("wall_seconds", float("inf"), None, "column wall_seconds: must be finite"),
    ("return_mean", "high", pa.string(), "column return_mean: "),
    ("center", "here", pa.string(), "column center: "),
]


@pytest.mark.parametrize(("name", "value", "kind", "says"), ROWS)
def test_a_row(refused: Any, name: str, value: Any, kind: pa.DataType | None, says: str) -> None:
    def change(columns: Any, rows: Any, record: Any) -> None:
        columns[name] = kind or columns[name]
        rows[:] = [{**row, name: value} for row in rows]

    refused(lambda folder: rewrite(folder, change), says)


def _without_rows(columns: Any, rows: Any, record: Any) -> None:
    rows.clear()


def _renamed(folder: Path) -> None:
    first(folder).rename(first(folder).with_name(f"{OTHER}.parquet"))


def _copied(folder: Path) -> None:
    shutil.copy(first(folder), first(folder).with_name(f"{OTHER}.parquet"))


def _foreign(folder: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), first(folder))


def _folder(folder: Path) -> None:
    path = first(folder)
    path.unlink()
    path.mkdir()


def _sealed_record(record: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        parquet.write_with_record(first(folder), {"a": pa.int64()}, [], KEY, record)

    return write


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: rewrite(folder, _without_rows), "is finished, and its curve is missing"),
        (_renamed, "it is of run "),
        (_copied, "it is of run "),
        (_foreign, "not a readable cell"),
        (_folder, "not a readable cell (Is a directory)"),
        (_sealed_record([1]), "not a readable cell"),
        (_sealed_record(None), "not a readable cell"),
        (_sealed_record("x"), "not a readable cell"),
        (_sealed_record({"schema_version": 1}), "is missing"),
        (lambda folder: first(folder).write_bytes(b""), "not a readable cell"),
        (lambda folder: first(folder).write_bytes(b"PAR1" * 9), "not a readable cell"),
    ],
)
def test_a_file(refused: Any, damage: Callable[[Path], None], says: str) -> None:
    refused(damage, says)


def of_tables(change: Callable[[Path], Any]) -> Callable[[Path], None]:
    """A folder that has its tables alone, as text, and no checksums of them."""

    def damage(folder: Path) -> None:
        tables.write_tables(folder, *tables.load_tables(folder))
        shutil.rmtree(folder / "cells")
        for name in ("runs.parquet", checksums.NAME):
            (folder / name).unlink()
        change(folder)

    return damage


def of_text(change: Callable[[list[dict[str, str]]], Any]) -> Callable[[Path], None]:
    """The same, whose rows of runs are changed."""

    def damage(folder: Path) -> None:
        rows = list(csv.DictReader(io.StringIO((folder / "runs.csv").read_text())))
        change(rows)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        (folder / "runs.csv").write_text(text.getvalue())

    return of_tables(damage)


def put(name: str, value: str) -> Callable[[Path], None]:
    """The same, with another value in the first row of runs."""
    return of_text(lambda rows: rows[0].update({name: value}))


def raw(content: bytes, name: str = "runs.csv") -> Callable[[Path], None]:
    """The same, with other bytes in a table."""
    return of_tables(lambda folder: (folder / name).write_bytes(content))


def curves(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    """The same, with another table of curves."""

    def damage(folder: Path) -> None:
        path = folder / "curves.parquet"
        pq.write_table(change(pq.read_table(path)), path)

    return of_tables(damage)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (put("run_id", "../x"), "runs.csv: not a readable table of results (row 0: run_id must be"),
        (put("env", ""), "runs.csv: not a readable table of results (row 0: env is missing)"),
        (put("env", "x\x1by"), "it has a control character, '\\x1b'"),
        (put("seed", "inf"), "cannot convert float infinity to integer"),
        (put("seed", "one"), "could not convert string to float: 'one'"),
        (put("seed", "-1"), "column seed: must be whole, from 0, is -1"),
        (put("status", "done"), "status must be one of"),
        (put("versions", "{"), "versions must be JSON"),
        (put("schema_version", "7"), "written with results schema 7, this version reads 1"),
        (put("schema_version", ""), "written with results schema None, this version reads 1"),
        (put("reason", "x" * 200_000), "field larger than field limit"),
        (raw(b""), "runs.csv: not a readable table of results (it has no runs)"),
        (raw(b"run_id,env\n"), "runs.csv: not a readable table of results (it has no runs)"),
        (raw(b"run_id,env\na\n"), "row 2 has 1 cells, the head has 2"),
        (raw(b"a,b\n1,2\n"), "it has no 'schema_version'"),
        (raw(b'a,b\n"1,2\n'), "unexpected end of data"),
        (raw(b"\xff"), "'utf-8' codec can't decode"),
        (raw(b"", "curves.parquet"), "curves.parquet: not a readable table of results"),
        (raw(b"PAR1", "curves.parquet"), "curves.parquet: not a readable table of results"),
        (curves(lambda table: table.slice(0, 0)), "is finished, and its curve is missing"),
        (curves(lambda table: table.drop_columns(["run_id"])), "row 0: run_id is missing"),
        (curves(lambda table: pa.table({"a": [1]})), "it has no 'schema_version'"),
        (curves(lambda table: table.slice(0, 1)), "its curve is missing"),
    ],
)
def test_tables(refused: Any, damage: Callable[[Path], None], says: str) -> None:
    refused(damage, says)
