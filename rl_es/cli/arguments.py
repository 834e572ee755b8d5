"""Options and arguments that several commands have.

What is wrong with a command line: one message, as of everything else that is read.

tyro says it in a box of many lines. Its hook for parse errors, which is private to it and so pinned
in pyproject.toml, tells what it found; what is not known here is left to the box.
"""

import dataclasses
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any

from tyro import _errors as found
from tyro.conf import FlagCreatePairsOff, Positional, UseAppendAction, arg

from rl_es.errors import UserError, brief, did_you_mean
from rl_es.results.files import check_folder
from rl_es.terminal import start_command

if TYPE_CHECKING:
    from rl_es.training.resources import Resources

SweepFile = Annotated[
    Positional[Path], arg(metavar="SWEEP", help="sweep file (YAML), or the name of one of `sweeps`")
]
ResultsFolder = Annotated[Positional[Path], arg(metavar="DIR", help="results folder")]
Overrides = Annotated[
    UseAppendAction[tuple[str, ...]],
    arg(
        metavar="PATH=VALUE",
        help="override a value of the sweep, such as budget.env_steps=1e5 or "
        "agents.eggroll.with.lr=0.1",
        help_behavior_hint="(may be repeated)",
    ),
]
Out = Annotated[
    Path | None,
    arg(
        metavar="DIR",
        help="results folder",
        help_behavior_hint="(default: results/<name>, or results/<verb>/<name>)",
    ),
]
Quiet = Annotated[
    FlagCreatePairsOff[bool],
    arg(help="print failures and the end only", help_behavior_hint=""),
]
NoReplays = Annotated[
    FlagCreatePairsOff[bool],
    arg(help="leave out the films of trained policies", help_behavior_hint=""),
]


@dataclasses.dataclass(frozen=True)
class MachineOptions:
    """What may be used of this machine."""

    devices: Annotated[
        int | None,
        arg(
            metavar="N",
            help="devices, of each process, that share populations, or runs; a CPU counts as many "
            "as asked for",
            help_behavior_hint="(default: 1 on CPU, else all)",
        ),
    ] = None
    lanes: Annotated[
        int | None,
        arg(
            metavar="N",
            help="runs of a group that share a call of its program",
            help_behavior_hint="(default: 1 on CPU, else as many as fit in memory)",
        ),
    ] = None
    population_chunk: Annotated[
        int | None,
        arg(
            metavar="N",
            help="most members that a device evaluates at once; results stay the same",
            help_behavior_hint="(default: as many as fit in memory)",
        ),
    ] = None
    memory: Annotated[
        float | None,
        arg(
            metavar="GIB",
            help="memory that a device may fill",
            help_behavior_hint="(default: half of what there is)",
        ),
    ] = None

    def resources(self) -> "Resources":
        """The same for the engine.

        Raises:
          UserError: a number is out of bounds.
        """
        from rl_es.training.resources import Resources

        memory = self.memory
        if memory is not None and not 0 < memory < 2**30:
            raise UserError(f"--memory: must be a number of GiB above 0; is {memory:g}")
        size = None if memory is None else round(memory * 2**30)
        return Resources(self.devices, self.lanes, self.population_chunk, size)


ALL = MachineOptions()
Machine = Annotated[MachineOptions, arg(name="")]


def results_folder(out: Path | None, *default: str) -> Path:
    """The results folder: the one asked for, or the default below `results`."""
    return check_folder(out or Path("results", *default))


_KINDS = {int: "a whole number", float: "a number"}


