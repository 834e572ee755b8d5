"""The variants of one agent entry: every combination of its grid with every random sample.

Each random setting has its own stream of draws, a function of the search's seed and the setting's
name: more samples keep the earlier ones, and another setting does not change the draws of this one.
Draws are rounded to eight significant digits, so that a run's identity does not hang on the last
bit of a logarithm.
"""

import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rl_es.errors import ConfigPath
from rl_es.sweep.schema import Distribution, RandomSampling, VariedEntry


@dataclass(frozen=True)
class Variant:
    """One choice of the varied settings.

    Attributes:
      label: the entry's label, and the varied settings where there are any.
      settings: varied settings by name.
      places: where each of them stands, below the entry.
    """

    label: str
    settings: dict[str, Any]
    places: dict[str, ConfigPath]


def count_variants(entry: VariedEntry) -> int:
    """How many variants an entry has; nothing is built."""
    combinations = math.prod(len(values) for values in entry.grid.values())
    return combinations * (entry.random.samples if entry.random else 1)


def expand_variants(entry: VariedEntry) -> Iterator[Variant]:
    """The variants of an entry: grid combinations, the last key fastest, then random samples."""
    points = list(itertools.product(*(enumerate(values) for values in entry.grid.values())))
    drawn = list(sample_settings(entry.random)) if entry.random else [{}]
    taken: set[str] = set()
    for point, sample in itertools.product(points, drawn):
        grid = {name: value for name, (_, value) in zip(entry.grid, point, strict=True)}
        places: dict[str, ConfigPath] = {
            name: ("grid", name, i) for name, (i, _) in zip(entry.grid, point, strict=True)
        }
        places |= {name: ("random", name) for name in sample}
        yield Variant(label_variant(entry, grid, sample, taken), grid | sample, places)


def label_variant(
    entry: VariedEntry, grid: dict[str, Any], sample: dict[str, Any], taken: set[str]
) -> str:
    """The label of a variant, none of those `taken`, to which it is added."""
    return _unique(" ".join([entry.display_name, *_words(grid, 6), *_words(sample, 3)]), taken)


def _words(settings: dict[str, Any], digits: int) -> list[str]:
    return [f"{name}={_spelled(value, digits)}" for name, value in settings.items()]


def _spelled(value: Any, digits: int) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def _unique(label: str, taken: set[str]) -> str:
    """The label, with a number where two variants would share it."""
    names = itertools.chain([label], (f"{label} no.{i}" for i in itertools.count(2)))
    label = next(name for name in names if name not in taken)
    taken.add(label)
    return label


def sample_settings(search: RandomSampling) -> Iterator[dict[str, Any]]:
    """The random settings of a search, in order."""
    streams = {name: random.Random(f"{search.seed}:{name}") for name in search.settings}
    for _ in range(search.samples):
        yield {name: _draw(streams[name], what) for name, what in search.settings.items()}


def _draw(stream: random.Random, distribution: Distribution) -> Any:
    u = stream.random()
    if distribution.choice:
        return distribution.choice[int(u * len(distribution.choice))]
    if distribution.uniform:
        low, high = distribution.uniform
        return round_sample(low + u * (high - low))
    assert distribution.log_uniform
    low, high = map(math.log, distribution.log_uniform)
    return round_sample(math.exp(low + u * (high - low)))


def round_sample(value: float) -> float:
    """A drawn number to eight significant digits."""
    return float(f"{value:.8g}")
