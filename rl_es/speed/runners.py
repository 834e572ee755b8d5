"""From a contestant to the functions that are compiled and timed.

The floors of a generation: the same rollout, with nothing done to the policy.

`Unperturbed` is an agent that draws no noise and learns nothing, so that its generation is the
suite's own rollout of the unperturbed policy, shared by all members: pure batch inference. With
`FixedAction` as the policy it is the bare environment.

A workload's environment, and episodes that all last to the time limit.

With a full horizon every contestant takes exactly P x E x T steps, whatever its policies do.

A learner's generation over devices, in chunks, and for several runs at once.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from rl_es import registry
from rl_es.config import split_traced
from rl_es.errors import UserError
from rl_es.evolution.perturbation import block_keys
from rl_es.interfaces import (
    Agent,
    Discrete,
    Environment,
    EnvSpec,
    EnvState,
    Episode,
    Hyper,
    Members,
    Memory,
    Noise,
    Observation,
    Params,
    Policy,
    PolicyState,
    ProblemSpec,
    Segment,
    Transition,
    Update,
)
from rl_es.rollout.policy import EmptyNetwork, make_policy
from rl_es.rollout.segments import SegmentOutcome, SegmentStart
from rl_es.rollout.wrappers import wrap_environment
from rl_es.speed import peers
from rl_es.speed.schema import BARE, EVOSAX, FLOORS, Horizon
from rl_es.speed.workloads import Contestant, Workload
from rl_es.training.compilation import (
    data_to_keys,
    keys_to_data,
    lane_axis,
    scalar_leaves,
    vmap_lanes,
)
from rl_es.training.learner import Evolution, TrainState
from rl_es.training.sharding import UNSHARDED, Placement, shard_shapes
from rl_es.training.task import MAX_GENERATION_STEPS


@dataclass(frozen=True)
class Unperturbed:
    """An agent all of whose members are the initial policy. Its state is that policy."""

    population: int
    segment: Episode

    def init(self, params: Params, hyper: Hyper) -> Params:
        return params

    def remember(self, pairs: int) -> Memory:
        return ()

    def ask(self, keys: Array, state: Params, memory: Memory, fresh: Array) -> tuple[Noise, Memory]:
        return (), memory

    def members(self, state: Params, noise: Noise) -> Members:
        return Members(shared=state, direct={}, products={})

    def shape(self, state: Params, segment: Segment) -> Array:
        return segment.returns

    def contract(self, state: Params, noise: Noise, memory: Memory, weights: Array) -> Update:
        return ()

    def tell(self, state: Params, update: Update, segment: Segment) -> tuple[Params, Array]:
        return state, jnp.zeros(())

    def center(self, state: Params) -> Params:
        return state


class FixedAction(EmptyNetwork):
    """A policy without a network: the first discrete action, or the middle of the box."""

    def __init__(self, spec: EnvSpec):
        self._space = spec.action_space

    def act(
        self, params: Params, state: PolicyState, observation: Observation, key: Array
    ) -> tuple[PolicyState, Array]:
        return state, self._action()

    def _action(self) -> Any:
        space = self._space
        if isinstance(space, Discrete):
            return jnp.zeros((), jnp.int32)
        low, high = jnp.asarray(space.low), jnp.asarray(space.high)
        bounded = jnp.isfinite(low) & jnp.isfinite(high)
        return jnp.where(bounded, (low + high) / 2, 0.0)


def place_generation(
    learner: Evolution, hyper: Hyper, placement: Placement, lanes: int
) -> tuple[Callable[[Array], Any], Callable[[Any], Any]]:
    """The `init` and `generation` of a `Runner`, for a learner that is spread so.

    Args:
      learner: built with the placement's spread and the name of the lane axis.
      hyper: its traced settings.
      placement: devices and chunks.
      lanes: runs that share a call (L).

    Returns:
      key -> state, and state -> (state, (returns [L, P], environment steps [L])).

    Raises:
      UserError: there are not so many devices.
    """
    if placement.devices > jax.device_count():
        raise UserError(f"it needs {placement.devices} devices; jax finds {jax.device_count()}")

    def begin(data: Array) -> Any:
        return learner.init(jax.random.wrap_key_data(data), hyper)

    shapes = shard_shapes(begin, jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0))))

    def advance(state: Any) -> Any:
        state, segment, _ = learner.generation(data_to_keys(state, shapes))
        return keys_to_data(state), (segment.returns, segment.steps)

    held = learner.pairwise
    first = placement.over(
        vmap_lanes(lambda data: keys_to_data(begin(data)), lanes), (False,), held
    )
    following = placement.over(vmap_lanes(advance, lanes), (held,), (held, False))

    def init(key: Array) -> Any:
        keys = jax.random.split(key, lanes) if lanes > 1 else key[None]
        return first(jax.random.key_data(keys))

    return init, following


State = Any


@dataclass(frozen=True)
class GenerationParts:
    """The parts of a generation, each a function of what the earlier ones gave."""

    learner: Evolution

    def noise(self, state: TrainState) -> tuple[Noise, Any]:
        """The population's noise, and the agent's memory of it."""
        keys = self._keys(state)[0]
        return self.learner.agent.ask(keys, state.agent, state.memory, state.fresh)

    def rollout(self, state: TrainState, noise: Noise) -> SegmentOutcome:
        """The population's segment."""
        members = self.learner.agent.members(state.agent, noise)
        held = SegmentStart(state.particles, state.fresh, state.statistics)
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
class TimedFunctions:
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
    parts: GenerationParts | None = None


