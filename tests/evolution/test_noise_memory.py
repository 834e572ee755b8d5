"""What is remembered of pairs: exact sums in each form, one noise per episode, keys of blocks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es.errors import UserError
from rl_es.evolution.noise_memory import (
    DenseAccumulator,
    EpisodeNoise,
    FreshNoise,
    HeldB,
    NoiseHistory,
    NoiseKeys,
    cheapest_accumulator,
    make_accumulator,
)
from rl_es.evolution.perturbation import FullRank, LowRank, block_keys
from rl_es.interfaces import Matrix, ParameterSpec

PAIRS, WINDOWS = 130, 4  # three blocks of keys, the last one short
SPEC = ParameterSpec(
    {
        "layer": {
            "kernel": jax.ShapeDtypeStruct((3, 5), jnp.float32),
            "bias": jax.ShapeDtypeStruct((5,), jnp.float32),
        }
    },
    {("layer", "kernel"): Matrix(3, 5)},
)
NOISES = {"full rank": FullRank(SPEC), "rank 1": LowRank(SPEC, 1), "rank 2": LowRank(SPEC, 2)}
FORMS = {"dense": DenseAccumulator(), "list": NoiseHistory(WINDOWS), "keys": NoiseKeys(WINDOWS)}


def episodes(rng):
    """Starts [G, H] of episodes of 1 to WINDOWS windows, all starting at the first."""
    fresh = np.zeros((12, PAIRS), bool)
    for pair in range(PAIRS):
        at = 0
        while at < len(fresh):
            fresh[at, pair] = True
            at += rng.integers(1, WINDOWS + 1)
    return fresh


def unroll(form, perturbation, fresh, weights, sigmas):
    """The dense noise [G, H, ...] that was applied, and the update of each window."""
    memory, applied, updates = form.init(perturbation, PAIRS), [], []

    @jax.jit
    def window(memory, key, fresh, weights, sigma):
        drawn, memory = form.ask(perturbation, block_keys(key, PAIRS), memory, fresh, sigma)
        update = form.contract(perturbation, memory, drawn, weights, sigma)
        return drawn, memory, update

    for generation, (now, weight, sigma) in enumerate(zip(fresh, weights, sigmas, strict=True)):
        drawn, memory, update = window(
            memory, jax.random.key(generation), jnp.asarray(now), weight, sigma
        )
        unit = jax.tree.map(np.asarray, perturbation.dense(drawn.unit))
        applied.append((unit, np.asarray(drawn.sigma)))
        updates.append(update)
    return applied, updates


@pytest.fixture(scope="module")
def course():
    """Episodes, weights [G, H] and decaying sigmas [G]."""
    rng = np.random.default_rng(0)
    fresh = episodes(rng)
    weights = rng.normal(size=fresh.shape).astype(np.float32)
    sigmas = (0.3 * 0.9 ** np.arange(len(fresh))).astype(np.float32)
    return fresh, weights, sigmas


def scores(applied, fresh):
    """The sum of each episode's scores so far, E_t / sigma_t, [G, H, ...], in float64."""
    held, result = 0.0, []
    for (unit, sigma), now in zip(applied, fresh, strict=True):

        def add(total, e, sigma=sigma, now=now):
            lead = (-1, *(1,) * (e.ndim - 1))
            previous = np.where(now.reshape(lead), 0.0, total)
            return previous + e.astype(float) / sigma.reshape(lead)

        held = jax.tree.map(lambda e: np.zeros(e.shape), unit) if result == [] else held
        held = jax.tree.map(add, held, unit)
        result.append(held)
    return result


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("form", FORMS)
def test_each_form_weights_by_the_sum_of_its_own_episode(form, noise, course):
    fresh, weights, sigmas = course
    applied, updates = unroll(FORMS[form], NOISES[noise], *course)
    for update, weight, sigma, sums in zip(
        updates, weights, sigmas, scores(applied, fresh), strict=True
    ):
        expected = jax.tree.map(lambda e, w=weight, s=sigma: s * np.tensordot(w, e, axes=1), sums)
        jax.tree.map(
            lambda result, target: np.testing.assert_allclose(result, target, rtol=1e-4, atol=2e-4),
            update, expected,
        )  # fmt: skip


