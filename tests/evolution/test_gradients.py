"""The estimates against gradients that are known, with raw shaping and no optimiser.

Every check compares a mean over independent generations with its own standard error, and asks that
the standard error be small against the gradient, so that a wrong factor or sign fails.
"""

from collections.abc import Callable
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import Array

from rl_es.evolution.config import FactorDistribution
from rl_es.evolution.fitness_shaping import (
    STATELESS_SHAPINGS,
    StatelessShaping,
    centred_ranks,
    z_score,
)
from rl_es.evolution.moments import MatrixNoise
from rl_es.evolution.perturbation import FullRank, LowRank, block_keys
from rl_es.evolution.strategy import EvolutionStrategy
from rl_es.interfaces import Episode, Matrix, ParameterSpec, Perturbation, Segment

M, N, SIGMA = 4, 3, 0.5
PATH = ("network", "Dense_0", "kernel")
SHAPES = {
    "network": {
        "Dense_0": {
            "bias": jax.ShapeDtypeStruct((N,), jnp.float32),
            "kernel": jax.ShapeDtypeStruct((M, N), jnp.float32),
        }
    }
}
SPEC = ParameterSpec(SHAPES, {PATH: Matrix(M, N)})
PERTURBATIONS: dict[str, Perturbation] = {
    "full": FullRank(SPEC),
    "rank 1": LowRank(SPEC, 1),
    "rank 2": LowRank(SPEC, 2),
    "rank 4": LowRank(SPEC, 4),
    "rank 1, sphere": LowRank(SPEC, 1, "sphere"),
    "rank 2, sphere": LowRank(SPEC, 2, "sphere"),
    "rank 2, orthogonal": LowRank(SPEC, 2, "orthogonal"),
}
HYPER = {"lr": 1.0, "lr_decay": 1.0, "sigma": SIGMA, "sigma_decay": 1.0}
rng = np.random.default_rng(0)
CENTER = {
    "network": {
        "Dense_0": {
            "bias": rng.normal(size=(N,)).astype(np.float32),
            "kernel": rng.normal(size=(M, N)).astype(np.float32),
        }
    }
}
TARGET = rng.normal(size=(M, N)).astype(np.float32)
MIX = rng.normal(size=(M * N, M * N)).astype(np.float32)
U, V = (x / np.linalg.norm(x) for x in (rng.normal(size=M), rng.normal(size=N)))


def kernel(params: dict) -> Array:
    return params["network"]["Dense_0"]["kernel"]


def bias(params: dict) -> Array:
    return params["network"]["Dense_0"]["bias"]


def ascend(hyper: dict, lr: Array) -> optax.GradientTransformation:
    """The estimate itself, added to the parameters."""
    return optax.scale(-1.0)


def strategy(
    perturbation: Perturbation, population: int, shaping: str = "raw", scale: str = "gradient"
) -> EvolutionStrategy:
    return EvolutionStrategy(
        population, perturbation, Episode(), STATELESS_SHAPINGS[shaping], ascend, scale
    )


def generation(agent: EvolutionStrategy, objective: Callable[[dict], Array], key: Array) -> dict:
    """One generation's estimate, through the agent's own ask, shape, contract and tell."""
    hyper = {name: jnp.float32(value) for name, value in HYPER.items()}
    state = agent.init(jax.tree.map(jnp.asarray, CENTER), hyper)
    pairs = agent.population // 2
    noise, memory = agent.ask(block_keys(key, pairs), state, (), jnp.ones(pairs, bool))
    unit = agent.perturbation.dense(noise.unit)

    def returns(sign: float) -> Array:
        members = jax.tree.map(
            lambda center, e: center[None] + sign * SIGMA * e, state.params, unit
        )
        return jax.vmap(objective)(members)

    both = jnp.stack([returns(1.0), returns(-1.0)], axis=1).reshape(-1)
    segment = Segment(both, jnp.ones(pairs, bool), jnp.int32(0), jnp.int32(0))
    weights = agent.shape(state, segment)
    new, _ = agent.tell(state, agent.contract(state, noise, memory, weights), segment)
    return jax.tree.map(jnp.subtract, new.params, state.params)


def estimates(
    agent: EvolutionStrategy, objective: Callable[[dict], Array], generations: int = 200
) -> dict:
    """Estimates of independent generations, leaves [generations, ...]."""
    keys = jax.random.split(jax.random.key(1), generations)
    run = jax.jit(lambda keys: jax.lax.map(lambda key: generation(agent, objective, key), keys))
    return jax.device_get(run(keys))