def make_runner(workload: Workload, contestant: Contestant, env: Environment) -> TimedFunctions:
    """The functions of a contestant.

    Raises:
      UserError: it does not fit the environment, or is not installed.
    """
    policy = make_policy(workload.policy, env.spec)
    size = policy.parameters.size
    if contestant.name == EVOSAX:
        peer = peers.make_evosax_peer(env, policy, cast(peers.PeerSettings, contestant.config))
        return TimedFunctions(
            peer.init, peer.generation, lambda key: peer.population(peer.init(key)), size
        )
    if contestant.name in FLOORS:
        bare = contestant.name == BARE
        agent = Unperturbed(workload.population, Episode(workload.episodes))
        acting = FixedAction(env.spec) if bare else policy
        learner = _learner(workload, contestant, agent, env, acting)
        return _of_learner(learner, {}, 0 if bare else size, contestant)
    assert contestant.config is not None
    problem = ProblemSpec(policy.parameters, env.spec.episode_length)
    made = registry.agents.load(contestant.name).make(contestant.config, problem)
    learner = _learner(workload, contestant, made, env, policy)
    most = learner.generation_steps * workload.world.wrappers.action_repeat
    if most > MAX_GENERATION_STEPS:
        raise UserError(f"a generation may take {most:,} environment steps; too many to be counted")
    parts = None if contestant.is_spread else GenerationParts(learner)
    return _of_learner(learner, split_traced(contestant.config)[1], size, contestant, parts)


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
    parts: GenerationParts | None = None,
) -> TimedFunctions:
    hyper = scalar_leaves(settings)

    def init(key: Array) -> TrainState:
        return learner.init(key, hyper)

    def generation(state: TrainState) -> tuple[TrainState, tuple[Array, Array]]:
        state, segment, _ = learner.generation(state)
        return state, (segment.returns, segment.steps)

    def perturbation(key: Array) -> Noise:
        whole = replace(learner, spread=UNSHARDED)
        return GenerationParts(whole).noise(whole.init(key, hyper))[0]

    if contestant.is_spread:
        functions = place_generation(learner, hyper, _placement(contestant), contestant.lanes)
        return TimedFunctions(*functions, perturbation, parameters)
    return TimedFunctions(init, generation, perturbation, parameters, parts)


@struct.dataclass
class FullHorizonState:
    """The state of a `FullHorizon`."""

    inner: EnvState
    over: Array  # [] bool: the environment itself has ended the episode
    steps: Array  # [] int32, since the reset


class FullHorizon:
    """Ends no episode before the time limit; rewards stop where the environment would have ended.

    That keeps returns a function of the states. XLA deletes what no output depends on, so a reward
    that is always 1 would let it delete the physics, and the rollout would cost nothing.
    """

    def __init__(self, env: Environment):
        self.env = env
        self.spec = env.spec

    def reset(self, key: Array) -> tuple[EnvState, Observation]:
        state, observation = self.env.reset(key)
        return FullHorizonState(state, jnp.zeros((), bool), jnp.zeros((), jnp.int32)), observation

    def step(self, key: Array, state: EnvState, action: Array) -> Transition:
        transition = self.env.step(key, state.inner, action)
        steps, limit = state.steps + 1, self.spec.episode_length
        return transition._replace(
            state=FullHorizonState(transition.state, state.over | transition.terminated, steps),
            reward=jnp.where(state.over, 0.0, transition.reward),
            terminated=jnp.zeros((), bool),
            truncated=jnp.zeros((), bool) if limit is None else steps >= limit,
        )


def make_environment(workload: Workload, horizon: Horizon) -> Environment:
    """A fresh environment of a workload, with this horizon.

    Raises:
      UserError: it has no time limit.
    """
    world = workload.world
    suite = registry.environment_suite(world.name)
    made = suite.make(world.name, workload.options)
    env = wrap_environment(FullHorizon(made) if horizon == "full" else made, world.wrappers)
    if env.spec.episode_length is None:
        raise UserError(
            f"environment {world.display_name}: it has no time limit, so its episodes have no "
            "length to be timed over; give it an episode_length"
        )
    return env
