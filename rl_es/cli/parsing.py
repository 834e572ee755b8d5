"""Command lines as commands, and one message about a command line that is refused.

tyro decides what a command line means and whether it is valid. It prints its errors in a box of
many lines, and has no public way to change that: so its box is held back, and the reason is found
again in the fields of the command.
"""

import contextlib
import dataclasses
import io
import itertools
import re
import sys
import typing
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from types import NoneType
from typing import Any

import tyro
from tyro.conf import FlagCreatePairsOff, Positional, UseAppendAction

from rl_es.errors import UserError, brief, did_you_mean
from rl_es.terminal import program_name, start_command

Commands = dict[str, Callable[..., Callable[[], int]]]  # classes whose objects are called
_NUMBERS = {int: "a whole number", float: "a number"}
_FRAME = re.compile("[\u2500-\u257f]+")  # of a box
_NEGATIVE = ("-inf", "-infinity", "-nan")


@dataclasses.dataclass(frozen=True)
class Argument:
    """An option or a positional argument of a command.

    Attributes:
      name: Name of the field with dashes, such as `retry-failed`.
      types: Types of its values: several for a fixed number of them, else one.
      notes: Annotations of the field.
      is_required: True where the field has no default.
      is_optional: True where the value may be `None`.
      is_variadic: True where it takes any number of values, or may be repeated.
    """

    name: str
    types: tuple[Any, ...]
    notes: tuple[Any, ...]
    is_required: bool
    is_optional: bool
    is_variadic: bool

    @property
    def is_positional(self) -> bool:
        """True for an argument without a name on the command line."""
        return Positional in self.notes

    @property
    def is_flag(self) -> bool:
        """True for an option that takes no value."""
        return self.types == (bool,)

    @property
    def flags(self) -> tuple[str, ...]:
        """How a command line names the option; none for a positional argument."""
        if self.is_positional:
            return ()
        if self.is_flag and FlagCreatePairsOff not in self.notes:
            return f"--{self.name}", f"--no-{self.name}"
        return (f"--{self.name}",)

    @property
    def metavar(self) -> str:
        """What stands for the value in the help; '' where the help lists the values."""
        metavars = [note.metavar for note in self.notes if getattr(note, "metavar", None)]
        return metavars[0] if metavars else ""

    @property
    def display_name(self) -> str:
        """The option, or what stands for a positional argument in the help."""
        if not self.is_positional:
            return f"--{self.name}"
        return self.metavar or self.name.replace("-", "_").upper()

    def expectation(self) -> str:
        """Returns what the argument needs, for messages."""
        kind, *more = self.types
        if more:
            return f"{len(self.types)} values, {self.metavar}"
        if kind in _NUMBERS:
            return _NUMBERS[kind]
        if choices := literals(kind):
            return f"one of {', '.join(choices)}"
        return f"a value, {self.metavar}" if self.metavar else "a value"

    def refusal(self, values: Sequence[str]) -> str:
        """Returns why these values are none of the argument's; '' where they are."""
        for kind, value in zip(self.types * len(values), values, strict=False):
            if self.is_optional and value == "None":
                continue
            choices = literals(kind)
            if choices and value not in choices:
                near = did_you_mean(value, choices)
                hint = near if "did you mean" in near else ""
                return f"must be one of {', '.join(choices)}; is '{brief(value)}'{hint}"
            if kind in _NUMBERS and not _is_number(kind, value):
                return f"must be {_NUMBERS[kind]}; is '{brief(' '.join(values))}'"
        return ""


def arguments_of(command: Any) -> Iterator[Argument]:
    """Yields the arguments of a command, and those of the dataclasses among its fields."""
    for field in dataclasses.fields(command):
        kind, notes = field.type, ()
        if typing.get_origin(kind) is typing.Annotated:
            kind, *annotations = typing.get_args(kind)
            notes = tuple(annotations)
        if dataclasses.is_dataclass(kind):
            yield from arguments_of(kind)
            continue
        is_required = field.default is dataclasses.MISSING
        is_optional = NoneType in typing.get_args(kind)
        (kind,) = (
            [k for k in typing.get_args(kind) if k is not NoneType] if is_optional else (kind,)
        )
        parts = typing.get_args(kind) if typing.get_origin(kind) is tuple else (kind,)
        types, is_variadic = tuple(part for part in parts if part is not ...), ... in parts
        name = field.name.replace("_", "-")
        yield Argument(name, types, notes, is_required, is_optional, is_variadic)


def _values_of(command: Any) -> Iterator[tuple[Any, Any]]:
    """Yields the value of each argument of a command, with its default."""
    for field in dataclasses.fields(command):
        value = getattr(command, field.name)
        if dataclasses.is_dataclass(value):
            yield from _values_of(value)
        else:
            yield value, field.default


def command_words(
    verb: str, command: Any, omit: Container[str] = (), **changes: Any
) -> tuple[str, ...]:
    """Returns the command line, without the program, that means a command.

    Args:
      verb: name of the command.
      command: the command; arguments at their defaults are left out.
      omit: names of arguments that are left out as well.
      changes: fields that are written with another value.
    """
    command = dataclasses.replace(command, **changes)
    words = [verb]
    for argument, (value, default) in zip(arguments_of(command), _values_of(command), strict=True):
        if value != default and argument.name not in omit:
            words += _argument_words(argument, value)
    return tuple(words)


