"""Environments and policies written for the tests: small enough to be known by heart."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.interfaces import (
    Box,
    Discrete,
    EnvSpec,
    Observation,
    ParameterSpec,
    Params,
    PolicyState,
    Transition,
)


@dataclass(frozen=True, eq=False)
class ParameterPolicy:
    """The action is the parameter vector itself."""

    size: int = 1

    @property
    def parameters(self) -> ParameterSpec:
        return ParameterSpec({"theta": jax.ShapeDtypeStruct((self.size,), jnp.float32)})

    def init(self, key: Array) -> Params:
        return {"theta": jnp.zeros((self.size,), jnp.float32)}

    def initial_state(self) -> PolicyState:
        return ()

    def act(
        self, params: Params, state: PolicyState, observation: Observation, key: Array
    ) -> tuple[PolicyState, Array]:
        return state, params["theta"]


def box(size: int) -> Box:
    return Box(np.full(size, -np.inf, np.float32), np.full(size, np.inf, np.float32))


@dataclass(frozen=True)
class Countdown:
    """Episodes of a length drawn at reset; reward 1 a step, and 1000 after the end.

    Lengths are uniform in 1 .. longest; the episode is truncated at `limit`.
    """

    longest: int = 10
    limit: int = 8

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec("countdown", (1,), box(1), self.limit)

    def reset(self, key: Array) -> tuple[Any, Observation]:
        length = jax.random.randint(key, (), 1, self.longest + 1, dtype=jnp.int32)
        return (jnp.zeros((), jnp.int32), length), self._observe(length)

    def step(self, key: Array, state: Any, action: Array) -> Transition:
        t, length = state
        over = (t >= length) | (t >= self.limit)
        t = t + 1
        return Transition(
            (t, length),
            self._observe(length),
            jnp.where(over, 1000.0, 1.0).astype(jnp.float32),
            t >= length,
            (t >= self.limit) & (t < length),
        )

    def _observe(self, length: Array) -> Observation:
        return Observation(length.astype(jnp.float32)[None])


@dataclass(frozen=True)
class Drift:
    """A scalar system pushed by the action, which ends where the state has gone too far.

    x' = decay x + action, reward 1 - x' ** 2 / 2 + x', terminated when x' > edge.
    """

    horizon: int = 3
    decay: float = 0.7
    edge: float = 0.9
    start: float = 0.2

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec("drift", (1,), box(1), self.horizon)

    def reset(self, key: Array) -> tuple[Any, Observation]:
        x = jnp.asarray(self.start, jnp.float32)
        return (x, jnp.zeros((), jnp.int32)), Observation(x[None])

    def step(self, key: Array, state: Any, action: Array) -> Transition:
        x, t = state
        x, t = self.decay * x + action[0], t + 1
        reward = 1 - x**2 / 2 + x
        return Transition((x, t), Observation(x[None]), reward, x > self.edge, t >= self.horizon)

    def returns(self, actions: np.ndarray) -> np.ndarray:
        """Episode returns [...] of action sequences [horizon, ...], in NumPy."""
        x = np.full(actions.shape[1:], self.start)
        alive, total = np.ones(x.shape, bool), np.zeros(x.shape)
        for action in actions:
            x = self.decay * x + action
            total += np.where(alive, 1 - x**2 / 2 + x, 0.0)
            alive &= x <= self.edge
        return total


@dataclass(frozen=True)
class Breaking:
    """Pays minus the squared distance to 2 of each action; breaks down below an edge.

    From then on rewards and observations are not finite. Where it is `fatal` that ends the episode;
    otherwise nothing but the time does, if there is a `length`.
    """

    length: int | None = 1
    edge: float = 0.0
    value: float = np.nan  # or infinite, of either sign
    fatal: bool = False

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec("breaking", (1,), box(1), self.length, initial_action=(0.0,))

    def reset(self, key: Array) -> tuple[Any, Observation]:
        return (jnp.zeros(()), jnp.zeros((), jnp.int32)), Observation(jnp.zeros((1,)))

    def step(self, key: Array, state: Any, action: Array) -> Transition:
        sound, t = state
        sound, t = sound + jnp.where(action[0] < self.edge, self.value, 0.0), t + 1
        return Transition(
            (sound, t),
            Observation(sound[None]),
            sound - jnp.square(action[0] - 2),
            self.fatal & ~jnp.isfinite(sound),
            jnp.asarray(self.length is not None and t >= self.length),
        )


@dataclass(frozen=True)
class Letters:
    """A text of few tokens, read from one of some starts; token 0 comes now and then.

    A reward is the log2-likelihood of the next token, rounded to 1/16 bit: exact sums. Its state is
    a position and the last action.
    """

    tokens: int = 11
    length: int | None = None  # of an episode
    starts: int = 4

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec("letters", (1,), box(self.tokens), self.length)

    def reset(self, key: Array) -> tuple[Any, Observation]:
        position = 97 * jax.random.randint(key, (), 0, self.starts, dtype=jnp.int32)
        zero = jnp.zeros((), jnp.int32)
        return (position, zero, jnp.zeros(self.tokens)), self._observe(position)

    def step(self, key: Array, state: Any, action: Array) -> Transition:
        position, t, _ = state
        position, t = position + 1, t + 1
        observation = self._observe(position)
        logit = action[observation.values[0].astype(jnp.int32)]
        loss = jnp.round(16 * jnp.log2(jnp.exp2(action / 16).sum()))
        over = jnp.asarray(self.length is not None and t >= self.length)
        reward = (jnp.round(logit) - loss) / 16
        return Transition((position, t, action), observation, reward, jnp.zeros((), bool), over)

    def _observe(self, position: Array) -> Observation:
        token = (position * position + position // 3) % self.tokens
        return Observation(token.astype(jnp.float32)[None])


@dataclass(frozen=True)
class Corridor:
    """Right is rewarded, left is not, and a third action is forbidden; over after six steps.

    A step of it is two of the environment. Actions are three, or `real`: above 0 is right. The
    third is `masked`, or costs a thousand. The end is the time limit's, or `terminal`.
    """

    masked: bool = False
    real: bool = False
    terminal: bool = False

    @property
    def spec(self) -> EnvSpec:
        box = Box(np.full(1, -1, np.float32), np.full(1, 1, np.float32))
        return EnvSpec("corridor", (2,), box if self.real else Discrete(3), 6)

    def reset(self, key: Array) -> tuple[Array, Observation]:
        return jnp.zeros((), jnp.int32), self._seen(jnp.zeros((), jnp.int32))

    def step(self, key: Array, state: Array, action: Array) -> Transition:
        chosen = (jnp.squeeze(action) > 0 if self.real else action == 1).astype(jnp.float32)
        forbidden = jnp.zeros(()) if self.real else (action == 2).astype(jnp.float32)
        over = state + 1 >= 6
        observed, reward = self._seen(state + 1), chosen - 1000 * forbidden
        never = jnp.zeros((), bool)
        ends = (over, never) if self.terminal else (never, over)
        return Transition(state + 1, observed, reward, *ends, jnp.int32(2))

    def _seen(self, state: Array) -> Observation:
        values = jnp.stack([jnp.float32(1), state.astype(jnp.float32)])
        return Observation(values, jnp.array([True, True, False]) if self.masked else None)
