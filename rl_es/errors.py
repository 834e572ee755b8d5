"""Errors for the person at the keyboard: what is wrong, where, and what would be right.

`UserError` is the base of all errors of the input. `ConfigError` adds the path in a document that
holds mappings and lists; `explain_validation` makes one from an error of pydantic, in the words of
the person who wrote the file. The other functions make texts short, safe to print, and helpful by
the nearest valid name.
"""

import difflib
import functools
import re
import sysconfig
import traceback
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import pydantic
from pydantic import BaseModel

MAX_SEED = 2**31 - 1
MAX_MESSAGE_LENGTH = 2000  # characters of a message
MAX_NAME_LENGTH = 300  # characters of a name for which the nearest is searched
_CONTROL_CHARACTER = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class UserError(Exception):
    """Wrong input; the message, of at most three lines, says what, where and what would be right.

    The command line prints it without a traceback and exits with its `code`.
    """

    code = 2


class EndedError(UserError):
    """An end of this process from outside: nothing is wrong with the input."""

    code = 1


class Interrupted(KeyboardInterrupt):
    """A stop was requested in one of the processes of a sweep, and all of them stop."""


class DamagedError(UserError):
    """A results file that was cut short or altered, as its checksum or its content shows."""


class StorageError(UserError):
    """A file that could not be written; the one that it would have replaced is intact."""

    code = 1


Arguments = ParamSpec("Arguments")
Outcome = TypeVar("Outcome")


def short_traceback(function: Callable[Arguments, Outcome]) -> Callable[Arguments, Outcome]:
    """Decorates a function of the Python interface: a `UserError` of it shows no internals.

    The traceback has the line of the caller, and one line of the decorator.
    """

    @functools.wraps(function)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Outcome:
        try:
            return function(*args, **kwargs)
        except UserError as error:
            raise error.with_traceback(None) from None

    return call


def did_you_mean(wrong: str, valid: Iterable[str]) -> str:
    """Returns ``"; did you mean 'x'?"`` for the nearest valid name, else the valid names."""
    valid = sorted(valid)
    names = {name.lower(): name for name in valid if len(name) <= MAX_NAME_LENGTH}
    # The search takes time that grows with the square of the lengths.
    wrong = wrong.lower() if len(wrong) <= MAX_NAME_LENGTH else ""
    near = difflib.get_close_matches(wrong, names, n=1, cutoff=0.5)
    if near:
        return f"; did you mean '{names[near[0]]}'?"
    text = ", ".join(map(brief, valid[:12])) + (", ..." if len(valid) > 12 else "")
    return f"; valid: {text}" if valid else ""


def check_number(option: str, value: float | None, least: float, most: float) -> None:
    """Refuses a number of the command line that is out of bounds, or nan.

    Raises:
      UserError: names the option and the bound.
    """
    if value is None or least <= value <= most:
        return
    bound = f"at most {most}" if value > most else f"at least {least}"
    raise UserError(f"{option}: must be {bound}; is {brief(value)}")


