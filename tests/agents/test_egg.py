"""Integer EGGROLL: integers stay integers, sums are exact, and steps are as rare as their level."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pydantic
import pytest
from jax import Array
from scipy.stats import norm

from rl_es.agents import egg
from rl_es.config import split_traced
from rl_es.errors import UserError
from rl_es.evolution.integers import IntegerLowRank, IntegerStrategy
from rl_es.evolution.noise_memory import WindowHistory
from rl_es.evolution.perturbation import Factors, block_keys, leaves_by_path
from rl_es.interfaces import Limit, Members, ProblemSpec, Segment
from rl_es.rollout.config import PolicyConfig
from rl_es.rollout.evaluation import make_evaluator
from rl_es.rollout.policy import make_policy
from rl_es.training.learner import Evolution
from rl_es.training.program import Compiler
from rl_es.training.sharding import Placement, to_host
from tests.toys import Letters

MEMORIES = {"forget": None, "episode": 30, "history": 30}  # and the length of an episode
SETTINGS = {"population": 128, "window": 10}


def make_learner(
    length: int | None = None, widths: tuple[int, ...] = (16,), **settings: Any
) -> tuple[Evolution, Any]:
    env = Letters(length=length)
    policy = make_policy(PolicyConfig(network="egg", widths=widths, head="deterministic"), env.spec)
    config = egg.Hyperparameters(**{**SETTINGS, **settings})
    agent = egg.make(config, ProblemSpec(policy.parameters, length))
    return Evolution(agent, env, policy), split_traced(config)[1]


def hyper(settings: Any) -> dict[str, Array]:
    return {name: jnp.float32(value) for name, value in settings.items()}


def generations(learner: Evolution, settings: Any, number: int, seed: int = 0) -> Any:
    def run(key: Array) -> Any:
        state = learner.init(key, hyper(settings))
        return learner.advance(state, Limit(jnp.int32(number), jnp.int32(2**30)))

    return jax.jit(run)(jax.random.key(seed))


@pytest.mark.parametrize("form", MEMORIES)
def test_parameters_stay_integers_and_improve(form: str) -> None:
    learner, settings = make_learner(MEMORIES[form], memory=form)
    (first, before), (last, after) = (generations(learner, settings, n) for n in (1, 60))
    for state in (first, last):
        for leaf in jax.tree.leaves((state.agent.params, state.particles)):
            if jnp.issubdtype(leaf.dtype, jnp.floating):
                np.testing.assert_array_equal(leaf, jnp.round(leaf))
                assert jnp.abs(leaf).max() <= 127
    assert after.population_mean > before.population_mean + 10 * 0.2  # bits, of 10 tokens


def random_segment(key: Array, pairs: int, ended: bool = False) -> Segment:
    """Returns that have nothing to do with the noise."""
    zero = jnp.zeros((), jnp.int32)
    returns = jax.random.normal(key, (2 * pairs,))
    return Segment(returns, jnp.full(pairs, ended), zero, zero)


def strategy_parts(form: str, pairs: int, **settings: Any) -> tuple[IntegerStrategy, Any]:
    learner, traced = make_learner(MEMORIES[form], memory=form, population=2 * pairs, **settings)
    agent = learner.agent
    assert isinstance(agent, IntegerStrategy)
    return agent, agent.init(learner.policy.init(jax.random.key(7)), hyper(traced))


@pytest.mark.parametrize("level", [0.5, 0.05])
@pytest.mark.parametrize("form", MEMORIES)
def test_under_pure_noise_parameters_move_as_often_as_the_level(form: str, level: float) -> None:
    """The standard error is measured: parameters of one matrix share their factors."""
    pairs, windows, trials = 256, 3, 40
    agent, start = strategy_parts(form, pairs, level=level)

    @jax.jit
    def rates(key: Array) -> Array:
        """Shares of moved parameters in windows of which no parameter is at a bound."""
        state, memory, fresh, shares = start, agent.remember(pairs), jnp.ones(pairs, bool), []
        for t, window_key in enumerate(jax.random.split(key, 2 * windows)):
            noise_key, return_key = jax.random.split(window_key)
            noise, memory = agent.ask(block_keys(noise_key, pairs), state, memory, fresh)
            segment = random_segment(return_key, pairs, ended=t % windows == windows - 1)
            weights = agent.shape(state, segment)
            update = agent.contract(state, noise, memory, weights)
            after, _ = agent.tell(state, update, segment)
            new, old = (
                jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(params)])
                for params in (after.params, state.params)
            )
            shares.append(jnp.mean(new != old, where=jnp.abs(old) < 127))
            fresh, state = segment.ended, after
        return jnp.stack(shares[windows:])  # the lagged scale is known by then

    shares = np.asarray(jax.lax.map(rates, jax.random.split(jax.random.key(3), trials))).mean(1)
    error = shares.std(ddof=1) / trials**0.5
    assert error < 0.1 * level
    assert abs(shares.mean() - level) < 4 * error


def test_the_level_falls_as_stated() -> None:
    agent, state = strategy_parts("forget", 64)
    for generation, level in [(0, 1.0), (1000, 1 / 16)]:
        at = state.replace(generation=jnp.int32(generation))
        assert float(agent._quantile(at)) == pytest.approx(norm.ppf(1 - level / 2), abs=1e-5)


def integer_units(noise: Any, pair: int) -> dict[Any, np.ndarray]:
    """The noise of a pair in int64, as arrays shaped like the parameters."""
    return {
        path: np.outer(*(np.asarray(side[pair, 0], np.int64) for side in (unit.b, unit.a)))
        if isinstance(unit, Factors)
        else np.asarray(unit[pair], np.int64)
        for path, unit in noise.items()
    }


@pytest.mark.parametrize("saturated", [False, True])
@pytest.mark.parametrize("form", ["forget", "history"])
def test_updates_equal_int64_arithmetic(form: str, saturated: bool) -> None:
    """With more pairs than one sum in float32 can hold."""
    pairs = 1100
    agent, state = strategy_parts(form, pairs, level=0.3)
    keys, fresh = block_keys(jax.random.key(1), pairs), jnp.ones(pairs, bool)
    noise, kept = agent.ask(keys, state, agent.remember(pairs), fresh)
    if saturated:
        largest = jax.tree.map(
            lambda unit: (
                jnp.where(unit < 0, -1, 1).astype(unit.dtype)
                * (127 if unit.dtype == jnp.int8 else 127**2)
            ),
            noise.unit,
        )
        noise = noise._replace(unit=largest)
        if isinstance(kept, WindowHistory):
            kept = kept._replace(
                noise=jax.tree.map(lambda h, u: h.at[:, kept.newest[0]].set(u), kept.noise, largest)
            )
    rng = np.random.default_rng(0)
    most = 127 if form == "history" else 1
    differences = (
        rng.choice([-most, most], pairs) if saturated else rng.integers(-most, most + 1, pairs)
    )
    weights = jnp.stack([differences / 2, -differences / 2], 1).reshape(-1).astype(jnp.float32)
    update = leaves_by_path(jax.jit(agent.contract)(state, noise, kept, weights))

    expected = {path: np.zeros(leaf.shape, np.int64) for path, leaf in update.items()}
    for pair in range(pairs):
        for path, unit in integer_units(noise.unit, pair).items():
            expected[path] += differences[pair] * unit
    for path, leaf in update.items():
        assert leaf.dtype == jnp.int32
        np.testing.assert_array_equal(leaf, expected[path])

    returns = jnp.stack([jnp.asarray(differences, jnp.float32), jnp.zeros(pairs)], 1).reshape(-1)
    zero = jnp.zeros((), jnp.int32)
    segment = Segment(returns, jnp.zeros(pairs, bool), zero, zero)
    if form == "forget":
        after, change = agent.tell(state, agent.contract(state, noise, kept, weights), segment)
        threshold = norm.ppf(0.85) * 256 * np.sqrt(np.square(differences).sum())
        total = 0
        for path, leaf in leaves_by_path(after.params).items():
            old = np.asarray(leaves_by_path(state.params)[path], np.int64)
            z = expected[path]
            assert (np.abs(np.abs(z) - threshold) > 1e-3 * threshold).mean() > 0.99
            step = np.where(np.abs(z) >= threshold, np.sign(z), 0)
            np.testing.assert_array_equal(leaf, np.clip(old + step, -127, 127))
            total += np.square(np.asarray(leaf) - old).sum()
        assert float(change) == pytest.approx(total**0.5)


def test_the_noise_of_partners_is_exactly_opposite() -> None:
    learner, _ = make_learner()
    perturbation = IntegerLowRank(learner.policy.parameters)
    noise = perturbation.draw(block_keys(jax.random.key(0), 64), 64)
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape), learner.policy.parameters.shapes)
    members: Members = perturbation.members(zeros, noise, jnp.ones(64))
    rng = np.random.default_rng(0)
    for path, product in members.products.items():
        inputs = learner.policy.parameters.matrices[path].inputs
        x = jnp.asarray(rng.integers(-127, 128, (64, inputs)), jnp.float32)
        terms = jax.vmap(lambda p, x: p.apply(x))(product, x)
        assert terms.any() and (terms == jnp.round(terms)).all()
    swapped = random_segment(jax.random.key(5), 64)
    opposite = swapped.replace(returns=swapped.returns.reshape(-1, 2)[:, ::-1].reshape(-1))
    for form in MEMORIES:
        agent, state = strategy_parts(form, 64, level=0.3)
        state = state.replace(shaping=agent.shaping.observe(state.shaping, swapped))
        noise, kept = agent.ask(
            block_keys(jax.random.key(0), 64), state, agent.remember(64), jnp.ones(64, bool)
        )
        updates = [
            agent.contract(state, noise, kept, agent.shape(state, segment))
            for segment in (swapped, opposite)
        ]
        for leaf, mirrored in zip(*map(jax.tree.leaves, updates), strict=True):
            assert leaf.any()
            np.testing.assert_array_equal(leaf, -mirrored)


def test_factors_are_as_stated() -> None:
    learner, _ = make_learner(widths=(64,))
    perturbation = IntegerLowRank(learner.policy.parameters)
    noise = perturbation.draw(block_keys(jax.random.key(0), 128), 128)
    for unit in noise.values():
        numbers = [unit.a, unit.b] if isinstance(unit, Factors) else [unit]
        for array, spread in zip(numbers, (16, 16) if len(numbers) == 2 else (256,), strict=True):
            values = np.asarray(array, float)
            error = spread * (8 if spread == 256 else 2) ** 0.5 / 2 / values.size**0.5
            assert abs(values.std() - spread) < 5 * error
            assert abs(values.mean()) < 5 * spread / values.size**0.5
    dense = leaves_by_path(perturbation.dense(noise))
    for pair in (0, 127):
        for path, unit in integer_units(noise, pair).items():
            np.testing.assert_array_equal(dense[path][pair], unit)


PLACEMENTS = [Placement(chunks=4), Placement(shards=2, chunks=2), Placement(runs=2)]


@pytest.mark.parametrize("form", MEMORIES)
def test_neither_chunks_nor_devices_change_a_bit(form: str) -> None:
    learner, settings = make_learner(MEMORIES[form], memory=form, population=512)

    def train(placement: Placement) -> list[Any]:
        placed = replace(learner, sharding=placement.population)
        evaluate = make_evaluator(Letters(length=20), learner.policy, 2)
        program = Compiler().compile(placed, settings, placement.runs, evaluate, "", placement)
        lanes = np.ones(program.lanes, np.int32)
        numbers = {name: np.full(program.lanes, v, np.float32) for name, v in settings.items()}
        state = program.init(np.arange(program.lanes, dtype=np.uint32), numbers)
        state, rows = program.advance(state, Limit(5 * lanes, 10**8 * lanes))
        rows = rows.replace(population_mean=rows.env_steps, update_norm=rows.env_steps)
        return [leaf[0] for leaf in jax.tree.leaves(to_host((state, rows)))]

    expected = train(Placement())
    for placement in PLACEMENTS:
        for leaf, other in zip(expected, train(placement), strict=True):
            np.testing.assert_array_equal(leaf, other, err_msg=str(placement))


@pytest.mark.parametrize(
    ("length", "settings", "message"),
    [
        (None, {"memory": "history"}, "memory: history keeps noise to the end of an episode"),
        (None, {"memory": "episode"}, "give the environment an episode_length"),
        (None, {"staggered": True}, "staggered: episodes that never end"),
        (30, {"window": 31}, "window: 31 steps, but an episode ends after 30"),
        (None, {"sigma_shift": 0}, "sigma_shift: 0 makes the noise"),
        (1000, {"memory": "history", "window": 1, "population": 512}, "population: 512 members"),
        (None, {"population": 30_000_000}, "population: 30000000 members"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    length: int | None, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        make_learner(length, widths=(64,), **settings)


@pytest.mark.parametrize("settings", [{"population": 15}, {"start": "centre", "memory": "episode"}])
def test_settings_that_contradict_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        egg.Hyperparameters(**settings)


def test_windows_may_start_from_the_centre() -> None:
    learner, settings = make_learner(start="centre")
    state, _ = generations(learner, settings, 3)
    assert int(state.agent.generation) == 3
