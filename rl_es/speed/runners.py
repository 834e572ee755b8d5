"""From a contestant to the functions that are compiled and timed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import jax
from jax import Array

from rl_es import registry
from rl_es.config import split
from rl_es.evolution.keys import block_keys
from rl_es.interfaces import Agent, Environment, Episode, Noise, Policy, Problem, Segment
from rl_es.rollout.policy import make_policy
from rl_es.speed import peers
from rl_es.speed.contestants import Contestant
from rl_es.speed.floors import FixedAction, Unperturbed
from rl_es.speed.names import BARE, EVOSAX, FLOORS
from rl_es.speed.workloads import Workload
from rl_es.training.learner import Evolution, TrainState
from rl_es.training.segments import Held, Unfolded

State = Any


@dataclass(frozen=True)
class Parts:
    """The parts of a generation, each a function of what the earlier ones gave."""

    learner: Evolution

    def noise(self, state: TrainState) -> tuple[Noise, Any]:
        """The population's noise, and the agent's memory of it."""
        keys = self._keys(state)[0]
        return self.learner.agent.ask(keys, state.agent, state.memory, state.fresh)

    def rollout(self, state: TrainState, noise: Noise) -> Unfolded:
        """The population's segment."""
        members = self.learner.agent.members(state.agent, noise)
        held = Held(state.particles, state.fresh, state.statistics)
        _, reset_keys, step_keys = self._keys(state)
        return self.learner.unfolding.run(members, held, reset_keys, step_keys)

    def shaping(self, state: TrainState, segment: Segment) -> Array:
        """The members' weights [P]."""
        return self.learner.agent.shape(state.agent, segment)

    def update(
        self, state: TrainState, noise: Noise, memory: Any, weights: Array, segment: Segment
    ) -> Any:
        """The next state of the agent."""
        agent = self.learner.agent
        update = agent.contract(state.agent, noise, memory, weights)
        return agent.tell(state.agent, update, segment)

    def _keys(self, state: TrainState) -> list[Array]:
        key = jax.random.fold_in(state.key, state.generation)
        return [block_keys(part, self.learner.pairs) for part in jax.random.split(key, 3)]


@dataclass(frozen=True)
class Runner:
    """What is timed of a contestant.

    Attributes:
      init: key -> state. Consumes the key.
      generation: state -> (state, (returns [P], environment steps [])).
      perturbation: state -> the population's noise.
      parameters: scalars evolved.
      parts: those of a generation, where it can be taken apart.
    """

    init: Callable[[Array], State]
    generation: Callable[[State], tuple[State, tuple[Array, Array]]]
    perturbation: Callable[[State], Any]
    parameters: int
    parts: Parts | None = None


def make_runner(workload: Workload, contestant: Contestant, env: Environment) -> Runner:
    """The functions of a contestant.

    Raises:
      UserError: it does not fit the environment, or is not installed.
    """
    policy = make_policy(workload.policy, env.spec)
    size = policy.parameters.size
    if contestant.name == EVOSAX:
        peer = peers.evosax(env, policy, cast(peers.Settings, contestant.config))
        return Runner(peer.init, peer.generation, peer.population, size)
    if contestant.name in FLOORS:
        bare = contestant.name == BARE
        agent = Unperturbed(workload.population, Episode(workload.episodes))
        acting = FixedAction(env.spec) if bare else policy
        return _of_learner(_learner(workload, agent, env, acting), {}, 0 if bare else size)
    assert contestant.config is not None
    problem = Problem(policy.parameters, env.spec.episode_length)
    made = registry.agents.load(contestant.name).make(contestant.config, problem)
    learner = _learner(workload, made, env, policy)
    return _of_learner(learner, split(contestant.config)[1], size, Parts(learner))


def _learner(workload: Workload, agent: Agent, env: Environment, policy: Policy) -> Evolution:
    return Evolution(agent, env, policy, workload.policy.normalise_observations)


def _of_learner(
    learner: Evolution, hyper: dict[str, float], parameters: int, parts: Parts | None = None
) -> Runner:
    def init(key: Array) -> TrainState:
        return learner.init(key, {name: jax.numpy.float32(hyper[name]) for name in hyper})

    def generation(state: TrainState) -> tuple[TrainState, tuple[Array, Array]]:
        state, segment, _ = learner.generation(state)
        return state, (segment.returns, segment.steps)

    def perturbation(state: TrainState) -> Noise:
        return Parts(learner).noise(state)[0]

    return Runner(init, generation, perturbation, parameters, parts)