def short_reason(error: BaseException) -> str:
    """Returns a library's reason for an error, in brief, for a message of ours that says where."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, KeyError) and error.args:
        return f"it has no '{brief(error.args[0])}'"
    if isinstance(error, RecursionError):
        return "nested too deep"
    if isinstance(error, SyntaxError):
        return error.msg
    lines = str(error).strip().splitlines()
    return brief(lines[0], 200) if lines else type(error).__name__


def source_line(error: BaseException) -> str:
    """Returns the line of a user's code that an error comes from, ` (my_env.py:57)`, or ''.

    It is the innermost one outside of libraries and of the engine, which called it: the script that
    called the engine does not count. Built-in agents and environments count as a user's.
    """
    engine = Path(__file__).parent
    built_in = (engine / "agents", engine / "envs")
    libraries = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")]
    is_called, line = False, ""
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        is_built_in = any(map(path.is_relative_to, built_in))
        if path.is_relative_to(engine) and not is_built_in:
            is_called = True
        elif (
            is_called
            and path.suffix == ".py"
            and (is_built_in or not any(map(path.is_relative_to, libraries)))
        ):
            line = f" ({path.name}:{frame.lineno})"
    return line


def explain_exception(error: BaseException, line: str | None = None) -> str:
    """Returns an exception on one line: its class, its reason, and where (`source_line`)."""
    line = source_line(error) if line is None else line
    return f"{type(error).__name__}: {short_reason(error)}{line}"


def brief(value: Any, limit: int = 60) -> str:
    """Returns a value as one short line: text without quotes, unprintable characters escaped."""
    if isinstance(value, str):
        text = value if value.isprintable() else repr(value)[1:-1]
    else:
        text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def control_character(text: str) -> str:
    """Returns the first control character of a text, as Python writes it, or ''.

    Line ends and tabs do not count. Surrogates do, since UTF-8 cannot encode them.
    """
    match = _CONTROL_CHARACTER.search(text)
    return repr(match[0]) if match else ""


def printable(text: str) -> str:
    """Returns a message on one line, with characters escaped that control a terminal."""
    if len(text) > MAX_MESSAGE_LENGTH:
        text = f"{text[: MAX_MESSAGE_LENGTH // 2]} ... {text[-MAX_MESSAGE_LENGTH // 2 :]}"
    return _UNPRINTABLE.sub(lambda match: repr(match[0])[1:-1], text)


ConfigPath = tuple[str | int, ...]  # keys and list positions from the top of a document


class ConfigError(UserError):
    """A value in a document that is wrong. The reader of the file adds its name and the line.

    Attributes:
      path: Path of the value in the document.
      reason: What is wrong with it.
    """

    def __init__(self, path: ConfigPath, reason: str):
        super().__init__(f"{format_path(path)}: {reason}" if path else reason)
        self.path = path
        self.reason = reason


def format_path(path: ConfigPath) -> str:
    """Returns a path as text: `agents[1].with.lr`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{brief(part)}"
    return text.removeprefix(".")


_NOUNS = {
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
    """Returns the first error of a validation by `model`, with the nearest valid name if one helps.

    A missing key beside an unknown key is most likely one key, misspelled.
    """
    errors = error.errors(include_url=False)
    first = errors[0]
    if first["type"] == "missing":
        unknown = [error for error in errors if error["type"] == "extra_forbidden"]
        first = next((error for error in unknown if error["loc"][:-1] == first["loc"][:-1]), first)
    return ConfigError(first["loc"], _validation_message(first, model))


def _validation_message(error: Any, model: type[BaseModel]) -> str:
    """Returns the message for one of pydantic's errors."""
    kind, path, value, context = error["type"], error["loc"], error["input"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return "unknown key" + did_you_mean(brief(path[-1]), _valid_keys(model, path[:-1]))
    if kind == "missing":
        return "is missing"
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        valid = re.findall(r"'([^']*)'", context["expected"])
        return f"must be {context['expected']}, is {_describe(value)}" + (
            did_you_mean(brief(value), valid) if isinstance(value, str) else ""
        )
    if kind == "too_short":
        return f"is empty; needs at least {context['min_length']}"
    for limit, words in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<=")):
        if limit in context:
            return f"must be {words} {context[limit]:g}, is {_describe(value)}"
    noun = _NOUNS.get(kind.removesuffix("_type"))
    expectation = f"must be {noun}" if noun else f"{error['msg'][0].lower()}{error['msg'][1:]}"
    return f"{expectation}, is {_describe(value)}"


def _describe(value: Any) -> str:
    """Returns a value as YAML would show it, with its kind where the text does not show it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the text '{brief(value)}'"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}" if value else "an empty list"
    return brief(value)


def _valid_keys(model: type[BaseModel], path: ConfigPath) -> list[str]:
    """Returns the keys that a document may have at a path, by the fields of the models."""
    config: type[BaseModel] | None = model
    for part in path:
        if config is None or isinstance(part, int):
            continue
        fields = {field.alias or name: field for name, field in config.model_fields.items()}
        extra = config.__annotations__.get("__pydantic_extra__")
        config = _config_in(fields[part].annotation if part in fields else extra)
    if config is None:
        return []
    return [field.alias or name for name, field in config.model_fields.items()]


def _config_in(annotation: Any) -> type[BaseModel] | None:
    """Returns the first model class inside an annotation such as `tuple[Entry, ...] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_config_in(argument) for argument in typing.get_args(annotation))
    return next((config for config in inner if config is not None), None)
