"""brax environments keep the contract, on every backend that they are said to run on."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es.envs import brax as suite
from rl_es.errors import UserError
from tests.envs import contract

FAST = {("brax/inverted_pendulum", "spring"), ("brax/reacher", "spring")}
PAIRS = [
    pytest.param(name, backend, marks=[] if (name, backend) in FAST else [pytest.mark.slow])
    for name, backends in suite.BACKENDS.items()
    for backend in backends
]


@pytest.mark.parametrize(("name", "backend"), PAIRS)
def test_contract(name, backend):
    env = suite.make(name, suite.Options(backend=backend))
    assert (env.spec.name, env.spec.episode_length) == (name, 1000)
    result = contract.check(env, 40)
    if name == "brax/inverted_pendulum":  # a motor that always pulls one way lets the pole fall
        assert result.terminated[:, 4:].any(0).all()
    if name in ("brax/reacher", "brax/pusher", "brax/halfcheetah", "brax/swimmer"):
        assert not result.terminated.any()


def test_actions_reach_the_physics_and_are_clipped():
    env = suite.make("brax/inverted_pendulum", suite.Options())
    state, _ = jax.jit(env.reset)(jax.random.key(0))
    step = jax.jit(lambda action: env.step(jax.random.key(0), state, action).observation.values)
    small, large, beyond = (np.asarray(step(jnp.full(1, a))) for a in (0.5, 1.0, 30.0))
    assert not np.allclose(small, large)
    np.testing.assert_array_equal(large, beyond)


def test_names_are_what_brax_has():
    from brax import envs

    assert {name.removeprefix("brax/") for name in suite.NAMES} == set(envs._envs) - {"fast"}


def test_a_backend_that_is_missing_is_refused_before_anything_is_loaded():
    with pytest.raises(UserError, match=r"^brax/swimmer has no backend 'mjx'; valid: generalized$"):
        suite.make("brax/swimmer", suite.Options(backend="mjx"))
    suite.check("brax/swimmer", suite.Options())
    loaded = "import sys, envs.brax, envs.gymnax; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0


def test_default_backends_exist():
    for backends in suite.BACKENDS.values():
        assert backends[0] == "spring" or backends == ("generalized",)
