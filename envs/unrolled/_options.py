"""What the tasks on images have as settings: which images, and how a classifier trains on them.

- `digits`: 1797 handwritten digits, 8 x 8 pixels, of the UCI repository (Alpaydin and Kaynak, 1998,
  https://doi.org/10.24432/C50P49), as scikit-learn ships them: always there.
- `fashion_mnist`: 70,000 articles of clothing, 28 x 28 (Xiao et al. 2017, arXiv 1708.07747), as
  four gzipped idx files.
- `cifar10`: 60,000 photographs, 32 x 32 x 3 (Krizhevsky 2009), in the binary version.

Nothing is downloaded and nothing is unpickled. No data is chosen silently: what a run used is what
its options say. Everything that can be told from sizes and headers is checked here, without jax.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, Strict

from rl_es.config import Config, static
from rl_es.errors import UserError


class Source(NamedTuple):
    """Where a data set's files are, and what its images are like."""

    side: int  # pixels
    train: tuple[str, ...]  # file names; none where the data comes with a package
    validation: tuple[str, ...]
    folder: str | None  # where the files are if no folder is named
    remedy: str


DIGITS_TRAIN, DIGITS_VALIDATION = 1437, 360
SOURCES = {
    "digits": Source(8, (), (), None, ""),
    "fashion_mnist": Source(
        28,
        ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
        ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
        "/usr/share/datasets/fashion-mnist",
        "install Debian's package dataset-fashion-mnist, or name the folder of its four files",
    ),
    "cifar10": Source(
        32,
        tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        ("test_batch.bin",),
        None,
        "name the folder of the files of CIFAR-10's binary version",
    ),
}
Width = Annotated[int, Strict(), Field(ge=1)]


class DataOptions(Config):
    """Which images are classified."""

    data: Literal["digits", "fashion_mnist", "cifar10"] = static("digits", "images to classify")
    folder: str | None = static(
        None, "where the data's files are; if absent, where Debian's package puts fashion_mnist"
    )
    image_size: int | None = static(
        None, "side in pixels to which images are averaged down; the data's own if absent", ge=1
    )
    train_size: int | None = static(None, "training images; all if absent", ge=1)


class ValidatedOptions(DataOptions):
    """Which images are classified, by a task that looks at validation images."""

    validation_size: int | None = static(None, "validation images; all if absent", ge=1)


class TrainingOptions(DataOptions):
    """The task on which optimisers are compared."""

    widths: tuple[Width, ...] = static((16,), "the classifier's hidden layers", strict=False)
    batch: int = static(64, "images of a minibatch", ge=1)
    steps: int = static(1000, "inner steps of an episode (T)", ge=1)


def files(options: DataOptions) -> tuple[list[Path], list[Path]]:
    """The files of training and of validation images.

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


def check(options: DataOptions, batch: int) -> None:
    """Refuses data that is not there or does not suffice, by the sizes and headers of its files.

    Args:
      options: which data.
      batch: images of the minibatches that are taken from each split that is looked at.

    Raises:
      UserError: one line that says what is wrong, where, and what would be right.
    """
    source = SOURCES[options.data]
    train, validation = files(options)
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
        from envs.unrolled._readers import count

        counts = count(options.data, train), count(options.data, validation)
    sizes = {"train": options.train_size}
    if isinstance(options, ValidatedOptions):
        sizes["validation"] = options.validation_size
    for (name, asked), there in zip(sizes.items(), counts):
        if asked is not None and asked > there:
            raise UserError(
                f"{name}_size: {asked}, but {options.data} has {there} {name} images; "
                f"choose at most {there}"
            )
        if batch > (asked or there):
            raise UserError(
                f"batch: {batch}, but there are {asked or there} {name} images to take it from; "
                f"choose at most {asked or there}"
            )


def check_suite(name: str, options: Any) -> None:
    """The `check` of the tasks on images: refuses data that is not there or does not suffice.

    Args:
      name: of the environment.
      options: `DataOptions` with a `batch`.

    Raises:
      UserError: says which.
    """
    del name
    check(options, options.batch)
