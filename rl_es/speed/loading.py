"""A speed file, and what the command line sets, to a checked `Benchmark`."""

from collections.abc import Iterable
from pathlib import Path

from rl_es.speed.schema import Benchmark
from rl_es.speed.workloads import check
from rl_es.sweep.loading import validated
from rl_es.sweep.overriding import override
from rl_es.sweep.reading import Document, read


def load(path: Path, assignments: Iterable[str] = ()) -> Benchmark:
    """Reads, overrides and checks a speed file, as `rl_es.sweep.loading.load` does a sweep file."""
    document = read(path)
    override(document, assignments, everywhere={})
    return checked(document)


def checked(document: Document) -> Benchmark:
    """The benchmark of a document, as `rl_es.sweep.loading.checked` does it."""
    return validated(document, Benchmark, check)
