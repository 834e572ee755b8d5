"""Peers: evosax climbs, on the suite's own episodes; what is said where it is missing."""

import re
import sys

import jax
import pytest

from rl_es import registry
from rl_es.errors import UserError
from rl_es.speed import peers
from tests.toys import Drift, ParameterPolicy


@pytest.mark.extra("evosax")
def test_evosax_moves_a_policy_uphill() -> None:
    settings = peers.PeerSettings(population=32, episodes=1, sigma=0.05, lr=0.02)
    peer = peers.make_evosax_peer(Drift(edge=10.0), ParameterPolicy(), settings)
    state = jax.jit(peer.init)(jax.random.key(0))
    generation, means = jax.jit(peer.generation), []
    for _ in range(25):
        state, (returns, steps) = generation(state)
        means.append(float(returns.mean()))
        assert int(steps) == 32 * 3
    assert means[-1] > means[0] + 0.2
    assert jax.eval_shape(peer.population, state)["theta"].shape == (32, 1)


def test_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "evosax.algorithms", None)
    with pytest.raises(UserError, match=re.escape(registry.install_command("evosax"))):
        peers.require_evosax()
