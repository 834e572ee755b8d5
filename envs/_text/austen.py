"""Jane Austen's six novels, as the R package janeaustenr 1.0.0 has them, read without R.

The texts are those of Project Gutenberg, in the public domain. Debian's package r-cran-janeaustenr
holds them in `data/Rdata.rdb`: blocks of a length and a zlib stream, each of which is a character
vector in R's serialisation, of one string a line. The format is described in "R Internals",
section "Serialization Formats". Books are known by the SHA-256 of their lines, joined by newlines.
"""

import hashlib
import io
import itertools
import lzma
import os
import re
import struct
import tarfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from rl_es.envs._text.corpus import Documents
from rl_es.errors import UserError

VARIABLE = "RL_ES_AUSTEN"
PACKAGE = "r-cran-janeaustenr"
INSTALLED = Path("/usr/lib/R/site-library/janeaustenr")
REMEDY = (
    f"get Debian's package by `apt-get download {PACKAGE}`, and name the .deb, or a folder with "
    f"it, in the option folder or in ${VARIABLE}"
)
HELD_OUT = "Persuasion"
BOOKS = {  # by the SHA-256 of their texts
    "dd08b340a56ad4a0a00718d5682528a5a5886ae0aef91c9e0fa528074fa64b75": "Emma",
    "e0e9ef3863ea77f51f6070062ee0dd50ad9b933223880617629e4e4963ea40ff": "Mansfield Park",
    "8618a5acf5be50cc6e9b7680c7469fb6012649ab08c709dfc63c6367989fd31d": "Northanger Abbey",
    "726513a6c18bb678427bcbcf7c72d0d20816a67c25b0471b26ddcabf3ebac140": "Persuasion",
    "2e44edaa4946d64ad541c68e0224f5d672f43bf3ce2a8a0b0637ad5e02fc6eb3": "Pride and Prejudice",
    "0996d90842bbe8093f3b8142c1e77d1b20cff52d1d0615f3ed67733653e74e26": "Sense and Sensibility",
}
_DATA = "data/Rdata.rdb"
_CHAPTER = re.compile(rb"^(?=chapter )", re.IGNORECASE | re.MULTILINE)
_VECTOR, _STRING = 16, 9  # R's types of character vectors and of their strings


def text_digest() -> str:
    """Returns 16 hex digits that stand for the six texts, which need not be there."""
    return hashlib.sha256("".join(BOOKS).encode()).hexdigest()[:16]


def find_text(option: str | None) -> Path:
    """Returns where the books are: a database of R, a Debian package, or a folder of .txt files.

    Args:
      option: a .deb, or a folder: of the package, installed or unpacked, of its .deb, or of the
        books as .txt files. The default is $RL_ES_AUSTEN, then where Debian installs the package.

    Raises:
      UserError: there is nothing of this kind.
    """
    variable = os.environ.get(VARIABLE) or None
    place = Path(option or variable or INSTALLED).expanduser()
    if place.is_file():
        return place
    inside = [place / _DATA, place / INSTALLED.relative_to("/") / _DATA]
    paths = [path for path in inside if path.is_file()]
    paths += sorted(place.glob(f"{PACKAGE}_*.deb"), reverse=True)
    if paths:
        return paths[0]
    if any(place.glob("*.txt")):
        return place
    raise UserError(f"text/austen: no novels in {place}; {REMEDY}")


@lru_cache(maxsize=1)
def read_documents(path: Path) -> Documents:
    """Returns the chapters of the books; those of `Persuasion` are held out.

    A title page is a document, too.

    Args:
      path: as `find_text` returns it.

    Raises:
      UserError: they cannot be read, or are not the texts of version 1.0.0.
    """
    texts = {hashlib.sha256(text).hexdigest(): text for text in _read_texts(path)}
    if missing := [title for digest, title in BOOKS.items() if digest not in texts]:
        raise UserError(
            f"{path}: has no text of {', '.join(missing)} as in janeaustenr 1.0.0 (the SHA-256 "
            f"differs); {REMEDY}"
        )
    chapters = {title: _CHAPTER.split(texts[digest]) for digest, title in BOOKS.items()}
    held_out = chapters.pop(HELD_OUT)
    return Documents(tuple(itertools.chain(*chapters.values())), tuple(held_out))


def _read_texts(path: Path) -> list[bytes]:
    """Returns the texts of a place of books, without a newline at their ends.

    Raises:
      UserError: it cannot be read.
    """
    try:
        if path.is_dir():
            return [file.read_bytes().removesuffix(b"\n") for file in sorted(path.glob("*.txt"))]
        content = path.read_bytes()
        if path.suffix == ".deb":
            content = _read_package(content)
        return [b"\n".join(_read_strings(block)) for block in _read_blocks(content)]
    except (OSError, EOFError, ValueError, KeyError, struct.error, zlib.error) as error:
        reason = error
    except (tarfile.TarError, lzma.LZMAError) as error:
        reason = f"{error}; or unpack it by `dpkg-deb -x` and name that folder"
    raise UserError(f"{path}: cannot be read ({reason}); {REMEDY}")


def _read_package(content: bytes) -> bytes:
    """Returns the database of R in a Debian package: an ar archive with a tar archive in it."""
    start = 8
    while start < len(content):
        name, size = content[start : start + 16].decode(), int(content[start + 48 : start + 58])
        start += 60
        if name.startswith("data.tar"):
            with tarfile.open(fileobj=io.BytesIO(content[start : start + size])) as archive:
                file = archive.extractfile(f".{INSTALLED / _DATA}")
                if file is not None:
                    return file.read()
        start += size + size % 2
    raise ValueError("no data in it")


def _read_blocks(content: bytes) -> Iterator[bytes]:
    """Yields the objects of a database of R: of each, its length and a zlib stream."""
    while content:
        stream = zlib.decompressobj()
        yield stream.decompress(content[4:])
        content = stream.unused_data


def _read_strings(block: bytes) -> Iterator[bytes]:
    """Yields the strings of a character vector in R's serialisation, big-endian."""
    mark, version, *_ = struct.unpack_from(">2s3i", block)
    start = 14
    if mark != b"X\n" or version not in (2, 3):
        raise ValueError(f"no binary serialisation of R of version 2 or 3: {block[:6]!r}")
    if version == 3:  # names the encoding
        start += 4 + struct.unpack_from(">i", block, start)[0]
    kind, count = struct.unpack_from(">2i", block, start)
    start += 8
    if kind & 255 != _VECTOR:
        raise ValueError(f"an object of R's type {kind & 255}, no character vector")
    for _ in range(count):
        kind, size = struct.unpack_from(">2i", block, start)
        start += 8
        if kind & 255 != _STRING or not 0 <= size <= len(block) - start:
            raise ValueError("a character vector with something else than strings")
        yield block[start : start + size]
        start += size
