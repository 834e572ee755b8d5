"""Every strategy of the registry: it can be made, it improves, and it compiles once."""

import ast
import functools
from pathlib import Path
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pydantic
import pytest
from jax import Array

import rl_es
from rl_es import registry
from rl_es.config import Config, split_traced
from rl_es.errors import UserError
from rl_es.evolution.config import Optimiser, PersistentConfig, Shaping, StrategyConfig
from rl_es.interfaces import Limit, ProblemSpec
from rl_es.rollout.config import NETWORKS
from rl_es.rollout.networks import ACTIVATIONS
from rl_es.tools.check_agent import Target, target_distance
from rl_es.tools.check_agent import target_policy as linear
from rl_es.training.learner import Evolution
from tests.running import sweep_of

PACKAGE = Path(rl_es.__file__).parent
SHAPINGS, OPTIMISERS = get_args(Shaping), get_args(Optimiser)


def hyperparameters(agent: str) -> type[StrategyConfig]:
    return registry.agents.load(agent).Hyperparameters


STRATEGIES = [a for a in registry.agents.names() if issubclass(hyperparameters(a), StrategyConfig)]
PERSISTENT = [a for a in STRATEGIES if issubclass(hyperparameters(a), PersistentConfig)]


def learner(agent: str, env: Target, **settings: Any) -> tuple[Evolution, Config]:
    policy = linear(env)
    config = hyperparameters(agent)(**settings)
    made = registry.agents.load(agent).make(
        config, ProblemSpec(policy.parameters, env.spec.episode_length)
    )
    return Evolution(made, env, policy), config


def numbers(config: Config) -> dict[str, Array]:
    return {name: jnp.float32(value) for name, value in split_traced(config)[1].items()}


def options(agent: str, **settings: Any) -> dict[str, Any]:
    """Settings with which an agent learns `Target`; biased shapings are harmless in one step."""
    own = {"population": 32, **settings}
    if agent in PERSISTENT:
        own["window"] = 1
        own["allow_biased_shaping"] = own.get("shaping") in ("z_score", "centred_ranks")
    if settings.get("optimiser") == "sgd":
        own["lr"] = 0.1 if settings.get("shaping") == "raw" else 0.01
        if agent in PERSISTENT:  # at the target a lagged scale is tiny, and plain steps grow again
            own["lr_decay"] = 0.98
    return {"lr": 0.05, **own}


def distances(agent: str, **settings: Any) -> tuple[float, float]:
    """The unperturbed policy's distance to the target before and after 200 generations."""
    made, config = learner(agent, Target(), **options(agent, **settings))

    @jax.jit
    def run(key: Array, hyper: Any) -> tuple[Array, Array]:
        first = made.init(key, hyper)
        last, _ = made.advance(first, Limit(jnp.int32(200), jnp.int32(2**30)))
        return tuple(target_distance(made.policy, made.snapshot(state)) for state in (first, last))

    before, after = run(jax.random.key(1), numbers(config))
    return float(before), float(after)


@pytest.mark.parametrize("agent", STRATEGIES)
def test_defaults_make_an_agent(agent: str) -> None:
    made, config = learner(agent, Target(length=100))
    state = jax.eval_shape(lambda: made.init(jax.random.key(0), numbers(config)))
    limit = Limit(*[jax.ShapeDtypeStruct((), jnp.int32)] * 2)
    after, _ = jax.eval_shape(made.advance, state, limit)
    before, then = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), (state, after))
    assert before == then
    assert isinstance(registry.agents.load(agent).NUMERICS, int)
    assert (registry.agents.load(agent).__doc__ or "").strip()


@pytest.mark.parametrize("shaping", SHAPINGS)
@pytest.mark.parametrize("agent", STRATEGIES)
def test_it_improves_with_any_shaping(agent: str, shaping: str) -> None:
    """By the default optimiser, adam."""
    before, after = distances(agent, shaping=shaping)
    assert before > 1 and after < 0.2 * before


@pytest.mark.parametrize("optimiser", [name for name in OPTIMISERS if name != "adam"])
@pytest.mark.parametrize("agent", STRATEGIES)
def test_it_improves_with_any_optimiser(agent: str, optimiser: str) -> None:
    before, after = distances(agent, optimiser=optimiser)
    assert before > 1 and after < 0.2 * before


