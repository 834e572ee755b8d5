"""MPE's tasks keep the contract, and their steps are those of PettingZoo's MPE."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es.envs import jaxmarl as suite
from rl_es.errors import UserError
from rl_es.interfaces import Discrete
from rl_es.rollout.wrappers import implicit_promotion
from tests.envs import contract

pytestmark = pytest.mark.extra("jaxmarl")

RECORDED = Path(__file__).parent / "mpe2.npz"  # made by record_mpe2.py
TASKS = (
    "simple_v3",
    "simple_spread_v3",
    "simple_speaker_listener_v4",
    "simple_reference_v3",
)
KINDS = ("discrete", "continuous")


def named(task: str) -> str:
    return f"jaxmarl/MPE_{task}"


def made(task: str, action_type: str = "discrete") -> Any:
    return suite.make(named(task), suite.Options(action_type=action_type))  # type: ignore[arg-type]


def test_names_are_those_that_jaxmarl_registers():
    from rl_es.envs._adapter import without_printing

    with without_printing():
        from jaxmarl.registration import registered_envs

    registered = {f"jaxmarl/{name}" for name in registered_envs if name.startswith("MPE_")}
    assert {*suite.NAMES, *suite.LEFT_OUT} == registered
    assert not {*suite.NAMES} & {*suite.LEFT_OUT}


SPECIFICATIONS = {  # task -> agents, length of an observation, actions
    "simple_v3": ((), 4, 5),
    "simple_spread_v3": (("agent",) * 3, 18, 5),
    "simple_speaker_listener_v4": (("speaker", "listener"), 11, 5),
    "simple_reference_v3": (("agent",) * 2, 21, 50),
}


@pytest.mark.parametrize("task", TASKS)
def test_contract(task: str):
    env = made(task)
    agents, length, count = SPECIFICATIONS[task]
    shape = (len(agents), length) if agents else (length,)
    spec = env.spec
    assert (spec.agents, spec.observation_shape) == (agents, shape)
    assert spec.action_space == Discrete(count)
    rollout = contract.check(env, 25)
    assert rollout.truncated[-1].all() and not rollout.truncated[:-1].any()
    assert (rollout.reward < 0).any(0).all()


@pytest.mark.parametrize(
    "name", [suite.FACMAC[0], *(pytest.param(n, marks=pytest.mark.slow) for n in suite.FACMAC[1:])]
)
def test_contract_of_predators(name: str):
    env = suite.make(name, suite.Options())
    assert set(env.spec.agents) == {"adversary"} and env.spec.action_shape[1:] == (5,)
    contract.check(env, 25)


def recorded(task: str, kind: str) -> dict[str, np.ndarray]:
    """The arrays of one task, with the leading axis [episodes * steps]."""
    with np.load(RECORDED) as arrays:
        prefix = f"{task}/{kind}/"
        named = {name: arrays[name] for name in arrays.files if name.startswith(prefix)}
    return {
        name.removeprefix(prefix): values.reshape(
            values.shape[0] * values.shape[1], *values.shape[2:]
        )
        for name, values in named.items()
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", TASKS)
def test_steps_are_those_of_pettingzoo(task: str, kind: str):
    """From each recorded state, under the recorded actions of all agents."""
    env, before = made(task, kind), recorded(task, kind)
    start, _ = env.reset(jax.random.key(0))
    goals = {} if start.inner.goal is None else {"goal": before["goal"].astype(np.int32)}
    if task == "simple_speaker_listener_v4":
        goals = {"goal": goals["goal"][:, 0]}

    def step(p_pos, p_vel, c, goal, action):
        inner = start.inner.replace(p_pos=p_pos, p_vel=p_vel, c=c, **goal)
        with implicit_promotion():
            after = env.step(jax.random.key(1), start.replace(inner=inner), action)
        state = after.state.inner
        return after.observation.values, after.reward, state.p_pos, state.p_vel, state.c

    action = before["action"].astype(np.int32)[..., 0] if kind == "discrete" else before["action"]
    if not env.spec.agents:
        action = action[:, 0]
    inputs = (before["p_pos"], before["p_vel"], before["c"], goals, action)
    values, reward, *state = jax.device_get(jax.jit(jax.vmap(step))(*map(jnp_tree, inputs)))

    expected = before["observation"] if env.spec.agents else before["observation"][:, 0]
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(reward, before["reward"].sum(1), rtol=1e-5, atol=1e-5)
    within = np.arange(len(reward)) % suite.EPISODE_LENGTH != suite.EPISODE_LENGTH - 1
    for mine, name in zip(state, ("p_pos", "p_vel", "c"), strict=True):
        later = np.roll(before[name], -1, 0)[within]  # the state before the next step
        np.testing.assert_allclose(mine[within], later, rtol=1e-5, atol=1e-5)


def jnp_tree(tree: Any) -> Any:
    return jax.tree.map(jnp.asarray, tree)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_recorded_tells_tasks_apart(kind: str):
    """Agents collide, speak and move in it; it ends when the time is over, and never before."""
    for task in TASKS:
        arrays = recorded(task, kind)
        ends = arrays["truncated"].reshape(-1, suite.EPISODE_LENGTH)
        assert ends[:, -1].all() and not ends[:, :-1].any() and not arrays["terminated"].any()
        assert np.abs(arrays["p_vel"]).max() > 0.1
    spread = recorded("simple_spread_v3", kind)
    assert (np.ptp(spread["reward"], axis=1) > 0.1).any(), "no two agents collide"
    for task in TASKS[2:]:
        assert recorded(task, kind)["c"].max() > 0.5


def test_rewards_are_summed_over_agents():
    from rl_es.envs._jaxmarl_adapter import make_environment

    env, original = made("simple_spread_v3"), make_environment(named("simple_spread_v3"))
    key = jax.random.key(3)
    state, _ = env.reset(key)
    after = env.step(key, state, jnp.array([1, 2, 3]))
    with implicit_promotion():
        actions = dict(zip(original.agents, (1, 2, 3), strict=True))
        _, _, rewards, _, _ = original.step_env(key, original.reset(key)[1], actions)
    assert len(rewards) == 3
    np.testing.assert_allclose(after.reward, sum(rewards.values()), rtol=1e-6)


def test_the_speaker_has_three_words_and_the_listener_five_moves():
    env = made("simple_speaker_listener_v4")
    state, observation = env.reset(jax.random.key(0))
    assert observation.action_mask.sum(1).tolist() == [3, 5]
    assert not observation.values[0, 3:].any()  # padding
    beyond, last = (env.step(jax.random.key(1), state, jnp.array([word, 0])) for word in (4, 2))
    np.testing.assert_array_equal(beyond.state.inner.c, last.state.inner.c)


@pytest.mark.parametrize("name", ["MPE_simple_tag_v3", "MPE_simple_push_v3"])
def test_games_against_each_other_are_refused_with_the_reason(name: str):
    from rl_es import registry

    with pytest.raises(UserError, match=f"jaxmarl/{name}: its agents play against each other"):
        registry.environment_suite(f"jaxmarl/{name}")


@pytest.mark.parametrize("name", suite.FACMAC[:1])
def test_predators_take_real_actions_only(name: str):
    space = suite.make(name, suite.Options()).spec.action_space
    assert not isinstance(space, Discrete) and (space.low == 0).all() and (space.high == 1).all()
