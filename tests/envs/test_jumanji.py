"""jumanji's environments keep the contract, and their steps are jumanji's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es.envs import jumanji as suite
from rl_es.rollout.heads import make_head
from rl_es.rollout.wrappers import TimeLimit
from tests.envs import contract, grids

pytestmark = pytest.mark.extra("jumanji")

TIMED = {"Snake-v1", "Maze-v0", "PacMan-v1", "SlidingTilePuzzle-v0"}
# Where an action that is not allowed does nothing; the others it ends.
HARMLESS = {"Game2048-v1", "Maze-v0", "SlidingTilePuzzle-v0", "PacMan-v1"}
# Length of every episode of allowed actions.
LENGTHS = {"TSP-v1": 20, "GraphColoring-v1": 20}


def bare(name):
    return name.removeprefix("jumanji/")


def test_names_are_all_that_take_one_discrete_action_without_the_one_that_downloads(make):
    import jumanji
    from jumanji.specs import DiscreteArray

    from rl_es.envs._jumanji_adapter import make_environment

    single = {
        f"jumanji/{name}"
        for name in jumanji.registered_environments() - {"Sokoban-v0"}
        if isinstance(make_environment(name).action_spec, DiscreteArray)
    }
    assert single == set(suite.NAMES)


@pytest.mark.parametrize("name", suite.NAMES)
def test_contract(name, make):
    env = make(name)
    assert (env.spec.name, env.spec.episode_length) == (name, suite.EPISODE_LENGTHS[name])
    contract.check(TimeLimit(env, 30), 30)
    _, observation = jax.eval_shape(env.reset, jax.random.key(0))
    mask = observation.action_mask
    assert (mask.shape, mask.dtype) == ((env.spec.action_space.n,), np.bool_)


@pytest.mark.parametrize("name", suite.NAMES)
def test_episodes_are_jumanji_s_own(name, make):
    """Rewards and ends over an episode of allowed actions; Snake's starts late in it."""
    from rl_es.envs._jumanji_adapter import make_environment

    env, own = make(name), make_environment(name)
    steps = min(suite.EPISODE_LENGTHS[name], 600)

    def step(key, state, action):
        state, timestep = own.step(state.replace(key=key), action)
        return state, (timestep.reward, timestep.last(), timestep.observation.action_mask)

    observed = grids.beside(env, lambda key: own.reset(key)[0], step, steps)
    reward, last, _ = observed.own
    alive = observed.alive
    np.testing.assert_array_equal(observed.reward[alive], reward[alive])
    np.testing.assert_array_equal((observed.terminated | observed.truncated)[alive], last[alive])
    # Snake has no way out after a wrong turn, and nothing but its mask says that it is over.
    assert observed.allowed[alive].all() or bare(name) == "Snake-v1"
    if bare(name) in LENGTHS:
        assert (observed.terminated.argmax(0) == LENGTHS[bare(name)] - 1).all()
    if bare(name) not in TIMED:
        assert observed.terminated.any(0).all() and not observed.truncated.any()


@pytest.mark.parametrize("name", [name for name in suite.NAMES if bare(name) in TIMED])
def test_the_time_limit_is_jumanji_s_and_a_truncation(name, make):
    from rl_es.envs._jumanji_adapter import make_environment

    env, limit = make(name), suite.EPISODE_LENGTHS[name]
    assert make_environment(name).time_limit == limit

    def last(key, steps):
        state, observation = env.reset(key)
        inner = state.inner.replace(step_count=steps)
        action = jnp.argmax(observation.action_mask).astype(jnp.int32)
        return env.step(key, state.replace(inner=inner, steps=steps), action)

    before, at = jax.jit(jax.vmap(last, (None, 0)))(
        jax.random.key(0), jnp.array([2, limit]) - 1
    ).truncated
    assert at and not before


@pytest.mark.parametrize("name", suite.NAMES)
def test_an_action_that_is_not_allowed(name, make):
    """It does nothing or ends the episode, as the suite's page says."""
    env = make(name)

    def second(key):
        state, observation = env.reset(key)
        first = env.step(key, state, jnp.argmax(observation.action_mask).astype(jnp.int32))
        mask = first.observation.action_mask
        wrong = env.step(key, first.state, jnp.argmin(mask).astype(jnp.int32))
        return ~mask.all() & ~first.terminated, wrong.terminated

    there, terminated = jax.jit(jax.vmap(second))(jax.random.split(jax.random.key(0), 64))
    assert there.any()
    np.testing.assert_array_equal(np.asarray(terminated)[there], bare(name) not in HARMLESS)


@pytest.mark.parametrize("head", ["categorical", "deterministic"])
def test_a_policy_packs_until_nothing_fits(head, make):
    """An action that is not allowed would end Knapsack earlier."""
    env = make("jumanji/Knapsack-v1")
    chosen = make_head(head, env.spec.action_space)

    def episode(key):
        def step(carry, key):
            state, mask, over = carry
            action = chosen.act({}, jax.random.normal(key, (50,)), mask, key)
            after = env.step(key, state, action)
            state = jax.tree.map(lambda new, old: jnp.where(over, old, new), after.state, state)
            return (state, after.observation.action_mask, over | after.terminated), None

        state, observation = env.reset(key)
        start = state, observation.action_mask, jnp.asarray(False)
        (state, _, over), _ = jax.lax.scan(step, start, jax.random.split(key, 50))
        return over, state.inner

    over, left = jax.jit(jax.vmap(episode))(jax.random.split(jax.random.key(0), 16))
    assert over.all()
    fits = np.asarray(left.weights) <= np.asarray(left.remaining_budget)[:, None]
    assert not (fits & ~np.asarray(left.packed_items)).any()


def test_the_number_of_steps_is_seen_as_a_share(make):
    env = make("jumanji/Maze-v0")
    state, observation = env.reset(jax.random.key(0))
    after = env.step(jax.random.key(0), state, jnp.argmax(observation.action_mask))
    assert (observation.values[-1], after.observation.values[-1]) == (0.0, np.float32(0.01))
