"""A population over devices and in chunks: equal results, and memory as it was estimated."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest

from rl_es.agents import egg, eggroll, full_rank_es, pes, truncated_es
from rl_es.config import split_traced
from rl_es.envs import gymnax
from rl_es.interfaces import Limit, ProblemSpec
from rl_es.rollout.config import PolicyConfig
from rl_es.rollout.evaluation import make_evaluator
from rl_es.rollout.policy import make_policy
from rl_es.rollout.wrappers import TimeLimit
from rl_es.training.learner import Evolution
from rl_es.training.program import Compiler, Program
from rl_es.training.resources import pair_bytes
from rl_es.training.sharding import Placement, PopulationSharding, fewest_chunks, to_host
from tests.toys import Letters

CARTPOLE = TimeLimit(gymnax.make("CartPole-v1", gymnax.Options()), 30)


def make_learner(
    agent: Any, widths: tuple[int, ...] = (8,), network: str = "mlp", **settings: Any
) -> tuple[Evolution, Any]:
    policy = make_policy(PolicyConfig(network=network, widths=widths), CARTPOLE.spec)
    config = agent.Hyperparameters(**settings)
    strategy = agent.make(config, ProblemSpec(policy.parameters, 30))
    return Evolution(strategy, CARTPOLE, policy, True), split_traced(config)[1]


def compile_learner(learner: Evolution, settings: Any, placement: Placement) -> Program:
    sharded = replace(learner, sharding=placement.population)
    evaluate = make_evaluator(TimeLimit(learner.env, 30), learner.policy, 2)
    lanes = placement.runs
    return Compiler().compile(sharded, settings, lanes, evaluate, "", placement)


def train(learner: Evolution, settings: Any, placement: Placement) -> Any:
    """The first run's state and rows after three generations."""
    program = compile_learner(learner, settings, placement)
    lanes = np.ones(program.lanes, np.int32)
    hyper = {name: np.full(program.lanes, value, np.float32) for name, value in settings.items()}
    state = program.init(np.arange(program.lanes, dtype=np.uint32), hyper)
    state, rows = program.advance(state, Limit(3 * lanes, 10**8 * lanes))
    returns = program.evaluate(np.arange(program.lanes, dtype=np.uint32), program.snapshot(state))
    return jax.tree.map(lambda leaf: leaf[0], to_host((state, rows, returns)))


PLACEMENTS = [
    Placement(chunks=4),
    Placement(shards=2, chunks=2),
    Placement(runs=2),
]


@pytest.mark.parametrize(
    ("agent", "settings"),
    [
        (eggroll, {"rank": 2}),
        (full_rank_es, {"episodes": 2}),
        (pes, {"window": 10}),
        (truncated_es, {"window": 10}),
    ],
    ids=["eggroll", "full_rank_es", "pes", "truncated_es"],
)
def test_spreading_changes_rounding_only(agent: Any, settings: dict[str, Any]) -> None:
    learner, traced = make_learner(agent, population=512, sigma=0.3, **settings)
    unsharded_leaves = jax.tree.leaves(train(learner, traced, Placement()))
    for placement in PLACEMENTS:
        leaves = jax.tree.leaves(train(learner, traced, placement))
        for expected, actual in zip(unsharded_leaves, leaves, strict=True):
            np.testing.assert_allclose(
                expected, actual, rtol=2e-4, atol=2e-4, err_msg=str(placement)
            )


def test_a_device_holds_its_own_pairs_only() -> None:
    """Of a state that accumulates noise for each pair, each of two devices keeps a half."""
    learner, traced = make_learner(pes, population=512, window=10)
    placement = Placement(shards=2)
    program = compile_learner(learner, traced, placement)
    hyper = {name: np.full(1, value, np.float32) for name, value in traced.items()}
    state = program.init(np.zeros(1, np.uint32), hyper)
    for leaf in jax.tree.leaves((state.memory, state.particles, state.fresh)):
        assert {part.data.shape[1] for part in leaf.addressable_shards} == {leaf.shape[1] // 2}
    for leaf in jax.tree.leaves(state.agent):
        assert leaf.is_fully_replicated


@pytest.mark.parametrize(
    ("agent", "network"),
    [(eggroll, "mlp"), (eggroll, "gru"), (full_rank_es, "mlp"), (pes, "mlp")],
)
def test_memory_is_estimated_within_a_factor_of_three(agent: Any, network: str) -> None:
    """And chunks divide what the noise takes."""
    window = {"window": 10} if agent is pes else {}
    learner, settings = make_learner(agent, (128, 128), network, population=2048, **window)
    estimate = learner.pairs * sum(pair_bytes(learner, settings))
    bytes_at_once = compile_learner(learner, settings, Placement()).memory_bytes
    assert bytes_at_once / 3 < estimate < 3 * bytes_at_once
    if agent is not pes:  # whose accumulators are there for all pairs at any time
        bytes_in_chunks = compile_learner(learner, settings, Placement(chunks=8)).memory_bytes
        assert bytes_in_chunks < bytes_at_once / 2


def test_what_members_share_is_not_counted_for_each_pair() -> None:
    """The network rounds its parameters, once for all members."""
    config = PolicyConfig(network="egg", widths=(64, 64), head="deterministic")
    env = Letters()
    policy = make_policy(config, env.spec)
    agent = egg.make(egg.Hyperparameters(population=1024), ProblemSpec(policy.parameters, None))
    learner = Evolution(agent, env, policy)
    settings = {"decay": 0.015}
    estimate = learner.pairs * sum(pair_bytes(learner, settings))
    bytes_at_once = compile_learner(learner, settings, Placement()).memory_bytes
    assert bytes_at_once / 4 < estimate < 4 * bytes_at_once


def test_chunks_join_again_whatever_is_empty() -> None:
    tree = (np.arange(12).reshape(6, 2), np.zeros((6, 0, 3)))
    chunks = PopulationSharding(chunks=3).split_chunks(tree)
    assert [leaf.shape for leaf in chunks] == [(3, 2, 2), (3, 2, 0, 3)]
    for joined, leaf in zip(PopulationSharding(chunks=3).join_chunks(chunks), tree):
        np.testing.assert_array_equal(joined, leaf)


def test_the_chunks_of_a_population() -> None:
    assert [fewest_chunks(256, most) for most in (1000, 256, 200, 64, 1)] == [1, 1, 2, 4, 4]
    assert fewest_chunks(100, 10) == 1
