"""Settings of a user's own strategy: static ones reach it, inherited ones can be fixed."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import pydantic
import pytest

from rl_es.agents import nres, pes
from rl_es.config import split_traced, static
from rl_es.evolution.config import EpisodicConfig
from rl_es.evolution.perturbation import FullRank
from rl_es.evolution.strategy import EvolutionStrategy, episodic_strategy
from rl_es.training.learner import Evolution
from tests.toys import Drift, ParameterPolicy


class Settings(EpisodicConfig):
    elites: int = static(4, ge=1)
    shaping: ClassVar[str] = "raw"
    lr: ClassVar[float] = 0.25


@dataclass(frozen=True)
class Elite(EvolutionStrategy):
    elites: int = 1

    def shape(self, state, segment):
        threshold = jax.lax.top_k(segment.returns, self.elites)[0][-1]
        return (segment.returns >= threshold).astype(jnp.float32)


def test_a_static_setting_reaches_the_strategy():
    strategy = episodic_strategy(
        Settings(), FullRank(ParameterPolicy().parameters), Elite, elites=7
    )
    assert strategy.elites == 7 and isinstance(strategy, Elite)


def test_a_fixed_setting_is_none_and_its_value_is_passed_on():
    static_settings, hyper = split_traced(Settings())
    assert "shaping" not in static_settings and "elites" in static_settings
    assert hyper["lr"] == 0.25 and hyper["sigma"] == 0.1
    for name, value in (("shaping", "raw"), ("lr", 0.25)):
        with pytest.raises(pydantic.ValidationError, match=name):
            Settings(**{name: value})


@pytest.mark.parametrize("agent", [pes, nres])
def test_factors_need_a_rank(agent):
    assert agent.Hyperparameters(rank=2, factors="sphere").identity()["factors"] == "sphere"
    assert "factors" not in agent.Hyperparameters(rank=2).identity()
    with pytest.raises(pydantic.ValidationError, match="factors sphere are of low-rank noise"):
        agent.Hyperparameters(factors="sphere")


def test_a_strategy_with_a_fixed_traced_setting_trains():
    policy = ParameterPolicy()
    strategy = episodic_strategy(
        Settings(optimiser="sgd", population=16), FullRank(policy.parameters), Elite, elites=4
    )
    learner = Evolution(strategy, Drift(), policy)
    hyper = {name: jnp.float32(value) for name, value in split_traced(Settings())[1].items()}
    state = jax.jit(learner.init)(jax.random.key(0), hyper)
    after, *_ = jax.jit(learner.generation)(state)
    assert after.agent.params["theta"] != state.agent.params["theta"]
