"""Files are whole or not there, whatever happens while they are written."""

import errno
import os
from pathlib import Path

import pytest

from rl_es.errors import DamagedError, StorageError
from rl_es.results import files


def test_what_was_there_stays_where_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    files.write_text(path, "before")
    with pytest.raises(ZeroDivisionError), files.atomic_path(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "before" and [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize(("code", "said"), [(errno.ENOSPC, "make room"), (errno.EACCES, "written")])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_one_line(
    code: int, said: str, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.txt"
    files.write_text(path, "before")

    def fails(*args: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, fails)
    with pytest.raises(StorageError, match=said) as refusal:
        files.write_text(path, "after")
    monkeypatch.undo()
    assert str(path) in str(refusal.value) and len(str(refusal.value).splitlines()) == 1
    assert refusal.value.code == 1
    assert path.read_text() == "before" and [*tmp_path.iterdir()] == [path]


def test_half_written_files_of_a_name_are_removed(tmp_path: Path) -> None:
    for name in (".one.abc.txt", ".other.abc.txt", "one.txt"):
        (tmp_path / name).write_text(name)
    files.remove_temporary(tmp_path, "one")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.abc.txt", "one.txt"]
    files.remove_temporary(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["one.txt"]
    files.remove_temporary(tmp_path / "none")


def test_damaged_files_are_set_aside_one_beside_the_other(tmp_path: Path) -> None:
    path = tmp_path / "cells" / "one.parquet"
    path.parent.mkdir()
    said: list[str] = []

    def read(path: Path) -> str:
        raise DamagedError(f"{path}: not readable; run again")

    for text in ("first", "second"):
        path.write_text(text)
        assert files.read_or_set_aside(tmp_path, path, read, said.append) is None
    assert files.read_or_set_aside(tmp_path, path, read, said.append) is None and len(said) == 2
    assert said[0] == f"{path}: not readable; set aside as {tmp_path}/set_aside/cells+one.parquet.1"
    found = {path.name: path.read_text() for path in (tmp_path / "set_aside").iterdir()}
    assert found == {"cells+one.parquet.1": "first", "cells+one.parquet.2": "second"}
    path.write_text("third")
    assert files.read_or_set_aside(tmp_path, path, Path.read_text, said.append) == "third"