class CommandLineCheck:
    """The hook: raises a `UserError` for what a command line has wrong."""

    def __init__(self, arguments: Sequence[str], commands: Mapping[str, Any]):
        """Takes the whole command line, which starts with a command, and all commands by name."""
        self._arguments = arguments
        self._verb = arguments[0]
        self._command = commands[self._verb]

    def __call__(self, event: found.ParseErrorEvent) -> None:
        """Raises what is to be said of an event.

        Raises:
          UserError: for the events that are known here.
        """
        match event:
            case found.UnrecognizedArgs(tokens=tokens):
                raise self._unknown(tokens)
            case found.MissingArgs(missing_arguments=missing, unrecognized_tokens=tokens):
                if any(token.startswith("-") for token in tokens):
                    raise self._unknown(tokens)
                names = " and ".join(_name(one.arg) for one in missing)
                raise UserError(f"{self._verb}: needs {names}; {self._help}")
            case found.BadValue(argument=argument):
                raise UserError(f"{_name(argument)}: needs {_wanted(argument)}; {self._help}")
            case found.InvalidChoice(argument=argument, value=value):
                raise UserError(f"{_name(argument)}: {_choice(argument, value)}")
            case found.InstantiationFailure(argument=argument) if argument is not None:
                given = brief(" ".join(self._given(argument)))
                raise UserError(f"{_name(argument)}: must be {_wanted(argument)}; is '{given}'")

    def check(self) -> None:
        """Refuses a value of a flag, which tyro would take for an argument by place.

        Raises:
          UserError: names the flag.
        """
        flags = {f"--{name}" for name, kind, _ in _fields(self._command) if kind is bool}
        flags |= {f"--no-{flag[2:]}" for flag in flags}
        for token in self._arguments[1:]:
            flag, equals, _ = token.partition("=")
            if equals and flag.replace("_", "-") in flags:
                raise UserError(f"{flag}: takes no value; {self._help}")

    @property
    def _help(self) -> str:
        return f"see {start_command()} {self._verb} --help"

    def _unknown(self, tokens: Sequence[str]) -> UserError:
        """Of arguments that nothing takes: the first option, which may have a value after it."""
        option = next((token for token in tokens if token.startswith("-")), None)
        if option is None:
            return UserError(f"{self._verb}: '{brief(tokens[0])}' is one too many; {self._help}")
        option = option.partition("=")[0]
        near = did_you_mean(option, ["--help", *_options(self._command)])
        return UserError(f"{self._verb}: unknown option '{brief(option)}'{near}")

    def _given(self, argument: Any) -> list[str]:
        """The values after the last of an option's flags."""
        flags = {flag.replace("_", "-") for flag in argument.lowered.name_or_flags}
        values: list[str] = []
        taking = False
        for token in self._arguments[1:]:
            flag, equals, value = token.partition("=")
            if flag.replace("_", "-") in flags:
                values, taking = [value] if equals else [], True
            elif token.startswith("--"):
                taking = False
            elif taking:
                values.append(token)
        return values


def _fields(command: Any) -> Iterator[tuple[str, Any, Sequence[Any]]]:
    """Name, type and notes of all that a command takes, and of what it has inside."""
    for field in dataclasses.fields(command):
        kind, *notes = typing.get_args(field.type) if _annotated(field.type) else (field.type,)
        if dataclasses.is_dataclass(kind):
            yield from _fields(kind)
        else:
            yield field.name.replace("_", "-"), kind, notes


def _options(command: Any) -> Iterator[str]:
    """The options of a command."""
    for name, kind, notes in _fields(command):
        if Positional not in notes:
            yield f"--{name}"
            if kind is bool and FlagCreatePairsOff not in notes:
                yield f"--no-{name}"


def _annotated(kind: Any) -> bool:
    return typing.get_origin(kind) is typing.Annotated


def _name(argument: Any) -> str:
    """An option, or what stands for an argument by place in the help."""
    if not argument.is_positional():
        return argument.lowered.name_or_flags[-1]
    return _metavar(argument) or argument.field.intern_name.upper()


def _metavar(argument: Any) -> str:
    """What stands for a value in the help; nothing where that lists the values."""
    metavar = str(argument.lowered.metavar).removeprefix("{None}|")
    return "" if "{" in metavar else metavar.split(" [")[0]


def _wanted(argument: Any) -> str:
    """What an option needs after it."""
    kind: Any = argument.field.type_stripped
    inner = [one for one in typing.get_args(kind) if one is not NoneType]
    if typing.get_origin(kind) is not tuple and len(inner) == 1:  # it may be left out
        kind, inner = inner[0], list(typing.get_args(inner[0]))
    if kind in _KINDS:
        return _KINDS[kind]
    if argument.lowered.choices:
        return f"one of {', '.join(_choices(argument))}"
    metavar = _metavar(argument)
    if typing.get_origin(kind) is tuple and ... not in inner:
        return f"{len(inner)} values, {metavar}"
    return f"a value, {metavar}" if metavar else "a value"


def _choices(argument: Any) -> list[str]:
    """What an option may be, in the order of its declaration; tyro's own is that of a set."""
    found = list(_literals(argument.field.type_stripped))
    return found or sorted(choice for choice in argument.lowered.choices if choice != "None")


def _literals(kind: Any) -> Iterator[str]:
    if typing.get_origin(kind) is typing.Literal:
        yield from map(str, typing.get_args(kind))
    else:
        for inner in typing.get_args(kind):
            yield from _literals(inner)


def _choice(argument: Any, value: str) -> str:
    choices = _choices(argument)
    near = did_you_mean(value, choices)
    hint = near if "did you mean" in near else ""
    return f"must be one of {', '.join(choices)}; is '{brief(value)}'{hint}"
