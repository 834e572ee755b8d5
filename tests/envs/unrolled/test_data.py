"""Reading, splitting and averaging images; every mistake is told in one line."""

import gzip

import numpy as np
import pytest

from rl_es.envs._unrolled.datasets import average_pool, load_images
from rl_es.envs._unrolled.options import (
    DIGITS_TRAIN,
    DIGITS_VALIDATION,
    SOURCES,
    DataOptions,
    ValidatedOptions,
    check_options,
)
from rl_es.envs.unrolled import SUITES
from rl_es.errors import UserError

RNG = np.random.default_rng(0)
# The first labels of the digits' two splits.
GOLDEN_TRAIN = [7, 9, 1, 3, 3, 6, 9, 0]
GOLDEN_VALIDATION = [6, 0, 7, 0, 7, 0, 4, 8]
FASHION = [*SOURCES["fashion_mnist"].train, *SOURCES["fashion_mnist"].validation]


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return gzip.compress(header + array.tobytes())


@pytest.fixture
def fashion(tmp_path):
    """A folder in Fashion-MNIST's form: 30 training images and 20 for validation."""
    arrays = []
    for count in (30, 20):
        arrays += [
            RNG.integers(0, 256, (count, 28, 28), np.uint8),
            RNG.integers(0, 10, count, np.uint8),
        ]
    for name, array in zip(FASHION, arrays):
        (tmp_path / name).write_bytes(idx(array))
    return tmp_path, arrays


@pytest.fixture
def cifar(tmp_path):
    """A folder in the form of CIFAR-10's binary version: 5 files of 4 images, and 7."""
    records = {}
    for name in (*SOURCES["cifar10"].train, *SOURCES["cifar10"].validation):
        count = 7 if name.startswith("test") else 4
        records[name] = RNG.integers(0, 256, (count, 3073), np.uint8)
        records[name][:, 0] %= 10
        (tmp_path / name).write_bytes(records[name].tobytes())
    return tmp_path, records


def options(data, folder=None, **others):
    return ValidatedOptions(data=data, folder=None if folder is None else str(folder), **others)


def as_pairs(images, labels):
    """Images with their labels, as a sorted list: a set whose order does not matter."""
    return sorted((tuple(image), int(label)) for image, label in zip(images, labels))


def test_digits_are_split_once_and_for_all():
    data = load_images(ValidatedOptions())
    assert data.train.images.shape == (DIGITS_TRAIN, 64)
    assert data.validation.images.shape == (DIGITS_VALIDATION, 64)
    assert data.train.images.dtype == data.train.labels.dtype == np.uint8
    assert data.train.images.min() == 0 and data.train.images.max() == 255
    assert set(data.train.labels) == set(data.validation.labels) == set(range(10))
    assert data.train.labels[:8].tolist() == GOLDEN_TRAIN
    assert data.validation.labels[:8].tolist() == GOLDEN_VALIDATION
    np.testing.assert_allclose(data.mean, data.train.images.astype(float).mean())
    np.testing.assert_allclose(data.deviation, data.train.images.astype(float).std())


def test_idx_files_are_read(fashion):
    folder, (images, labels, other_images, other_labels) = fashion
    data = load_images(options("fashion_mnist", folder))
    assert as_pairs(*vars(data.train).values()) == as_pairs(images.reshape(30, -1), labels)
    assert as_pairs(*vars(data.validation).values()) == as_pairs(
        other_images.reshape(20, -1), other_labels
    )


def test_cifar_files_are_read(cifar):
    folder, records = cifar
    data = load_images(options("cifar10", folder))
    pixels = [r[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1) for r in records.values()]
    images, labels = np.concatenate(pixels[:5]), np.concatenate([*records.values()][:5])[:, 0]
    assert as_pairs(*vars(data.train).values()) == as_pairs(images.reshape(20, -1), labels)
    assert len(data.validation.labels) == 7


