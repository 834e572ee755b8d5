"""Text that policies write: what they observe, what they carry, and how tokens are drawn."""

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from rl_es.envs import text
from rl_es.envs._text.corpus import Documents, tokenise
from rl_es.envs._text.environment import TextEnvironment
from rl_es.interfaces import Observation, ParameterSpec, Policy, Snapshot
from rl_es.rollout.generation import make_generator
from rl_es.rollout.normalisation import Statistics

CERTAIN = 1e4  # logit of a token that is surely drawn
ENV = TextEnvironment(
    "text/small", tokenise(Documents((b"abcd",), (b"dcba",)), "used"), text.Options()
)
TOKENS = len(ENV.vocabulary)


class Writer:
    """A policy that carries the number of its steps; `rule` says its logits."""

    parameters = ParameterSpec({})

    def __init__(self, rule: Callable[[Array, Array], Array]):
        """`rule` maps the number of steps and the observed value to logits."""
        self.rule = rule

    def init(self, key: Array) -> Any:
        return {}

    def initial_state(self) -> Array:
        return jnp.zeros((), jnp.int32)

    def act(
        self, params: Any, state: Array, observation: Observation, key: Array
    ) -> tuple[Array, Array]:
        return state + 1, self.rule(state, observation.values[0])


def write(
    rule: Callable[[Array, Array], Array],
    size: int,
    seed: int = 0,
    temperature: float = 1.0,
    statistics: Any = None,
) -> list[int]:
    policy = cast(Policy, Writer(rule))
    generate = jax.jit(make_generator(ENV, policy, size, temperature))
    return np.asarray(generate(jax.random.key(seed), Snapshot({}, statistics))).tolist()


def certain(token: Array) -> Array:
    return CERTAIN * jax.nn.one_hot(token.astype(jnp.int32), TOKENS)


def test_what_is_drawn_is_observed_next() -> None:
    tokens = write(lambda _, value: certain((value + 2) % TOKENS), 7)
    assert tokens == [2, 4, 1, 3, 0, 2, 4]  # the first follows token 0


def test_the_state_of_a_policy_is_carried() -> None:
    squares = write(lambda steps, _: certain(steps**2 % TOKENS), 6)
    assert squares == [0, 1, 4, 4, 1, 0]


def test_observations_are_normalised_as_in_training() -> None:
    statistics = Statistics(jnp.float32(1e6), jnp.full(1, -2.0), jnp.full(1, 1e6))
    tokens = write(lambda _, value: certain(jnp.round(value) % TOKENS), 2, statistics=statistics)
    assert tokens == [2, 4]


@pytest.mark.parametrize(("temperature", "share"), [(1.0, 4 / 5), (2.0, 2 / 3), (0.5, 16 / 17)])
def test_a_logit_of_16_is_a_bit(temperature: float, share: float) -> None:
    logits = jnp.full(TOKENS, -CERTAIN).at[1].set(32.0).at[3].set(0.0)
    tokens = write(lambda *_: logits, 4000, temperature=temperature)
    assert set(tokens) == {1, 3}
    error = np.sqrt(share * (1 - share) / 4000)
    assert abs(np.mean(np.array(tokens) == 1) - share) < 4 * error


def test_the_seed_decides_the_text() -> None:
    even = [write(lambda *_: jnp.zeros(TOKENS), 40, seed) for seed in (0, 0, 1)]
    assert even[0] == even[1] != even[2]
