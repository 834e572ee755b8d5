"""Reads a recorded file as named entries, without what differs between equal runs.

Numbers in tables are compared by their bits. Times, memory, dates, revisions, versions and
checksums are left out, wherever a column, a key or a line of text is named after them.
"""

import csv
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import flax.serialization
import msgpack
import numpy as np
import pyarrow.parquet as pq
from PIL import Image

Entries = dict[str, str]

# Names of columns and keys whose values differ between equal runs.
VARIABLE = re.compile(
    r"seconds|compile|peak|rss|^repeats$|^cpu_ratio$|^times_bare$|revision|versions?$|machine|processor|^device$|^time$"
    r"|^times?_|^date$|^started|sha256|^source$|_ms$|_ns$|per_second|share|^ratio|^cores",
    re.IGNORECASE,
)
FIGURES = (".png", ".svg", ".pdf")
LIBRARY = 1_000_000  # characters of a script from which it is plotly itself, and no data
# Figures that are drawn of seconds.
TIMED_FIGURES = re.compile(
    r"wall_clock|frontier|time_ratio|time_to_threshold|share_of|cost|parts|ablation|widths"
)
HEAD = re.compile(
    r"second|compile|share|time|ratio|quartiles|steps/s|cores|cached|trace", re.IGNORECASE
)  # of Markdown columns
_NUMBER = r"-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?"
_UNIT = r"(?:s|ms|µs|μs|us|min|h|GiB|MiB|kiB|KiB|MB|kB|GB|B|steps/s)\b"
_TEXT = (
    (re.compile(r"(?m)^[EWI]\d{4} \d\d:\d\d:\d\d.*\n?"), ""),  # what XLA logs
    (
        re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?:[+-]\d\d:?\d\d|Z)?)?"),
        "DATE",
    ),
    (re.compile(rf"{_NUMBER} ?{_UNIT}(?: {_NUMBER} ?{_UNIT})*"), "AMOUNT"),
    (re.compile(r"\b[0-9a-f]{12}\b(?=[^0-9a-f]|$)"), "REVISION"),
    (re.compile(r"[ \t─━═]+"), " "),
    (re.compile(r"(?m)^- (?:Machine|Processor|Device|Versions|Revision): .*$"), "- MACHINE"),
)
_HASH = re.compile(r"\b[0-9a-f]{64}\b")  # of a figure's rows, whose seconds differ
_ANY_NUMBER = re.compile(_NUMBER)


def entries(path: Path, fixed: bool = False) -> Entries:
    """Returns the entries of a file, by its kind; of an unknown kind, its checksum.

    Args:
      path: The file.
      fixed: It was made from committed tables, so that figures of seconds are equal, too.
    """
    if not fixed and path.suffix in FIGURES and TIMED_FIGURES.search(path.stem):
        return {"file": "a figure of seconds"}
    reader = _bytes if fixed and path.suffix in FIGURES else _READERS.get(path.suffix, _bytes)
    try:
        return reader(path)
    except (ValueError, OSError, msgpack.UnpackException) as error:
        return {"unreadable": f"{type(error).__name__}: {error}", **_bytes(path)}


def text_entries(text: str) -> Entries:
    """Returns the lines of a text, without amounts of time and memory, dates and revisions."""
    for pattern, replacement in _TEXT:
        text = pattern.sub(replacement, text)
    lines = [line.strip() for line in text.splitlines()]
    return {f"line {number}": line for number, line in enumerate(lines, 1)}


