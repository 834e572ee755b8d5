"""Arguments of a call as the content of a sweep file, so that both are checked in the same way.

Numbers become those of a file (1e6 is a whole number), so that a call and a file of equal content
have the same runs.

`import_packages` imports the packages of agents and environments that are installed.

The registry finds this package's own. Another distribution lists its packages under the entry
points `rl_es.packages`; importing one adds it to the registry (`registry.agents.add_package`).
"""

import difflib
import importlib.metadata
import math
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

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
from rl_es.sweep.schema import MAX_CELLS
from rl_es.sweep.yaml_reader import MAX_DEPTH, Document

Entry = str | Mapping[str, Any]  # a name, or a mapping as an entry of a sweep file
Entries = Entry | Sequence[Entry]
_LISTS = {"environments": "env", "agents": "agent"}  # keys of a sweep, and their arguments


def plain_value(value: Any, path: ConfigPath = ()) -> Any:
    """Returns a Python value as the reader of sweep files returns it; arrays become lists.

    Raises:
      ConfigError: a file cannot hold it; the path in it is `path` and below.
    """
    if len(path) > MAX_DEPTH:
        raise ConfigError(path[:3], "nested too deep for a sweep")
    if hasattr(value, "tolist"):  # of numpy or jax
        value = value.tolist()
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, str):
        if sign := control_character(value):
            raise ConfigError(path, f"text must be without control characters, has {sign}")
        return str(value)
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ConfigError(path, f"must be a finite number, is {value}")
        return int(value) if value.is_integer() and abs(value) <= 2**53 else value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ConfigError(path, f"a key must be text, is {brief(key)}")
        return {key: plain_value(inner, (*path, key)) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        if len(value) > MAX_CELLS:
            raise ConfigError(path, f"must have at most {MAX_CELLS:,} items, has {len(value):,}")
        return [plain_value(inner, (*path, number)) for number, inner in enumerate(value)]
    kinds = "text, a number, True or False, a list or a mapping"
    raise ConfigError(path, f"must be {kinds}, is {brief(value)}")


def whole_number(name: str, value: Any, least: int, most: int) -> int:
    """Returns the value of an argument that must be a whole number.

    Raises:
      UserError: it is another value, or out of bounds.
    """
    try:
        number = plain_value(value)
    except ConfigError as problem:
        raise UserError(f"{name}: {problem.reason}") from None
    if isinstance(number, bool) or not isinstance(number, int):
        raise UserError(f"{name}: must be a whole number, is {brief(value)}")
    if not least <= number <= most:
        bound = f"at most {most}" if number > most else f"at least {least}"
        raise UserError(f"{name}: must be {bound}, is {brief(value)}")
    return number


def choice(name: str, value: Any, valid: Collection[str]) -> str:
    """Returns the value of an argument that must be one of some names.

    Raises:
      UserError: it is none of them; the message names the nearest.
    """
    if isinstance(value, str) and value in valid:
        return value
    raise UserError(f"{name}: there is no '{brief(value)}'{did_you_mean(str(value), valid)}")


def existing_path(name: str, value: Any) -> Path:
    """Returns the value of an argument that must be a path.

    Raises:
      UserError: it is another value.
    """
    if isinstance(value, str | os.PathLike) and "\0" not in os.fspath(value):
        return Path(value)
    raise UserError(f"{name}: must be a path, is {brief(value)}")


class CallDocument(Document):
    """The content of a sweep that the arguments of a function state."""

    def __init__(self, source: str, content: Mapping[str, Any], arguments: Sequence[str]):
        """Takes a sweep's content, in which `environments` and `agents` may be one entry.

        Args:
          source: the function's name, for messages.
          content: by a sweep's keys.
          arguments: names of the function's arguments without agents' settings.

        Raises:
          UserError: it holds a value that no file can hold.
        """
        super().__init__(source, {})
        self._arguments = arguments
        try:
            self.content = plain_value(content)
        except ConfigError as problem:
            raise self.error(problem) from None
        self._single: set[str] = set()
        for key, argument in _LISTS.items():
            if not isinstance(self.content[key], str | dict | list):
                raise UserError(
                    f"{source}: {argument}: must be a name, a mapping, or a list of these, is "
                    f"{brief(content[key])}"
                )
            if isinstance(self.content[key], str | dict):
                self.content[key] = [self.content[key]]
                self._single.add(key)

    def error(self, problem: ConfigError) -> UserError:
        """Returns the problem as one message that names the argument."""
        reason, path = problem.reason, self._argument(problem.path)
        if reason.startswith("unknown key") and path == problem.path[2:] and len(path) == 1:
            reason = self._unknown(str(path[0])) or reason
        where = f"{format_path(path)}: " if path else ""
        return UserError(f"{self.source}: {where}{reason}")

    def _unknown(self, name: str) -> str:
        """Returns a message about an unknown setting that is near an argument's name; else ''."""
        near = difflib.get_close_matches(name, self._arguments, n=1, cutoff=0.7)
        return f"unknown argument; did you mean '{near[0]}'?" if near else ""

    def _argument(self, path: ConfigPath) -> ConfigPath:
        """Returns the argument, and the path in it, of a path in a sweep."""
        match path:
            case ("defaults", "agent" | "budget", first, *rest):
                return (first, *rest)
            case ("defaults", first, *rest):
                return (first, *rest)
            case (("environments" | "agents") as key, int() as number, *rest):
                if isinstance(self.content[key][number], str):
                    if rest[:1] == ["with"] and rest[1:]:  # a setting that it lacks
                        return tuple(rest[1:])
                    rest = [] if rest == ["name"] else rest
                item = () if key in self._single else (number,)
                return (_LISTS[key], *item, *rest)
            case (("environments" | "agents") as key, *rest):
                return (_LISTS[key], *rest)
        return path


GROUP = "rl_es.packages"


def import_packages() -> None:
    """Imports the packages of other distributions, which add themselves to the registry.

    Loads no jax, unless one of them does.

    Raises:
      UserError: a package cannot be imported.
    """
    for point in importlib.metadata.entry_points(group=GROUP):
        try:
            point.load()
        except (ImportError, AttributeError) as error:
            raise UserError(
                f"{brief(point.value)}: is installed as a package of agents or environments, and "
                f"cannot be imported ({short_reason(error)})"
            ) from None