def test_sizes_take_the_first_images(fashion):
    folder, _ = fashion
    complete = load_images(options("fashion_mnist", folder))
    part = load_images(
        options("fashion_mnist", folder, train_size=10, validation_size=5, image_size=7)
    )
    assert part.train.images.shape == (10, 49) and part.validation.images.shape == (5, 49)
    np.testing.assert_array_equal(part.train.labels, complete.train.labels[:10])
    means = complete.train.images[:10].reshape(10, 7, 4, 7, 4).mean((2, 4)).reshape(10, 49)
    assert np.abs(part.train.images - means).max() <= 0.51


def test_averaging_by_parts_of_pixels_keeps_the_mean():
    images = RNG.integers(0, 256, (5, 28, 28, 3), np.uint8)
    small = average_pool(images, 8)
    assert small.shape == (5, 8, 8, 3)
    np.testing.assert_allclose(small.mean((1, 2)), images.mean((1, 2)), atol=0.5)
    np.testing.assert_array_equal(average_pool(images, 28), images)
    grey = np.full((1, 28, 28, 1), 77, np.uint8)
    np.testing.assert_array_equal(average_pool(grey, 5), np.full((1, 5, 5, 1), 77))


def refused(requested, batch=1):
    """The message of a refusal, which is one line."""
    with pytest.raises(UserError) as error:
        check_options(requested, batch)
        load_images(requested)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_missing_data_is_refused(tmp_path):
    message = refused(options("fashion_mnist", tmp_path))
    assert str(tmp_path / FASHION[0]) in message and "dataset-fashion-mnist" in message
    assert "binary version" in refused(options("cifar10"))
    assert "data_batch_1.bin is not there" in refused(options("cifar10", tmp_path))
    assert "leave it out" in refused(options("digits", tmp_path))


def test_sizes_beyond_the_data_are_refused(fashion):
    folder, _ = fashion
    assert "choose at most 30" in refused(options("fashion_mnist", folder, train_size=31))
    assert "choose at most 20" in refused(options("fashion_mnist", folder, validation_size=21))
    assert "choose at most 28" in refused(options("fashion_mnist", folder, image_size=29))
    assert "20 validation images" in refused(options("fashion_mnist", folder), batch=25)
    assert "choose at most 9" in refused(options("digits", train_size=9), batch=10)


def test_validation_images_matter_only_where_they_are_looked_at():
    check_options(DataOptions(), 400)
    assert len(load_images(DataOptions()).validation.labels) == DIGITS_VALIDATION
    assert "360 validation images" in refused(ValidatedOptions(), batch=400)


def damage_not_gzip(content):
    return b"plain" + content


def damage_truncated(content):
    return content[:-20]


def damage_other_header(content):
    return gzip.compress(b"\0" * 16 + gzip.decompress(content)[16:])


def damage_fewer_bytes(content):
    return gzip.compress(gzip.decompress(content)[:-3])


def damage_other_count(content):
    content = gzip.decompress(content)
    return gzip.compress(content[:4] + (5).to_bytes(4, "big") + content[8:])


def damage_labels(content):
    return gzip.compress(gzip.decompress(content)[:-1] + bytes([10]))


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        (0, damage_not_gzip),
        (0, damage_truncated),
        (0, damage_other_header),
        (1, damage_other_header),
        (2, damage_fewer_bytes),
        (1, damage_other_count),
        (3, damage_labels),
    ],
)
def test_a_damaged_idx_file_is_refused(fashion, file, damage):
    folder, _ = fashion
    path = folder / FASHION[file]
    path.write_bytes(damage(path.read_bytes()))
    message = refused(options("fashion_mnist", folder))
    assert str(path) in message and "anew" in message


@pytest.mark.parametrize("content", [b"", b"1234", bytes([10] * 3073)])
def test_a_damaged_cifar_file_is_refused(cifar, content):
    folder, _ = cifar
    path = folder / "test_batch.bin"
    path.write_bytes(content)
    message = refused(options("cifar10", folder))
    assert str(path) in message and "anew" in message


def test_environments_check_their_data_without_loading_it(tmp_path):
    requested = SUITES["learning_rate_decay"].Options(data="cifar10", folder=str(tmp_path))
    with pytest.raises(UserError, match="not there"):
        SUITES["learning_rate_decay"].check("unrolled/learning_rate_decay", requested)