def check(result: np.ndarray, truth: np.ndarray, most: float = 0.1, truth_error: float = 0) -> None:
    """The mean of `found` [G, ...] equals `truth` within 4.5 standard errors, which are small."""
    error = result.std(0, ddof=1) / np.sqrt(result.shape[0])
    assert np.linalg.norm(error) < most * np.linalg.norm(truth), "the check could not fail"
    deviation = np.abs(result.mean(0) - truth) / np.hypot(error, truth_error)
    assert deviation.max() < 4.5, f"{deviation.max():.1f} standard errors from the truth"


def quadratic(params: dict) -> Array:
    x = (kernel(params) - TARGET).reshape(-1)
    return x @ (MIX @ x) - 2.0 * jnp.sum(bias(params) ** 2)


def smooth(params: dict) -> Array:
    """Sines of linear functions of the kernel, and one of the bias."""
    s = jnp.sin((MIX[:3] / 2) @ kernel(params).reshape(-1))
    return s.sum() + jnp.sin(bias(params).sum())


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_quadratic_is_exact_at_any_rank(name: str):
    result = estimates(strategy(PERTURBATIONS[name], 2048), quadratic)
    x = (CENTER["network"]["Dense_0"]["kernel"] - TARGET).reshape(-1)
    check(kernel(result), ((MIX + MIX.T) @ x).reshape(M, N))
    check(bias(result), -4.0 * CENTER["network"]["Dense_0"]["bias"])


