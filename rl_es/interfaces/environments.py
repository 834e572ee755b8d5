"""Environments, and the plain data that they give and take."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from jax import Array

from rl_es.interfaces.pytrees import EnvState, Params


@dataclass(frozen=True)
class Discrete:
    """Actions 0 .. n - 1 (int32 scalar)."""

    n: int


@dataclass(frozen=True, eq=False)
class Box:
    """Real actions within [low, high], float32 arrays of `shape`."""

    low: np.ndarray  # [*shape]
    high: np.ndarray  # [*shape]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.low.shape)


@dataclass(frozen=True)
class EnvSpec:
    """What the engine needs to know of an environment before it runs it.

    Attributes:
      name: the name it has in a sweep file, such as `CartPole-v1` or `brax/ant`.
      observation_shape: shape of one observation's float32 values.
      action_space: `Discrete` or `Box`.
      episode_length: steps after which an episode is truncated; None where it never is.
      initial_action: where a policy starts that is the action itself (`network: parameters`).
      evaluation_steps: of the environment's own evaluation, which reports the `score` of the state
        after so many steps; None where it reports the episodic return.
      rewards_after_end: steps after a termination may give rewards, which the engine does not
        count, as in most of the libraries that suites are made of.
    """

    name: str
    observation_shape: tuple[int, ...]
    action_space: Discrete | Box
    episode_length: int | None
    initial_action: tuple[float, ...] | None = None
    evaluation_steps: int | None = None
    rewards_after_end: bool = False


class Observation(NamedTuple):
    """One observation: float32 values, and a mask of allowed discrete actions or None."""

    values: Array  # [*observation_shape]
    action_mask: Array | None = None  # [A] bool


class Transition(NamedTuple):
    """What a step gives. `terminated`: the task ended; `truncated`: only the time was over.

    `steps` counts the environment's own steps in it; more than one where an action is repeated.
    """

    state: EnvState
    observation: Observation
    reward: Array  # [] float32
    terminated: Array  # [] bool
    truncated: Array  # [] bool
    steps: Array | np.int32 = np.int32(1)  # [] int32


class Environment(Protocol):
    """Pure functions of one instance; the engine vmaps. There is no auto-reset."""

    @property
    def spec(self) -> EnvSpec: ...

    def reset(self, key: Array) -> tuple[EnvState, Observation]:
        """Starts an episode. Consumes `key`."""
        ...

    def step(self, key: Array, state: EnvState, action: Array) -> Transition:
        """One transition. Consumes `key`. What it returns after an episode's end is not used."""
        ...


class Scored(Environment, Protocol):
    """An environment that names an evaluation of its own."""

    def score(self, state: EnvState) -> Array:
        """[] what is reported of the state that an evaluation ends in; higher is better."""
        ...


class Solved(Environment, Protocol):
    """An environment of which the expected gradient estimates are known exactly."""

    def expected(self, params: Params, sigma: float, rank: int | None) -> Params | None:
        """What estimates of an episode's gradient are on average: E[f(params + sigma E) E] / sigma.

        Of returns, actions and observations as they are: without shaping, sampling, normalisation.
        It holds for every strategy, whether noise is drawn for an episode or for each window of it.

        Args:
          params: the unperturbed parameters.
          sigma: standard deviation of the noise on each of them.
          rank: of the noise on weight matrices; None for full rank.

        Returns:
          float64 arrays, structured like the parameters; None where it is not known for these.
        """
        ...
