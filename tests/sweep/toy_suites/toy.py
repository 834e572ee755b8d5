"""A suite of two environments."""

from typing import Literal

from rl_es.config import Config, static
from rl_es.errors import UserError

NAMES = ("Toy-v0", "toy/other")
NUMERICS = 1


class Options(Config):
    """One option."""

    backend: Literal["fast", "exact"] = static("fast", "how it is computed")


def check(name: str, options: Options) -> None:
    """toy/other has no exact backend."""
    if name == "toy/other" and options.backend == "exact":
        raise UserError("toy/other has no exact backend")
