"""States on disk: any pytree of arrays as msgpack, without pickling, whole or not at all.

Leaves are stored in order, under a description of the structure; a state is read back only into the
structure it came from. The file ends with its checksum, so that damage is always noticed.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import serialization

from rl_es.errors import DamagedError, UserError, short_reason
from rl_es.results import checksums, text_files
from rl_es.results.files import write_bytes

FORMAT = 3


def _description(tree: Any) -> str:
    """Path, type and shape of every leaf: the same in every process that builds the tree."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return " ".join(
        f"{jax.tree_util.keystr(path)}:{np.dtype(leaf.dtype).name}{tuple(leaf.shape)}"
        for path, leaf in leaves
    )


def save(path: Path, tree: Any, counters: Mapping[str, Any]) -> None:
    """Writes a pytree of arrays and the counters (JSON values) that belong to it."""
    tree = jax.tree.map(np.asarray, tree)
    content = {
        "format": FORMAT,
        "description": _description(tree),
        "counters": json.dumps(dict(counters)),
        "leaves": {str(i): leaf for i, leaf in enumerate(jax.tree.leaves(tree))},
    }
    write_bytes(path, checksums.seal(serialization.msgpack_serialize(content)))


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
      DamagedError: the file was cut short or altered.
      UserError: it holds a state of another structure.
    """
    try:
        content = serialization.msgpack_restore(checksums.unseal(read(path)))
        wanted = _description(shapes)
        if content["format"] != FORMAT or content["description"] != wanted:
            raise UserError(
                f"{path}: a checkpoint of another version or configuration; "
                "remove it to start this run anew"
            )
        leaves = [content["leaves"][str(i)] for i in range(len(content["leaves"]))]
        tree = jax.tree.unflatten(jax.tree.structure(shapes), leaves)
        if any(type(leaf) is not np.ndarray for leaf in leaves) or _description(tree) != wanted:
            raise ValueError("its arrays are not what it says")
        counters = text_files.loads_json(str(content["counters"]))
        if not isinstance(counters, dict):
            raise ValueError("its counters are no mapping")
        return tree, counters
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise DamagedError(
            f"{path}: not a readable checkpoint ({short_reason(error)}); "
            "remove it to start this run anew"
        ) from None
