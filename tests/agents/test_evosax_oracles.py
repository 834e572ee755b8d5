"""evosax's Open_ES, PersistentES and NoiseReuseES against ours, step by step on the same noise.

They agree to rounding where both are defined alike. Two differences are shown: evosax's deviation
is a generation behind its schedule, and its persistent strategies do not see when episodes end.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rl_es.agents import nres, open_es, pes
from rl_es.config import split_traced
from rl_es.evolution.noise_memory import EpisodeNoise, make_accumulator
from rl_es.evolution.perturbation import FullRank, block_keys
from rl_es.evolution.strategy import EvolutionStrategy, episodic_strategy, persistent_strategy
from rl_es.interfaces import ParameterSpec, ProblemSpec, Segment
from rl_es.rollout.wrappers import implicit_promotion
from tests.toys import ParameterPolicy

pytestmark = pytest.mark.extra("evosax")
SIZE, PAIRS, SIGMA, LR = 5, 8, 0.2, 0.05
WINDOWS, WINDOW = 3, 4  # of an episode, and steps of each
PARAMETERS = ParameterPolicy(SIZE).parameters


@dataclass(frozen=True)
class Noise(FullRank):
    """Noise that was drawn elsewhere."""

    unit: Any = None  # [H, D]

    def draw(self, keys: Any, pairs: int) -> Any:
        return {"theta": self.unit}


def objective(population: Any, generation: int) -> np.ndarray:
    """Returns of members [P], with a bend, a tie and a part of chance."""
    returns = -np.square(population - np.arange(SIZE)).sum(-1) + np.sin(3 * population).sum(-1)
    returns = returns + np.random.default_rng(generation).normal(size=len(returns))
    returns[1] = returns[0]
    return returns.astype(np.float32)


def evosax_strategy(name: str, decay: float = 1.0, **arguments: Any) -> Any:
    from evosax.algorithms import algorithms

    return algorithms[name](
        population_size=2 * PAIRS,
        solution={"theta": jnp.zeros(SIZE)},
        std_schedule=lambda count: SIGMA * decay**count,
        **arguments,
    )


def ended(first: int | None, generation: int, last: bool) -> np.ndarray:
    """Pairs whose episode ends: all after the last window, the first earlier."""
    over = np.full(PAIRS, last)
    over[0] |= first == generation
    return over


def run_both(
    agent: EvolutionStrategy, config: Any, other: Any, params: Any, early: int | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields our parameters and evosax's after each generation on evosax's noise.

    In generation `early` the episode of the first pair ends.
    """
    hyper = {name: jnp.float32(value) for name, value in split_traced(config)[1].items()}
    start = {"theta": jnp.linspace(-1.0, 1.0, SIZE)}
    state, memory = agent.init(start, hyper), agent.remember(PAIRS)
    fresh = jnp.ones(PAIRS, bool)
    with implicit_promotion():
        theirs = other.init(jax.random.key(0), start, params)
    for generation in range(3 * WINDOWS):
        key = jax.random.key(generation)
        with implicit_promotion():
            population, asked = other.ask(key, theirs, params)
        flat = np.asarray(population["theta"])  # all plus members, then all minus members
        unit = (flat[:PAIRS] - np.asarray(theirs.mean)) / float(theirs.std)
        agent = replace(agent, perturbation=Noise(PARAMETERS, jnp.asarray(unit)))
        noise, memory = agent.ask(block_keys(key, PAIRS), state, memory, fresh)
        returns = objective(flat, generation)
        ours = jnp.asarray(returns.reshape(2, PAIRS).T.reshape(-1))
        over = ended(early, generation, (generation + 1) % WINDOWS == 0)
        segment = Segment(ours, jnp.asarray(over), jnp.int32(0), jnp.int32(0))
        weights = agent.shape(state, segment)
        update = agent.contract(state, noise, memory, weights)
        state, _ = agent.tell(state, update, segment)
        fresh = segment.ended
        with implicit_promotion():
            theirs, _ = other.tell(key, population, -returns, asked, params)
        yield np.asarray(state.params["theta"]), np.asarray(theirs.mean)


def assert_equal(pairs: Any) -> None:
    steps = list(pairs)
    for ours, theirs in steps:
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    assert np.abs(steps[-1][0] - steps[0][0]).max() > 0.05  # they move


RULES = {"sgd": lambda: optax.sgd(LR), "adam": lambda: optax.adam(LR)}


@pytest.mark.parametrize("shaping", ["raw", "centred_ranks"])
@pytest.mark.parametrize("rule", RULES)
def test_open_es(rule: str, shaping: str) -> None:
    from evosax.core import fitness_shaping as shapings

    functions = {
        "raw": shapings.identity_fitness_shaping_fn,
        "centred_ranks": shapings.centered_rank_fitness_shaping_fn,
    }
    config = open_es.Hyperparameters(
        population=2 * PAIRS, sigma=SIGMA, lr=LR, optimiser=rule, shaping=shaping, weight_decay=0.0
    )  # pyright: ignore[reportArgumentType]
    other = evosax_strategy(
        "Open_ES", optimizer=RULES[rule](), fitness_shaping_fn=functions[shaping]
    )
    agent = episodic_strategy(config, FullRank(PARAMETERS))
    assert_equal(run_both(agent, config, other, other.default_params))


def test_the_deviation_of_open_es_is_a_generation_late() -> None:
    other = evosax_strategy("Open_ES", decay=0.5)
    state = other.init(jax.random.key(0), {"theta": jnp.zeros(SIZE)}, other.default_params)
    deviations = []
    for generation in range(3):
        key = jax.random.key(generation)
        deviations.append(float(state.std))
        with implicit_promotion():
            population, state = other.ask(key, state, other.default_params)
            state, _ = other.tell(
                key, population, jnp.zeros(2 * PAIRS), state, other.default_params
            )
    assert deviations == pytest.approx([SIGMA, SIGMA, SIGMA / 2])  # ours: 1, 1/2, 1/4 of it


def persistent(kind: Any) -> tuple[Any, Any, Any, Any]:
    """Returns our strategy and its settings, evosax's and its parameters."""
    config = kind.Hyperparameters(
        population=2 * PAIRS, sigma=SIGMA, lr=LR, optimiser="sgd", shaping="raw", window=WINDOW
    )
    perturbation = FullRank(PARAMETERS)
    memory = EpisodeNoise() if kind is nres else make_accumulator("auto", perturbation, WINDOWS)
    problem = ProblemSpec(ParameterSpec(PARAMETERS.shapes), WINDOWS * WINDOW)
    agent = persistent_strategy(config, perturbation, problem, memory=memory)
    name = "NoiseReuseES" if kind is nres else "PersistentES"
    other = evosax_strategy(name, optimizer=optax.sgd(LR))
    params = other.default_params.replace(T=WINDOWS * WINDOW, K=WINDOW)
    return agent, config, other, params


@pytest.mark.parametrize("kind", [pes, nres])
def test_persistent_strategies_of_whole_episodes(kind: Any) -> None:
    assert_equal(run_both(*persistent(kind)))


def test_evosax_does_not_see_early_ends() -> None:
    """Ours starts a pair anew when its episode is over; evosax starts all at the time limit."""
    steps = list(run_both(*persistent(pes), early=0))
    np.testing.assert_allclose(*steps[0], rtol=1e-5, atol=1e-5)
    assert np.abs(steps[1][0] - steps[1][1]).max() > 1e-3
