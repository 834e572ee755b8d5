"""PPO as a learner: its account of training, its start, its end, and what it refuses."""

import importlib.util
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pydantic
import pytest

from rl_es import registry
from rl_es.config import split_traced
from rl_es.errors import UserError
from rl_es.interfaces import Box, EnvSpec, Limit, ProblemSpec
from rl_es.results import tables
from rl_es.rollout.config import PolicyConfig
from rl_es.rollout.evaluation import make_evaluator
from rl_es.rollout.policy import make_policy
from rl_es.sweep import execution
from rl_es.training.learner import Evolution
from rl_es.training.sharding import UNSHARDED
from tests.running import ran, sweep_of
from tests.toys import Corridor

needs_rejax = pytest.mark.extra("rejax")
SMALL = {"num_envs": 8, "num_steps": 16, "num_epochs": 2, "num_minibatches": 4, "lr": 0.01}


def made(env: Any, normalise: bool = False, policy: Any = None, **settings: Any) -> Any:
    module = registry.agents.load("ppo")
    config = module.Hyperparameters(**{**SMALL, **settings})
    policy = make_policy(PolicyConfig(network="mlp", widths=(8,), **(policy or {})), env.spec)
    learner = module.make_learner(config, env, policy, normalise)
    return learner, {name: jnp.float32(value) for name, value in split_traced(config)[1].items()}


def limit(generations: int) -> Limit:
    return Limit(jnp.int32(generations), jnp.int32(2**30))


def mean_return(learner: Any, state: Any) -> float:
    evaluate = make_evaluator(learner.env, learner.policy, 64)
    return float(evaluate(jax.random.key(9), learner.snapshot(state)).mean())


@pytest.mark.parametrize(
    "env, policy",
    [
        (Corridor(masked=True), {}),
        (Corridor(masked=True), {"head": "deterministic"}),
        (Corridor(real=True), {"head": "deterministic"}),
    ],
)
@needs_rejax
def test_it_learns(env, policy):
    """Of a forbidden action each would cost a thousand."""
    learner, hyper = made(env, True, policy)
    state = learner.init(jax.random.key(0), hyper)
    state, rows = jax.jit(learner.advance)(state, limit(60))
    assert mean_return(learner, state) > 5.5
    assert float(rows.population_mean) > 4.5
    assert set(learner.snapshot(state).params) == set(learner.policy.parameters.shapes)


@needs_rejax
def test_scaled_rewards_leave_what_is_reported_as_it_is():
    learner, hyper = made(Corridor(masked=True), True, normalise_rewards=True)
    state = learner.init(jax.random.key(0), hyper)
    state, rows = jax.jit(learner.advance)(state, limit(40))
    assert mean_return(learner, state) > 5.5
    assert 4 < float(rows.population_mean) <= float(rows.population_best) <= 6


