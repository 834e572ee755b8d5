"""Expands an entry into its variants: every grid combination with every random sample.

Each random setting has its own stream of draws, a function of the search's seed and the setting's
name: more samples keep the earlier ones, and another setting does not change the draws of this one.
Draws are rounded to eight significant digits, so that a run's identity does not depend on the last
bit of a logarithm.
"""

import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rl_es.errors import ConfigPath
from rl_es.sweep.schema import Distribution, RandomSearch, VariedEntry


@dataclass(frozen=True)
class Variant:
    """A choice of an entry's varied settings.

    Attributes:
      label: the entry's label, followed by the varied settings if there are any.
      settings: the varied settings by name.
      paths: the path of each of them in the file, below the entry.
    """

    label: str
    settings: dict[str, Any]
    paths: dict[str, ConfigPath]


def count_variants(entry: VariedEntry) -> int:
    """Returns the number of an entry's variants without building them."""
    combinations = math.prod(len(values) for values in entry.grid.values())
    return combinations * (entry.random.samples if entry.random else 1)


def expand_variants(entry: VariedEntry) -> Iterator[Variant]:
    """Yields grid combinations, the last key fastest, and in each the random samples in order."""
    points = list(itertools.product(*(enumerate(values) for values in entry.grid.values())))
    samples = list(sample_settings(entry.random)) if entry.random else [{}]
    labels: set[str] = set()
    for point, sample in itertools.product(points, samples):
        grid = {name: value for name, (_, value) in zip(entry.grid, point, strict=True)}
        paths: dict[str, ConfigPath] = {
            name: ("grid", name, i) for name, (i, _) in zip(entry.grid, point, strict=True)
        }
        paths |= {name: ("random", name) for name in sample}
        yield Variant(label_variant(entry, grid, sample, labels), grid | sample, paths)


def label_variant(
    entry: VariedEntry, grid: dict[str, Any], sample: dict[str, Any], labels: set[str]
) -> str:
    """Returns a variant's label and adds it to `labels`, in which it is unique."""
    words = [entry.display_name, *_format_settings(grid, 6), *_format_settings(sample, 3)]
    label = " ".join(words)
    candidates = itertools.chain([label], (f"{label} no.{i}" for i in itertools.count(2)))
    label = next(candidate for candidate in candidates if candidate not in labels)
    labels.add(label)
    return label


def _format_settings(settings: dict[str, Any], digits: int) -> list[str]:
    return [f"{name}={_format_value(value, digits)}" for name, value in settings.items()]


def _format_value(value: Any, digits: int) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def sample_settings(sampling: RandomSearch) -> Iterator[dict[str, Any]]:
    """Yields the samples of the random settings, in order."""
    streams = {name: random.Random(f"{sampling.seed}:{name}") for name in sampling.settings}
    for _ in range(sampling.samples):
        yield {
            name: _draw(streams[name], distribution)
            for name, distribution in sampling.settings.items()
        }


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
    """Returns a sample rounded to eight significant digits."""
    return float(f"{value:.8g}")
