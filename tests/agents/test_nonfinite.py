"""Every strategy of the registry where members break down: it goes on, and learns all the same."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es import registry
from rl_es.config import split_traced
from rl_es.interfaces import Limit, ProblemSpec
from rl_es.rollout.evaluation import make_evaluator
from rl_es.training.learner import Evolution
from rl_es.training.program import Compiler
from rl_es.training.sharding import Placement, to_host
from tests.toys import Breaking, ParameterPolicy

AGENTS = registry.strategy_names()
POLICY = ParameterPolicy()  # it starts at 0, so that one member of each pair breaks down


def made(agent: str, env: Breaking, population: int = 32) -> tuple[Evolution, dict[str, float]]:
    module = registry.agents.load(agent)
    fields = module.Hyperparameters.model_fields
    options = {"population": population, "window": 1, "lr": 0.05}
    config = module.Hyperparameters(**{n: value for n, value in options.items() if n in fields})
    strategy = module.make(config, ProblemSpec(POLICY.parameters, env.spec.episode_length))
    return Evolution(strategy, env, POLICY, normalise_observations=True), split_traced(config)[1]


def limit(generations: int) -> Limit:
    return Limit(jnp.int32(generations), jnp.int32(2**30))


def started(learner: Evolution, settings: dict[str, float]) -> Any:
    hyper = {name: jnp.float32(value) for name, value in settings.items()}
    return learner.init(jax.random.key(1), hyper)


@pytest.mark.parametrize(
    ("agent", "value"),
    # Noise and steps of egg are whole units, of which many are 0 and leave a member where it is.
    [
        *((agent, np.nan) for agent in AGENTS if agent != "egg"),
        *(("open_es", np.inf), ("pes", -np.inf)),
    ],
)
def test_it_learns_although_members_break_down(agent: str, value: float) -> None:
    learner, settings = made(agent, Breaking(value=value))
    advance = jax.jit(learner.advance)
    state, first = advance(started(learner, settings), limit(1))
    assert first.nonfinite_members == 16
    state, rest = advance(state, limit(199))
    arrays = state.agent, state.statistics
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(arrays))
    assert abs(float(learner.snapshot(state).params["theta"][0]) - 2) < 0.4
    assert rest.generations == 199 and rest.population_best > -0.4
    assert rest.nonfinite_members <= 199 * 16  # random search stays around its start


@pytest.mark.parametrize("agent", AGENTS)
def test_a_generation_without_a_finite_return_changes_nothing(agent: str) -> None:
    """Momentum would still move the parameters, and zeros spoil a running scale."""
    learner, settings = made(agent, Breaking())
    lost = replace(learner, env=Breaking(edge=np.inf))
    state, _ = jax.jit(learner.advance)(started(learner, settings), limit(5))
    after, rows = jax.jit(lost.advance)(state, limit(3))
    jax.tree.map(np.testing.assert_array_equal, state.agent, after.agent)
    assert rows.generations == 3 and rows.nonfinite_members == 3 * 32
    assert rows.update_norm == 0 and not np.isfinite(rows.population_mean)
    _, rows = jax.jit(learner.advance)(after, limit(20))
    assert rows.generations == 20 and np.isfinite(rows.population_mean)


def trained(learner: Evolution, settings: dict[str, float], placement: Placement) -> Any:
    """State and rows after three generations."""
    placed = replace(learner, sharding=placement.population)
    evaluate = make_evaluator(learner.env, POLICY, 2)
    program = Compiler().compile(placed, settings, 1, evaluate, "", placement)
    hyper = {name: np.full(1, value, np.float32) for name, value in settings.items()}
    state = program.init(np.zeros(1, np.uint32), hyper)
    one = np.ones(1, np.int32)
    return to_host(program.advance(state, Limit(3 * one, 10**8 * one)))


@pytest.mark.parametrize("agent", ["eggroll", "pes", "truncated_es"])
def test_devices_and_chunks_agree_on_the_worst(agent: str) -> None:
    learner, settings = made(agent, Breaking(length=2, fatal=True), population=512)
    complete = trained(learner, settings, Placement())
    result = trained(learner, settings, Placement(shards=2, chunks=2))
    assert result[1].nonfinite_members == complete[1].nonfinite_members > 2 * 200
    for one, other in zip(jax.tree.leaves(complete), jax.tree.leaves(result), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-4)
