"""Noise is drawn number by number: the numbers are those of `jax.random`, block by block."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.random import threefry_2x32

from benchmarks import draws
from rl_es.evolution.integers import IntegerLowRank
from rl_es.evolution.perturbation import (
    FullRank,
    LowRank,
    RandomTable,
    block_keys,
    column_numbers,
    draw_table,
)
from rl_es.interfaces import Matrix, ParameterSpec

SPEC = ParameterSpec(
    {
        "bias": jax.ShapeDtypeStruct((3,), jnp.float32),
        "kernel": jax.ShapeDtypeStruct((5, 3), jnp.float32),
    },
    {("kernel",): Matrix(5, 3)},
)
PERTURBATIONS: dict[str, Callable[[], Any]] = {
    "full rank": lambda: FullRank(SPEC),
    "rank 2": lambda: LowRank(SPEC, 2),
    "rank 2, sphere": lambda: LowRank(SPEC, 2, "sphere"),
    "integers": lambda: IntegerLowRank(SPEC),
}


def table_of(key: jax.Array, counts: list[int]) -> RandomTable:
    """Returns a table whose rows begin at these counts."""
    words = jnp.broadcast_to(jax.random.key_data(key), (len(counts), 2))
    high, low = np.divmod(np.asarray(counts, np.uint64), np.uint64(2**32))
    return RandomTable(words, jnp.asarray(high, jnp.uint32), jnp.asarray(low, jnp.uint32))


@pytest.mark.parametrize("pairs", [1, 2, 7, 63, 64, 65, 130, 256])
def test_rows_are_those_of_jax_random_normal(pairs: int) -> None:
    width = 37
    keys = block_keys(jax.random.key(3), pairs)
    drawn = draw_table(keys, pairs, width, lambda table: table.normal(column_numbers(0, width)))
    blocks = [jax.random.normal(key, (64, width)) for key in keys]
    np.testing.assert_array_equal(drawn, np.concatenate(blocks)[:pairs])


def test_uniform_numbers_are_those_of_jax_random_uniform() -> None:
    key, width = jax.random.key(4), 11
    drawn = draw_table(key[None], 64, width, lambda table: table.uniform(column_numbers(0, width)))
    expected = jax.random.uniform(key, (64, width), minval=-1.0, maxval=1.0)
    np.testing.assert_array_equal(drawn, expected)


def test_any_columns_are_drawn_in_any_shape() -> None:
    key = jax.random.key(5)
    expected = np.asarray(jax.random.normal(key, (64, 100)))
    columns = np.array([[99, 0, 7], [12, 12, 50]], np.uint32)
    draw = jax.jit(lambda keys: draw_table(keys, 64, 100, lambda t: t.normal(jnp.asarray(columns))))
    np.testing.assert_array_equal(draw(key[None]), expected[:, columns])


def test_consecutive_columns() -> None:
    expected = 7 + np.arange(6, dtype=np.uint32).reshape(2, 3)
    np.testing.assert_array_equal(column_numbers(7, 2, 3), expected)
    assert column_numbers(4).shape == ()


def test_counts_go_on_beyond_32_bits() -> None:
    """Of tables with more than 2^32 numbers, which no test can hold."""
    key, width = jax.random.key(11), 9
    starts = [2**32 - 4, 3 * 2**32 + 5, 63 * 2**30]
    drawn = table_of(key, starts).normal(column_numbers(0, width))
    counts = np.asarray([[start + i for i in range(width)] for start in starts], np.uint64)
    words = np.concatenate([(counts >> np.uint64(32)).ravel(), counts.astype(np.uint32).ravel()])
    first, second = np.split(
        np.asarray(threefry_2x32(jax.random.key_data(key), jnp.asarray(words, jnp.uint32))), 2
    )
    unit = ((first ^ second) >> 9).astype(np.float64) / 2**23
    uniform = np.maximum(2 * unit - 1, np.nextafter(-1, 0))
    expected = math.sqrt(2) * jax.lax.erf_inv(jnp.asarray(uniform, jnp.float32))
    np.testing.assert_allclose(drawn.ravel(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_a_pair_has_the_same_noise_in_a_smaller_population(name: str) -> None:
    keys = block_keys(jax.random.key(1), 256)
    of_all = PERTURBATIONS[name]().draw(keys, 256)
    of_some = PERTURBATIONS[name]().draw(keys[:2], 65)
    for leaf, part in zip(jax.tree.leaves(of_all), jax.tree.leaves(of_some), strict=True):
        np.testing.assert_allclose(leaf[:65], part, rtol=1e-6)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_compiled_noise_takes_no_memory_but_its_own(name: str) -> None:
    """Random bits and numbers that are cut later would be several times as large."""
    pairs, width = 256, 512
    shapes = {
        "bias": jax.ShapeDtypeStruct((width,), jnp.float32),
        "kernel": jax.ShapeDtypeStruct((width, width), jnp.float32),
    }
    matrices = {("kernel",): Matrix(width, width)}
    large = PERTURBATIONS[name]().__class__
    extra = {"rank": 2} if large is LowRank else {}
    perturbation = large(ParameterSpec(shapes, matrices), **extra)
    keys = block_keys(jax.random.key(1), pairs)
    compiled = jax.jit(lambda keys: perturbation.draw(keys, pairs)).lower(keys).compile()
    memory = compiled.memory_analysis()
    assert memory.temp_size_in_bytes < 0.1 * memory.output_size_in_bytes


def test_the_benchmark_of_draws_reports_both_forms() -> None:
    row = draws.measure(LowRank(draws.policy_parameters(8), 1), pairs=64, rounds=1)
    assert row["numbers"] == 64 * (4 + 8 + 16 + 16 + 8 + 2 + 8 + 8 + 8 + 2)
    assert row["by itself, ms"] > 0
    assert row["by itself, MB beside it"] < row["in blocks, MB beside it"]
