"""Suites whose libraries are extras of this package: installed only where they are asked for."""

import importlib.util

from rl_es.errors import UserError


def needs(module: str, extra: str, what: str) -> None:
    """Refuses `what` where the library that it needs is not installed. Imports nothing.

    Args:
      module: top-level name under which the library is imported.
      extra: the extra of this package that installs it.
      what: what was asked for, such as an environment's name.

    Raises:
      UserError: says what to install.
    """
    if importlib.util.find_spec(module) is None:
        raise UserError(f"{what} needs {extra}'s library: pip install 'rl_es[{extra}]'")
