"""Agents of evosax: the table has all of evosax, and each behaves as a learner has to."""

import inspect
import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es import registry
from rl_es.agents import evosax as table
from rl_es.errors import UserError
from rl_es.tools.check_agent import AgentChecks, AgentTrial, Target
from rl_es.training import checkpoint
from rl_es.training.resources import Resources, pair_bytes, place_group
from rl_es.training.sharding import PopulationSharding

EVOSAX = pytest.mark.extra("evosax")
NAMES = list(table.ENTRIES)
# Constants that the numbers of members and parameters fix, schedules, and learned weights.
DERIVED = {"weights", "weights_hat", "mu_eff", "chi_n", "h_inv", "alpha_dist", "alphas", "params"}
# Arguments that the suite fills, under settings of its own or not at all (docs/agents.md).
FILLED = {
    *("population_size", "solution", "optimizer", "std_schedule", "fitness_shaping_fn"),
    *("metrics_fn", "sampling_fn", "params", "params_path", "kernel", "num_latent_dims"),
    *("fitness_mapping", "alpha_schedule", "model_config", "solution_config", "fitness_config"),
    *("distrib_config", "mutation_feature_encoding"),
}


SETTINGS: dict[str, Any] = {"LM_MA_ES": {"population": 8}}  # the policy has 6 parameters


def trial(name: str, length: int = 4, **settings: Any) -> AgentTrial:
    settings = {**SETTINGS.get(name, {}), **settings}
    return AgentChecks(f"evosax/{name}", settings).trial(Target(length=length))


def test_the_family_is_listed_without_the_library() -> None:
    assert {f"evosax/{name}" for name in NAMES} <= set(registry.agents.names())
    module = registry.agents.load("evosax/SNES")
    assert module.__doc__.startswith("Separable natural evolution strategy")
    with pytest.raises(UserError, match="did you mean 'evosax/SNES'"):
        registry.agents.load("evosax/SNESS")


def test_a_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"evosax/PGPE needs evosax's library: .*evosax"):
        registry.agents.load("evosax/PGPE").check()


@EVOSAX
@pytest.mark.parametrize("name", NAMES)
def test_every_number_of_evosax_is_a_setting_with_its_default(name: str) -> None:
    entry, fields = table.ENTRIES[name], registry.agents.load(f"evosax/{name}").Hyperparameters
    strategy: Any = trial(name).learner.strategy  # pyright: ignore[reportAttributeAccessIssue]
    numbers = set(strategy.defaults.__dataclass_fields__)
    settings = set(fields.model_fields)
    set_numbers = {n for n in numbers if {n, f"{n}_factor"} & settings}
    assert numbers - set_numbers - DERIVED == {*entry.unused, *({"T", "K"} & numbers - settings)}
    for number in set_numbers & settings:
        value = np.asarray(getattr(strategy.defaults, number))
        if np.isfinite(value):
            assert value == pytest.approx(fields.model_fields[number].default), number
    arguments = {*inspect.signature(type(strategy.algorithm).__init__).parameters} - {"self"}
    assert arguments - FILLED <= settings


@EVOSAX
def test_no_strategy_of_evosax_is_left_out() -> None:
    from evosax.algorithms import algorithms

    assert set(algorithms) == set(NAMES)


@EVOSAX
@pytest.mark.parametrize("name", NAMES)
def test_a_state_keeps_its_types(name: str) -> None:
    assert AgentChecks(f"evosax/{name}", SETTINGS.get(name, {})).types()


@EVOSAX
@pytest.mark.parametrize("name", ["PSO", "PersistentES"])
def test_it_keeps_the_promises_of_a_learner(name: str) -> None:
    checks = AgentChecks(f"evosax/{name}", {}).checks()
    for check in ("keys", "traced settings", "checkpoints", "lanes", "improves"):
        checks[check]()


@EVOSAX
@pytest.mark.parametrize("name", ["PGPE", "LES"])
def test_a_run_goes_on_from_a_checkpoint_bit_for_bit(name: str) -> None:
    learner = trial(name)
    half = learner.run(2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.msgpack"
        checkpoint.save(path, half, {})
        saved = checkpoint.load(path, learner.data_shapes)[0]
    states = [learner.advance(state, np.int32(2)) for state in (half, saved)]
    for first, second in zip(*map(jax.tree.leaves, states), strict=True):
        np.testing.assert_array_equal(first, second)


@EVOSAX
def test_chunks_change_nothing() -> None:
    whole = trial("NoiseReuseES", population=256)
    parts = whole.with_placement(None, PopulationSharding(chunks=2))
    first, second = whole.run(3), parts.run(3)
    np.testing.assert_allclose(whole.params(first), parts.params(second), rtol=1e-5, atol=1e-6)
    assert not np.array_equal(whole.params(first), whole.params(whole.run(0)))


@EVOSAX
def test_it_starts_where_an_evolution_strategy_of_the_same_seed_does() -> None:
    strategy = AgentChecks("open_es", {}).trial(Target(length=4))
    start = strategy.params(strategy.init(np.uint32(3), strategy.numbers))
    for name in ("CMA_ES", "SimpleGA", "SV_Open_ES"):
        other = trial(name)
        params = other.params(other.init(np.uint32(3), other.numbers))
        np.testing.assert_array_equal(params, start)


@EVOSAX
def test_the_best_of_a_population_is_evaluated() -> None:
    """Of a genetic algorithm with elitism in its best, the distance to the target never grows."""
    learner = trial("MR15_GA", length=1)
    distances = []
    for generations in (0, 1, 5, 20):
        state = learner.run(generations)
        params = learner.snapshot(state).params
        distances.append(float(-best_return(learner, params)))
    assert distances == sorted(distances, reverse=True) and distances[-1] < 0.5 * distances[0]


def best_return(learner: AgentTrial, params: Any) -> Any:
    env = learner.env
    _, observation = env.reset(jax.random.key(0))
    policy: Any = learner.learner.policy  # pyright: ignore[reportAttributeAccessIssue]
    action = policy.act(params, (), observation, jax.random.key(0))[1]
    return env.step(jax.random.key(0), jnp.int32(0), action).reward


@EVOSAX
def test_what_cannot_fit_is_refused() -> None:
    """A policy of 6 parameters: a population of millions does not fit."""
    small, large = (trial("SNES", population=size) for size in (32, 2**22))
    for made, fits in ((small, True), (large, False)):
        learner, settings = made.learner, {k: float(v) for k, v in made.numbers.items()}
        size = pair_bytes(learner, settings)
        assert size.fixed >= 2 * 4 * 6 * learner.pairs  # at least the population itself
        if fits:
            place_group(learner.pairs, 1, size, Resources(memory=2**28))
        else:
            with pytest.raises(UserError, match=r"need about .* GiB, and a device may fill 0.2"):
                place_group(learner.pairs, 1, size, Resources(memory=2**28))


@EVOSAX
@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("SV_CMA_ES", {"num_populations": 5}, "5 means cannot share 32 members"),
        ("GESMR_GA", {"num_groups": 2}, "2 groups cannot share the 31 members"),
        ("LM_MA_ES", {"population": 16}, "LM_MA_ES needs fewer than 12 members"),
        ("GuidedES", {"subspace_dims": 9}, "subspace_dims: must be at most 6"),
        ("PersistentES", {"window": 9}, "window: 9 steps, but an episode ends after 4"),
    ],
)
def test_settings_that_do_not_fit(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        _ = trial(name, **settings).learner
