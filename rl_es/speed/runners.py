"""From a contestant to the functions that are compiled and timed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import jax
from jax import Array

from rl_es import registry
from rl_es.config import split
from rl_es.errors import UserError
from rl_es.evolution.keys import block_keys
from rl_es.interfaces import Agent, Environment, Episode, Noise, Policy, Problem, Segment
from rl_es.rollout.policy import make_policy
from rl_es.speed import peers
from rl_es.speed.contestants import Contestant
from rl_es.speed.floors import FixedAction, Unperturbed
from rl_es.speed.names import BARE, EVOSAX, FLOORS
from rl_es.speed.spreading import spread
from rl_es.speed.workloads import Workload
from rl_es.training.learner import Evolution, TrainState
from rl_es.training.placement import Placement
from rl_es.training.program import lane_axis, scalars
from rl_es.training.segments import Held, Unfolded
from rl_es.training.spread import ALL_AT_ONCE
from rl_es.training.task import MOST_GENERATION_STEPS

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
      generation: state -> (state, (returns [P], environment steps [])); of several runs that share
        a call, [L, P] and [L].
      perturbation: key -> the population's noise in one run. Only its shapes are asked for.
      parameters: how many scalars are evolved.
      parts: the parts of a generation, if it can be taken apart.
    """

    init: Callable[[Array], State]
    generation: Callable[[State], tuple[State, tuple[Array, Array]]]
    perturbation: Callable[[Array], Any]
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
        return Runner(peer.init, peer.generation, lambda key: peer.population(peer.init(key)), size)
    if contestant.name in FLOORS:
        bare = contestant.name == BARE
        agent = Unperturbed(workload.population, Episode(workload.episodes))
        acting = FixedAction(env.spec) if bare else policy
        learner = _learner(workload, contestant, agent, env, acting)
        return _of_learner(learner, {}, 0 if bare else size, contestant)
    assert contestant.config is not None
    problem = Problem(policy.parameters, env.spec.episode_length)
    made = registry.agents.load(contestant.name).make(contestant.config, problem)
    learner = _learner(workload, contestant, made, env, policy)
    most = learner.generation_steps * workload.world.wrappers.action_repeat
    if most > MOST_GENERATION_STEPS:
        raise UserError(f"a generation may take {most:,} environment steps; too many to be counted")
    parts = None if contestant.is_spread else Parts(learner)
    return _of_learner(learner, split(contestant.config)[1], size, contestant, parts)


def _learner(
    workload: Workload, contestant: Contestant, agent: Agent, env: Environment, policy: Policy
) -> Evolution:
    normalise, axis = workload.policy.normalise_observations, lane_axis(contestant.lanes)
    return Evolution(agent, env, policy, normalise, axis, _placement(contestant).spread)


def _placement(contestant: Contestant) -> Placement:
    return Placement(shards=contestant.devices, chunks=contestant.chunks)


def _of_learner(
    learner: Evolution,
    settings: dict[str, float],
    parameters: int,
    contestant: Contestant,
    parts: Parts | None = None,
) -> Runner:
    hyper = scalars(settings)

    def init(key: Array) -> TrainState:
        return learner.init(key, hyper)

    def generation(state: TrainState) -> tuple[TrainState, tuple[Array, Array]]:
        state, segment, _ = learner.generation(state)
        return state, (segment.returns, segment.steps)

    def perturbation(key: Array) -> Noise:
        whole = replace(learner, spread=ALL_AT_ONCE)
        return Parts(whole).noise(whole.init(key, hyper))[0]

    if contestant.is_spread:
        functions = spread(learner, hyper, _placement(contestant), contestant.lanes)
        return Runner(*functions, perturbation, parameters)
    return Runner(init, generation, perturbation, parameters, parts)
