"""The recurrent language model: equal to its formulas; low-rank noise fits every matrix."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es.errors import UserError
from rl_es.evolution.perturbation import leaves_by_path
from rl_es.interfaces import Discrete, EnvSpec, Observation
from rl_es.rollout.config import PolicyConfig
from rl_es.rollout.policy import ModulePolicy, make_policy

TOKENS, WIDTH = 11, 8
SPEC = EnvSpec("tokens", (1,), Discrete(TOKENS), 5)


def made(*widths: int, spec: EnvSpec = SPEC) -> ModulePolicy:
    policy = make_policy(PolicyConfig(network="gru_lm", widths=widths), spec)
    assert isinstance(policy, ModulePolicy)
    return policy


def read(policy: ModulePolicy, params: Any, tokens: list[int]) -> np.ndarray:
    """Returns the logits after each token [T, V]."""
    state, outputs = policy.initial_state(), []
    apply = jax.jit(policy.module.apply)
    for token in tokens:
        state, output = apply({"params": params["network"]}, state, jnp.asarray([float(token)]))
        outputs.append(output)
    return np.stack(outputs)


def reference(params: Any, layers: int, tokens: list[int]) -> np.ndarray:
    """Returns the logits by the formulas, in float64."""
    weights = {name: {k: np.asarray(v, np.float64) for k, v in leaf.items()}
               for name, leaf in params["network"].items()}  # fmt: skip

    def normalise(x: np.ndarray) -> np.ndarray:
        return x / np.sqrt(np.mean(x**2) + 1e-6)

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    outputs, states = [], [np.zeros(WIDTH)] * layers
    for token in tokens:
        states = [np.zeros(WIDTH)] * layers if token == 0 else states
        x = weights["embed"]["embedding"][token]
        for i in range(layers):
            from_input, from_state = weights[f"gru_{i}_input"], weights[f"gru_{i}_state"]
            z, r, n = np.split(normalise(x) @ from_input["kernel"] + from_input["bias"], 3)
            hz, hr, hn = np.split(states[i] @ from_state["kernel"], 3)
            change = np.tanh(n + sigmoid(r + hr) * hn)
            keep = sigmoid(z + hz)
            states[i] = keep * states[i] + (1 - keep) * change
            x = x + states[i]
        outputs.append(normalise(x) @ weights["head"]["kernel"])
    return np.stack(outputs)


@pytest.mark.parametrize("layers", [1, 2])
def test_logits_are_those_of_the_formulas(layers: int) -> None:
    policy = made(*[WIDTH] * layers)
    params = policy.init(jax.random.key(0))
    params = jax.tree.map(lambda leaf: leaf + 0.1, params)  # biases start at 0
    tokens = [0, 3, 5, 3, 0, 3, 10]
    logits = read(policy, params, tokens)
    np.testing.assert_allclose(logits, reference(params, layers, tokens), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(logits[5], logits[1])  # token 0 clears the state
    assert np.abs(logits[3] - logits[1]).max() > 1e-3  # and nothing else does


def test_noise_of_low_rank_applies_to_every_matrix() -> None:
    spec = made(WIDTH, WIDTH).parameters
    matrices = {path for path, leaf in leaves_by_path(spec.shapes).items() if leaf.ndim == 2}
    assert matrices == set(spec.matrices) and not spec.refused
    assert len(matrices) == 6


def test_actions_are_tokens() -> None:
    policy = made(WIDTH)
    mask = jnp.arange(TOKENS) == 4
    state, action = policy.act(
        policy.init(jax.random.key(0)),
        policy.initial_state(),
        Observation(jnp.zeros(1), mask),
        jax.random.key(1),
    )
    assert int(action) == 4
    assert jax.tree.map(jnp.shape, state) == jax.tree.map(jnp.shape, policy.initial_state())


@pytest.mark.parametrize(
    ("widths", "shape", "message"),
    [
        ((8, 16), (1,), r"widths: \[8, 16\]; gru_lm has one width for all layers"),
        ((), (1,), r"widths: \[\]; gru_lm"),
        ((8,), (4,), r"gru_lm reads the index of a token, of shape \(1,\); tokens observes \(4,\)"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    widths: tuple[int, ...], shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        made(*widths, spec=EnvSpec("tokens", shape, Discrete(TOKENS), 5))
