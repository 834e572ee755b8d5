"""The moments of unit noise: their formulas against draws of the perturbations themselves."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es.evolution.moments import MatrixNoise
from rl_es.evolution.perturbation import Factors, FullRank, LowRank, block_keys
from rl_es.interfaces import Matrix, ParameterSpec

DRAWS = 2**16
SHAPES = [(3, 8), (8, 1), (2, 2), (12, 12)]
NOISES = [
    MatrixNoise(None),
    *itertools.starmap(
        MatrixNoise, itertools.product([1, 2, 4], ["normal", "sphere", "orthogonal"])
    ),
]


def perturbation_of(noise: MatrixNoise, inputs: int, outputs: int) -> FullRank | LowRank:
    shapes = {"kernel": jax.ShapeDtypeStruct((inputs, outputs), jnp.float32)}
    spec = ParameterSpec(shapes, {("kernel",): Matrix(inputs, outputs)})
    return FullRank(spec) if noise.rank is None else LowRank(spec, noise.rank, noise.factors)


def draw(noise: MatrixNoise, inputs: int, outputs: int) -> np.ndarray:
    """Returns unit noise [DRAWS, M, N] in float64."""
    perturbation = perturbation_of(noise, inputs, outputs)
    unit = perturbation.draw(block_keys(jax.random.key(5), DRAWS), DRAWS)
    return np.asarray(perturbation.dense(unit)["kernel"], np.float64)


def check_mean(samples: np.ndarray, truth: float, most: float) -> None:
    """Checks means of samples [DRAWS, ...] against a truth, which their error must resolve."""
    error = samples.std(0, ddof=1) / np.sqrt(len(samples))
    assert (error < most).all(), "the check could not fail"
    assert (np.abs(samples.mean(0) - truth) <= 4.5 * error + 1e-5 * max(1, abs(truth))).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_moments_of_draws(noise: MatrixNoise, shape: tuple[int, int]) -> None:
    inputs, outputs = shape
    e = draw(noise, inputs, outputs)
    check_mean(e, 0.0, most=0.01)
    check_mean(np.square(e), 1.0, most=0.03)
    rng = np.random.default_rng(1)
    g = rng.normal(size=shape)
    g /= np.linalg.norm(g)
    products = np.einsum("dmn,mn->d", e, g)
    second = np.square(products) * np.square(e).sum((1, 2))
    moment = noise.second_moment(inputs, outputs)
    check_mean(second, moment, most=0.05 * moment)
    v, u = (x / np.linalg.norm(x) for x in (rng.normal(size=inputs), rng.normal(size=outputs)))
    moment = noise.fourth_moment(inputs, outputs)
    check_mean(np.einsum("m,dmn,n->d", v, e, u) ** 4, moment, most=0.12 * moment)
    lengths = np.square(np.einsum("m,dmn->dn", v, e)).sum(1)
    moment = noise.output_moment(inputs, outputs)
    check_mean(np.square(lengths / outputs), moment, most=0.05 * moment)


def test_moments_tell_the_noises_apart() -> None:
    """A wrong kind of factors would fail the test above on narrow matrices."""
    moments = {noise: noise.second_moment(8, 1) for noise in NOISES}
    assert moments[MatrixNoise(1, "normal")] == 30
    assert moments[MatrixNoise(1, "sphere")] == moments[MatrixNoise(4, "orthogonal")] == 8
    assert moments[MatrixNoise(4, "sphere")] == 9.5 and moments[MatrixNoise(None)] == 10
    assert MatrixNoise(1).fourth_moment(8, 1) == 9
    assert MatrixNoise(1, "sphere").fourth_moment(8, 1) == pytest.approx(9 * 8 / (10 * 3))
    assert MatrixNoise(2, "normal").fourth_moment(8, 1) == 6  # 3 + 6 / R
    assert MatrixNoise(None).output_moment(8, 4) == 1.5
    assert MatrixNoise(1, "normal").output_moment(8, 4) == 4.5
    assert MatrixNoise(1, "sphere").output_moment(8, 4) == pytest.approx(2.4)
    assert MatrixNoise(4, "orthogonal").output_moment(8, 4) == pytest.approx(1.2)


@pytest.mark.parametrize("rank", [1, 3])
def test_factors_have_their_lengths_and_angles(rank: int) -> None:
    sizes = {"a": 1, "b": 5}
    for factors in ("sphere", "orthogonal"):
        perturbation = perturbation_of(MatrixNoise(rank, factors), sizes["b"], sizes["a"])
        unit = perturbation.draw(block_keys(jax.random.key(0), 70), 70)[("kernel",)]
        assert isinstance(unit, Factors)
        for side, size in sizes.items():
            columns = np.asarray(getattr(unit, side))
            assert columns.shape == (70, rank, size)
            np.testing.assert_allclose(np.linalg.norm(columns, axis=-1), size**0.5, rtol=1e-5)
        gram = np.einsum("hrm,hsm->hrs", unit.b, unit.b)
        crossed = np.abs(gram - 5 * np.eye(rank)).max()
        assert rank == 1 or (crossed < 1e-4) == (factors == "orthogonal")
