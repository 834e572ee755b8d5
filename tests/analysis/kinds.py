"""Reports with few kinds of figures, for tests of all else."""

import contextlib
from collections.abc import Iterator

from rl_es.analysis.figures.catalogue import KINDS


@contextlib.contextmanager
def only(name: str) -> Iterator[None]:
    """The catalogue with one kind alone; afterwards it is whole again, in its order."""
    catalogue = dict(KINDS)
    KINDS.clear()
    KINDS[name] = catalogue[name]
    try:
        yield
    finally:
        KINDS.clear()
        KINDS.update(catalogue)
