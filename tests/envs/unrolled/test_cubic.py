"""The cubic return against its definition, and the estimates it expects against a simulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es.envs._unrolled.cubic import Cubic
from rl_es.evolution.moments import MatrixNoise

SIGMA, PAIRS = 0.5, 400_000
M, N = 3, 2
NORMAL = {rank: MatrixNoise(rank) for rank in (1, 2, None)}
SPHERE = MatrixNoise(1, "sphere")


def made(steps: int = 4, control: float = 0.0) -> Cubic:
    return Cubic("cubic", steps, M, N, control)


def returned(env: Cubic, w: np.ndarray) -> np.ndarray:
    """[...] the definition, for matrices [..., M, N]."""
    x = np.einsum("hm,...mn,hn->...h", env._observations, w, env._projections)
    return (env._factors * (x**3 - 3 * env.control**2 * x)).sum(-1)


def expected(env: Cubic, w: np.ndarray, noise: MatrixNoise) -> np.ndarray:
    update = env.expected_gradient({"network": {"kernel": w}}, SIGMA, noise.fourth_moment)
    assert update is not None
    return update["network"]["kernel"]


def draw(rng: np.random.Generator, noise: MatrixNoise) -> np.ndarray:
    """[PAIRS, M, N] unit noise: of full rank, as EGGROLL defines it, or with factors of length."""
    if noise.rank is None:
        return rng.normal(size=(PAIRS, M, N))
    b, a = rng.normal(size=(PAIRS, noise.rank, M)), rng.normal(size=(PAIRS, noise.rank, N))
    if noise.factors == "sphere":
        b, a = (x * np.sqrt(x.shape[-1] / np.square(x).sum(-1, keepdims=True)) for x in (b, a))
    return np.swapaxes(b, 1, 2) @ a / np.sqrt(noise.rank)


def test_episodes_add_up_to_the_definition():
    env = made(steps=5, control=0.4)
    w = np.random.default_rng(3).normal(size=(M, N)).astype(np.float32)
    state, observation = env.reset(jax.random.key(0))
    total, ends = 0.0, []
    for _ in range(5):
        after = env.step(jax.random.key(0), state, observation.values @ jnp.asarray(w))
        total, ends = total + float(after.reward), [*ends, bool(after.truncated)]
        state, observation = after.state, after.observation
    assert total == pytest.approx(returned(env, w), rel=1e-5)
    assert ends == [False] * 4 + [True]
    np.testing.assert_allclose(np.linalg.norm(env._observations, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("noise", [*NORMAL.values(), SPHERE], ids=str)
@pytest.mark.parametrize("control", [0.0, SIGMA])
def test_the_constant_against_simulation(noise, control):
    """At a matrix that is not zero, with inputs and outputs that differ in number."""
    env = made(steps=3, control=control)
    w = np.random.default_rng(1).normal(size=(M, N)) * 0.3
    e = draw(np.random.default_rng(2), noise)
    slopes = (returned(env, w + SIGMA * e) - returned(env, w - SIGMA * e)) / (2 * SIGMA)
    samples = slopes[:, None, None] * e
    error = samples.std(0) / np.sqrt(PAIRS)
    known = expected(env, w, noise)
    assert (np.abs(samples.mean(0) - known) < 4.5 * error).all()
    assert np.linalg.norm(error) < 0.1 * np.linalg.norm(known)


def test_low_rank_is_six_sigma_squared_over_the_rank_away():
    env = made(steps=4)
    w = np.random.default_rng(1).normal(size=(M, N))
    products = np.einsum(
        "h,hm,hn->mn", env._factors, env._observations, env._projections, dtype=np.float64
    )
    full = expected(env, w, NORMAL[None])
    for rank in (1, 4, 32):
        apart = expected(env, w, MatrixNoise(rank)) - full
        np.testing.assert_allclose(apart, 6 * SIGMA**2 / rank * products, rtol=1e-6, atol=1e-12)


def test_the_linear_part_cancels_what_full_rank_sees_at_zero():
    env = made(control=SIGMA)
    np.testing.assert_allclose(expected(env, np.zeros((M, N)), NORMAL[None]), 0, atol=1e-12)


def test_other_policies_are_not_known():
    biased = {"kernel": np.zeros((M, N)), "bias": np.zeros(N)}
    full = NORMAL[None].fourth_moment
    assert made().expected_gradient(biased, SIGMA, full) is None
    assert made().expected_gradient({"kernel": np.zeros((N, M))}, SIGMA, full) is None
