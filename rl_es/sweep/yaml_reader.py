"""Reads a sweep file as plain data: a strict subset of YAML, with the line of every value.

The subset is mappings, lists, text, numbers, true and false. Dates, octal numbers, `yes` and tags
have no meaning of their own: the first three are text, tags are refused. Every number that a person
writes is a number (`1e-3`, `5e8`, `1_000_000`), and an integral one is an int in any spelling.
Duplicate keys, null (except as the description), NaN, infinity and text with control characters are
refused. An alias may stand for any value as long as the expanded document stays small.

PyYAML composes the nodes, and this module resolves them. ruamel.yaml was tried instead: it reads
dates, octal numbers and unknown tags without an error, names no second line for a duplicate key,
and takes two to four times as long (40 ms instead of 18 ms for the largest file of `sweeps/`).
"""

import math
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rl_es.errors import (
    ConfigError,
    ConfigPath,
    UserError,
    brief,
    control_character,
    did_you_mean,
    format_path,
    short_reason,
)
from rl_es.results.files import read_bounded

MAX_BYTES = 256 * 1024
MAX_NODES = 100_000  # after aliases are expanded
MAX_DEPTH = 40

_NUMBER = re.compile(r"[-+]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)([eE][-+]?\d+)?")
_NOT_FINITE = re.compile(r"[-+]?\.?(inf|infinity)|\.?nan", re.IGNORECASE)


@dataclass
class Document:
    """The content of a sweep file and the origin of each part of it.

    Attributes:
      source: the file's name, for messages.
      content: plain data.
      origins: "line 12" or "--set", by path.
    """

    source: str
    content: dict[str, Any]
    origins: dict[ConfigPath, str] = field(default_factory=dict)

    def error(self, problem: ConfigError) -> UserError:
        """Returns the problem as one message: the file, the path, its line and the reason."""
        nearest = problem.path
        while nearest and nearest not in self.origins:
            nearest = nearest[:-1]
        origin = f" ({self.origins[nearest]})" if nearest else ""
        path = f": {format_path(problem.path)}" if problem.path else ""
        return UserError(f"{self.source}{path}{origin}: {problem.reason}")


def read_yaml(path: Path) -> Document:
    """Reads a sweep file.

    Raises:
      UserError: the file cannot be read, or it is not a mapping in the subset of YAML above.
    """
    try:
        text = read_bounded(path, MAX_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file{_similar_file(path)}") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder; name a file in it") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as a sweep file ({short_reason(error)})") from None
    return parse_yaml(text, str(path))


def _similar_file(path: Path) -> str:
    """Returns a hint that names the sweep file in the same folder with the nearest name, or ''."""
    if not path.parent.is_dir():
        return f"; there is no folder {brief(str(path.parent))}"
    names = [file.name for file in path.parent.glob("[!.]*.yaml")]
    return did_you_mean(path.name, names) or "; `sweeps` lists the sweeps of the package"


def parse_yaml(text: str, source: str) -> Document:
    """Reads the text of a sweep file; `source` is its name in messages.

    Raises:
      UserError: the text is not a mapping in the subset of YAML above.
    """
    document = Document(source, {})
    node = _compose(text, source)
    if not isinstance(node, yaml.MappingNode):
        reason = "empty" if node is None else "not a mapping"
        raise UserError(f"{source}: {reason}; it starts with a line such as 'name: quickstart'")
    try:
        document.content = _Resolver(document.origins).resolve(node, ())
    except ConfigError as problem:
        raise document.error(problem) from None
    return document


def parse_value(text: str) -> Any:
    """Reads the value of a `--set PATH=VALUE` assignment.

    Raises:
      UserError: the text is not one value in the subset of YAML above.
    """
    node = _compose(text, "value")
    try:
        return "" if node is None else _Resolver({}).resolve(node, ())
    except ConfigError as problem:
        raise UserError(problem.reason) from None


