"""Readers of the two file formats: gzipped idx (Fashion-MNIST) and the binary form of CIFAR-10.

idx (LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist/): two zero bytes, one for the type
(8: bytes), one for the number of axes, the axes' lengths as big-endian 32-bit integers, the data.
CIFAR-10 (https://www.cs.toronto.edu/~kriz/cifar.html): records of one byte for the label and 3072
for the pixels, channel by channel, row by row.
"""

import gzip
import math
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rl_es.errors import UserError

BYTES = 8  # idx's type of unsigned bytes
IDX_SIDE, CIFAR_SIDE, CIFAR_CHANNELS = 28, 32, 3
RECORD = 1 + CIFAR_SIDE * CIFAR_SIDE * CIFAR_CHANNELS
CLASSES = 10


def count(data: str, paths: Sequence[Path]) -> int:
    """How many images files hold, by headers and sizes alone.

    Raises:
      UserError: a file is not of the form that it should have.
    """
    if data == "cifar10":
        return sum(_records(path) for path in paths)
    images, labels = paths
    (number, *_), (other,) = _idx_shape(images, 3), _idx_shape(labels, 1)
    if number != other:
        raise UserError(
            f"{labels}: has {other} labels for the {number} images of {images.name}; "
            "get both files anew"
        )
    return number


def read(data: str, paths: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Images [n, height, width, channels] and labels [n] of files, both uint8.

    Raises:
      UserError: a file is damaged.
    """
    count(data, paths)
    if data == "cifar10":
        parts = [_read_cifar(path) for path in paths]
        images, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    else:
        images, labels = _read_idx(paths[0], 3)[..., None], _read_idx(paths[1], 1)
    if labels.size and labels.max() >= CLASSES:
        raise UserError(
            f"{paths[-1]}: has label {labels.max()}, of {CLASSES} classes from 0; get it anew"
        )
    return images, labels


def _unpacked(path: Path, most: int = -1) -> bytes:
    """The first bytes of a gzipped file, or all of them."""
    try:
        with gzip.open(path) as file:
            return file.read(most)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be unpacked ({error}); get the file anew") from None


def _idx_shape(path: Path, axes: int) -> tuple[int, ...]:
    """The shape that an idx file's header states; images have 3 axes, labels 1."""
    header = _unpacked(path, 4 + 4 * axes)
    if len(header) < 4 + 4 * axes or header[:4] != bytes([0, 0, BYTES, axes]):
        raise UserError(f"{path}: is no idx file of bytes with {axes} axes; get the file anew")
    shape = tuple(int.from_bytes(header[at : at + 4], "big") for at in range(4, len(header), 4))
    if shape[1:] not in ((), (IDX_SIDE, IDX_SIDE)) or shape[0] == 0:
        raise UserError(
            f"{path}: holds an array {shape}, not of {IDX_SIDE} x {IDX_SIDE} images; "
            "get the file anew"
        )
    return shape


def _read_idx(path: Path, axes: int) -> np.ndarray:
    shape = _idx_shape(path, axes)
    content = _unpacked(path)[4 + 4 * axes :]
    if len(content) != math.prod(shape):
        raise UserError(
            f"{path}: holds {len(content)} bytes where its header states {math.prod(shape)}; "
            "get the file anew"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)


def _records(path: Path) -> int:
    size = path.stat().st_size
    if size == 0 or size % RECORD:
        raise UserError(
            f"{path}: has {size} bytes, no whole number of records of {RECORD}; "
            "get CIFAR-10's binary version anew"
        )
    return size // RECORD


def _read_cifar(path: Path) -> tuple[np.ndarray, np.ndarray]:
    records = np.fromfile(path, np.uint8).reshape(-1, RECORD)
    pixels = records[:, 1:].reshape(-1, CIFAR_CHANNELS, CIFAR_SIDE, CIFAR_SIDE)
    return pixels.transpose(0, 2, 3, 1), records[:, 0]