def _bytes(path: Path) -> Entries:
    return {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _parquet(path: Path) -> Entries:
    table = pq.read_table(path)
    kept = [name for name in table.column_names if not VARIABLE.search(name)]
    found = {"columns": " ".join(f"{field.name}:{field.type}" for field in table.schema)}
    found["rows"] = str(table.num_rows)
    for name in kept:
        for row, value in enumerate(table.column(name).to_pylist()):
            found[f"{name}[{row}]"] = _value(value)
    for key, value in (pq.read_metadata(path).metadata or {}).items():
        if not key.endswith(b"sha256") and key != b"ARROW:schema":
            for place, leaf in _leaves(_json_or_text(value.decode())):
                found[f"metadata {key.decode()}{place}"] = leaf
    return found


def _value(value: Any) -> str:
    """Returns a value as text that tells floats apart by their bits, and reads JSON as such."""
    if isinstance(value, float):
        return np.float64(value).tobytes().hex() + f" ({value!r})"
    if isinstance(value, list):
        digest = hashlib.sha256(repr([_value(item) for item in value]).encode()).hexdigest()
        return f"{len(value)} values {digest[:16]}"
    return repr(value)


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _csv(path: Path) -> Entries:
    with path.open(newline="") as lines:
        rows = [*csv.reader(lines)]
    if not rows:
        return {"rows": "0"}
    found = {"columns": " ".join(rows[0]), "rows": str(len(rows) - 1)}
    for number, row in enumerate(rows[1:]):
        for name, value in zip(rows[0], row, strict=False):
            if not VARIABLE.search(name):
                found[f"{name}[{number}]"] = value
    return found


def _json(path: Path) -> Entries:
    return dict(_leaves(json.loads(path.read_text())))


def _leaves(content: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yields the path and the value of every leaf of JSON that equal runs have in common."""
    if isinstance(content, Mapping):
        yield f"{place} keys", " ".join(sorted(content))
        for key, value in sorted(content.items()):
            if not VARIABLE.search(key):
                yield from _leaves(value, f"{place}.{key}")
    elif isinstance(content, list):
        yield f"{place} length", str(len(content))
        for number, value in enumerate(content):
            yield from _leaves(value, f"{place}[{number}]")
    elif isinstance(content, str):
        yield place, " / ".join(text_entries(content).values())
    else:
        yield place, _value(content)


def _msgpack(path: Path) -> Entries:
    """Reads a policy or a checkpoint; a checksum may follow the content."""
    content = path.read_bytes()
    unpacker = msgpack.Unpacker(strict_map_key=False, raw=False, max_buffer_size=2**31)
    unpacker.feed(content)
    unpacker.skip()
    size = unpacker.tell()
    found = {"bytes after the content": str(len(content) - size)}
    tree = flax.serialization.msgpack_restore(content[:size])
    found.update(_arrays(tree))
    return found


def _arrays(tree: Any, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _arrays(value, f"{place}/{key}")
    elif isinstance(tree, (list, tuple)):
        for number, value in enumerate(tree):
            yield from _arrays(value, f"{place}/{number}")
    elif isinstance(tree, (bytes, np.ndarray, np.generic)):
        array = np.asarray(tree)
        digest = hashlib.sha256(array.tobytes()).hexdigest()[:16]
        yield place, f"{array.dtype}{array.shape} {digest}"
    elif isinstance(tree, str) and tree[:1] in "[{":
        for inner, leaf in _leaves(_json_or_text(tree)):
            yield f"{place}{inner}", leaf
    else:
        yield place, repr(tree)


def _markdown(path: Path) -> Entries:
    """Reads a page; columns of a table whose head speaks of times hold no numbers."""
    lines, timed = [], []
    for line in path.read_text().splitlines():
        cells = line.split(" | ") if line.startswith("|") else []
        if not cells:
            timed = []
        elif not timed:
            timed = [bool(HEAD.search(cell)) for cell in cells]
        else:
            pairs = zip(cells, timed, strict=False)
            line = " | ".join(
                "#" if out and _ANY_NUMBER.search(cell) else cell for cell, out in pairs
            )
        lines.append(line)
    return text_entries("\n".join(lines))


class _Structure(HTMLParser):
    """The tags of a page with their classes, and its text without numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keeps a tag, its class and id, and the names of its other attributes."""
        named = {name: value for name, value in attrs if name in ("class", "id")}
        self.nodes.append(f"<{tag} {named} {sorted(name for name, _ in attrs)}>")

    def handle_endtag(self, tag: str) -> None:
        """Keeps the end of a tag."""
        self.nodes.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        """Keeps text without numbers; of long text, a checksum."""
        if len(data) > LIBRARY:
            self.nodes.append(hashlib.sha256(data.encode()).hexdigest())
            return
        text = " ".join(text_entries(data).values())
        text = _ANY_NUMBER.sub("#", text).strip()
        if len(text) > 500:
            text = f"{text[:60]} ... {hashlib.sha256(text.encode()).hexdigest()[:16]}"
        if text:
            self.nodes.append(text)


def _html(path: Path) -> Entries:
    structure = _Structure()
    structure.feed(path.read_text())
    return {f"node {number}": node for number, node in enumerate(structure.nodes)}


def _png(path: Path) -> Entries:
    with Image.open(path) as image:
        pixels = hashlib.sha256(image.convert("RGBA").tobytes()).hexdigest()
        found = {"size": str(image.size), "pixels": pixels}
        for key, value in sorted(image.info.items()):
            found[str(key)] = _HASH.sub("HASH", str(value))
    return found


def _svg(path: Path) -> Entries:
    return {
        f"line {n}": line for n, line in enumerate(_HASH.sub("HASH", path.read_text()).splitlines())
    }


def _text(path: Path) -> Entries:
    return text_entries(path.read_text())


_READERS: Mapping[str, Callable[[Path], Entries]] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".json": _json,
    ".msgpack": _msgpack,
    ".png": _png,
    ".svg": _svg,
    ".md": _markdown,
    ".html": _html,
    ".yaml": _text,
    ".py": _text,
    ".tex": _text,
}