def _compose(text: str, source: str) -> yaml.Node | None:
    """Returns the document's root node, with the tags that PyYAML resolves; None if it is empty."""
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" (line {mark.line + 1})" if mark else ""
        raise UserError(f"{source}{line}: not valid YAML: {brief(str(error.problem))}") from None
    except yaml.YAMLError as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{source}: not valid YAML: {brief(reason)}") from None
    except RecursionError:
        raise UserError(f"{source}: nested too deep for a sweep file") from None
    except (ValueError, OverflowError) as error:  # PyYAML: an escape beyond the last code point
        raise UserError(f"{source}: not valid YAML: {brief(str(error))}") from None


class _Resolver:
    """A conversion of composed nodes into plain data, which records the line of each value."""

    def __init__(self, origins: dict[ConfigPath, str]):
        self.origins = origins
        self.node_count = 0

    def resolve(self, node: yaml.Node, path: ConfigPath) -> Any:
        """Returns the plain data of a node at `path`.

        Raises:
          ConfigError: the node is outside the subset, or the document is too large.
        """
        self.node_count += 1
        self.origins.setdefault(path, f"line {node.start_mark.line + 1}")
        if self.node_count > MAX_NODES or len(path) > MAX_DEPTH:
            raise ConfigError(path[:3], "too many nested or aliased values for a sweep file")
        if isinstance(node, yaml.MappingNode):
            _check_tag(node, _MAPPING_TAGS, path)
            return {
                key: self.resolve(value, (*path, key)) for key, value in self._items(node, path)
            }
        if isinstance(node, yaml.SequenceNode):
            _check_tag(node, _SEQUENCE_TAGS, path)
            return [self.resolve(value, (*path, i)) for i, value in enumerate(node.value)]
        return _resolve_scalar(node, path)

    def _items(self, node: yaml.MappingNode, path: ConfigPath) -> Iterator[tuple[str, yaml.Node]]:
        """Yields the keys and value nodes of a mapping, and records the keys' lines."""
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError(path, f"a key must be text (line {line})")
            _check_text(key.value, path)
            if key.value in lines:
                raise ConfigError(
                    (*path, key.value), f"key given twice (lines {lines[key.value]} and {line})"
                )
            lines[key.value] = line
            self.origins[(*path, key.value)] = f"line {line}"
            yield key.value, value


def _tags(*kinds: str) -> frozenset[str]:
    return frozenset(f"tag:yaml.org,2002:{kind}" for kind in kinds)


_MAPPING_TAGS, _SEQUENCE_TAGS = _tags("map"), _tags("seq")
# The tags that PyYAML gives to scalars without an explicit tag.
_SCALAR_TAGS = _tags("str", "int", "float", "bool", "null", "timestamp", "merge", "value")


def _check_tag(node: yaml.Node, valid: Collection[str], path: ConfigPath) -> None:
    if node.tag not in valid:
        raise ConfigError(path, f"YAML tags are not read here ({brief(node.tag)})")


def _check_text(text: str, path: ConfigPath) -> None:
    """Refuses control characters: an escape can spell them, no name, path or page can hold them."""
    if character := control_character(text):
        raise ConfigError(path, f"text must be without control characters, has {character}")


def _resolve_scalar(node: Any, path: ConfigPath) -> Any:
    _check_tag(node, _SCALAR_TAGS, path)
    text = node.value
    _check_text(text, path)
    if node.style is not None:  # quoted or a block: text
        return text
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if text in ("", "~", "null", "Null", "NULL"):
        if path in ((), ("description",)):
            return None
        raise ConfigError(path, "has no value (null); give one, or leave the key out")
    if _NOT_FINITE.fullmatch(text):
        raise ConfigError(path, f"must be a finite number, is {text}")
    return _resolve_number(text, path) if _NUMBER.fullmatch(text) else text


def _resolve_number(text: str, path: ConfigPath) -> int | float:
    """Returns the number; an int if it is integral and exact as a float (5e8, 2.0)."""
    digits = text.replace("_", "")
    if re.fullmatch(r"[-+]?\d{1,18}", digits):
        return int(digits)
    value = float(digits)
    if not math.isfinite(value):
        raise ConfigError(path, f"must be a finite number, is {brief(text)}")
    return int(value) if value.is_integer() and abs(value) <= 2**53 else value
