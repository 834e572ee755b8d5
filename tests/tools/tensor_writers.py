"""Writes weights as PyTorch and safetensors do, with the standard library and NumPy alone."""

import json
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

KINDS = {  # of an array in memory: in a pickle, in a header
    "float32": ("FloatStorage", "F32"),
    "float16": ("HalfStorage", "F16"),
    "bfloat16": ("BFloat16Storage", "BF16"),
}


class Global(NamedTuple):
    """A name in a pickle."""

    module: str
    name: str


class Call(NamedTuple):
    """A call in a pickle."""

    function: Any
    arguments: tuple[Any, ...]


class Reference(NamedTuple):
    """A persistent id in a pickle."""

    pid: tuple[Any, ...]


def pickle_of(value: Any) -> bytes:
    """A pickle of protocol 2, as `torch.save` has it; nothing that it names need exist."""
    return b"\x80\x02" + _opcodes(value) + b"."


def _opcodes(value: Any) -> bytes:
    match value:
        case Global(module, name):
            return f"c{module}\n{name}\n".encode()
        case Call(function, arguments):
            return _opcodes(function) + _opcodes(arguments) + b"R"
        case Reference(pid):
            return _opcodes(pid) + b"Q"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            return b"J" + struct.pack("<i", value)
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case tuple():
            return b"(" + b"".join(map(_opcodes, value)) + b"t"
        case dict():
            parts = (_opcodes(part) for item in value.items() for part in item)
            return b"}(" + b"".join(parts) + b"u"
    raise TypeError(type(value))


def tensor(kind: str, key: str, numbers: int, shape: tuple[int, ...], **changes: Any) -> Call:
    """A tensor in a pickle: contiguous, from the start of storage `key` on; or with `changes`."""
    strides = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
    storage = ("storage", Global("torch", KINDS[kind][0]), key, "cpu", numbers)
    layout = {"offset": 0, "shape": shape, "strides": strides, **changes}
    hooks = Call(Global("collections", "OrderedDict"), ())
    arguments = (Reference(storage), *layout.values(), False, hooks)
    return Call(Global("torch._utils", "_rebuild_tensor_v2"), arguments)


def as_bits(array: np.ndarray, kind: str) -> np.ndarray:
    """The numbers of an array as a file holds them; bfloat16 is cut, not rounded."""
    if kind == "bfloat16":
        return (np.ascontiguousarray(array, np.float32).view(np.uint32) >> 16).astype("<u2")
    return np.ascontiguousarray(array).astype("<f2" if kind == "float16" else "<f4")


def write_archive(path: Path, content: bytes, storages: Mapping[str, bytes]) -> Path:
    """Writes the zip archive of `torch.save` around a pickle."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("model/data.pkl", content)
        archive.writestr("model/byteorder", "little")
        for key, numbers in storages.items():
            archive.writestr(f"model/data/{key}", numbers)
        archive.writestr("model/version", "3\n")
    return path


def write_torch(path: Path, arrays: Mapping[str, np.ndarray], kind: str = "float32") -> Path:
    tensors, storages = {}, {}
    for key, (name, array) in enumerate(arrays.items()):
        tensors[name] = tensor(kind, str(key), array.size, array.shape)
        storages[str(key)] = as_bits(array, kind).tobytes()
    return write_archive(path, pickle_of(tensors), storages)


def write_safetensors(path: Path, arrays: Mapping[str, np.ndarray], kind: str = "float32") -> Path:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    content = b""
    for name, array in arrays.items():
        numbers = as_bits(array, kind).tobytes()
        ends = [len(content), len(content) + len(numbers)]
        header[name] = {"dtype": KINDS[kind][1], "shape": array.shape, "data_offsets": ends}
        content += numbers
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content)
    return path
