"""States on disk: read back as they were, or refused."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from rl_es.errors import UserError
from rl_es.training import checkpoint
from rl_es.training.checkpoint import load, save


class Pair(NamedTuple):
    first: Any
    second: Any


@struct.dataclass
class State:
    weights: Any
    counter: Any
    rest: Any


def state() -> State:
    return State(
        weights={"b": jnp.linspace(-1, 1, 6).reshape(2, 3), "a": jnp.float32(np.nan)},
        counter=jnp.int32(-7),
        rest=Pair(
            [jnp.asarray([1.5, -2.25], jnp.bfloat16), jnp.asarray([True, False]), None],
            (
                np.uint32([2**32 - 1]),
                jnp.zeros((0, 3)),
                (),
                np.asfortranarray(np.eye(2, 3, dtype=np.float32)),
            ),
        ),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "there" / "state.msgpack"


def test_round_trip(path: Path) -> None:
    counters = {"generation": 3, "wall_seconds": 0.1, "env_steps": 2**40}
    save(path, state(), counters)
    tree, stored_counters = load(path, state())
    assert stored_counters == counters
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert jax.tree.structure(tree) == jax.tree.structure(state())
    for expected, actual in zip(jax.tree.leaves(state()), jax.tree.leaves(tree), strict=True):
        expected = np.asarray(expected)
        assert isinstance(actual, np.ndarray) and actual.dtype == expected.dtype
        assert actual.shape == expected.shape and actual.tobytes() == expected.tobytes()


def test_into_shapes(path: Path) -> None:
    save(path, state(), {})
    tree, _ = load(path, jax.eval_shape(state))
    assert tree.counter == -7


def _reshaped(tree: State) -> State:
    return tree.replace(weights={**tree.weights, "b": tree.weights["b"].T})


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: _reshaped(tree),
        lambda tree: tree.replace(counter=jnp.uint32(7)),
        lambda tree: tree.replace(weights={"b": tree.weights["b"], "c": tree.weights["a"]}),
        lambda tree: tree.replace(rest=Pair(tree.rest.second, tree.rest.first)),
        lambda tree: tree.replace(counter=None),
        lambda tree: jax.tree.leaves(tree),
    ],
    ids=["shape", "type", "name", "order", "missing", "container"],
)
def test_another_structure_is_refused(path: Path, change: Any) -> None:
    save(path, state(), {})
    with pytest.raises(UserError, match="another version or configuration.*remove it"):
        load(path, change(state()))


def test_any_damage_is_refused(path: Path) -> None:
    save(path, {"w": jnp.arange(3.0)}, {"generation": 1})
    stored = path.read_bytes()
    shortened = [stored[:end] for end in range(len(stored))]
    altered = [
        stored[:i] + bytes([stored[i] ^ bit]) + stored[i + 1 :]
        for i in range(len(stored))
        for bit in (1, 128)
    ]
    for damaged in (*shortened, *altered, stored + b"\0", b"not a checkpoint" * 10):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="not a readable checkpoint.*remove it"):
            load(path, {"w": jnp.arange(3.0)})


def test_no_file_is_refused(path: Path) -> None:
    with pytest.raises(UserError, match="not a readable checkpoint"):
        load(path, state())


def test_the_description_is_the_same_in_every_process() -> None:
    """Some environments keep objects in the structure of their state that print their address."""

    @jax.tree_util.register_pytree_node_class
    class Odd:
        def __init__(self, leaf: Any, label: object):
            self.leaf, self.label = leaf, label

        def tree_flatten(self) -> tuple[tuple[Any], object]:
            return (self.leaf,), self.label

        @classmethod
        def tree_unflatten(cls, label: object, leaves: Any) -> "Odd":
            return cls(*leaves, label)

    first, second = Odd(np.zeros(2), object()), Odd(np.zeros(2), object())
    assert checkpoint._description(first) == checkpoint._description(second)
    assert "0x" not in checkpoint._description(first)
