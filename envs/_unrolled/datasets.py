"""Images, split into training and validation, averaged down and shuffled: always in the same way.

Fashion-MNIST and CIFAR-10 are validated on their own test files; of the digits, a fifth is held
out. Pixels stay bytes (0 to 255), since they are part of the compiled program; `mean` and
`deviation`, one number each, are those of the training images, for whoever standardises.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from rl_es.envs._unrolled.options import (
    DIGITS_TRAIN,
    DataOptions,
    ValidatedOptions,
    read_images,
    source_files,
)

SHUFFLE = 0  # seeds NumPy's legacy generator, whose stream is frozen


@dataclass(frozen=True, eq=False)
class Split:
    """Images and their labels, in an order that was shuffled once and for all."""

    images: np.ndarray  # [n, D] uint8, D = side x side x channels
    labels: np.ndarray  # [n] uint8


@dataclass(frozen=True, eq=False)
class Images:
    """A data set as the tasks see it."""

    train: Split
    validation: Split
    mean: float
    deviation: float

    @property
    def size(self) -> int:
        """D, numbers of an image."""
        return self.train.images.shape[1]


def load_images(options: DataOptions) -> Images:
    """The images that the options ask for.

    Raises:
      UserError: files are missing or damaged.
    """
    train, validation = source_files(options)
    limit = options.validation_size if isinstance(options, ValidatedOptions) else None
    return _load(
        options.data,
        (tuple(train), tuple(validation)),
        options.image_size,
        (options.train_size, limit),
    )


@lru_cache(maxsize=4)
def _load(
    data: str,
    paths: tuple[tuple[Path, ...], tuple[Path, ...]],
    side: int | None,
    sizes: tuple[int | None, int | None],
) -> Images:
    raw = _digits() if data == "digits" else tuple(read_images(data, split) for split in paths)
    train, validation = (
        _split(images, labels, side, size)
        for (images, labels), size in zip(raw, sizes, strict=True)
    )
    pixels = train.images
    deviation = float(pixels.std(dtype=np.float64)) or 1.0  # images of one grey stay as they are
    return Images(train, validation, float(pixels.mean(dtype=np.float64)), deviation)


def _digits() -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Returns training and validation digits, which the same people wrote."""
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = digits.target.astype(np.uint8)
    order = _order(len(labels))
    return tuple(
        (images[part], labels[part]) for part in (order[:DIGITS_TRAIN], order[DIGITS_TRAIN:])
    )


def _order(count: int) -> np.ndarray:
    """Returns a fixed permutation."""
    return np.random.RandomState(SHUFFLE).permutation(count)


def _split(images: np.ndarray, labels: np.ndarray, side: int | None, size: int | None) -> Split:
    indices = _order(len(labels))[:size]
    images = images[indices]
    if side is not None and side < images.shape[1]:
        images = average_pool(images, side)
    return Split(np.ascontiguousarray(images.reshape(len(images), -1)), labels[indices])


def average_pool(images: np.ndarray, side: int) -> np.ndarray:
    """Square images [n, S, S, C] uint8 as [n, side, side, C]: means over areas of S / side pixels.

    Where S / side is not whole, a pixel counts in each area by the part of it that lies there.
    """
    shares = _shares(images.shape[1], side)
    rows = np.tensordot(images.astype(np.float32), shares, axes=(1, 1))  # [n, S, C, side]
    means = np.tensordot(rows, shares, axes=(1, 1))  # [n, C, side, side]
    return np.rint(means.transpose(0, 2, 3, 1)).astype(np.uint8)


def _shares(pixels: int, areas: int) -> np.ndarray:
    """Returns the weight of each pixel of a line in each area [areas, pixels]; rows sum to 1."""
    edges = np.arange(areas + 1) * pixels / areas
    first = np.arange(pixels)[None]
    overlap = np.minimum(edges[1:, None], first + 1) - np.maximum(edges[:-1, None], first)
    return (np.clip(overlap, 0, None) * areas / pixels).astype(np.float32)
