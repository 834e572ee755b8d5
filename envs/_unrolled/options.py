"""Settings of the tasks on images, and the readers of image files.

- `digits`: 1797 handwritten digits, 8 x 8 pixels, of the UCI repository (Alpaydin and Kaynak, 1998,
  https://doi.org/10.24432/C50P49), as scikit-learn ships them: always there.
- `fashion_mnist`: 70,000 articles of clothing, 28 x 28 (Xiao et al. 2017, arXiv 1708.07747), as
  four gzipped idx files.
- `cifar10`: 60,000 photographs, 32 x 32 x 3 (Krizhevsky 2009), in the binary version.

Nothing is downloaded and nothing is unpickled. No data is chosen silently: a run uses the data that
its options state. Sizes and headers of files are checked here, without jax.

The two file formats are gzipped idx (Fashion-MNIST) and the binary form of CIFAR-10.

idx (LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist/): two zero bytes, one for the type
(8: bytes), one for the number of axes, the axes' lengths as big-endian 32-bit integers, the data.
CIFAR-10 (https://www.cs.toronto.edu/~kriz/cifar.html): records of one byte for the label and 3072
for the pixels, channel by channel, row by row.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, Strict

from rl_es.config import Config, static
from rl_es.errors import UserError

BYTES = 8  # idx's type of unsigned bytes
IDX_SIDE, CIFAR_SIDE, CIFAR_CHANNELS = 28, 32, 3
RECORD = 1 + CIFAR_SIDE * CIFAR_SIDE * CIFAR_CHANNELS
CLASSES = 10


def count_images(data: str, paths: Sequence[Path]) -> int:
    """Returns the number of images in files, by headers and sizes alone.

    Raises:
      UserError: a file is not of the form that it should have.
    """
    if data == "cifar10":
        return sum(_records(path) for path in paths)
    images, labels = paths
    (number, *_), (label_count,) = _idx_shape(images, 3), _idx_shape(labels, 1)
    if number != label_count:
        raise UserError(
            f"{labels}: has {label_count} labels for the {number} images of {images.name}; "
            "get both files anew"
        )
    return number


def read_images(data: str, paths: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Reads images [n, height, width, channels] and labels [n], both uint8.

    Raises:
      UserError: a file is damaged.
    """
    count_images(data, paths)
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


def _unpack(path: Path, most: int = -1) -> bytes:
    """Returns the first bytes of a gzipped file; all of them if `most` is -1."""
    try:
        with gzip.open(path) as file:
            return file.read(most)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be unpacked ({error}); get the file anew") from None


def _idx_shape(path: Path, axes: int) -> tuple[int, ...]:
    """Returns the shape in an idx file's header; images have 3 axes, labels 1."""
    header = _unpack(path, 4 + 4 * axes)
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
    content = _unpack(path)[4 + 4 * axes :]
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


class DataSource(NamedTuple):
    """The files of a data set, and the size of its images."""

    side: int  # pixels
    train: tuple[str, ...]  # file names; none where the data comes with a package
    validation: tuple[str, ...]
    folder: str | None  # where the files are if no folder is named
    remedy: str


DIGITS_TRAIN, DIGITS_VALIDATION = 1437, 360
SOURCES = {
    "digits": DataSource(8, (), (), None, ""),
    "fashion_mnist": DataSource(
        28,
        ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
        ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
        "/usr/share/datasets/fashion-mnist",
        "install Debian's package dataset-fashion-mnist, or name the folder of its four files",
    ),
    "cifar10": DataSource(
        32,
        tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        ("test_batch.bin",),
        None,
        "name the folder of the files of CIFAR-10's binary version",
    ),
}
Width = Annotated[int, Strict(), Field(ge=1)]


class DataOptions(Config):
    """Choice of the images that are classified."""

    data: Literal["digits", "fashion_mnist", "cifar10"] = static("digits", "images to classify")
    folder: str | None = static(
        None, "where the data's files are; if absent, where Debian's package puts fashion_mnist"
    )
    image_size: int | None = static(
        None, "side in pixels to which images are averaged down; the data's own if absent", ge=1
    )
    train_size: int | None = static(None, "training images; all if absent", ge=1)


class ValidatedOptions(DataOptions):
    """Choice of the images, for a task that uses validation images."""

    validation_size: int | None = static(None, "validation images; all if absent", ge=1)


class TrainingOptions(DataOptions):
    """The task on which optimisers are compared."""

    widths: tuple[Width, ...] = static((16,), "the classifier's hidden layers", strict=False)
    batch: int = static(64, "images of a minibatch", ge=1)
    steps: int = static(1000, "inner steps of an episode (T)", ge=1)


def source_files(options: DataOptions) -> tuple[list[Path], list[Path]]:
    """Returns the files of training and of validation images.

    Raises:
      UserError: no folder is known, or one is named for data that has no files.
    """
    source = SOURCES[options.data]
    if options.folder is not None and not source.train:
        raise UserError(f"folder: data {options.data} has no files; leave it out")
    folder = options.folder or source.folder
    if folder is None and source.train:
        raise UserError(f"data {options.data}: no folder is named; {source.remedy}")
    at = Path(folder or "").expanduser()
    return [at / name for name in source.train], [at / name for name in source.validation]


def check_options(options: DataOptions, batch: int) -> None:
    """Refuses data that is missing or does not suffice, by the sizes and headers of its files.

    Args:
      options: The data.
      batch: Number of images of a minibatch, which is taken from each split in use.

    Raises:
      UserError: one line that says what is wrong, where, and what would be right.
    """
    source = SOURCES[options.data]
    train, validation = source_files(options)
    for path in (*train, *validation):
        if not path.is_file():
            raise UserError(f"data {options.data}: {path} is not there; {source.remedy}")
    if options.image_size is not None and options.image_size > source.side:
        raise UserError(
            f"image_size: {options.image_size}, but images of {options.data} have sides of "
            f"{source.side}; choose at most {source.side}"
        )
    if options.data == "digits":
        counts = DIGITS_TRAIN, DIGITS_VALIDATION
    else:
        counts = count_images(options.data, train), count_images(options.data, validation)
    sizes = {"train": options.train_size}
    if isinstance(options, ValidatedOptions):
        sizes["validation"] = options.validation_size
    for (name, size), available in zip(sizes.items(), counts):
        if size is not None and size > available:
            raise UserError(
                f"{name}_size: {size}, but {options.data} has {available} {name} images; "
                f"choose at most {available}"
            )
        if batch > (size or available):
            raise UserError(
                f"batch: {batch}, but there are {size or available} {name} images to take it from; "
                f"choose at most {size or available}"
            )


def check_suite(name: str, options: Any) -> None:
    """Checks the options of a task on images: refuses data that is missing or does not suffice.

    Args:
      name: Name of the environment.
      options: `DataOptions` with a `batch`.

    Raises:
      UserError: says which.
    """
    del name
    check_options(options, options.batch)