@pytest.mark.parametrize("rank", [2, 5])
def test_a_rank_at_or_above_that_of_the_matrix(rank: int) -> None:
    """The policy is one matrix of three inputs and two outputs."""
    before, after = distances("eggroll", rank=rank)
    assert before > 1 and after < 0.2 * before


USED = {
    "sgd": {"momentum"},
    "adam": {"b1", "b2"},
    "adamw": {"b1", "b2"},
}
ALWAYS = {"lr", "lr_decay", "sigma", "sigma_decay", "weight_decay"}
# Sigma is no power of two times the usual one: to that a squared distance and a scale are blind.
OTHER = {"lr": 0.03, "lr_decay": 0.9, "sigma": 0.3, "sigma_decay": 0.9, "weight_decay": 0.1,
         "momentum": 0.5, "b1": 0.5, "b2": 0.9}  # fmt: skip


@functools.cache
def compiled(agent: str, optimiser: str) -> tuple[Any, Config]:
    """(hyper) -> parameters after some generations, jitted, and the settings."""
    made, config = learner(agent, Target(), **options(agent, optimiser=optimiser))

    def run(hyper: Any) -> Any:
        state = made.init(jax.random.key(2), hyper)
        state, _ = made.advance(state, Limit(jnp.int32(8), jnp.int32(2**30)))
        return made.snapshot(state).params

    return jax.jit(run), config


@pytest.mark.parametrize(
    ("agent", "optimiser"),
    [*((agent, "adam") for agent in STRATEGIES), ("eggroll", "sgd"), ("eggroll", "adamw")],
)
def test_traced_settings_count_and_compile_nothing(agent: str, optimiser: str) -> None:
    run, config = compiled(agent, optimiser)
    usual = run(numbers(config))
    traced = numbers(config)
    assert traced.keys() == OTHER.keys()
    for name, value in OTHER.items():
        result = run({**traced, name: jnp.float32(value)})
        same = all(map(np.array_equal, jax.tree.leaves(usual), jax.tree.leaves(result)))
        assert same == (name not in ALWAYS | USED[optimiser]), name
    assert run._cache_size() == 1


@pytest.mark.parametrize("agent", STRATEGIES)
def test_an_odd_population_is_refused(agent: str) -> None:
    with pytest.raises(pydantic.ValidationError, match="must be even, such as 16"):
        hyperparameters(agent)(population=15)


@pytest.mark.parametrize("shaping", ["z_score", "centred_ranks"])
@pytest.mark.parametrize("agent", PERSISTENT)
def test_biased_shapings_are_refused_when_the_sweep_is_read(agent: str, shaping: str) -> None:
    text = (
        "name: biased\nseeds: 1\ndefaults: {budget: {generations: 1}}\n"
        f"environments: [CartPole-v1]\nagents:\n  - eggroll\n  - name: {agent}\n"
        f"    with: {{shaping: {shaping}}}\n"
    )
    with pytest.raises(UserError) as refusal:
        sweep_of(text)
    assert str(refusal.value).startswith(
        f"sweep.yaml: agents[1] (line 7): {agent}: shaping {shaping}"
    )
    assert "allow_biased_shaping: true" in str(refusal.value)
    sweep_of(text, "agents.1.with.allow_biased_shaping=true")


@pytest.mark.parametrize("agent", PERSISTENT)
def test_a_window_longer_than_the_episode_is_refused(agent: str) -> None:
    learner(agent, Target(length=7), window=7)
    with pytest.raises(UserError, match="window: 8 steps, but an episode ends after 7"):
        learner(agent, Target(length=7), window=8)


def test_the_engine_names_no_agent() -> None:
    """Only `tools` does, which trains one; agents declare what figures know of them.

    A network or an activation may have an agent's name, as egg and pqn do.
    """
    names, files = set(registry.agents.names()) - {*NETWORKS, *ACTIVATIONS}, set()
    for path in sorted(PACKAGE.rglob("*.py")):
        constants = [
            n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant)
        ]
        if names & {node.value for node in constants if isinstance(node.value, str)}:
            files.add(path.relative_to(PACKAGE).as_posix())
    assert {file for file in files if file.split("/")[0] != "agents"} == {"tools/__init__.py"}
