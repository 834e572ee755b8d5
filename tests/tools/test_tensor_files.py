"""Weights from files of PyTorch and safetensors; what such a file may not make the reader do."""

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rl_es.errors import UserError
from rl_es.tools.tensor_files import read_tensors
from tests.tools.tensor_writers import (
    Call,
    Global,
    pickle_of,
    tensor,
    write_archive,
    write_safetensors,
    write_torch,
)

RNG = np.random.default_rng(0)
ARRAYS = {
    "a.weight": RNG.standard_normal((3, 4)).astype(np.float32),
    "b": RNG.standard_normal((1, 1, 5)).astype(np.float32),
    "c": np.array([0.0, -1.5, 65504.0, 2**-14], np.float32),
}
FORMATS = {".pth": write_torch, ".safetensors": write_safetensors}


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16"])
def test_arrays_are_read(tmp_path: Path, suffix: str, kind: str) -> None:
    tensors = read_tensors(FORMATS[suffix](tmp_path / f"model{suffix}", ARRAYS, kind))
    assert tensors.keys() == ARRAYS.keys()
    tolerance = {"float32": 0, "float16": 2**-11, "bfloat16": 2**-7}[kind]
    for name, array in ARRAYS.items():
        assert tensors[name].dtype == np.float32 and tensors[name].shape == array.shape
        np.testing.assert_allclose(tensors[name], array, rtol=tolerance)
        assert kind == "float32" or name == "c" or (tensors[name] != array).any()


def test_tensors_may_share_a_storage_and_be_transposed(tmp_path: Path) -> None:
    numbers = np.arange(12, dtype="<f4")
    tensors = {
        "whole": tensor("float32", "0", 12, (3, 4)),
        "transposed": tensor("float32", "0", 12, (4, 3), strides=(1, 4)),
        "part": tensor("float32", "0", 12, (2, 2), offset=5, strides=(4, 1)),
        "empty": tensor("float32", "0", 12, (0, 2)),
    }
    path = write_archive(tmp_path / "a.pth", pickle_of(tensors), {"0": numbers.tobytes()})
    arrays = read_tensors(path)
    whole = numbers.reshape(3, 4)
    np.testing.assert_array_equal(arrays["whole"], whole)
    np.testing.assert_array_equal(arrays["transposed"], whole.T)
    np.testing.assert_array_equal(arrays["part"], [[5, 6], [9, 10]])
    assert arrays["empty"].shape == (0, 2)


def test_an_ordered_dictionary_with_attributes_is_one_of_tensors(tmp_path: Path) -> None:
    """As `state_dict()` makes them: pairs are set, and then an attribute `_metadata`."""
    name = pickle_of(ARRAYS and "b")[2:-1]
    value = pickle_of(tensor("float32", "0", 5, (5,)))[2:-1]
    build = pickle_of({"_metadata": {"version": 1}})[2:-1] + b"b"
    empty = pickle_of(Call(Global("collections", "OrderedDict"), ()))[:-1]
    content = empty + b"(" + name + value + b"u" + build + b"."
    path = write_archive(tmp_path / "a.pth", content, {"0": ARRAYS["b"].tobytes()})
    np.testing.assert_array_equal(read_tensors(path)["b"], ARRAYS["b"].reshape(5))


