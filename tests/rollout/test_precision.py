"""Products in lower precision: what is rounded, what is not, and what is refused."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from rl_es.errors import UserError
from rl_es.evolution.linen import bfloat16_product
from rl_es.evolution.perturbation import FullRank, LowRank, block_keys
from rl_es.interfaces import Box, EnvSpec, Observation
from rl_es.rollout.config import PolicyConfig
from rl_es.rollout.policy import ModulePolicy, make_policy, supported_precision
from rl_es.rollout.unroll import Particle, population_step, separate_step
from rl_es.training.jaxprs import inner_programs
from tests.evolution import modules, refused
from tests.evolution.test_linen import FOREIGN, Mirror, Outputs, foreign

LANGUAGE = EnvSpec("text", (1,), Box(np.full(5, -np.inf), np.full(5, np.inf)), 10)
MATRIX = (((1,), (0,)), ((), ()))


def rounded(array: Any) -> np.ndarray:
    """Returns the values of an array in bfloat16, as float64."""
    return np.asarray(jnp.asarray(array).astype(jnp.bfloat16).astype(jnp.float32), np.float64)


def products(jaxpr: Any) -> Iterator[Any]:
    """Yields the `dot_general` equations of a jaxpr and of all in it."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield equation
        for program in inner_programs(equation):
            yield from products(program)


def apply_program(policy: ModulePolicy) -> Any:
    """Returns the jaxpr of a network on an observation of zeros."""
    values = jnp.zeros(policy.observation_shape)
    apply = jax.make_jaxpr(lambda params: policy.apply(params, policy.initial_state(), values))
    with jax.numpy_rank_promotion("allow"):
        return apply(policy.parameters.shapes["network"]).jaxpr


def is_reduced(equation: Any) -> bool:
    """Tells whether a product is of bfloat16 inputs; asserts that its sums are float32."""
    reduced = {operand.aval.dtype for operand in equation.invars} == {jnp.dtype(jnp.bfloat16)}
    assert not reduced or equation.outvars[0].aval.dtype == jnp.float32
    return reduced


def test_inputs_are_rounded_and_sums_are_not():
    x = jax.random.normal(jax.random.key(0), (9, 4096))
    w = jax.random.normal(jax.random.key(1), (4096, 7))
    exact = rounded(x) @ rounded(w)
    product = np.asarray(jax.jit(lambda x, w: bfloat16_product(x, w, MATRIX))(x, w))
    tolerance = 1e-3  # of sums of 4096 terms of size 1 in float32
    assert np.abs(product - exact).max() < tolerance
    assert np.abs(np.asarray(x, np.float64) @ np.asarray(w) - exact).max() > 50 * tolerance
    assert np.abs(rounded(exact.astype(np.float32)) - exact).max() > 50 * tolerance


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("network", "spec"),
    [
        ("mlp", Mirror((6,)).spec),
        ("linear", Mirror((6,)).spec),
        ("cnn", Mirror((4, 4, 2)).spec),
        ("shared_mlp", Mirror((3, 2)).spec),
        ("gru", Mirror((6,)).spec),
        ("gru_lm", LANGUAGE),
        ("rwkv7", LANGUAGE),
        ("mlp", Mirror((3, 6), agents=("a", "b", "a")).spec),
    ],
)
def test_every_product_of_a_built_in_network(network, spec, precision):
    config = PolicyConfig(network=network, widths=(8, 8), head_size=8, precision=precision)
    policy: Any = make_policy(config, spec)
    reduced = [is_reduced(equation) for equation in products(apply_program(policy))]
    kernels = [path for path in policy.parameters.matrices if path[-1] == "kernel"]
    assert len(reduced) == len(kernels) > 0
    assert all(reduced) if precision == "bfloat16" else not any(reduced)


@pytest.mark.parametrize("name", [name for name, matrices in FOREIGN.items() if matrices])
def test_foreign_modules(name: str):
    exact = foreign(getattr(modules, name))
    policy = replace(exact, precision="bfloat16")
    reduced = [*map(is_reduced, products(apply_program(policy)))]
    tables = {"Embedding", "TiedEmbedding"}  # a lookup is no product
    assert sum(reduced) >= len(FOREIGN[name]) - (name in tables)
    with jax.numpy_rank_promotion("allow"):
        params = policy.init(jax.random.key(1))["network"]
        values = jax.random.normal(jax.random.key(2), (6,))
        outputs = [one.apply(params, one.initial_state(), values)[1] for one in (exact, policy)]
    np.testing.assert_allclose(outputs[1], outputs[0], rtol=0.05, atol=0.05)
    assert name == "Half" or (outputs[0] != outputs[1]).any()


