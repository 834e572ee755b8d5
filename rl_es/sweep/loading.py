"""A sweep file, and what the command line sets, to a checked `Sweep`."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import pydantic

from rl_es.config import Config
from rl_es.explaining import explain
from rl_es.places import Problem
from rl_es.sweep.cells import check
from rl_es.sweep.overriding import override
from rl_es.sweep.reading import Document, read
from rl_es.sweep.schema import Sweep

AnyConfig = TypeVar("AnyConfig", bound=Config)


def load(path: Path, assignments: Iterable[str] = ()) -> Sweep:
    """Reads, overrides and checks a sweep file. Loads no jax.

    Args:
      path: the YAML file.
      assignments: `PATH=VALUE` overrides, in order.

    Raises:
      UserError: anything wrong in it: the first problem, with its place and line.
    """
    document = read(path)
    override(document, assignments)
    return checked(document)


def checked(document: Document) -> Sweep:
    """The sweep of a document.

    Raises:
      UserError: the first problem, with its place and line.
    """
    return validated(document, Sweep, check)


def validated(
    document: Document, model: type[AnyConfig], check: Callable[[AnyConfig], None]
) -> AnyConfig:
    """What a document says, by its class and by `check`, which sees how the values fit together.

    Raises:
      UserError: the first problem, with its place and line.
    """
    try:
        content = model.model_validate(document.content)
        check(content)
    except pydantic.ValidationError as error:
        raise document.error(explain(error, model)) from None
    except Problem as problem:
        raise document.error(problem) from None
    return content
