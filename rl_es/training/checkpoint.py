"""Saves and loads the state of a run: any pytree of arrays as msgpack, without pickle.

A file holds the leaves in order under a description of the structure; a state is loaded only into
the structure that it came from. Writes are atomic, and a file ends with its checksum, so that
damage is always noticed.
"""

import json
import re
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
_LEAF = re.compile(r"(.+?):(\w+)\(([\d, ]*)\)(?: |$)")  # of a description


def _description(tree: Any) -> str:
    """Describes path, dtype and shape of every leaf, equally in all processes."""
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


def load_leaves(path: Path) -> dict[str, np.ndarray]:
    """Loads the arrays of a file by their paths, whatever structure they are of.

    Raises:
      DamagedError: the file was cut short or altered, or is of another version.
    """
    try:
        content = serialization.msgpack_restore(checksums.unseal(path.read_bytes()))
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']}")
        names = [name for name, *_ in _LEAF.findall(str(content["description"]))]
        arrays = [content["leaves"][str(i)] for i in range(len(content["leaves"]))]
        return dict(zip(names, arrays, strict=True))
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise DamagedError(f"{path}: not a readable checkpoint ({short_reason(error)})") from None


def load(
    path: Path, shapes: Any, read: Callable[[Path], bytes] = Path.read_bytes
) -> tuple[Any, dict[str, Any]]:
    """Loads what `save` wrote into the structure of `shapes`.

    Args:
      path: the file.
      shapes: pytree of arrays or `jax.ShapeDtypeStruct`.
      read: returns a file's content.

    Returns:
      The pytree, as NumPy arrays, and the counters.

    Raises:
      DamagedError: the file was cut short or altered.
      UserError: it holds a state of another structure.
    """
    try:
        content = serialization.msgpack_restore(checksums.unseal(read(path)))
        description = _description(shapes)
        if content["format"] != FORMAT or content["description"] != description:
            raise UserError(
                f"{path}: a checkpoint of another version or configuration; "
                "remove it to start this run anew"
            )
        leaves = [content["leaves"][str(i)] for i in range(len(content["leaves"]))]
        tree = jax.tree.unflatten(jax.tree.structure(shapes), leaves)
        if (
            any(type(leaf) is not np.ndarray for leaf in leaves)
            or _description(tree) != description
        ):
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
