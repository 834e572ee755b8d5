"""Novels are read from R's database, from a Debian package and from files; only the right ones."""

import hashlib
import io
import re
import struct
import tarfile
import zlib
from pathlib import Path

import pytest

from rl_es.envs import text
from rl_es.envs._text import austen
from rl_es.envs._text.corpus import Documents
from rl_es.envs._text.sources import read_documents
from rl_es.errors import UserError

ENVIRONMENT = "text/austen"
BOOKS = {
    "Emma": "EMMA\n\nCHAPTER I\n\nA pound (£) of it.\nchapters are not this\n\nCHAPTER II\nEnd",
    "Persuasion": "Persuasion\n\n\nChapter 1\n\nSir Walter",
}
DOCUMENTS = Documents(
    (
        b"EMMA\n\n",
        "CHAPTER I\n\nA pound (£) of it.\nchapters are not this\n\n".encode(),
        b"CHAPTER II\nEnd",
    ),
    (b"Persuasion\n\n\n", b"Chapter 1\n\nSir Walter"),
)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expects the two small books, and nothing that is installed."""
    digests = {hashlib.sha256(book.encode()).hexdigest(): name for name, book in BOOKS.items()}
    monkeypatch.setattr(austen, "BOOKS", digests)
    monkeypatch.delenv(austen.VARIABLE, raising=False)
    austen.read_documents.cache_clear()


def vector(book: str, version: int = 3) -> bytes:
    """The lines of a book as R serialises a character vector."""
    lines = [line.encode() for line in book.split("\n")]
    content = b"X\n" + struct.pack(">3i", version, 0x40201, 0x30500)
    if version == 3:
        content += struct.pack(">i", 5) + b"UTF-8"
    content += struct.pack(">2i", 16, len(lines))
    return content + b"".join(struct.pack(">2i", 0x40009, len(line)) + line for line in lines)


def database(version: int = 3) -> bytes:
    """A database of R with all books."""
    vectors = [vector(book, version) for book in BOOKS.values()]
    return b"".join(struct.pack(">I", len(block)) + zlib.compress(block) for block in vectors)


def package(content: bytes) -> bytes:
    """A Debian package that installs a database."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as archive:
        entry = tarfile.TarInfo(f".{austen.INSTALLED}/data/Rdata.rdb")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": buffer.getvalue()}
    result = b"!<arch>\n"
    for name, part in parts.items():
        result += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(part):<10}`\n".encode()
        result += part + b"\n" * (len(part) % 2)
    return result


def read(place: Path) -> Documents:
    return read_documents(ENVIRONMENT, text.Options(folder=str(place)))


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("version", [2, 3])
def test_a_database_of_r(tmp_path: Path, version: int) -> None:
    path = written(tmp_path / "data/Rdata.rdb", database(version))
    assert read(tmp_path) == read(path) == DOCUMENTS


def test_an_unpacked_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb", database())
    assert read(tmp_path) == DOCUMENTS
    monkeypatch.setenv(austen.VARIABLE, str(tmp_path))
    assert read_documents(ENVIRONMENT, text.Options()) == DOCUMENTS


def test_a_debian_package(tmp_path: Path) -> None:
    path = written(tmp_path / "r-cran-janeaustenr_1.0.0-1_all.deb", package(database()))
    assert read(path) == read(tmp_path) == DOCUMENTS


def test_files_of_text(tmp_path: Path) -> None:
    for number, (name, book) in enumerate(BOOKS.items()):
        written(tmp_path / f"{name.lower()}.txt", (book + "\n" * number).encode())
    assert read(tmp_path) == DOCUMENTS


def refused(place: Path) -> str:
    with pytest.raises(UserError) as error:
        text.check(ENVIRONMENT, text.Options(folder=str(place)))
    message = str(error.value)
    assert "\n" not in message and "apt-get download r-cran-janeaustenr" in message
    return message


def test_what_is_not_there_is_said_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refused(tmp_path).startswith(f"text/austen: no novels in {tmp_path}; ")
    monkeypatch.setattr(austen, "INSTALLED", tmp_path / "R")
    with pytest.raises(UserError, match=f"no novels in {tmp_path}/R"):
        text.check(ENVIRONMENT, text.Options())
    assert re.fullmatch("[0-9a-f]{16}", text.data_digest(ENVIRONMENT, text.Options()))


@pytest.mark.parametrize(
    "content",
    [
        database()[:-9],
        b"",
        package(b"nothing"),
        package(database())[:500],
        b"\0\0\0\4" + zlib.compress(b"X\n"),
        b"\0\0\0\4" + zlib.compress(vector("Emma").replace(b"\0\0\0\x10", b"\0\0\0\x0d")),
    ],
    ids=["short", "empty", "package", "short package", "short vector", "numbers"],
)
def test_damaged_files(tmp_path: Path, content: bytes) -> None:
    suffix = "deb" if content.startswith(b"!") else "rdb"
    path = written(tmp_path / f"file.{suffix}", content)
    assert refused(path).startswith(str(path))


def test_another_text_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "a.txt", BOOKS["Persuasion"].encode())
    written(tmp_path / "b.txt", BOOKS["Emma"].replace("End", "end").encode())
    assert "has no text of Emma as in janeaustenr 1.0.0" in refused(tmp_path)


def test_the_digest_needs_no_files_and_knows_the_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = {text.data_digest(ENVIRONMENT, text.Options())}
    monkeypatch.setattr(austen, "BOOKS", dict.fromkeys("ab", ""))
    digests.add(text.data_digest(ENVIRONMENT, text.Options()))
    assert len(digests) == 2
