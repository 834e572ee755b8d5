"""Every truncation and every changed byte of a file that a later step reads is noticed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_es.errors import DamagedError
from rl_es.results import checksums, parquet, tables, text_files
from rl_es.training import checkpoint
from tests.artifacts import REFERENCE

KEY = b"rl_es.test"
ROWS = [{"number": i, "text": "0" * i, "list": [0.5, 1.0], "none": None} for i in range(40)]
COLUMNS = {
    "number": pa.int64(),
    "text": pa.string(),
    "list": pa.list_(pa.float32()),
    "none": pa.float64(),
}
STATE = {"a": np.arange(50, dtype=np.float32), "b": np.zeros((), np.int32)}
RECORD = {"schema_version": 1, "zeros": "0" * 64}


def _parquet(path: Path) -> Callable[[], Any]:
    parquet.write_with_record(path, COLUMNS, ROWS, KEY, RECORD)
    return lambda: parquet.read_with_record(path, KEY, 1, "test")


def _json(path: Path) -> Callable[[], Any]:
    text_files.write_json(path, {"b": [1, {"c": None}], "a": "ä"})
    return lambda: text_files.read_json(path, "test")


def _checkpoint(path: Path) -> Callable[[], Any]:
    checkpoint.save(path, STATE, {"generation": 3})
    return lambda: checkpoint.load(path, STATE)


def _table(path: Path) -> Callable[[], Any]:
    path.write_text("a,b\n1,2\n")
    checksums.write_sums([path])
    return lambda: checksums.check_sums(path)


KINDS = {"parquet": _parquet, "json": _json, "checkpoint": _checkpoint, "table": _table}


@pytest.fixture(params=KINDS)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Callable[[], Any]]:
    path = tmp_path / "file"
    return path, KINDS[request.param](path)


def test_what_is_whole_is_read(kept: tuple[Path, Callable[[], Any]]) -> None:
    kept[1]()


def test_every_truncation_is_noticed(kept: tuple[Path, Callable[[], Any]]) -> None:
    path, read = kept
    whole = path.read_bytes()
    for end in {*range(0, len(whole), 7), len(whole) - 1}:
        path.write_bytes(whole[:end])
        with pytest.raises(DamagedError):
            read()


def test_every_changed_byte_is_noticed(kept: tuple[Path, Callable[[], Any]]) -> None:
    path, read = kept
    whole = path.read_bytes()
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1 << (at % 8)
        path.write_bytes(changed)
        with pytest.raises(DamagedError):
            read()


def test_anything_appended_is_noticed(kept: tuple[Path, Callable[[], Any]]) -> None:
    path, read = kept
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(DamagedError) as refusal:
        read()
    assert str(path) in str(refusal.value) and len(str(refusal.value).splitlines()) == 1


def test_parquet_can_be_read_by_anyone(tmp_path: Path) -> None:
    """The checksum lies in the metadata: the file is as any other."""
    _parquet(tmp_path / "file")
    assert pq.read_table(tmp_path / "file").to_pylist() == ROWS
    found, record = parquet.read_with_record(tmp_path / "file", KEY, 1, "test")
    assert found == ROWS and record == RECORD


def test_checksums_of_tables_are_those_of_sha256sum(tmp_path: Path) -> None:
    _table(tmp_path / "file")
    digest, name = (tmp_path / checksums.NAME).read_text().split("  ")
    assert name == "file\n" and len(digest) == 64 and int(digest, 16) >= 0


def test_changed_sums_are_noticed(tmp_path: Path) -> None:
    check = _table(tmp_path / "file")
    kept = (tmp_path / checksums.NAME).read_bytes()
    for end in (0, 10, len(kept) - 2):
        (tmp_path / checksums.NAME).write_bytes(kept[:end])
        with pytest.raises(DamagedError):
            check()
    (tmp_path / checksums.NAME).unlink()
    check()


def test_a_copy_of_tables_is_checked(tmp_path: Path) -> None:
    curves, runs = tables.load_tables(REFERENCE / "quickstart")
    for path in tables.write_tables(tmp_path, curves, runs):
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        if path.suffix == ".csv":
            (tmp_path / "runs.parquet").unlink()
        with pytest.raises(DamagedError, match=path.name):
            tables.load_tables(tmp_path)
        path.write_bytes(whole)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside),
    max_leaves=10,
)  # fmt: skip


@given(st.dictionaries(st.text().filter(lambda key: key != checksums.JSON_KEY), JSON))
def test_json_comes_back(content: dict[str, Any]) -> None:
    text = checksums.json_text(content)
    assert checksums.json_content(text) == content
    assert json.loads(text) == {**content, checksums.JSON_KEY: json.loads(text)["sha256"]}


@given(st.binary())
def test_bytes_come_back(content: bytes) -> None:
    assert checksums.unseal(checksums.seal(content)) == content
