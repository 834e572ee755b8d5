"""MuJoCo Playground's tasks keep the contract, and their steps are Playground's own."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es.envs import playground as suite
from rl_es.interfaces import Moment
from rl_es.rollout.wrappers import TimeLimit, implicit_promotion
from tests import extras
from tests.envs import contract

pytestmark = pytest.mark.extra("playground")

QUICK = "playground/PendulumSwingup"
# One a robot and reward of its own; the others differ from these in numbers only.
KINDS = [
    "playground/AcrobotSwingup",
    "playground/AcrobotSwingupSparse",
    "playground/BallInCup",
    "playground/CartpoleBalance",
    "playground/CartpoleBalanceSparse",
    "playground/CheetahRun",
    "playground/FingerSpin",
    "playground/FingerTurnHard",
    "playground/FishSwim",
    "playground/HopperHop",
    "playground/HopperStand",
    "playground/HumanoidWalk",
    QUICK,
    "playground/PointMass",
    "playground/ReacherEasy",
    "playground/SwimmerSwimmer6",
    "playground/WalkerWalk",
]


def quick_first(names):
    """All but one compile for ten seconds to two minutes."""
    return [pytest.param(n, marks=[] if n == QUICK else [pytest.mark.slow]) for n in names]


def test_names_and_lengths_are_playground_s(make):
    from mujoco_playground import dm_control_suite

    assert {name.removeprefix("playground/") for name in suite.NAMES} == set(
        dm_control_suite.ALL_ENVS
    )
    for task in dm_control_suite.ALL_ENVS:
        config = dm_control_suite.get_default_config(task)
        assert (config.episode_length, config.action_repeat) == (suite.EPISODE_LENGTH, 1)


@pytest.mark.parametrize("name", quick_first(suite.NAMES))
def test_contract(name, make):
    env = make(name)
    assert (env.spec.name, env.spec.episode_length) == (name, 1000)
    assert len(env.spec.observation_shape) == 1
    result = contract.check(TimeLimit(env, 20), 20)
    assert result.truncated[-1].all()
    assert ((result.reward >= 0) & (result.reward <= 1)).all()


@pytest.mark.parametrize("name", quick_first(KINDS))
def test_episodes_are_playground_s_own(name, make):
    """From the same start under the same actions: observations, rewards and ends.

    Each step is compared from Playground's own state before it, so that rounding does not grow.
    """
    from rl_es.envs._playground_adapter import make_environment

    env, own = make(name).env, make_environment(name)
    rng = np.random.default_rng(1)
    actions = rng.uniform(-1, 1, (100, *env.spec.action_space.shape)).astype(np.float32)

    def observed(state):
        return state.obs, state.reward, state.done

    @jax.jit
    def theirs(key):
        with implicit_promotion():
            start = jax.tree.map(jnp.asarray, own.reset(key))
            types = jax.tree.map(lambda leaf: leaf.dtype, start)

            def step(state, action):
                after = own.step(state, action)
                after = jax.tree.map(lambda leaf, kind: leaf.astype(kind), after, types)
                return after, (state.data, observed(after))

            return start, jax.lax.scan(step, start, jnp.asarray(actions))[1]

    key = jax.random.key(3)
    start, (before, expected) = theirs(key)
    state, observation = jax.jit(env.reset)(key)
    ours = jax.jit(lambda states: jax.lax.map(lambda x: env.step(key, *x), (states, actions)))
    after = ours(before)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-3)
    close(observation.values, start.obs)
    close(state.qpos, start.data.qpos)
    close(after.observation.values, expected[0])
    close(after.reward, expected[1])
    np.testing.assert_array_equal(after.terminated, np.asarray(expected[2], bool))
    assert np.ptp(np.asarray(expected[0]), axis=0).max() > 0.01  # it moved


def test_actions_reach_the_physics_and_are_clipped(make):
    env = make(QUICK)
    state, _ = jax.jit(env.reset)(jax.random.key(0))
    step = jax.jit(lambda action: env.step(jax.random.key(0), state, action).observation.values)
    small, large, beyond = (np.asarray(step(jnp.full(1, a))) for a in (0.5, 1.0, 30.0))
    assert not np.allclose(small, large)
    np.testing.assert_array_equal(large, beyond)


def test_a_simulation_that_breaks_down_ends_the_episode_in_finite_numbers(make):
    env = make(QUICK).env
    state, _ = env.reset(jax.random.key(0))
    step = jax.jit(
        lambda speed: env.step(jax.random.key(0), state.replace(qvel=speed), jnp.ones(1))
    )
    sound, broken = step(jnp.ones(1)), step(jnp.full(1, jnp.nan))
    assert not sound.terminated and np.abs(sound.observation.values).min() > 0
    assert broken.terminated and not broken.truncated
    np.testing.assert_array_equal(broken.observation.values, 0)
    assert broken.reward == 0


@pytest.mark.parametrize(
    ("name", "moved"),
    [(QUICK, {"qpos": 1.0}), ("playground/ReacherEasy", {"mocap_pos": 0.1})],
)
def test_robots_and_their_targets_are_rendered(name, moved):
    """The first place of each field changes the picture."""
    extras.require_rendering()
    drawing = suite.drawing(name, suite.Options(), 160, 120)
    assert drawing.step_seconds == pytest.approx(0.02)
    model = drawing._model
    rest = {
        "qpos": model.qpos0.copy(),
        "qvel": np.zeros(model.nv),
        "mocap_pos": np.zeros((model.nmocap, 3)),
        "mocap_quat": np.tile([1.0, 0.0, 0.0, 0.0], (model.nmocap, 1)),
    }

    def picture(**fields):
        return drawing.frame(Moment(SimpleNamespace(**fields), np.zeros(1), None)).astype(int)

    still = picture(**rest)
    assert still.shape == (120, 160, 3) and len(np.unique(still)) > 20
    np.testing.assert_array_equal(picture(**rest), still)
    for field, amount in moved.items():
        other = rest[field].copy()
        other.flat[0] += amount
        assert (np.abs(picture(**(rest | {field: other})) - still).max(2) > 40).sum() > 10
    drawing.close()
