"""EGGROLL never writes a member's noise out: the sizes of all tensors in a compiled generation."""

import functools
import math
import re

import jax
import jax.numpy as jnp
import pytest

from rl_es.evolution.fitness_shaping import STATELESS_SHAPINGS
from rl_es.evolution.optimiser import sgd
from rl_es.evolution.perturbation import FullRank, LowRank
from rl_es.evolution.strategy import EvolutionStrategy
from rl_es.interfaces import Episode
from rl_es.rollout.config import PolicyConfig
from rl_es.rollout.policy import make_policy
from rl_es.training.learner import Evolution
from tests.toys import Countdown

POPULATION, WIDTH = 256, 64
DENSE = POPULATION // 2 * WIDTH * WIDTH  # elements of one layer's noise, written out for all pairs
HYPER = ("lr", "lr_decay", "sigma", "sigma_decay", "weight_decay", "momentum")


@functools.cache
def largest(perturbation: str, rank: int = 1) -> int:
    """Elements of the largest tensor in the optimised program of one generation."""
    env = Countdown()
    policy = make_policy(PolicyConfig(widths=(WIDTH, WIDTH)), env.spec)
    spec = policy.parameters
    noise = FullRank(spec) if perturbation == "full" else LowRank(spec, rank)
    agent = EvolutionStrategy(POPULATION, noise, Episode(), STATELESS_SHAPINGS["z_score"], sgd)
    learner = Evolution(agent, env, policy)
    hyper = {name: jnp.ones(()) for name in HYPER}
    state = jax.eval_shape(learner.init, jax.random.key(0), hyper)
    program = jax.jit(learner.generation).lower(state).compile().as_text()
    shapes = re.findall(r"\b(?:f|bf|s|u|pred)\d*\[([\d,]+)\]", program)
    assert shapes, "no shapes in the program's text"
    return max(math.prod(int(length) for length in shape.split(",")) for shape in shapes)


@pytest.mark.parametrize("rank", [1, 2])
def test_low_rank_noise_stays_factors(rank: int):
    assert largest("low", rank) < DENSE


def test_full_rank_noise_is_written_out():
    """So that the test above could fail."""
    assert largest("full") >= DENSE