class Trap:
    """A pickle of it calls a function when it is loaded."""

    def __init__(self, function: Any, *arguments: Any):
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> Any:
        return self.function, self.arguments


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("torch", "load"),
        ("torch._utils", "_rebuild_parameter"),
        ("torch", "DoubleStorage"),
        ("collections", "OrderedDict.fromkeys"),
    ],
)
def test_other_names_are_refused(tmp_path: Path, module: str, name: str) -> None:
    content = pickle_of({"a": Call(Global(module, name), ("touch trapped",))})
    path = write_archive(tmp_path / "a.pth", content, {})
    with pytest.raises(UserError, match=rf"names {module}.{name}, which is not executed") as error:
        read_tensors(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_is_executed(tmp_path: Path, protocol: int) -> None:
    """By pickles of every protocol, which name and call in different ways."""
    marker = tmp_path / "marker"
    content = pickle.dumps({"a": Trap(Path.touch, marker)}, protocol)
    with pytest.raises(UserError, match="which is not executed"):
        read_tensors(write_archive(tmp_path / "a.pth", content, {}))
    assert not marker.exists()
    pickle.loads(content)
    assert marker.exists()


DAMAGE: dict[str, tuple[Any, str]] = {
    "beyond": (tensor("float32", "0", 4, (5,)), "goes beyond its storage"),
    "offset": (tensor("float32", "0", 4, (2,), offset=3), "goes beyond its storage"),
    "repeated": (tensor("float32", "0", 4, (10**6,), strides=(0,)), "goes beyond its storage"),
    "negative": (tensor("float32", "0", 4, (2,), offset=-1), "no natural numbers"),
    "strides": (tensor("float32", "0", 4, (2, 2), strides=(1,)), "zip|shorter"),
    "size": (tensor("float32", "0", 5, (4,)), "holds 4 numbers, not 5"),
    "absent": (tensor("float32", "1", 4, (4,)), "data/1"),
    "elsewhere": (tensor("float32", "../byteorder", 4, (4,)), "other than a storage"),
    "text": ("text", "'?a'? is no tensor|is no tensor"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_tensors_are_refused_in_one_line(tmp_path: Path, case: str) -> None:
    value, reason = DAMAGE[case]
    path = tmp_path / "a.pth"
    write_archive(path, pickle_of({"a": value}), {"0": np.ones(4, "<f4").tobytes()})
    with pytest.raises(UserError, match=rf"{path}: not readable .*({reason})") as error:
        read_tensors(path)
    assert "\n" not in str(error.value)


def damaged(change: Callable[[bytes], bytes], suffix: str) -> Any:
    def write(folder: Path) -> Path:
        path = FORMATS[suffix](folder / f"a{suffix}", ARRAYS)
        path.write_bytes(change(path.read_bytes()))
        return path

    return write


def header(**changes: Any) -> bytes:
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **changes}
    text = json.dumps({"a": entry}).encode()
    return struct.pack("<Q", len(text)) + text + b"\0\0\0\0"


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (damaged(lambda content: content[:-200], ".pth"), "zip file"),
        (damaged(lambda content: b"no zip" + content, ".pth"), "neither .safetensors nor a zip"),
        (damaged(lambda content: content[:40], ".safetensors"), "header"),
        (damaged(lambda content: content[:-4], ".safetensors"), "reshape|buffer"),
        (damaged(lambda content: content[:5], ".safetensors"), "requires a buffer"),
        (damaged(lambda _: header(dtype="F64"), ".safetensors"), "only F32, F16 and BF16"),
        (damaged(lambda _: header(shape=[2]), ".safetensors"), "reshape"),
        (damaged(lambda _: header(data_offsets=[4, 0]), ".safetensors"), "reshape"),
        (damaged(lambda _: header(data_offsets=[-9, 0]), ".safetensors"), "."),
        (damaged(lambda _: struct.pack("<Q", 2) + b"[]", ".safetensors"), "items"),
        (lambda folder: folder / "absent.pth", "No such file"),
        (lambda folder: write_archive(folder / "a.pth", pickle_of(("a",)), {}), "holds a tuple"),
        (lambda folder: write_archive(folder / "a.pth", b"", {}), "Ran out of input"),
    ],
)
def test_damaged_files_are_refused_in_one_line(tmp_path: Path, write: Any, reason: str) -> None:
    path = write(tmp_path)
    with pytest.raises(UserError, match=f"{path}: not readable .*({reason})") as error:
        read_tensors(path)
    assert "\n" not in str(error.value)


def test_what_is_not_finite_is_refused(tmp_path: Path) -> None:
    path = write_torch(tmp_path / "a.pth", {"a": np.array([1.0, np.nan], np.float32)})
    with pytest.raises(UserError, match="a holds values that are not finite"):
        read_tensors(path)