def test_full_rank_is_the_gradient_of_the_smoothed_objective():
    result = estimates(strategy(PERTURBATIONS["full"], 2048), smooth)
    rows, center = MIX[:3].astype(np.float64) / 2, CENTER["network"]["Dense_0"]
    phase = rows @ center["kernel"].reshape(-1)
    damping = np.exp(-(SIGMA**2) * (rows**2).sum(1) / 2)
    check(kernel(result), ((np.cos(phase) * damping) @ rows).reshape(M, N))
    shrunk = np.cos(center["bias"].sum()) * np.exp(-(SIGMA**2) * N / 2)
    check(bias(result), np.full(N, shrunk))


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_low_rank_is_its_own_expectation(rank: int):
    """E[f(W + sigma E) E] / sigma, from draws that share nothing with the code under test."""
    result = estimates(strategy(LowRank(SPEC, rank), 2048), smooth)
    draws, rows = 4_000_000, MIX[:3].astype(np.float64) / 2
    free = np.random.default_rng(2)
    center, parts = CENTER["network"]["Dense_0"], []
    for _ in range(16):
        a = free.normal(size=(draws // 16, rank, N))
        b = free.normal(size=(draws // 16, rank, M))
        e = np.einsum("drm,drn->dmn", b, a).reshape(-1, M * N) / np.sqrt(rank)
        phase = rows @ center["kernel"].reshape(-1)
        moved = SIGMA * e @ rows.T
        odd = (np.sin(phase + moved) - np.sin(phase - moved)).sum(1) / 2  # antithetic
        parts.append((odd[:, None] * e).mean(0) / SIGMA)
    truth = np.mean(parts, 0)
    truth_error = np.std(parts, 0, ddof=1) / np.sqrt(len(parts))
    check(kernel(result), truth.reshape(M, N), truth_error=truth_error.reshape(M, N))


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_low_rank_closed_form_of_a_sine(rank: int):
    """Of f = sin(s0 + u'Wv) the expectation is cos(s0) (1 + sigma^2 / r)^-(r/2 + 1) u v'."""
    s0 = 0.4

    def objective(params: dict) -> Array:
        w = kernel(params) - CENTER["network"]["Dense_0"]["kernel"]
        return jnp.sin(s0 + U.astype(np.float32) @ (w @ V.astype(np.float32)))

    result = estimates(strategy(LowRank(SPEC, rank), 4096), objective)
    factor = np.cos(s0) * (1 + SIGMA**2 / rank) ** -(rank / 2 + 1)
    check(kernel(result), factor * np.outer(U, V), most=0.05)


@pytest.mark.parametrize("factors", get_args(FactorDistribution))
@pytest.mark.parametrize("rank", [1, 2, 4])
def test_low_rank_closed_form_of_a_cube(rank: int, factors: FactorDistribution):
    """Of f = (u'Wv)^3 at W = 0 the expectation is sigma^2 times the fourth moment of u'Ev."""

    def objective(params: dict) -> Array:
        w = kernel(params) - CENTER["network"]["Dense_0"]["kernel"]
        return (U.astype(np.float32) @ (w @ V.astype(np.float32))) ** 3

    result = estimates(strategy(LowRank(SPEC, rank, factors), 4096), objective)
    factor = MatrixNoise(rank, factors).fourth_moment(M, N) * SIGMA**2
    check(kernel(result), factor * np.outer(U, V), most=0.06)


def test_low_rank_differs_from_full_rank_where_it_should():
    """The closed form tells ranks apart, so that the test above could fail."""
    factors = [(1 + SIGMA**2 / r) ** -(r / 2 + 1) for r in (1, 2, 4)]
    assert np.all(np.diff(factors) > 0.04)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_update_scales(name: str):
    """In one generation: paper = sigma x gradient, official = sigma sqrt(N) x paper."""
    population = 64
    key = jax.random.key(3)
    result = {
        scale: kernel(
            generation(strategy(PERTURBATIONS[name], population, "z_score", scale), quadratic, key)
        )
        for scale in ("gradient", "paper", "official")
    }
    np.testing.assert_allclose(result["paper"], SIGMA * result["gradient"], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(
        result["official"], SIGMA * population**0.5 * result["paper"], rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_official_scale_moves_each_element_by_sigma_under_pure_noise(name: str):
    """What makes the scale independent of population and rank: RMS sigma for returns of noise."""
    agent = strategy(PERTURBATIONS[name], 256, "z_score", "official")

    def noise(params: dict) -> Array:
        bits = jax.lax.bitcast_convert_type(kernel(params).sum() * 1e4, jnp.uint32)
        return jax.random.normal(jax.random.key(bits))

    result = estimates(agent, noise, generations=400)
    rms = np.sqrt(np.mean(np.square(kernel(result))))
    assert rms == pytest.approx(SIGMA, rel=0.05)


@pytest.mark.parametrize("shaping", ["z_score", "centred_ranks"])
@pytest.mark.parametrize("name", PERTURBATIONS)
def test_shapings_point_up(shaping: str, name: str):
    """On a linear objective every shaping must climb, whatever the objective's scale and offset."""

    def linear(params: dict) -> Array:
        return jnp.sum(kernel(params) * TARGET)

    for factor, offset in ((1.0, 0.0), (1e-2, 100.0)):
        agent = strategy(PERTURBATIONS[name], 2048, shaping)
        result = kernel(
            estimates(agent, lambda p, f=factor, o=offset: f * linear(p) + o, generations=4)
        ).mean(0)
        cosine = np.sum(result * TARGET) / np.linalg.norm(result) / np.linalg.norm(TARGET)
        assert cosine > 0.9


def test_z_score_has_unit_variance_and_ranks_span_one():
    returns = jnp.asarray(np.random.default_rng(4).normal(5.0, 30.0, 512), jnp.float32)
    z, ranks = z_score(returns), centred_ranks(returns)
    assert float(z.mean()) == pytest.approx(0, abs=1e-5)
    assert float(z.std()) == pytest.approx(1, rel=1e-4)
    assert (float(ranks.min()), float(ranks.max())) == (-0.5, 0.5)
    assert np.all(np.argsort(np.asarray(z)) == np.argsort(np.asarray(ranks)))
    np.testing.assert_allclose(np.sort(ranks), np.linspace(-0.5, 0.5, 512), atol=1e-6)


def test_ties_share_their_rank():
    """A population whose members all tie gives no update, whatever their order."""
    np.testing.assert_array_equal(centred_ranks(jnp.full(6, 500.0)), np.zeros(6))
    ranks = centred_ranks(jnp.asarray([1.0, 3.0, 3.0, 7.0]))
    np.testing.assert_allclose(ranks, [-0.5, 0.0, 0.0, 0.5], atol=1e-7)


def test_a_constant_return_gives_no_update():
    for shaping in (z_score, centred_ranks):
        agent = EvolutionStrategy(
            32, PERTURBATIONS["rank 1"], Episode(), StatelessShaping(shaping), ascend
        )
        result = generation(agent, lambda params: jnp.float32(7.0), jax.random.key(0))
        assert float(jnp.abs(kernel(result)).max()) < 1e-6
