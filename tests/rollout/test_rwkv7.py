"""RWKV-7 against the published recurrence in float64, and as a network that noise is added to."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from rl_es.errors import UserError
from rl_es.evolution.perturbation import LowRank, block_keys, leaves_by_path
from rl_es.interfaces import Box, EnvSpec, Observation
from rl_es.rollout.config import PolicyConfig
from rl_es.rollout.policy import ModulePolicy, make_policy
from rl_es.rollout.rwkv7 import AdapterRanks, published_ranks
from rl_es.rollout.unroll import Particle, population_step
from tests.rollout.rwkv7_reference import ReferenceModel
from tests.toys import Letters

TOKENS, HEAD = 11, 8
TINY = {"widths": (16, 16, 16), "head_size": HEAD, "adapter_ranks": (3, 4, 5, 6)}
TEXT = [4, 7, 7, 10, 1, 0, 3, 7, 2, 2, 9, 5]  # token 0 begins a second document


def make_model(**settings: Any) -> ModulePolicy:
    config = PolicyConfig(network="rwkv7", head="deterministic", **{**TINY, **settings})
    policy = make_policy(config, Letters(TOKENS).spec)
    assert isinstance(policy, ModulePolicy)
    return policy


def random_params(policy: ModulePolicy) -> Any:
    """Parameters that leave no vector at a constant, and matrices at a scale that matters."""
    rng = np.random.default_rng(0)

    def draw(leaf: Any) -> Array:
        scale = 1 if leaf.ndim == 1 else leaf.shape[0] ** -0.5
        return jnp.asarray(scale * rng.standard_normal(leaf.shape), jnp.float32)

    return jax.tree.map(draw, policy.init(jax.random.key(0)))


def as_checkpoint(params: Any) -> dict[str, np.ndarray]:
    """Parameters by the names, and in the layout, of the published files."""
    weights = {}
    for (_, *parts), leaf in leaves_by_path(params).items():
        *parts, last = ".".join(parts).replace("blocks_", "blocks.").split(".")
        if parts == ["ln0"]:
            parts = ["blocks", "0", "ln0"]
        if last == "kernel" and parts[-1][-1] in "12":  # of an adapter
            weights[".".join(parts)] = leaf
        elif last == "kernel":
            weights[".".join([*parts, "weight"])] = leaf.T
        else:
            names = {"scale": "weight", "embedding": "weight"}
            weights[".".join([*parts, names.get(last, last)])] = leaf
    return {name: np.asarray(leaf) for name, leaf in weights.items()}


def read(policy: ModulePolicy, params: Any, tokens: list[int]) -> np.ndarray:
    """The logits after each token [T, V]."""

    def step(state: Any, token: Array) -> Any:
        return policy.act(params, state, Observation(token[None]), jax.random.key(0))

    values = jnp.asarray(tokens, jnp.float32)
    return np.asarray(jax.jit(lambda: jax.lax.scan(step, policy.initial_state(), values))()[1])


def test_logits_equal_the_published_recurrence() -> None:
    policy = make_model()
    params = random_params(policy)
    expected = ReferenceModel(as_checkpoint(params), HEAD).read(TEXT)
    logits = read(policy, params, TEXT)
    assert np.abs(np.diff(expected, axis=0)).max(1).min() > 0.1, "tokens do not matter"
    np.testing.assert_allclose(logits, expected, atol=2e-5 * np.abs(expected).max())


def gradient(policy: ModulePolicy, params: Any) -> dict[Any, Array]:
    """The gradient of a sum of logits over the text, by path."""

    def total(params: Any) -> Array:
        def step(state: Any, token: Array) -> Any:
            return policy.act(params, state, Observation(token[None]), jax.random.key(0))

        tokens = jnp.asarray(TEXT, jnp.float32)
        logits = jax.lax.scan(step, policy.initial_state(), tokens)[1]
        return (logits @ jnp.arange(TOKENS, dtype=jnp.float32)).sum()

    return leaves_by_path(jax.jit(jax.grad(total))(params))


def test_every_part_of_the_recurrence_matters_to_the_logits() -> None:
    """Else the reference could lack it as well."""
    policy = make_model()
    for path, leaf in gradient(policy, random_params(policy)).items():
        assert np.isfinite(leaf).all() and np.abs(leaf).max() > 1e-3, path


def test_gradients_are_finite_where_all_parameters_are_0() -> None:
    policy = make_model(widths=(16,))
    params = jax.tree.map(jnp.zeros_like, policy.init(jax.random.key(0)))
    assert all(np.isfinite(leaf).all() for leaf in gradient(policy, params).values())


def test_token_0_begins_a_document() -> None:
    policy = make_model()
    params = random_params(policy)
    begin = TEXT.index(0)
    alone = read(policy, params, TEXT[begin:])
    np.testing.assert_allclose(read(policy, params, TEXT)[begin:], alone, atol=1e-5)
    other = read(policy, params, [*TEXT[:begin], 1, *TEXT[begin + 1 :]])[begin + 1 :]
    assert np.abs(other - alone[1:]).max() > 0.1


def test_every_matrix_is_perturbed_as_a_product() -> None:
    spec = make_model().parameters
    shapes = leaves_by_path(spec.shapes)
    weights = {path for path in shapes if path[-1] in ("kernel", "embedding")}
    assert spec.matrices.keys() == weights and not spec.refused
    others = {path[-1] for path in shapes.keys() - weights if len(shapes[path].shape) > 1}
    assert others == {"r_k"}  # a factor of each element, by head


def test_low_rank_noise_is_that_of_matrices_that_are_written_out() -> None:
    """Of both members of pairs, over a sequence, as the population's rollout applies it."""
    policy, env, pairs, sigma = make_model(), Letters(TOKENS), 2, 0.05
    params = random_params(policy)
    perturbation = LowRank(policy.parameters, 1)
    noise = perturbation.draw(block_keys(jax.random.key(1), pairs), pairs)
    dense = perturbation.dense(noise)
    members = perturbation.members(params, noise, jnp.asarray(sigma))
    assert members.products.keys() == policy.parameters.matrices.keys()
    step, lead = jax.jit(population_step(env, policy, members, None)), (pairs, 2, 1)
    start = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (*lead, *jnp.shape(leaf))),
        (*env.reset(jax.random.key(1)), policy.initial_state(), jnp.zeros((), bool)),
    )
    particles, tokens, logits = Particle(*start), [], []
    for _ in TEXT:
        tokens.append(int(particles.observation.values.max()))  # the same for all
        particles, _, _ = step(particles, jax.random.split(jax.random.key(0), (pairs, 1)))
        logits.append(np.asarray(particles.env[-1]))
    for pair in range(pairs):
        for member, sign in enumerate((1, -1)):
            weights = jax.tree.map(lambda w, e, s=sign, h=pair: w + s * sigma * e[h], params, dense)
            expected = ReferenceModel(as_checkpoint(weights), HEAD).read(tokens)
            actual = np.stack(logits)[:, pair, member, 0]
            np.testing.assert_allclose(actual, expected, atol=2e-5 * np.abs(expected).max())


