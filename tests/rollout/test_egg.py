"""The integer language model: equal to int64 arithmetic bit for bit, in every product form."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from rl_es.errors import UserError
from rl_es.evolution.integers import IntegerLowRank
from rl_es.evolution.linen import NETWORK
from rl_es.evolution.perturbation import Factors, leaves_by_path, nest_by_path
from rl_es.interfaces import Box, EnvSpec, Members, Observation
from rl_es.rollout import egg
from rl_es.rollout.config import PolicyConfig
from rl_es.rollout.policy import ModulePolicy, make_policy
from rl_es.rollout.unroll import Particle, population_step
from tests.rollout.integer_reference import IntegerModel
from tests.toys import Letters

TOKENS, PAIRS, STEPS = 11, 3, 6


def make_model(*widths: int, **settings: Any) -> ModulePolicy:
    config = PolicyConfig(network="egg", widths=widths, head="deterministic", **settings)
    policy = make_policy(config, Letters(TOKENS).spec)
    assert isinstance(policy, ModulePolicy)
    return policy


def by_name(leaves: dict[Any, Any]) -> dict[str, Any]:
    """Leaves by the name of their module or vector, from those by path."""
    return {path[len(NETWORK)]: leaf for path, leaf in leaves.items()}


def draw_integers(
    rng: np.random.Generator, kind: str, shape: tuple[int, ...], most: int = 127
) -> np.ndarray:
    if kind == "saturated":
        return rng.choice([-most, most], shape)
    if kind == "uniform":
        return rng.integers(-most, most + 1, shape)
    return np.clip(np.rint(most / 8 * rng.standard_normal(shape)), -most, most).astype(np.int64)


def random_noise(policy: ModulePolicy, rng: np.random.Generator, kind: str) -> Any:
    spec = policy.parameters
    noise: dict[Any, Any] = {}
    for path, leaf in leaves_by_path(spec.shapes).items():
        if matrix := spec.matrices.get(path):
            sides = (matrix.outputs, matrix.inputs)
            a, b = (draw_integers(rng, kind, (PAIRS, 1, side)) for side in sides)
            noise[path] = Factors(jnp.asarray(a, jnp.int8), jnp.asarray(b, jnp.int8))
        else:
            unit = draw_integers(rng, kind, (PAIRS, *leaf.shape), 127 * 127)
            noise[path] = jnp.asarray(unit, jnp.int16)
    return noise


def unroll(policy: ModulePolicy, members: Members, states: Any) -> tuple[Any, Any]:
    """Tokens and (states, logits) of each step, for both members of every pair."""
    env = Letters(TOKENS)
    step = jax.jit(population_step(env, policy, members, None))
    lead = (PAIRS, 2, 1)
    first, observation = env.reset(jax.random.key(1))

    def spread(leaf: Any) -> Array:
        return jnp.broadcast_to(leaf, (*lead, *jnp.shape(leaf)))

    start = jax.tree.map(spread, (first, observation))
    particles = Particle(*start, states, jnp.zeros(lead, bool))
    keys, trail = jax.random.split(jax.random.key(0), (PAIRS, 1)), []
    tokens = []
    for _ in range(STEPS):
        tokens.append(np.asarray(particles.observation.values, int)[..., 0])
        particles, _, _ = step(particles, keys)
        trail.append((particles.policy, particles.env[-1]))
    return tokens, trail


KINDS = ("normal", "uniform", "saturated")
CASES = [
    *(((4, 4, 4), kind, jnp.float32) for kind in KINDS),
    *(((6,), kind, jnp.float32) for kind in KINDS),  # shifts are divisions
    *(((64, 64), kind, dtype) for kind in KINDS for dtype in (jnp.float32, jnp.bfloat16)),
    ((64, 64), "uniform", jnp.int8),
    *(((256,), kind, jnp.bfloat16) for kind in KINDS),
    ((256,), "saturated", jnp.float32),
]


@pytest.mark.parametrize(("widths", "kind", "dtype"), CASES)
def test_states_and_logits_equal_int64_arithmetic(
    widths: tuple[int, ...], kind: str, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of both members of pairs, noise included."""
    monkeypatch.setattr(egg, "product_dtype", lambda: dtype)
    policy, rng = make_model(*widths), np.random.default_rng(len(widths) + widths[0])
    shapes = leaves_by_path(policy.parameters.shapes)
    params = {path: draw_integers(rng, kind, leaf.shape) for path, leaf in shapes.items()}
    noise = random_noise(policy, rng, kind)
    states = [draw_integers(rng, kind, (PAIRS, 2, 1, width)) for width in widths]

    perturbation = IntegerLowRank(policy.parameters, sigma_shift=4)
    floats = nest_by_path({path: jnp.asarray(leaf, jnp.float32) for path, leaf in params.items()})
    members = perturbation.members(floats, noise, jnp.ones(PAIRS))
    float_states = tuple(jnp.asarray(state, jnp.float32) for state in states)
    tokens, trail = unroll(policy, members, float_states)
    assert any((step == 0).any() for step in tokens), "no separator"

    names = by_name(params)
    for pair in range(PAIRS):
        units = {
            name: tuple(np.asarray(side[pair, 0], np.int64) for side in (unit.a, unit.b))
            if isinstance(unit, Factors)
            else np.asarray(unit[pair], np.int64)
            for name, unit in by_name(noise).items()
        }
        for member, sign in enumerate((1, -1)):
            model = IntegerModel(names, units, sign, shift=8)
            expected = [state[pair, member, 0] for state in states]
            for (layers, logits), token in zip(trail, tokens, strict=True):
                at = pair, member, 0
                expected, outputs = model.step(expected, int(token[at]))
                for layer, state in zip(layers, expected, strict=True):
                    np.testing.assert_array_equal(layer[at], state)
                np.testing.assert_array_equal(logits[at], outputs)
                assert max(np.abs(s).max() for s in (*expected, outputs)) <= 127