@pytest.mark.parametrize("noise", NOISES)
def test_the_three_forms_agree(noise, course):
    result = [unroll(form, NOISES[noise], *course)[1] for form in FORMS.values()]
    scale = max(np.abs(leaf).max() for leaf in jax.tree.leaves(result[0]))
    for other in result[1:]:
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * scale),
            result[0], other,
        )  # fmt: skip


@pytest.mark.parametrize("noise", NOISES)
def test_noise_is_held_for_an_episode(noise, course):
    fresh, weights, sigmas = course
    applied, updates = unroll(EpisodeNoise(), NOISES[noise], *course)
    drawn = unroll(FreshNoise(), NOISES[noise], *course)[0]
    start = np.zeros(PAIRS, int)
    for generation, now in enumerate(fresh):
        start[now] = generation
        unit, sigma = applied[generation]
        np.testing.assert_array_equal(sigma, sigmas[start])
        for path in ("kernel", "bias"):
            target = np.stack([drawn[g][0]["layer"][path][h] for h, g in enumerate(start)])
            np.testing.assert_array_equal(unit["layer"][path], target)
            # sigma now, times the score E / sigma of the draw
            factor = weights[generation] * sigmas[generation] / sigma
            np.testing.assert_allclose(
                updates[generation]["layer"][path],
                np.tensordot(factor, target, axes=1),
                rtol=1e-4,
                atol=1e-5,
            )


def test_held_factors_keep_the_sum_at_its_rank(course):
    """One B an episode, of a fresh pair's own; A is new every window, and they differ by pair."""
    fresh, _, _ = course
    applied, _ = unroll(HeldB(), NOISES["rank 1"], *course)
    for sums in scores(applied, fresh):
        assert np.linalg.matrix_rank(sums["layer"]["kernel"], tol=1e-3).max() == 1
    independent = scores(unroll(DenseAccumulator(), NOISES["rank 1"], *course)[0], fresh)
    assert max(np.linalg.matrix_rank(s["layer"]["kernel"], tol=1e-3).max() for s in independent) > 1
    kernels = np.stack([unit["layer"]["kernel"] for unit, _ in applied])
    assert len(np.unique(kernels[:, :, 0, 0].round(6))) == kernels[:, :, 0, 0].size


def test_held_factors_weight_by_their_sum(course):
    fresh, weights, sigmas = course
    applied, updates = unroll(HeldB(), NOISES["rank 2"], *course)
    for update, weight, sigma, sums in zip(
        updates, weights, sigmas, scores(applied, fresh), strict=True
    ):
        expected = sigma * np.tensordot(weight, sums["layer"]["kernel"], axes=1)
        np.testing.assert_allclose(update["layer"]["kernel"], expected, rtol=1e-4, atol=2e-4)


def test_the_form_follows_from_shapes_and_windows():
    large = ParameterSpec(
        {"kernel": jax.ShapeDtypeStruct((256, 256), jnp.float32)},
        {("kernel",): Matrix(256, 256)},
    )
    assert cheapest_accumulator(LowRank(large, 1), 2) == "list"
    assert cheapest_accumulator(LowRank(large, 1), 10_000) == "dense"
    assert cheapest_accumulator(LowRank(large, 1), None) == "dense"
    assert cheapest_accumulator(FullRank(large), 2) == "dense"


def test_forms_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="held-B holds factors of low-rank noise; give a rank"):
        make_accumulator("held-B", FullRank(SPEC), 3)
    with pytest.raises(UserError, match="list needs episodes that end; choose dense"):
        make_accumulator("list", LowRank(SPEC, 1), None)