@pytest.mark.parametrize("rank", [1, 3, None])
def test_noise_stays_float32(rank: int | None):
    """Of a linear network: rounded inputs times rounded weights, plus exact inputs times noise."""
    env = Mirror((64,))
    config = PolicyConfig(network="linear", precision="bfloat16")
    policy: Any = make_policy(config, env.spec)
    policy = ModulePolicy(policy.module, Outputs(), (64,), precision=policy.precision)
    spec, sigma, pairs = policy.parameters, 0.01, 2
    perturbation = FullRank(spec) if rank is None else LowRank(spec, rank)
    params = policy.init(jax.random.key(0))
    noise = perturbation.draw(block_keys(jax.random.key(1), pairs), pairs)
    members = perturbation.members(params, noise, jnp.float32(sigma))
    values = jax.random.normal(jax.random.key(2), (64,))
    lead = (pairs, 2, 1)
    particles = Particle(
        jnp.zeros((*lead, 3)),
        Observation(jnp.broadcast_to(values, (*lead, 64))),
        (),
        jnp.zeros(lead, bool),
    )
    step = jax.jit(population_step(env, policy, members, None))  # type: ignore
    with jax.numpy_rank_promotion("allow"):
        after, *_ = step(particles, jax.random.split(jax.random.key(3), (pairs, 1)))
    (weight,) = jax.tree.leaves(params)
    (unit,) = jax.tree.leaves(perturbation.dense(noise))
    terms = np.asarray(values, np.float64) @ np.asarray(unit, np.float64)
    signed = sigma * np.stack([terms, -terms], 1)
    expected = rounded(values) @ rounded(weight) + signed
    np.testing.assert_allclose(np.asarray(after.env)[:, :, 0], expected, rtol=0, atol=5e-6)


def test_members_that_share_no_parameters_round_their_own():
    env = Mirror((6,))
    policy: Any = make_policy(PolicyConfig(widths=(5,), precision="bfloat16"), env.spec)
    lead = (2, 3, 4)
    params = jax.tree.map(
        lambda leaf: jnp.zeros((*lead[:2], *leaf.shape)), policy.parameters.shapes
    )
    particles = Particle(
        jnp.zeros((*lead, 3)),
        Observation(jnp.zeros((*lead, 6))),
        (),
        jnp.zeros(lead, bool),
    )
    step = separate_step(env, policy, params, None)  # type: ignore
    with jax.numpy_rank_promotion("allow"):
        program = jax.make_jaxpr(step)(particles, jax.random.split(jax.random.key(0), (3, 4)))
    assert [is_reduced(equation) for equation in products(program.jaxpr)] == [True, True]


def test_gradients_reach_the_parameters_in_float32():
    policy: Any = make_policy(PolicyConfig(widths=(32,), precision="bfloat16"), Mirror((6,)).spec)
    exact = replace(policy, precision="float32")
    params = policy.init(jax.random.key(0))["network"]
    rows = jax.random.normal(jax.random.key(1), (20, 6))

    def loss(network: Any, policy: ModulePolicy) -> Any:
        outputs = jax.vmap(lambda values: policy.apply(network, (), values)[1])(rows)
        return jnp.square(outputs - 1).mean()

    gradients, expected = (jax.grad(loss)(params, one) for one in (policy, exact))
    for ours, theirs in zip(*map(jax.tree.leaves, (gradients, expected)), strict=True):
        assert ours.dtype == jnp.float32
        np.testing.assert_allclose(ours, theirs, atol=0.03 * np.abs(theirs).max())
    kernel, exact_kernel = (tree["Dense_0"]["kernel"] for tree in (gradients, expected))
    assert (kernel != exact_kernel).any()


def test_only_another_precision_is_part_of_identity():
    assert "precision" not in PolicyConfig(precision="float32").identity()
    assert PolicyConfig(precision="bfloat16").identity()["precision"] == "bfloat16"


class OwnMatrix(nn.Module):
    """A layer that takes part in noise by `matrix_parameter`, with a product of its own."""

    outputs: int
    matrix_parameter = "w"

    @nn.compact
    def __call__(self, x: Any) -> Any:
        return x @ self.param("w", nn.initializers.ones, (6, self.outputs))


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (OwnMatrix, "precision: bfloat16 is not for OwnMatrix, which multiplies in a way"),
        (modules.OwnProduct, "it has no matrices"),
        (refused.JittedBlock, "precision: bfloat16 cannot treat it: .*nn.jit"),
    ],
)
def test_modules_whose_products_are_unknown_are_refused(module, words):
    policy = replace(foreign(module), precision="bfloat16")
    with pytest.raises(UserError, match=words) as error:
        policy.parameters  # noqa: B018
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "spec", "words"),
    [
        ({"precision": "tf32"}, Mirror((6,)).spec, "tf32 is for GPUs, and jax runs on cpu here"),
        ({"network": "egg", "widths": (8,)}, LANGUAGE, "bfloat16 is not for IntegerDense"),
        ({"network": "parameters"}, Mirror((6,)).spec, "parameters have no products"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, spec, words):
    with pytest.raises(UserError, match=f"precision: .*{words}") as error:
        policy: Any = make_policy(PolicyConfig(**{"precision": "bfloat16", **settings}), spec)
        policy.parameters  # noqa: B018
    assert "\n" not in str(error.value)


def test_a_backend_without_tf32_has_float32_instead():
    assert supported_precision("tf32", "gpu") == "tf32"
    assert supported_precision("tf32", "cpu") == supported_precision("tf32", "tpu") == "float32"
    assert supported_precision("bfloat16", "cpu") == "bfloat16"


def test_tf32_is_what_a_gpu_is_asked_for():
    policy = replace(foreign(modules.Norm), precision="tf32")

    def apply(params: Any) -> Any:
        return policy.apply(params, (), jnp.zeros(6))[1]

    with jax.numpy_rank_promotion("allow"):
        shapes = policy.parameters.shapes["network"]
        lowered = jax.jit(apply).trace(shapes).lower(lowering_platforms=("cuda",))
    products_of_text = [line for line in lowered.as_text().splitlines() if "dot_general" in line]
    assert len(products_of_text) == 2
    assert all("tf32" in line for line in products_of_text)