def test_initial_parameters_are_integers_of_the_stated_spread() -> None:
    leaves = leaves_by_path(make_model(64, 64).init(jax.random.key(0)))
    assert sum(leaf.size for leaf in leaves.values()) == 2 * TOKENS * 64 + 64 + 2 * (
        4 * 64 + 12 * 64**2
    )
    for path, leaf in leaves.items():
        np.testing.assert_array_equal(leaf, jnp.round(leaf))
        assert jnp.abs(leaf).max() <= 127
        if leaf.ndim == 2:
            assert abs(float(leaf.std()) - 16) < 5 * 16 / (2 * leaf.size) ** 0.5
        else:
            assert set(np.unique(leaf)) == {0.0 if path[-1].endswith("bias") else 16.0}


def test_every_matrix_is_perturbed_as_a_product() -> None:
    spec = make_model(16, 16).parameters
    matrices = {path for path, leaf in leaves_by_path(spec.shapes).items() if len(leaf.shape) == 2}
    assert spec.matrices.keys() == matrices and not spec.refused


def losses(policy: ModulePolicy, params: Any) -> Array:
    """A smooth function of the logits after some tokens."""
    state = policy.initial_state()
    logits = jnp.zeros(TOKENS)
    for token in (3.0, 7.0, 5.0):
        observation = Observation(jnp.array([token]))
        state, logits = policy.act(params, state, observation, jax.random.key(0))
    return jax.nn.logsumexp(logits / 16) - logits[2] / 16


def test_gradients_flow_through_floors_only_where_they_are_asked_to() -> None:
    policies = [
        make_model(16, 16),
        make_model(16, 16, straight_through=True),
        make_model(16, 16, integers=False),
    ]
    params = policies[0].init(jax.random.key(2))
    values, gradients = zip(
        *(jax.value_and_grad(lambda leaf, p=p: losses(p, leaf))(params) for p in policies),
        strict=True,
    )
    flat = [np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(g)]) for g in gradients]
    assert values[0] == values[1] != values[2]
    assert not flat[0].any()
    assert np.isfinite(flat[1]).all() and np.isfinite(flat[2]).all()
    norms = np.linalg.norm(flat[1]), np.linalg.norm(flat[2])
    assert flat[1] @ flat[2] > 0.5 * norms[0] * norms[1] > 0


def test_the_twin_has_the_same_parameters_and_no_floors() -> None:
    twin = make_model(16, integers=False)
    assert twin.parameters.shapes == make_model(16).parameters.shapes
    params = twin.init(jax.random.key(0))
    _, logits = twin.act(
        params, twin.initial_state(), Observation(jnp.array([3.0])), jax.random.key(0)
    )
    assert not np.array_equal(logits, jnp.round(logits))
    assert jnp.abs(logits).max() <= 127


@pytest.mark.parametrize(
    ("widths", "shape", "message"),
    [
        ((64, 32), (1,), r"widths: \[64, 32\]; egg has one width"),
        ((), (1,), "egg has one width"),
        ((257,), (1,), "at most 256"),
        ((64,), (4,), r"network: egg reads the index of a token.* observes \(4,\)"),
    ],
)
def test_what_does_not_fit_is_refused(
    widths: tuple[int, ...], shape: tuple[int, ...], message: str
) -> None:
    bound = np.full(3, np.inf, np.float32)
    spec = EnvSpec("toy", shape, Box(-bound, bound), None)
    with pytest.raises(UserError, match=message):
        make_policy(PolicyConfig(network="egg", widths=widths, head="deterministic"), spec)
