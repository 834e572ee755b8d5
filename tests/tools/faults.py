"""Environments and agents with one fault each, for the checks to find."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from rl_es.config import traced
from rl_es.evolution.config import EpisodicConfig
from rl_es.evolution.perturbation import FullRank
from rl_es.evolution.strategy import EvolutionStrategy, StrategyState, episodic_strategy
from rl_es.interfaces import Box, Discrete, EnvSpec, Observation, Transition


class State(NamedTuple):
    """Of a point on a line."""

    position: Any
    time: Any
    over: Any


class Sound:
    """A point on a line, pushed by noise, that may not leave it; each fault changes one method."""

    length = 20

    def __init__(self) -> None:
        self.spec = EnvSpec("line", (1,), Box(np.float32([-1]), np.float32([1])), self.length)

    def reset(self, key):
        position = jax.random.uniform(key, (1,), minval=-0.5, maxval=0.5)
        return State(position, jnp.int32(0), jnp.zeros((), bool)), Observation(position)

    def step(self, key, state, action):
        push = 0.01 * jax.random.normal(key, (1,))
        position = state.position + 0.2 * jnp.clip(action, -1, 1) + push
        return self.after(state, position)

    def after(self, state, position):
        terminated = jnp.abs(position[0]) > 1
        after = State(position, state.time + 1, state.over | terminated)
        reward = jnp.where(state.over, 0.0, 1.0 - jnp.abs(position[0]))
        over = (after.time >= self.length) & ~terminated
        return Transition(after, Observation(position), reward, terminated, over)


class TwoPoints(Sound):
    """Two points on a line, which share a reward; the others below change one method."""

    def __init__(self) -> None:
        self.spec = EnvSpec(
            "lines", (2, 1), Box(np.float32([-1]), np.float32([1])), self.length, agents=("a", "b")
        )

    def reset(self, key):
        position = jax.random.uniform(key, (2, 1), minval=-0.5, maxval=0.5)
        return State(position, jnp.int32(0), jnp.zeros((), bool)), Observation(position)

    def step(self, key, state, action):
        push = 0.01 * jax.random.normal(key, (2, 1))
        return self.after(state, state.position + 0.2 * jnp.clip(action, -1, 1) + push)

    def after(self, state, position):
        terminated = (jnp.abs(position) > 1).any()
        after = State(position, state.time + 1, state.over | terminated)
        reward = jnp.where(state.over, 0.0, self.reward(position))
        over = (after.time >= self.length) & ~terminated
        return Transition(after, Observation(position), reward, terminated, over)

    def reward(self, position):
        return (1.0 - jnp.abs(position)).sum()


class RewardEach(TwoPoints):
    """A reward for each agent."""

    def reward(self, position):
        return (1.0 - jnp.abs(position))[:, 0]


class MissingRow(TwoPoints):
    """Observations of one agent where there are two."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = dataclasses.replace(self.spec, observation_shape=(1,))