def _argument_words(argument: Argument, value: Any) -> Iterator[str]:
    """Yields an argument with its value as a command line has them."""
    if argument.is_flag:
        yield argument.flags[0 if value else -1]
        return
    values = list(map(str, value if isinstance(value, tuple) else (value,)))
    if UseAppendAction in argument.notes:
        yield from itertools.chain.from_iterable((argument.flags[0], text) for text in values)
    else:
        yield from (*argument.flags, *values)


def literals(kind: Any) -> list[str]:
    """Returns the values of a `Literal`, in the order of its declaration; of others none."""
    return (
        list(map(str, typing.get_args(kind))) if typing.get_origin(kind) is typing.Literal else []
    )


def parse(arguments: Sequence[str], commands: Commands) -> Callable[[], int]:
    """Returns the command that a command line means; prints help, and ends the process, for others.

    Args:
      arguments: the command line; the first one is a command's name or an option of tyro.
      commands: by name.

    Raises:
      UserError: the command line is refused; one message says why.
    """
    verb = arguments[0]
    if verb in commands:
        _refuse_values_of_flags(arguments, commands[verb])
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            command = tyro.extras.subcommand_cli_from_dict(
                commands,
                prog=program_name(),
                args=arguments,
            )
    except SystemExit as end:
        if end.code in (0, None) or verb not in commands:
            raise
        raise UserError(_explain(arguments, commands[verb], box.getvalue())) from None
    sys.stderr.write(box.getvalue())
    return command


def _refuse_values_of_flags(arguments: Sequence[str], command: Any) -> None:
    """Refuses `--flag=value`, which tyro takes for a positional argument."""
    flags = {
        flag for argument in arguments_of(command) if argument.is_flag for flag in argument.flags
    }
    for token in arguments[1:]:
        flag, equals, _ = token.partition("=")
        if equals and _declared_flag(flag) in flags:
            raise UserError(f"{flag}: takes no value; {_help(arguments[0])}")


def _explain(arguments: Sequence[str], command: Any, box: str) -> str:
    """Returns the reason why tyro refused a command line.

    It reads the tokens in the order in which tyro does: too few values and values that are no
    choice come first, then what is missing or unknown, then values of a wrong type.

    `arguments` starts with the command's name. `box` is what tyro printed, the answer where no
    reason is found.
    """
    verb, *rest = arguments
    tokens = deque(rest)
    options = {flag: option for option in arguments_of(command) for flag in option.flags}
    positional = deque(filter(lambda argument: argument.is_positional, arguments_of(command)))
    missing = {option.name: option for option in arguments_of(command) if option.is_required}
    unknown: list[str] = []
    type_errors: list[str] = []

    while tokens:
        token = tokens.popleft()
        if token == "--":
            continue
        flag, equals, value = token.partition("=")
        argument = options.get(_declared_flag(flag))
        values: list[str] = []
        if argument is not None:
            if argument.is_flag:
                continue
            values = [value] if equals else []
        elif positional and not _is_option(token):
            argument = positional.popleft()
            values = [token]
        else:
            unknown.append(token)
            continue
        takes_all = argument.is_variadic and UseAppendAction not in argument.notes
        most = len(rest) if takes_all else len(argument.types)
        while tokens and len(values) < most and not _is_option(tokens[0]):
            values.append(tokens.popleft())
        missing.pop(argument.name, None)
        count = len(argument.types)
        if count > 1 and not positional and not takes_all:
            values += itertools.takewhile(lambda following: not _is_option(following), tokens)
        if values and count > 1 and len(values) != count:
            text = brief(" ".join(values))
            return f"{argument.display_name}: must be {argument.expectation()}; is '{text}'"
        if len(values) < count:
            return f"{argument.display_name}: needs {argument.expectation()}; {_help(verb)}"
        if reason := argument.refusal(values):
            reason = f"{argument.display_name}: {reason}"
            if any(map(literals, argument.types)):
                return reason
            type_errors.append(reason)

    if reason := _explain_unread(verb, unknown, [*missing.values()], options):
        return reason
    tyro_text = " ".join(_FRAME.sub(" ", box).split())
    return type_errors[0] if type_errors else f"{verb}: {brief(tyro_text, 300)}"


def _explain_unread(
    verb: str, unknown: Sequence[str], missing: Sequence[Argument], options: Iterable[str]
) -> str:
    """Returns a message about unknown tokens or missing arguments; '' where there are none."""
    unknown_option = next((token for token in unknown if token.startswith("-")), None)
    if unknown_option is not None:
        option = unknown_option.partition("=")[0]
        near = did_you_mean(option, ["--help", *options])
        return f"{verb}: unknown option '{brief(option)}'{near}"
    if missing:
        names = " and ".join(argument.display_name for argument in missing)
        return f"{verb}: needs {names}; {_help(verb)}"
    if unknown:
        return f"{verb}: '{brief(unknown[0])}' is one too many; {_help(verb)}"
    return ""


def _is_option(token: str) -> bool:
    """Returns True for a token that tyro takes for an option's name, and for no value."""
    name = token.partition("=")[0]
    if token == "--" or name.lower() in _NEGATIVE:
        return token == "--"
    return name.startswith("-") and name.lstrip("-")[:1].isalpha()


def _is_number(kind: type[int] | type[float], text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


def _declared_flag(flag: str) -> str:
    """Returns a flag as it is declared: tyro takes `--retry_failed` for `--retry-failed`."""
    return flag.replace("_", "-")


def _help(verb: str) -> str:
    return f"see {start_command()} {verb} --help"
