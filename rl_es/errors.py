"""Errors meant for the person at the keyboard, and the nearest-name help they carry.

A validation error in the words of the person who wrote the file.

Where something stands in a file that holds mappings and lists, and what is wrong there.
"""

import difflib
import re
import sysconfig
import traceback
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pydantic
from pydantic import BaseModel

MAX_SEED = 2**31 - 1
MAX_MESSAGE_LENGTH = 2000  # characters of a message
MAX_NAME_LENGTH = 300  # of a name that a nearer one is sought for
_CONTROL = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_MOVING = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class UserError(Exception):
    """Bad input: the message (three lines at most) says what, where and what would be right.

    The command line prints it without a traceback and exits with its code.
    """

    code = 2


class EndedError(UserError):
    """Something outside of this process has ended it: nothing is wrong with the input."""

    code = 1


class Interrupted(KeyboardInterrupt):
    """A stop was requested in one of the processes of a sweep, and all of them stop."""


class DamagedError(UserError):
    """A results file that was cut short or altered, by its checksum or its content."""


class StorageError(UserError):
    """A file could not be written: what was there before is whole."""

    code = 1


def did_you_mean(wrong: str, valid: Iterable[str]) -> str:
    """Returns ``"; did you mean 'x'?"`` for the nearest valid name, else the valid names."""
    valid = sorted(valid)
    folded = {name.lower(): name for name in valid if len(name) <= MAX_NAME_LENGTH}
    # The search takes time that grows with the square of the lengths.
    wrong = wrong.lower() if len(wrong) <= MAX_NAME_LENGTH else ""
    near = difflib.get_close_matches(wrong, folded, n=1, cutoff=0.5)
    if near:
        return f"; did you mean '{folded[near[0]]}'?"
    shown = ", ".join(map(brief, valid[:12])) + (", ..." if len(valid) > 12 else "")
    return f"; valid: {shown}" if valid else ""


def check_number(option: str, value: float | None, least: float, most: float) -> None:
    """Refuses a number of the command line that is out of bounds, or not one.

    Raises:
      UserError: names the option and the bound.
    """
    if value is None or least <= value <= most:
        return
    bound = f"at most {most}" if value > most else f"at least {least}"
    raise UserError(f"{option}: must be {bound}; is {brief(value)}")


def short_reason(error: BaseException) -> str:
    """What a library says went wrong, in brief, for a message of our own that says where."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, KeyError) and error.args:
        return f"it has no '{brief(error.args[0])}'"
    if isinstance(error, RecursionError):
        return "nested too deep"
    lines = str(error).strip().splitlines()
    return brief(lines[0], 200) if lines else type(error).__name__


def source_line(error: BaseException) -> str:
    """` (my_env.py:57)`: the innermost line that is neither the engine's nor a library's; or ''."""
    libraries = (Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib"))
    passed_over = [Path(__file__).parent, *libraries]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.suffix == ".py" and not any(map(path.is_relative_to, passed_over)):
            return f" ({path.name}:{frame.lineno})"
    return ""


def brief(value: Any, limit: int = 60) -> str:
    """A value on one short line; text without quotes, its signs that cannot be seen spelled out."""
    if isinstance(value, str):
        text = value if value.isprintable() else repr(value)[1:-1]
    else:
        text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def control_character(text: str) -> str:
    """The first sign of a text that no name, path or page can hold, as Python spells it; or ''.

    Line ends and tabs are none. Half a letter (a surrogate), which UTF-8 cannot write, is one.
    """
    found = _CONTROL.search(text)
    return repr(found[0]) if found else ""


def printable(text: str) -> str:
    """A message on one line, without signs that move a terminal's cursor or turn its direction."""
    if len(text) > MAX_MESSAGE_LENGTH:
        text = f"{text[: MAX_MESSAGE_LENGTH // 2]} ... {text[-MAX_MESSAGE_LENGTH // 2 :]}"
    return _MOVING.sub(lambda sign: repr(sign[0])[1:-1], text)


ConfigPath = tuple[str | int, ...]  # keys and list positions from the top of a document


class ConfigError(UserError):
    """Something wrong at a place; whoever knows the file adds its name, and the line."""

    def __init__(self, path: ConfigPath, reason: str):
        super().__init__(f"{format_path(path)}: {reason}" if path else reason)
        self.path = path
        self.reason = reason


def format_path(place: ConfigPath) -> str:
    """A place as text: `agents[1].with.lr`."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{brief(part)}"
    return text.removeprefix(".")


_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "string": "text",
    "bool": "true or false",
    "dict": "a mapping (key: value)",
    "model": "a mapping (key: value)",
    "tuple": "a list",
    "list": "a list",
}


def explain_validation(error: pydantic.ValidationError, model: type[BaseModel]) -> ConfigError:
    """The first of the errors that `model` found, with the nearest valid name where one helps.

    A key that is missing and one beside it that is not known are most likely one key, misspelled.
    """
    errors = error.errors(include_url=False)
    first = errors[0]
    if first["type"] == "missing":
        unknown = [other for other in errors if other["type"] == "extra_forbidden"]
        first = next((o for o in unknown if o["loc"][:-1] == first["loc"][:-1]), first)
    place: ConfigPath = first["loc"]
    return ConfigError(place, _message(first, model))


def _message(error: Any, model: type[BaseModel]) -> str:
    kind, place, given, context = error["type"], error["loc"], error["input"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return "unknown key" + did_you_mean(brief(place[-1]), _keys(model, place[:-1]))
    if kind == "missing":
        return "is missing"
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        valid = re.findall(r"'([^']*)'", context["expected"])
        return f"must be {context['expected']}, is {_shown(given)}" + (
            did_you_mean(brief(given), valid) if isinstance(given, str) else ""
        )
    if kind == "too_short":
        return f"is empty; needs at least {context['min_length']}"
    for limit, words in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<=")):
        if limit in context:
            return f"must be {words} {context[limit]:g}, is {_shown(given)}"
    expected = _EXPECTED.get(kind.removesuffix("_type"))
    if expected:
        return f"must be {expected}, is {_shown(given)}"
    return f"{error['msg'][0].lower()}{error['msg'][1:]}, is {_shown(given)}"


def _shown(value: Any) -> str:
    """A value as YAML would show it, with its kind where the spelling hides it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the text '{brief(value)}'"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}" if value else "an empty list"
    return brief(value)


def _keys(model: type[BaseModel], place: ConfigPath) -> list[str]:
    """The keys that a file may have at a place, by the models' own fields."""
    found: type[BaseModel] | None = model
    for part in place:
        if found is None or isinstance(part, int):
            continue
        fields = {field.alias or name: field for name, field in found.model_fields.items()}
        extra = found.__annotations__.get("__pydantic_extra__")
        found = _config_in(fields[part].annotation if part in fields else extra)
    if found is None:
        return []
    return [field.alias or name for name, field in found.model_fields.items()]


def _config_in(annotation: Any) -> type[BaseModel] | None:
    """The first configuration class inside an annotation such as `tuple[Entry, ...] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_config_in(part) for part in typing.get_args(annotation))
    return next((part for part in inner if part is not None), None)
