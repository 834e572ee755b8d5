"""navix's environments keep the contract, and their steps are navix's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es.envs import navix as suite
from rl_es.rollout.wrappers import TimeLimit, implicit_promotion
from tests.envs import contract, grids

pytestmark = pytest.mark.extra("navix")

FORWARD, PICKUP = 2, 3


def named(task):
    return f"navix/Navix-{task}-v0"


def quick(names, tasks):
    """The names, those of other tasks marked slow: each compiles for seconds."""
    fast = {named(task) for task in tasks}
    return [name if name in fast else pytest.param(name, marks=pytest.mark.slow) for name in names]


PAPER = ("DoorKey-8x8", "Dynamic-Obstacles-6x6-Random", "FourRooms")
KINDS = [
    named(task)
    for task in (
        *PAPER,
        "Empty-8x8",
        "LavaGapS5",
        "SimpleCrossingS9N1",
        "DistShift1",
        "GoToDoor-6x6",
    )
]


def test_names_are_all_that_navix_registers_without_those_that_never_pay(make):
    import navix

    registered = {name for name in navix.registry() if "KeyCorridor" not in name}
    assert {f"navix/{name}" for name in registered} == set(suite.NAMES)


@pytest.mark.parametrize("name", quick(suite.NAMES, PAPER))
def test_contract(name, make):
    from rl_es.envs._navix_adapter import make_environment

    env = make(name)
    assert (env.spec.name, env.spec.action_space.n) == (name, 7)
    assert env.spec.episode_length == make_environment(name).max_steps
    contract.check(TimeLimit(env, 30), 30)


@pytest.mark.parametrize("name", quick(KINDS, ["FourRooms"]))
def test_episodes_are_navix_s_own(name, make):
    """Rewards and ends over an episode."""
    from rl_es.envs._navix_adapter import make_environment

    env, own = make(name), make_environment(name)

    def step(key, before, action):
        after = own.step(before.replace(state=before.state.replace(key=key)), action)
        return after, (after.reward, after.step_type)

    observed = grids.beside(env, own.reset, step, suite.EPISODE_LENGTH)
    reward, kind = observed.own
    alive = observed.alive
    assert alive[0].all() and (observed.terminated | observed.truncated).any(0).all()
    np.testing.assert_array_equal(observed.reward[alive], reward[alive])
    np.testing.assert_array_equal(observed.truncated[alive], kind[alive] == 1)
    np.testing.assert_array_equal(observed.terminated[alive], kind[alive] == 2)


def paid(task, steps, place):
    """What navix itself pays for some actions, from a state that `place` makes of a start."""
    from rl_es.envs._navix_adapter import make_environment

    own = make_environment(named(task))
    timestep = own.reset(jax.random.key(0))
    timestep = timestep.replace(state=place(timestep.state))
    total, ended = 0.0, False
    for action in steps:
        timestep = own.step(timestep, jnp.asarray(action))
        total += float(timestep.reward)
        ended |= bool(timestep.step_type == 2)
    return total, ended


def before_the_goal(state):
    """The agent on the left of the goal, facing it."""
    player, goal = state.entities["player"], state.entities["goal"]
    beside = goal.position - jnp.array([0, 1])
    moved = player.replace(position=beside, direction=jnp.zeros_like(player.direction))
    return state.replace(entities={**state.entities, "player": moved})


@pytest.mark.parametrize("action", [FORWARD, PICKUP])
def test_key_corridor_pays_for_nothing(action, make):
    with implicit_promotion():
        assert paid("KeyCorridorS3R1", [action], before_the_goal) == (0.0, False)
        reached = (1.0, True) if action == FORWARD else (0.0, False)
        assert paid("Empty-5x5", [action], before_the_goal) == reached


def test_lava_of_dist_shift_stops_nobody(make):
    with implicit_promotion():
        assert paid("DistShift1", [FORWARD] * 5, lambda state: state) == (0.0, False)
        assert paid("DistShift1", [FORWARD] * 6, lambda state: state) == (1.0, True)
