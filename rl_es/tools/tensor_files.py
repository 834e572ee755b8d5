"""Reads the weights of models of PyTorch from files, without PyTorch, and executes nothing in them.

- `.safetensors`: the length of a header in 8 bytes, the header in JSON, and the bytes of arrays.
- `.pth`, `.pt`: the zip archive that `torch.save` of a dictionary of tensors writes. Its `data.pkl`
  describes the tensors by a pickle, which may name any function to call. Here it may name those of
  `_UNPICKLED` alone, which are replaced by functions of this module; another name is refused.

Arrays are float32 in memory; files may hold float32, float16 or bfloat16.
"""

import json
import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from rl_es.errors import UserError, brief, short_reason

_BITS = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}  # by the names that .safetensors has for them
_LONGEST_HEADER = 10**8  # bytes
_ZIP = b"PK\x03\x04"


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Returns the arrays of a file [float32], by name.

    Raises:
      UserError: it cannot be read, is of another format, or holds something else.
    """
    try:
        with open(path, "rb") as file:
            is_zip = file.read(len(_ZIP)) == _ZIP
        if path.suffix == ".safetensors":
            tensors = _read_safetensors(path)
        elif is_zip:
            tensors = _read_torch_archive(path)
        else:
            raise ValueError(
                "neither .safetensors nor a zip archive of PyTorch 1.6 or later; save it anew"
            )
    except (OSError, ValueError, TypeError, LookupError, AttributeError, EOFError) as error:
        reason = short_reason(error)
    except (pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, struct.error) as error:
        reason = short_reason(error)
    else:
        for name, tensor in tensors.items():
            if not np.isfinite(tensor).all():
                raise UserError(f"{path}: {brief(name)} holds values that are not finite")
        return tensors
    raise UserError(f"{path}: not readable as weights of a model ({reason})")


def _as_float32(kind: str, bits: np.ndarray) -> np.ndarray:
    """Returns the numbers of an array, which of bfloat16 are the upper halves of float32."""
    if kind == "BF16":
        return (np.ascontiguousarray(bits).astype(np.uint32) << 16).view(np.float32)
    return np.ascontiguousarray(bits, np.float32)


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > min(_LONGEST_HEADER, path.stat().st_size):
            raise ValueError(f"a header of {length} bytes")
        header = json.loads(file.read(length))
        return dict(_safetensors_arrays(file, 8 + length, header))


def _safetensors_arrays(
    file: BinaryIO, start: int, header: dict[str, Any]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the arrays of a file, whose offsets count from `start`."""
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        kind, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        if kind not in _BITS:
            raise ValueError(f"{brief(name)} is {brief(kind)}; only F32, F16 and BF16 are read")
        file.seek(start + begin)
        bits = np.frombuffer(file.read(max(end - begin, 0)), _BITS[kind]).reshape(shape)
        yield name, _as_float32(kind, bits)


class _Storage(NamedTuple):
    """The numbers of one or more tensors, one after the other."""

    kind: str
    bits: np.ndarray


def _build_tensor(
    storage: _Storage, offset: int, size: Sequence[int], stride: Sequence[int], *_: Any
) -> np.ndarray:
    """Returns a tensor: `size` numbers of a storage, `stride` numbers apart."""
    numbers = [offset, *size, *stride]
    if not all(type(n) is int and n >= 0 for n in numbers):
        raise ValueError("a tensor whose sizes are no natural numbers")
    if math.prod(size) == 0:
        return np.zeros(size, np.float32)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if max(last, math.prod(size) - 1) >= len(storage.bits):
        raise ValueError(f"a tensor of {list(size)} numbers goes beyond its storage")
    steps = [step * storage.bits.itemsize for step in stride]
    bits = np.lib.stride_tricks.as_strided(storage.bits[offset:], size, steps)
    return _as_float32(storage.kind, bits)


_UNPICKLED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _build_tensor,
    ("torch", "FloatStorage"): "F32",
    ("torch", "HalfStorage"): "F16",
    ("torch", "BFloat16Storage"): "BF16",
}


class _TensorUnpickler(pickle.Unpickler):
    """Reads a `data.pkl`: its names stand for what `_UNPICKLED` says, and for nothing else."""

    def __init__(self, file: Any, read_storage: Any):
        """`read_storage` returns the storage of a kind, a key and a number of elements."""
        super().__init__(file)
        self._read_storage = read_storage

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _UNPICKLED:
            raise ValueError(
                f"its pickle names {brief(f'{module}.{name}')}, which is not executed; only "
                "dictionaries of float32, float16 and bfloat16 tensors are read"
            )
        return _UNPICKLED[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        tag, kind, key, _, count = pid
        if tag != "storage" or kind not in _BITS or not str(key).isalnum():
            raise ValueError("a reference to something other than a storage")
        return self._read_storage(kind, key, count)


def _read_torch_archive(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.split("/")[1:] == ["data.pkl"]]
        if len(names) != 1:
            raise ValueError("an archive without a data.pkl, so not written by torch.save")
        folder = names[0].removesuffix("data.pkl")
        order = f"{folder}byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise ValueError("numbers in big-endian order")
        storages: dict[str, _Storage] = {}
        read_storage = partial(_read_storage, archive, folder, storages)
        with archive.open(names[0]) as file:
            content = _TensorUnpickler(file, read_storage).load()
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}, no dictionary of tensors")
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, np.ndarray):
            raise ValueError(f"{brief(str(name))} is no tensor: save the model's state_dict()")
    return dict(content)


def _read_storage(
    archive: zipfile.ZipFile,
    folder: str,
    storages: dict[str, _Storage],
    kind: str,
    key: str,
    size: int,
) -> _Storage:
    """Returns a storage of an archive, of `size` numbers; it is read once."""
    if key not in storages:
        bits = np.frombuffer(archive.read(f"{folder}data/{key}"), _BITS[kind])
        if len(bits) != size:
            raise ValueError(f"storage {key} holds {len(bits)} numbers, not {size}")
        storages[key] = _Storage(kind, bits)
    return storages[key]
