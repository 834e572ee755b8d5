"""The likelihoods of a token against references in NumPy and in whole numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es.envs._text.likelihood import (
    EXP2,
    THRESHOLDS,
    exact_log2_likelihood,
    log2_of_total,
    table_log2_likelihood,
)

RNG = np.random.default_rng(0)
exact = jax.jit(jax.vmap(exact_log2_likelihood))
tables = jax.jit(jax.vmap(table_log2_likelihood))


def reference(logits: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """[n] log2-likelihoods by the definition, in float64."""
    weights = 2.0 ** (logits.astype(np.float64) / 16)
    return np.log2(weights[np.arange(len(tokens)), tokens] / weights.sum(-1))


def table_reference(logits: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """[n] log2-likelihoods by EGG's tables, in whole numbers of 1/16 bit."""
    index = logits.astype(int) + 128
    sums = np.floor(16 * 2.0 ** (index / 16)).astype(int).sum(-1)
    log2 = np.array([next(k for k in range(500) if int(s) ** 16 < 2 ** (64 + k + 1)) for s in sums])
    return (index[np.arange(len(tokens)), tokens] - log2) / 16


def test_tables_hold_whole_parts() -> None:
    for i, value in enumerate(EXP2.tolist()):
        assert value**16 <= 2 ** (64 + i) < (value + 1) ** 16
    for r, value in enumerate(THRESHOLDS.tolist(), 1):
        assert (value - 1) ** 16 < 2 ** (16 * 27 + r) <= value**16


def test_log2_of_sums() -> None:
    """Around every threshold, and elsewhere: floor(16 log2(s / 16)) by whole numbers."""
    near = [int(16 * 2 ** (k / 16)) + d for k in range(-64, 384) for d in (-1, 0, 1)]
    sums = np.unique([s for s in near if s >= 1] + RNG.integers(1, 2**28, 1000).tolist())
    result = np.asarray(jax.jit(jax.vmap(log2_of_total))(sums.astype(np.int32)))
    for s, k in zip(sums.tolist(), result.tolist(), strict=True):
        assert 2 ** (16 * 4 + k) <= s**16 < 2 ** (16 * 4 + k + 1)


@pytest.mark.parametrize("size", [2, 84, 256])
def test_both_likelihoods(size: int) -> None:
    logits = np.clip(RNG.normal(0, 60, (300, size)), -128, 127).round()
    tokens = RNG.integers(0, size, 300)
    expected = reference(logits, tokens)
    np.testing.assert_allclose(
        exact(jnp.asarray(logits, jnp.float32), tokens), expected, rtol=1e-5, atol=1e-5
    )
    result = np.asarray(tables(jnp.asarray(logits, jnp.float32), tokens))
    np.testing.assert_array_equal(result, table_reference(logits, tokens))
    assert np.abs(result - expected).max() < 0.2


def test_tables_flatter_by_half_a_step() -> None:
    """The tables' likelihood exceeds the exact one by 0.031 bits on average."""
    logits = np.clip(RNG.normal(0, 20, (20_000, 84)), -128, 127).round()
    tokens = RNG.integers(0, 84, 20_000)
    difference = np.asarray(tables(jnp.asarray(logits, jnp.float32), tokens), np.float64)
    difference -= reference(logits, tokens)
    assert difference.mean() == pytest.approx(0.031, abs=0.001)


def test_what_is_no_integer_is_rounded_down_for_the_tables() -> None:
    logits = jnp.array([[3.9, -0.1, 200.0], [3.0, -1.0, 127.0]])
    first, second = tables(logits, jnp.array([0, 0]))
    assert first == second


def test_large_logits_and_what_is_no_number() -> None:
    logits = jnp.array([[1e7, 0.0], [-1e7, -1e7], [jnp.nan, 0.0], [0.0, jnp.nan], [0.0, -jnp.inf]])
    result = exact(logits, jnp.array([1, 0, 1, 0, 0]))
    np.testing.assert_allclose(result, [-1e7 / 16, -1, np.nan, np.nan, 0], rtol=1e-6)


def test_the_exact_likelihood_has_a_gradient() -> None:
    logits = jnp.array([16.0, 0.0])
    np.testing.assert_allclose(
        jax.grad(exact_log2_likelihood)(logits, jnp.int32(0)), [1 / 48, -1 / 48], rtol=1e-5
    )
