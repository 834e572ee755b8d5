"""Sweep files as plain data: a strict subset of YAML, read safely.

Only mappings, lists, text, numbers, true and false are read; YAML's dates, octal numbers, `yes`
and tags are not. Every number form a person writes is a number (`1e-3`, `5e8`, `1_000_000`), and a
whole one is an int however it is written. Duplicate keys, null (but for the description), NaN,
infinity and text with control characters are refused. An alias may stand for any value, as long as
the whole stays small.
"""

import math
import re
from collections.abc import Iterator
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
_ENDLESS = re.compile(r"[-+]?\.?(inf|infinity)|\.?nan", re.IGNORECASE)


@dataclass
class Document:
    """The content of a sweep file, and where each part of it comes from."""

    source: str
    content: dict[str, Any]
    origins: dict[ConfigPath, str] = field(default_factory=dict)  # such as "line 12" or "--set"

    def error(self, problem: ConfigError) -> UserError:
        """The problem as one message: file, place, origin, what is wrong."""
        place = problem.path
        while place and place not in self.origins:
            place = place[:-1]
        origin = f" ({self.origins[place]})" if place else ""
        where = f": {format_path(problem.path)}" if problem.path else ""
        return UserError(f"{self.source}{where}{origin}: {problem.reason}")


def read_yaml(path: Path) -> Document:
    """Reads a sweep file.

    Raises:
      UserError: it cannot be read, or is not a mapping in the subset of YAML above.
    """
    try:
        text = read_bounded(path, MAX_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file{_beside(path)}") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder; name a file in it") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as a sweep file ({short_reason(error)})") from None
    return parse_yaml(text, str(path))


def _beside(path: Path) -> str:
    """The nearest sweep file in the same folder, if any is near."""
    names = [other.name for other in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
    return did_you_mean(path.name, names)


def parse_yaml(text: str, source: str) -> Document:
    """Reads the text of a sweep file; `source` names it in messages."""
    document = Document(source, {})
    node = _composed(text, source)
    if not isinstance(node, yaml.MappingNode):
        what = "empty" if node is None else "not a mapping"
        raise UserError(f"{source}: {what}; it starts with a line such as 'name: quickstart'")
    try:
        document.content = _Builder(document.origins).build(node, ())
    except ConfigError as problem:
        raise document.error(problem) from None
    return document


def parse_value(text: str) -> Any:
    """Reads one value, as `--set` takes it.

    Raises:
      UserError: it is not one value in the subset of YAML above.
    """
    node = _composed(text, "value")
    try:
        return "" if node is None else _Builder({}).build(node, ())
    except ConfigError as problem:
        raise UserError(problem.reason) from None


def _composed(text: str, source: str) -> yaml.Node | None:
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


class _Builder:
    """Turns composed nodes into plain data, noting lines."""

    def __init__(self, origins: dict[ConfigPath, str]):
        self.origins = origins
        self.nodes = 0

    def build(self, node: yaml.Node, place: ConfigPath) -> Any:
        self.nodes += 1
        self.origins.setdefault(place, f"line {node.start_mark.line + 1}")
        if self.nodes > MAX_NODES or len(place) > MAX_DEPTH:
            raise ConfigError(place[:3], "too many nested or aliased values for a sweep file")
        if isinstance(node, yaml.MappingNode):
            self._check_tag(node, "map", place)
            return {
                key: self.build(value, (*place, key)) for key, value in self._items(node, place)
            }
        if isinstance(node, yaml.SequenceNode):
            self._check_tag(node, "seq", place)
            return [self.build(value, (*place, i)) for i, value in enumerate(node.value)]
        return self._scalar(node, place)

    def _check_tag(self, node: yaml.Node, expected: str, place: ConfigPath) -> None:
        if node.tag != f"tag:yaml.org,2002:{expected}":
            raise ConfigError(place, f"YAML tags are not read here ({brief(node.tag)})")

    def _items(self, node: yaml.MappingNode, place: ConfigPath) -> Iterator[tuple[str, yaml.Node]]:
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError(place, f"a key must be text (line {line})")
            _check_text(key.value, place)
            if key.value in seen:
                raise ConfigError(
                    (*place, key.value), f"key given twice (lines {seen[key.value]} and {line})"
                )
            seen[key.value] = line
            self.origins[(*place, key.value)] = f"line {line}"
            yield key.value, value

    def _scalar(self, node: Any, place: ConfigPath) -> Any:
        text = node.value
        if node.tag not in _IMPLICIT:
            raise ConfigError(place, f"YAML tags are not read here ({brief(node.tag)})")
        _check_text(text, place)
        if node.style is not None:  # quoted or a block: text
            return text
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        if text in ("", "~", "null", "Null", "NULL"):
            if place in ((), ("description",)):
                return None
            raise ConfigError(place, "has no value (null); give one, or leave the key out")
        if _ENDLESS.fullmatch(text):
            raise ConfigError(place, f"must be a finite number, is {text}")
        return _number(text, place) if _NUMBER.fullmatch(text) else text


_IMPLICIT = {
    f"tag:yaml.org,2002:{kind}"
    for kind in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value")
}


def _check_text(text: str, place: ConfigPath) -> None:
    """Refuses what escapes can spell and no name, path or page can hold."""
    if sign := control_character(text):
        raise ConfigError(place, f"text must be without control characters, has {sign}")


def _number(text: str, place: ConfigPath) -> int | float:
    """A number; an int where it is whole and exactly known (5e8, 2.0)."""
    digits = text.replace("_", "")
    if re.fullmatch(r"[-+]?\d{1,18}", digits):
        return int(digits)
    value = float(digits)
    if not math.isfinite(value):
        raise ConfigError(place, f"must be a finite number, is {brief(text)}")
    return int(value) if value.is_integer() and abs(value) <= 2**53 else value
