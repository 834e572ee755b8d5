"""Every option of every command, wrong in each way that its kind allows: one line, exit code 2."""

import dataclasses
import typing
from collections.abc import Iterator, Sequence
from dataclasses import MISSING
from pathlib import Path
from types import NoneType
from typing import Any, Literal

import pytest
from tyro.conf import Positional, UseAppendAction

from rl_es import cli
from rl_es.cli.main import VERBS

Line = tuple[tuple[str, ...], str]  # a command line, and a part of what is said


def _fields(command: Any) -> Iterator[tuple[str, Any, Sequence[Any]]]:
    """Name, type and notes of all that a command takes, and of what it has inside."""
    for field in dataclasses.fields(command):
        annotated = typing.get_origin(field.type) is typing.Annotated
        kind, *notes = typing.get_args(field.type) if annotated else (field.type,)
        if dataclasses.is_dataclass(kind):
            yield from _fields(kind)
        else:
            yield field.name.replace("_", "-"), kind, notes


def lines() -> Iterator[Line]:
    """Wrong command lines, from what each command says of itself."""
    for verb, command in VERBS.items():
        fields = list(_fields(command))
        kinds = [kind for _, kind, notes in fields if Positional in notes]
        first = (verb, *(map(_fitting, kinds[: _places(command)])), *_needed(command))
        for name, kind, notes in fields:
            if Positional in notes:
                if typing.get_origin(kind) is Literal:
                    yield (verb, "nonesuch"), "must be one of"
                continue
            option = f"--{name}"
            slip = option[:-1] + "qq"
            yield (*first, slip), f"{verb}: unknown option '{slip}'"
            yield (*first, f"{slip}=z"), f"{verb}: unknown option '{slip}'"
            if kind is bool:
                yield (*first, f"{option}=maybe"), f"{option}: takes no value"
                continue
            yield (*first, option), f"{option}: "
            yield (*first, option, "--help-me"), f"{option}: " if _fixed(kind, notes) else ""
            yield from _of_kind(first, option, kind, notes)
        if not any(typing.get_origin(k) is tuple for _, k, n in fields if Positional in n):
            yield (*first, "y", "z"), "one too many"


def _fitting(kind: Any) -> str:
    """An argument by place that a command takes."""
    return typing.get_args(kind)[0] if typing.get_origin(kind) is Literal else "x"


def _places(command: Any) -> int:
    """How many arguments by place a command is given: those that it needs, and at least one."""
    needed = {item.name for item in dataclasses.fields(command) if item.default is MISSING}
    return max(1, sum(name in needed for name, _, notes in _fields(command) if Positional in notes))


def _needed(command: Any) -> tuple[str, ...]:
    """The options that a command needs, with a value."""
    needed = [item.name for item in dataclasses.fields(command) if item.default is MISSING]
    positional = [name for name, _, notes in _fields(command) if Positional in notes]
    return tuple(part for name in needed if name not in positional for part in (f"--{name}", "o"))


def _inner(kind: Any) -> Any:
    """What an option holds, where it may be left out."""
    kinds = [item for item in typing.get_args(kind) if item is not NoneType]
    if typing.get_origin(kind) not in (tuple, Literal) and len(kinds) == 1:
        return kinds[0]
    return kind


def _fixed(kind: Any, notes: Any) -> bool:
    """Whether an option takes so many values, and no other number."""
    return UseAppendAction in notes or typing.get_origin(_inner(kind)) is not tuple


def _of_kind(first: tuple[str, ...], option: str, kind: Any, notes: Any) -> Iterator[Line]:
    inner = _inner(kind)
    if UseAppendAction in notes:
        inner = typing.get_args(inner)[0]
    if inner is int:
        for text in ("some", "1.5", "1e3", "", "0x10", "9" * 5000):
            yield (*first, option, text), f"{option}: must be a whole number"
        yield (*first, f"{option}=some"), f"{option}: must be a whole number; is 'some'"
    elif inner is float:
        for text in ("some", "1,5", "", "1 2"):
            yield (*first, option, text), f"{option}: must be a number"
    elif typing.get_origin(inner) is Literal:
        yield (*first, option, "nonesuch"), f"{option}: must be one of"
        near = f"{typing.get_args(inner)[0]}x"
        yield (*first, option, near), f"is '{near}'"


LINES = [(line, expected) for line, expected in lines() if expected]


@pytest.mark.parametrize(
    ("line", "expected"), LINES, ids=[" ".join(line)[:60] for line, _ in LINES]
)
def test_wrong(
    line: tuple[str, ...],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(line) == 2
    output = capfd.readouterr()
    (message,) = output.err.splitlines()
    assert message.startswith("error: ") and expected in message and len(message) < 500
    assert not output.out and not list(tmp_path.iterdir())


def test_every_command_and_option_is_there() -> None:
    options = {(line[0], option) for line, _ in LINES for option in line if option[:2] == "--"}
    for verb, command in VERBS.items():
        for name, kind, notes in _fields(command):
            option = f"--{name}=maybe" if kind is bool else f"--{name}"
            assert Positional in notes or (verb, option) in options
