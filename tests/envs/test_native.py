"""Native physics against Gymnasium, step by step, and against what brax's environments mean."""

import importlib.util
import re

import gymnasium
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from rl_es import registry
from rl_es.envs import brax as suite
from rl_es.envs._native_mujoco import TASKS, NativeTask
from rl_es.errors import UserError
from rl_es.rollout.wrappers import implicit_promotion

NAMES = sorted(TASKS)


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


def run(task, seeds, steps, scale=1.0):
    """States [T, E, ...] before, actions [T, E, A] and results of random steps."""
    random = np.random.default_rng(5)
    state, _ = task.reset(seeds)
    for _ in range(steps):
        actions = scale * random.uniform(-1, 1, (len(seeds), task.model.nu)).astype(np.float32)
        after = task.step(state, actions)
        yield state, actions, after
        state = after.state


def put(env, state):
    """Sets Gymnasium's environment to one of our states; its solver then starts afresh, too."""
    nq = env.model.nq
    mujoco.mj_resetData(env.model, env.data)
    env.set_state(state[1 : 1 + nq], state[1 + nq :])
    env.data.qacc_warmstart[:] = 0


def test_the_suite_offers_what_there_is():
    assert sorted(suite.NATIVE) == NAMES and set(suite.NATIVE) <= set(suite.NAMES)


def test_steps_are_gymnasiums(name):
    """From equal states with equal actions: 3 episodes of 100 steps, hopper past its falls."""
    task = NativeTask(name)
    env = gymnasium.make(task.task.name).unwrapped
    assert task.episode_length == gymnasium.spec(task.task.name).max_episode_steps
    assert env.dt == pytest.approx(task._seconds)
    ends = 0
    for state, actions, after in run(task, [3, 4, 5], 100):
        for e in range(3):
            put(env, state[e])
            observed, reward, terminated, *_ = env.step(actions[e])
            np.testing.assert_allclose(after.observations[e], observed, rtol=1e-9, atol=1e-9)
            assert after.rewards[e] == pytest.approx(reward, rel=1e-6, abs=1e-6)
            assert after.terminated[e] == terminated
            ends += terminated
    assert (ends > 0) == (name == "brax/hopper")


def test_episodes_stay_with_gymnasiums(name):
    """Without being set back to a common state, until contacts make any difference grow."""
    task = NativeTask(name)
    env = gymnasium.make(task.task.name).unwrapped
    first, _ = env.reset(seed=7)
    np.testing.assert_array_equal(task.reset([7])[1][0], first)
    steps = 200 if name == "brax/swimmer" else 20
    for _, actions, after in run(task, [7], steps, 0.3):
        observed, reward, terminated, *_ = env.step(actions[0])
        np.testing.assert_allclose(after.observations[0], observed, rtol=1e-5, atol=1e-5)
        assert after.rewards[0] == pytest.approx(reward, abs=1e-4)
        assert after.terminated[0] == terminated


def test_starts_are_gymnasiums(name):
    task = NativeTask(name)
    env = gymnasium.make(task.task.name)
    seeds = [0, 1, 2**32 - 1]
    state, observations = task.reset(seeds)
    for e, seed in enumerate(seeds):
        np.testing.assert_array_equal(observations[e], env.reset(seed=seed)[0])
    assert len(np.unique(state[:, 1])) == 3 and not state[:, 0].any()


def test_actions_are_clipped(name):
    task = NativeTask(name)
    state, _ = task.reset([0])
    one = np.ones((1, task.model.nu))
    at_most, beyond, half = (task.step(state, size * one) for size in (1, 30, 0.5))
    np.testing.assert_array_equal(at_most.state, beyond.state)
    assert at_most.rewards == beyond.rewards
    assert not np.allclose(at_most.state, half.state)


def test_an_episode_depends_on_its_seed_and_actions_alone(name):
    """Not on threads, the batch, or what was stepped before."""
    last = [*run(NativeTask(name, threads=1), [1, 2, 3], 30)][-1][2]
    again = NativeTask(name, threads=3)
    for _ in range(2):
        same = [*run(again, [1, 2, 3], 30)][-1][2]
        np.testing.assert_array_equal(same.state, last.state)
    states, actions, after = [*run(again, [1, 2, 3], 5)][-1]
    alone = again.step(states[[2]], actions[[2]])
    np.testing.assert_array_equal(alone.state[0], after.state[2])


def test_physics_that_breaks_down_is_told(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its log to the current folder
    task = NativeTask(name)
    state, _ = task.reset([0, 1])
    spoiled = state.copy()
    spoiled[0, -1] = 1e12
    after = task.step(spoiled, np.zeros((2, task.model.nu)))
    assert np.isnan(after.rewards[0]) and after.terminated[0]
    np.testing.assert_array_equal(
        after.state[1], task.step(state, np.zeros((2, task.model.nu))).state[1]
    )
    unknown = task.step(state, np.full((2, task.model.nu), np.nan))
    assert np.isnan(unknown.rewards).all() and unknown.terminated.all()


def test_loading_a_model_leaves_no_log(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    NativeTask(name)
    assert not [*tmp_path.iterdir()]


def test_without_gymnasium_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=re.escape(registry.install_command("native"))):
        suite.native("brax/swimmer")


@pytest.fixture(scope="module")
def bodies():
    """(name) -> brax's own environment, its bodies' places and its observation of (q, qd)."""
    from brax import envs

    def make(name):
        with implicit_promotion():
            env = envs.get_environment(name.removeprefix("brax/"), backend="generalized")

        @jax.jit
        def look(q, qd, action):
            with implicit_promotion():
                state = env.reset(jax.random.key(0))
                physics = env.pipeline_init(q, qd)
                after = env.step(state.replace(pipeline_state=physics), action)
                return env._get_obs(physics), physics.x.pos, after.obs

        return look

    return make


@pytest.mark.slow
def test_observations_and_actions_mean_what_they_mean_in_brax(name, bodies):
    """Equal joints give equal observations and put the bodies in equal places.

    A step under an action changes joint velocities alike; how far brax's dynamics is from
    MuJoCo's is no matter of this test, which allows 20 % of the largest change.
    """
    task, look = NativeTask(name), bodies(name)
    data = mujoco.MjData(task.model)
    random = np.random.default_rng(1)
    state, _ = task.reset([0])
    nq, lifted = task.model.nq, 10.0 if name != "brax/swimmer" else 0.0  # away from the floor
    for joint in range(task.model.nu):
        state[0, 1:] = np.concatenate([task.model.qpos0, np.zeros(task.model.nv)])
        state[0, 1:] += random.uniform(-0.1, 0.1, nq + task.model.nv)
        state[0, 2] += lifted
        action = np.zeros((1, task.model.nu))
        action[0, joint] = 1.0
        q = state[0, 1 : 1 + nq] - task.model.qpos0
        observed, places, after = look(
            jnp.float32(q), jnp.float32(state[0, 1 + nq :]), jnp.float32(action[0])
        )
        np.testing.assert_allclose(observed, task.observe(state)[0], atol=2e-6)
        data.qpos[:], data.qvel[:] = state[0, 1 : 1 + nq], state[0, 1 + nq :]
        mujoco.mj_kinematics(task.model, data)
        np.testing.assert_allclose(places, data.xpos[1:], atol=2e-6)
        ours = task.step(state, action).observations[0] - task.observe(state)[0]
        theirs = np.asarray(after) - np.asarray(observed)
        assert np.abs(ours - theirs).max() < 0.2 * np.abs(ours).max()
