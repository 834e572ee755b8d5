"""A suite of environments that break down, quickly imported."""

import math

from rl_es.config import Config, static
from tests.toys import Breaking

NAMES = ("Breaking-v0",)
NUMERICS = 1


class Options(Config):
    """Where it breaks down."""

    edge: float = static(0.0, "below it")


def make(name: str, options: Options) -> Breaking:
    """The environment; a large edge stands for one without end."""
    edge = options.edge if options.edge < 1e6 else math.inf
    return Breaking(length=2, edge=edge, fatal=True)