class OneMask(TwoPoints):
    """One mask for both agents."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = dataclasses.replace(self.spec, action_space=Discrete(2))

    def reset(self, key):
        state, observation = super().reset(key)
        return state, observation._replace(action_mask=jnp.ones(2, bool))

    def step(self, key, state, action):
        transition = super().step(key, state, 2.0 * action[:, None] - 1)
        values = transition.observation.values
        return transition._replace(observation=Observation(values, jnp.ones(2, bool)))


class ReusedKey(Sound):
    """Push and turn come from one key."""

    def step(self, key, state, action):
        push = 0.01 * jax.random.normal(key, (1,)) + 0.01 * jax.random.uniform(key, (1,))
        return self.after(state, state.position + 0.2 * jnp.clip(action, -1, 1) + push)


class RewardAfterTheEnd(Sound):
    """Goes on rewarding."""

    def after(self, state, position):
        return super().after(state, position)._replace(reward=1.0 - jnp.abs(position[0]) * 0.5)


class Impure(Sound):
    """Counts its steps in the object."""

    steps = 0

    def step(self, key, state, action):
        self.steps += 1
        return self.after(state, state.position + 0.1 * self.steps * jnp.clip(action, -1, 1))


class WrongShape(Sound):
    """Observes two numbers, and says one."""

    def reset(self, key):
        state, observation = super().reset(key)
        return state, Observation(jnp.concatenate([observation.values] * 2))

    def after(self, state, position):
        transition = super().after(state, position)
        return transition._replace(observation=Observation(jnp.concatenate([position] * 2)))


class PythonReward(Sound):
    """Gives a Python number for a reward."""

    def after(self, state, position):
        return super().after(state, position)._replace(reward=1.0)


class ChangingState(Sound):
    """Starts with an integer time, and goes on with a float."""

    def after(self, state, position):
        transition = super().after(state, position)
        return transition._replace(state=transition.state._replace(time=state.time + 1.0))


class BothEnds(Sound):
    """Terminates and truncates at once."""

    def after(self, state, position):
        transition = super().after(state, position)
        return transition._replace(truncated=transition.terminated | transition.truncated)


class LateTruncation(Sound):
    """Truncates later than it says."""

    def after(self, state, position):
        transition = super().after(state, position)
        return transition._replace(
            terminated=jnp.zeros((), bool), truncated=transition.state.time >= self.length + 2
        )


class OneStep(Sound):
    """Ends at once, and says that it takes 20 steps."""

    def after(self, state, position):
        transition = super().after(state, position)
        return transition._replace(truncated=jnp.ones((), bool) & ~transition.terminated)


class Unclipped(Sound):
    """Has no answer to an action that it has not."""

    def step(self, key, state, action):
        return self.after(state, state.position + jnp.sqrt(1.0 - action))


# --- agents -------------------------------------------------------------------------------------


class Agent(EvolutionStrategy):
    """Full-rank ES; each fault changes one method."""

    class Hyperparameters(EpisodicConfig):
        """Those of every episodic strategy."""

    @classmethod
    def make(cls, config, problem):
        return episodic_strategy(config, FullRank(problem.parameters), cls)


class WrongSign(Agent):
    """Descends."""

    def shape(self, state, segment):
        return -super().shape(state, segment)


class OneKey(Agent):
    """Draws every block's noise from the first block's key."""

    def ask(self, keys, state, memory, fresh):
        return super().ask(jnp.stack([keys[0]] * keys.shape[0]), state, memory, fresh)


class Uncentred(Agent):
    """Weighs by returns as they are, the plus members alone."""

    def shape(self, state, segment):
        return segment.returns.at[1::2].set(0.0)


class Squared(Agent):
    """Takes bad news for good."""

    def shape(self, state, segment):
        return jnp.square(super().shape(state, segment))


class Turning(Agent):
    """Its direction depends on the unit of returns."""

    def shape(self, state, segment):
        centred = segment.returns - segment.returns.mean()
        return jnp.where(jnp.abs(centred).max() > 5, jnp.roll(centred, 3), centred)


class StaticRate(Agent):
    """Reads a traced setting from the config, so that another value is another program."""

    class Hyperparameters(EpisodicConfig):
        """One of its own."""

        boost: float = traced(2.0, "factor on weights", gt=0)

    @classmethod
    def make(cls, config, problem):
        agent = super().make(config, problem)
        object.__setattr__(agent, "boost", config.boost)
        return agent

    def shape(self, state, segment):
        return self.boost * jnp.tanh(super().shape(state, segment) * self.boost)


class IdleRate(Agent):
    """Never reads one of its settings."""

    class Hyperparameters(EpisodicConfig):
        """One of its own."""

        boost: float = traced(2.0, "factor on weights", gt=0)


class LostState(Agent):
    """Keeps what it learns outside of its state, where no checkpoint finds it."""

    def init(self, params, hyper):
        object.__setattr__(self, "generations", 0)
        return super().init(params, hyper)

    def tell(self, state, update, segment):
        object.__setattr__(self, "generations", self.generations + 1)
        faster = jax.tree.map(lambda leaf: leaf * self.generations, update)
        return super().tell(state, faster, segment)


@struct.dataclass
class Marked(StrategyState):
    """A state of which a part is no array."""

    turns: int = struct.field(pytree_node=False, default=0)


class StateOutsideArrays(Agent):
    """Its state changes its structure."""

    def init(self, params, hyper):
        return Marked(**vars(super().init(params, hyper)))

    def tell(self, state, update, segment):
        after, length = super().tell(state, update, segment)
        return Marked(**vars(after), turns=state.turns + 1), length


class Whole(Agent):
    """Centres weights within a block, as if it saw them all."""

    def contract(self, state, noise, memory, weights):
        return super().contract(state, noise, memory, weights * weights.shape[0] / self.population)
