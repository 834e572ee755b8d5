"""The built-in networks as the paper describes them, and settings that make no policy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pydantic
import pytest
from flax import linen as nn

from rl_es.errors import UserError
from rl_es.interfaces import Box, Discrete, EnvSpec, Observation
from rl_es.rollout.config import PolicyConfig
from rl_es.rollout.networks import pqn
from rl_es.rollout.policy import make_policy

SPEC = EnvSpec("toy", (50,), Discrete(4), 10)
IMAGES = dataclasses.replace(SPEC, observation_shape=(8, 8, 3))


class Activation(nn.Module):
    @nn.compact
    def __call__(self, x):
        return pqn(x)


@pytest.mark.parametrize("scale", [1.0, 3e-3])  # at the small one eps matters
def test_pqn_is_relu_of_a_layer_norm(scale):
    """Eps 1e-5 inside the root, biased variance, no parameters."""
    x = scale * np.array([1.0, 2.0, 6.0], np.float32)
    normed = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
    result = Activation().apply({}, jnp.array(x))
    np.testing.assert_allclose(result, np.maximum(normed, 0), rtol=1e-4)


def test_pqn_adds_no_parameters():
    shapes = [
        jax.tree.map(lambda leaf: leaf.shape, make_policy(config, SPEC).parameters.shapes)
        for config in (PolicyConfig(activation="pqn"), PolicyConfig(activation="tanh"))
    ]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("network", ["mlp", "cnn", "gru"])
def test_kernels_start_with_variance_one_over_inputs_and_biases_at_zero(network):
    spec = IMAGES if network == "cnn" else SPEC
    policy = make_policy(PolicyConfig(network=network, widths=(200, 150)), spec)
    params = jax.device_get(jax.jit(policy.init)(jax.random.key(0)))
    kernels = 0
    for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
        if path[-1].key == "bias":
            assert not leaf.any()
        elif not ("GRUCell_0" in str(path) and path[-2].key.startswith("h")):  # orthogonal
            kernels += 1
            fan_in = np.prod(leaf.shape[:-1])
            # The sample deviation of n normal numbers has a relative error of 1 / sqrt(2 n).
            assert leaf.std() * np.sqrt(fan_in) == pytest.approx(1, abs=4 / np.sqrt(2 * leaf.size))
            assert abs(leaf.mean()) < 4.5 / np.sqrt(fan_in * leaf.size)
    assert kernels >= 3


def test_linear_is_one_matrix():
    policy = make_policy(PolicyConfig(network="linear", head="deterministic"), SPEC)
    params = policy.init(jax.random.key(0))
    (kernel,) = jax.tree.leaves(params)
    assert kernel.shape == (50, 4)
    x = jax.random.normal(jax.random.key(1), (50,))
    _, action = policy.act(params, (), Observation(x), jax.random.key(2))
    assert int(action) == int(np.argmax(np.asarray(x) @ np.asarray(kernel)))


def test_a_flat_network_takes_observations_of_any_shape():
    policy = make_policy(PolicyConfig(widths=(5,)), IMAGES)
    assert policy.parameters.shapes["network"]["Dense_0"]["kernel"].shape == (192, 5)


def test_the_gru_carries_a_state_from_zero():
    policy = make_policy(PolicyConfig(network="gru", widths=(7, 5), head="deterministic"), SPEC)
    params, state = policy.init(jax.random.key(0)), policy.initial_state()
    np.testing.assert_array_equal(state, np.zeros(5))
    observed = Observation(jnp.ones(50))
    once, _ = policy.act(params, state, observed, jax.random.key(1))
    twice, _ = policy.act(params, once, observed, jax.random.key(1))
    assert np.abs(once).max() > 0.01
    assert np.abs(twice - once).max() > 0.01


def test_log_std_is_evolved_but_no_matrix():
    space = Box(np.full(2, -1, np.float32), np.full(2, 1, np.float32))
    spec = dataclasses.replace(SPEC, action_space=space)
    parameters = make_policy(PolicyConfig(), spec).parameters
    assert parameters.shapes["head"]["log_std"].shape == (2,)
    assert all(path[0] == "network" for path in parameters.matrices)
    assert parameters.size == 50 * 64 + 64 + 64 * 64 + 64 + 64 * 2 + 2 + 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network": "cnn"}, r"cnn needs images \(height, width, channels\); toy observes \(50,\)"),
        ({"network": "gru", "widths": ()}, "widths: gru needs at least one"),
        ({"head": "gaussian"}, "head: gaussian needs real actions"),
        ({"network": "no.such:Module"}, "network: no module 'no.such' can be imported here"),
        (
            {"network": "rl_es.rollout.networks:Missing"},
            "network: rl_es.rollout.networks has no 'Missing'",
        ),
        ({"network": "rl_es.rollout.networks:pqn"}, "pqn' is not a flax.linen.Module"),
        ({"network": "tests.evolution.refused:NoOutputs"}, "write a field outputs: int"),
        ({"network": "rl_es.rollout.networks:CNN"}, "network CNN: it cannot be called"),
    ],
)
def test_settings_that_make_no_policy(settings, message):
    with pytest.raises(UserError, match=message) as error:
        make_policy(PolicyConfig(**settings), SPEC).parameters  # noqa: B018
    assert "\n" not in str(error.value)


def test_an_unknown_network_names_the_nearest():
    with pytest.raises(pydantic.ValidationError, match="unknown network 'mpl'; did you mean 'mlp'"):
        PolicyConfig(network="mpl")


@pytest.mark.parametrize("network", ["linear", "mlp", "gru"])
def test_weights_can_start_at_zero(network):
    config = PolicyConfig(network=network, widths=(5,), init="zeros", head="gaussian")
    box = dataclasses.replace(SPEC, action_space=Box(-np.ones(4), np.ones(4)))
    policy, drawn = (
        make_policy(one, box) for one in (config, config.model_copy(update={"init": "normal"}))
    )
    params, others = (one.init(jax.random.key(0)) for one in (policy, drawn))
    assert jax.tree.structure(params) == jax.tree.structure(others)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(params["network"]))
    assert any(np.any(leaf) for leaf in jax.tree.leaves(others["network"]))
    assert "log_std" in params["head"]


def test_parameters_have_a_start_of_their_own():
    with pytest.raises(UserError, match="init: zeros is for networks"):
        make_policy(PolicyConfig(network="parameters", init="zeros"), SPEC)
