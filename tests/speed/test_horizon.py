"""Episodes of full length: every step is taken, and what is returned hangs on the states."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es.errors import UserError
from rl_es.interfaces import EnvSpec
from rl_es.rollout.config import WrapperConfig
from rl_es.rollout.unroll import single_step, start_particle, unroll_episodes
from rl_es.rollout.wrappers import wrap_environment
from rl_es.speed.runners import FullHorizon, make_environment
from rl_es.speed.workloads import expand_workloads
from tests.speed.benchmarks import benchmark_of
from tests.toys import Drift, ParameterPolicy

HORIZON = 6


def _unroll(env: Any, actions: list[float]) -> Any:
    policy = ParameterPolicy()
    keys = jax.random.split(jax.random.key(0), len(actions))

    def unroll(action: Any, key: Any) -> Any:
        particle = start_particle(env, policy, key)
        step = single_step(env, policy, {"theta": action[None]}, None)
        particles = jax.tree.map(lambda leaf: leaf[None], particle)
        return unroll_episodes(step, particles, key[None], env.spec.episode_length)

    return jax.jit(jax.vmap(unroll))(jnp.asarray(actions, jnp.float32), keys)


def test_nothing_ends_early_and_rewards_stop_where_the_episode_would_have_ended() -> None:
    actions = [0.0, 0.3, 1.0]  # the last two run over the edge
    env = Drift(horizon=HORIZON)
    natural, full = _unroll(env, actions), _unroll(FullHorizon(env), actions)
    assert natural.lengths[:, 0].tolist()[-1] == 1 and natural.lengths.min() < HORIZON
    assert full.lengths.tolist() == [[HORIZON]] * 3
    np.testing.assert_allclose(full.returns, natural.returns, rtol=1e-6)
    assert len(set(full.returns[:, 0].tolist())) == 3


def test_the_returns_of_a_constant_reward_hang_on_the_states() -> None:
    (workload,) = expand_workloads(benchmark_of("workloads.environments.0.episode_length=40"))
    env = make_environment(workload, workload.horizon)  # CartPole rewards every step with 1
    particles = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), 32))[0]

    def roll_out(state: Any) -> Any:
        def step(state: Any, _: Any) -> Any:
            after = env.step(jax.random.key(0), state, jnp.zeros((), jnp.int32))
            return after.state, (after.reward, after.truncated, after.terminated)

        return jax.lax.scan(step, state, None, length=40)[1]

    rewards, truncated, terminated = jax.jit(jax.vmap(roll_out))(particles)
    assert len(set(rewards.sum(1).tolist())) > 1 and rewards.sum(1).max() < 20
    assert not terminated.any()
    assert truncated.argmax(1).tolist() == [39] * 32


def test_repeated_actions_are_all_taken() -> None:
    config = WrapperConfig(episode_length=3, action_repeat=2)
    env = wrap_environment(FullHorizon(Drift(horizon=100)), config)
    assert _unroll(env, [0.0, 1.0]).lengths.tolist() == [[6], [6]]


@dataclass(frozen=True)
class Endless(Drift):
    """Without a time limit."""

    @property
    def spec(self) -> EnvSpec:
        return replace(super().spec, episode_length=None)


@pytest.mark.parametrize("horizon", ["full", "natural"])
def test_no_time_limit(monkeypatch: pytest.MonkeyPatch, horizon: str) -> None:
    from rl_es.envs import gymnax

    monkeypatch.setattr(gymnax, "make", lambda name, options: Endless())
    text = "workloads.environments=[CartPole-v1]"
    (workload,) = expand_workloads(benchmark_of(text, f"workloads.horizons=[{horizon}]"))
    with pytest.raises(UserError, match="CartPole-v1: it has no time limit.*episode_length"):
        make_environment(workload, workload.horizon)
