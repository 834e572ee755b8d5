"""A sweep file, and what the command line sets, to a checked `Sweep`."""

from collections.abc import Iterable
from pathlib import Path

import pydantic

from rl_es.sweep.cells import check
from rl_es.sweep.explaining import explain
from rl_es.sweep.overriding import override
from rl_es.sweep.reading import Document, Problem, read
from rl_es.sweep.schema import Sweep


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
    try:
        sweep = Sweep.model_validate(document.content)
        check(sweep)
    except pydantic.ValidationError as error:
        raise document.error(explain(error, Sweep)) from None
    except Problem as problem:
        raise document.error(problem) from None
    return sweep