def test_documents_are_told_apart_at_the_start_of_training() -> None:
    """Initial parameters pass on what was read, and decays begin at long and at short ones."""
    policy = make_model(widths=(32, 32), head_size=16, adapter_ranks=None)
    params = policy.init(jax.random.key(0))
    logits = [read(policy, params, [0, *text, 5])[-1] for text in ([1, 2], [2, 1], [9])]
    assert min(np.abs(logits[0] - other).max() for other in logits[1:]) > 0.01
    w0 = params["network"]["blocks_0"]["att"]["w0"]
    decays = np.exp(-np.exp(-0.5) / (1 + np.exp(-np.asarray(w0))))
    assert decays[0] > 0.998 and decays[-1] < 0.75


@pytest.mark.parametrize(
    ("width", "ranks"),
    [(768, (64, 64, 32, 128)), (2048, (96, 96, 64, 256)), (2560, (96, 96, 64, 320))],
)
def test_ranks_are_those_of_published_models(width: int, ranks: tuple[int, ...]) -> None:
    """Of 0.1, 1.5 and 2.9 billion parameters."""
    assert published_ranks(width) == AdapterRanks(*ranks)


def test_settings_enter_the_identity_only_where_they_are_given() -> None:
    settings = {"head_size": 32, "adapter_ranks": (3, 4, 5, 6), "channel_width": 7}
    assert settings.keys().isdisjoint(PolicyConfig().identity())
    identity = PolicyConfig(**settings).identity()
    assert identity["adapter_ranks"] == [3, 4, 5, 6]
    assert (identity["head_size"], identity["channel_width"]) == (32, 7)
    shapes = leaves_by_path(make_model(channel_width=7).parameters.shapes)
    assert shapes["network", "blocks_2", "ffn", "key", "kernel"].shape == (16, 7)


@pytest.mark.parametrize(
    ("settings", "shape", "message"),
    [
        ({"widths": (16, 8)}, (1,), r"widths: \[16, 8\]; rwkv7 has one width"),
        ({"widths": ()}, (1,), "rwkv7 has one width"),
        ({"head_size": 5}, (1,), r"a multiple of head_size \(5\), such as \[5, 5\]"),
        ({}, (4,), r"network: rwkv7 reads the index of a token.* observes \(4,\)"),
    ],
)
def test_what_does_not_fit_is_refused(
    settings: dict[str, Any], shape: tuple[int, ...], message: str
) -> None:
    bound = np.full(3, np.inf, np.float32)
    config = PolicyConfig(network="rwkv7", head="deterministic", **{**TINY, **settings})
    with pytest.raises(UserError, match=message):
        make_policy(config, EnvSpec("toy", shape, Box(-bound, bound), None))
