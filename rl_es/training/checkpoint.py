"""States on disk: any pytree of arrays as msgpack, without pickling, whole or not at all.

Leaves are stored in order, under a description of the structure; a state is read back only into the
structure it came from. The file ends with a SHA-256 of the rest, so that damage is always noticed.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import serialization

from rl_es.errors import UserError
from rl_es.files import write_bytes

FORMAT = 3
_DIGEST_BYTES = 32


def _description(tree: Any) -> str:
    """Path, type and shape of every leaf: the same in every process that builds the tree."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return " ".join(
        f"{jax.tree_util.keystr(path)}:{np.dtype(leaf.dtype).name}{tuple(leaf.shape)}"
        for path, leaf in leaves
    )


def _content(stored: bytes) -> Any:
    packed, digest = stored[:-_DIGEST_BYTES], stored[-_DIGEST_BYTES:]
    if hashlib.sha256(packed).digest() != digest:
        raise ValueError("its checksum is wrong")
    return serialization.msgpack_restore(packed)


def save(path: Path, tree: Any, counters: Mapping[str, Any]) -> None:
    """Writes a pytree of arrays and the counters (JSON values) that belong to it."""
    tree = jax.tree.map(np.asarray, tree)
    content = {
        "format": FORMAT,
        "description": _description(tree),
        "counters": json.dumps(dict(counters)),
        "leaves": {str(i): leaf for i, leaf in enumerate(jax.tree.leaves(tree))},
    }
    packed = serialization.msgpack_serialize(content)
    write_bytes(path, packed + hashlib.sha256(packed).digest())


def load(
    path: Path, shapes: Any, read: Callable[[Path], bytes] = Path.read_bytes
) -> tuple[Any, dict[str, Any]]:
    """Reads what `save` wrote into the structure of `shapes`.

    Args:
      path: the file.
      shapes: pytree of arrays or `jax.ShapeDtypeStruct`.
      read: gives the file's content.

    Returns:
      The pytree, as NumPy arrays, and the counters.

    Raises:
      UserError: the file is damaged, or holds a state of another structure.
    """
    try:
        content = _content(read(path))
        if content["format"] != FORMAT or content["description"] != _description(shapes):
            raise UserError(
                f"{path}: a checkpoint of another version or configuration; "
                "remove it to start this run anew"
            )
        leaves = [content["leaves"][str(i)] for i in range(len(content["leaves"]))]
        return jax.tree.unflatten(jax.tree.structure(shapes), leaves), json.loads(
            str(content["counters"])
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: not a readable checkpoint ({error}); remove it to start this run anew"
        ) from None