@needs_rejax
def test_steps_and_episodes_are_counted():
    """Eight environments of sixteen steps, each of two of the environment; episodes of six."""
    learner, hyper = made(Corridor(masked=True))
    advance = jax.jit(learner.advance)
    state, first = advance(learner.init(jax.random.key(0), hyper), limit(1))
    state, second = advance(state, limit(2))
    assert int(first.generations) == 1 and int(first.env_steps) == 2 * 8 * 16
    assert int(first.episodes) == 8 * (16 // 6)
    assert int(second.env_steps) == 2 * 2 * 8 * 16
    assert int(second.episodes) == 8 * (48 // 6 - 16 // 6)
    assert 0 <= float(first.population_mean) <= float(first.population_best) <= 6


@needs_rejax
def test_an_iteration_without_an_end_reports_no_return():
    learner, hyper = made(Corridor(masked=True), num_steps=4)
    _, rows = jax.jit(learner.advance)(learner.init(jax.random.key(0), hyper), limit(1))
    assert int(rows.episodes) == 0 and np.isnan(rows.population_mean)


@needs_rejax
def test_it_starts_where_an_evolution_strategy_of_the_same_seed_does():
    learner, hyper = made(Corridor())
    agents = registry.agents.load("open_es")
    problem = ProblemSpec(learner.policy.parameters, 6)
    strategy = agents.make(agents.Hyperparameters(population=4), problem)
    evolution = Evolution(strategy, learner.env, learner.policy)
    numbers = {n: jnp.float32(v) for n, v in split_traced(agents.Hyperparameters())[1].items()}
    key = jax.random.key(3)
    jax.tree.map(
        np.testing.assert_array_equal,
        learner.snapshot(learner.init(key, hyper)).params,
        evolution.snapshot(evolution.init(key, numbers)).params,
    )


@needs_rejax
def test_how_calls_are_cut_changes_no_number():
    learner, hyper = made(Corridor(masked=True), True)
    advance = jax.jit(learner.advance)
    complete, _ = advance(learner.init(jax.random.key(1), hyper), limit(3))
    parts, _ = advance(learner.init(jax.random.key(1), hyper), limit(1))
    parts, _ = advance(parts, limit(2))
    for a, b in zip(jax.tree.leaves(complete), jax.tree.leaves(parts), strict=True):
        if not jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            np.testing.assert_array_equal(a, b)


@needs_rejax
def test_lanes_are_runs_of_their_own():
    learner, hyper = made(Corridor(masked=True), True)
    keys = jax.random.split(jax.random.key(0), 2)
    both = {name: jnp.stack([value, value / 2]) for name, value in hyper.items()}
    limits = Limit(jnp.array([2, 3]), jnp.array([2**30] * 2))
    placed = learner.with_placement("lanes", UNSHARDED)
    together = jax.vmap(placed.init)(keys, both)
    together, rows = jax.jit(jax.vmap(placed.advance, axis_name="lanes"))(together, limits)
    for i in range(2):
        own = jax.tree.map(lambda leaf, i=i: leaf[i], both)
        alone, row = jax.jit(learner.advance)(learner.init(keys[i], own), limit(2 + i))
        lane = learner.snapshot(jax.tree.map(lambda leaf, i=i: leaf[i], together))
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
            lane,
            learner.snapshot(alone),
        )
        assert int(rows.env_steps[i]) == int(row.env_steps)


@needs_rejax
def test_statistics_are_those_of_what_was_seen():
    """The second number of an observation counts an episode's steps: 1 to 5, then 0 again."""
    learner, hyper = made(Corridor(masked=True), True, num_steps=12)
    state, _ = jax.jit(learner.advance)(learner.init(jax.random.key(0), hyper), limit(1))
    statistics = learner.snapshot(state).statistics
    assert float(statistics.count) == 8 * 12
    np.testing.assert_allclose(statistics.mean, [1.0, 2.5], rtol=1e-5)
    np.testing.assert_allclose(statistics.m2 / statistics.count, [0.0, 35 / 12], atol=1e-4)


@pytest.mark.parametrize(
    "policy, reason",
    [
        ({"network": "gru"}, "recurrent"),
        ({"network": "parameters"}, "trains a network"),
        ({"init": "zeros"}, "no gradient reaches"),
        ({"network": "shared_mlp"}, "SharedMLP cannot give one value: of one output it gives 4"),
    ],
)
@needs_rejax
def test_a_policy_that_it_cannot_train_is_refused(policy, reason):
    module, env = registry.agents.load("ppo"), Corridor(real=True)
    with pytest.raises(UserError, match=reason):
        made_for = make_policy(PolicyConfig(**policy), _bounded(env.spec))
        module.make_learner(module.Hyperparameters(), env, made_for, False)


NETWORKS = """
from flax import linen as nn

class Named(nn.Module):
    action_dim: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.action_dim)(nn.tanh(nn.Dense(4)(x.reshape(-1))))

class Fixed(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(4)(x.reshape(-1))
"""


@needs_rejax
def test_the_critic_is_a_network_of_the_user_with_one_output(tmp_path):
    (tmp_path / "networks.py").write_text(NETWORKS)
    module, env = registry.agents.load("ppo"), Corridor(real=True)

    def learner_with(name):
        policy = make_policy(
            PolicyConfig(network=f"{tmp_path}/networks.py:{name}"), _bounded(env.spec)
        )
        return module.make_learner(module.Hyperparameters(), env, policy, False)

    assert learner_with("Named").networks["critic"].output_size() == 1
    with pytest.raises(UserError, match="Fixed has a fixed number of outputs.*outputs: int"):
        learner_with("Fixed")


def _bounded(spec: EnvSpec) -> EnvSpec:
    box = Box(np.full(4, -1, np.float32), np.full(4, 1, np.float32))
    return EnvSpec(spec.name, (4, 2), box, 6, (0.0,) * 4)


SWEEP = """
name: x
seeds: 2
defaults:
  budget: {generations: 4}
  evaluation: {points: 2, episodes: 4}
  policy: {widths: [8], normalise_observations: true}
environments: [{name: CartPole-v1, episode_length: 20, action_repeat: 2, reward_scale: 0.5}]
agents: [{name: ppo, with: {num_envs: 4, num_steps: 8, num_epochs: 1, num_minibatches: 2}}]
"""


@needs_rejax
def test_a_sweep_goes_on_and_its_lanes_are_runs(tmp_path, monkeypatch):
    """Ended after two iterations and continued, or both seeds in one call: the same curves."""
    monkeypatch.setattr(execution, "prepare_jax", lambda devices: None)
    four, two = sweep_of(SWEEP), sweep_of(SWEEP, "budget.generations=2")
    ran(tmp_path / "parts", two, population_chunk=128)
    parts, runs = tables.load_tables(ran(tmp_path / "parts", four))
    complete, _ = tables.load_tables(ran(tmp_path / "whole", four, lanes=2))
    parts = parts[parts["generation"].isin(complete["generation"])]
    assert list(parts["generation"]) == list(complete["generation"]) == [0, 2, 4, 0, 2, 4]
    np.testing.assert_allclose(parts["return_mean"], complete["return_mean"], rtol=1e-3)
    # Of 32 actions an iteration each is two steps, but for one at an episode's end.
    steps = runs["env_steps"].to_numpy()
    assert (steps <= 4 * 32 * 2).all() and (steps > 4 * 32).all()
    assert (runs["status"] == "finished").all()


def test_minibatches_divide_an_iteration_into_several_steps_each():
    for parts in (7, 64):
        with pytest.raises(pydantic.ValidationError, match="a smaller divisor of 64"):
            registry.agents.load("ppo").Hyperparameters(
                num_envs=8, num_steps=8, num_minibatches=parts
            )


def test_without_rejax_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"agents\[0\].*needs rejax's library: pip install .*\[rejax\]'"
    ):
        sweep_of(SWEEP)
