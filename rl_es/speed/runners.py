"""The functions of a contestant that are compiled and timed.

`make_timed_functions` builds them for a contestant on a workload:

- An agent's generation is `Evolution.generation` on the workload's environment, and its parts are
  the stages of that very generation (`generation_parts`).
- A floor is the same generation of an agent that does nothing. `Unperturbed` draws no noise and
  learns nothing: its generation is the rollout of the unperturbed policy, shared by all members,
  pure batch inference. With `FixedAction` as its policy it is the bare environment.
- A peer is another library's strategy on the same rollout (`rl_es.speed.peers`).

With a full horizon (`FullHorizon`) every contestant takes exactly P x E x T steps, whatever its
policies do. A generation may also be sharded over devices, cut into chunks, and run for several
lanes at once.
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
from rl_es.rollout.segments import SegmentOutcome
from rl_es.rollout.wrappers import wrap_environment
from rl_es.speed import peers
from rl_es.speed.schema import BARE, EVOSAX, FLOORS, Horizon
from rl_es.speed.workloads import Contestant, Workload
from rl_es.training.compilation import (
    data_to_keys,
    keys_to_data,
    lane_axis,
    scalar_leaves,
    suppress_loader_messages,
    vmap_lanes,
)
from rl_es.training.learner import Evolution, PopulationNoise, ShapedReturns, TrainState
from rl_es.training.sharding import UNSHARDED, Placement, shard_shapes
from rl_es.training.task import MAX_GENERATION_STEPS


@dataclass(frozen=True)
class Unperturbed:
    """An agent whose members all are the initial policy. Its state is that policy."""

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
        self._space, self._shape = spec.action_space, spec.action_shape

    def act(
        self, params: Params, state: PolicyState, observation: Observation, key: Array
    ) -> tuple[PolicyState, Array]:
        space = self._space
        if isinstance(space, Discrete):
            return state, jnp.zeros(self._shape, jnp.int32)
        low, high = jnp.asarray(space.low), jnp.asarray(space.high)
        finite = jnp.isfinite(low) & jnp.isfinite(high)
        middle = jnp.where(finite, (low + high) / 2, 0.0)
        return state, jnp.broadcast_to(middle, self._shape)


State = Any


@dataclass(frozen=True)
class TimedFunctions:
    """The functions of a contestant that are timed.

    Attributes:
      init: key -> state. Consumes the key.
      generation: state -> (state, (returns [P], environment steps [])); [L, P] and [L] with several
        lanes.
      perturbation: key -> the population's noise in one run, for its shapes.
      parameters: number of scalars that are evolved.
      learner: the learner whose stages are timed one by one; None if they are not.
    """

    init: Callable[[Array], State]
    generation: Callable[[State], tuple[State, tuple[Array, Array]]]
    perturbation: Callable[[Array], Any]
    parameters: int
    learner: Evolution | None = None


def generation_parts(learner: Evolution) -> dict[str, Callable[..., Any]]:
    """Returns the stages of a learner's generation as the parts that are timed, in their order.

    `noise`, `rollout` and `shaping` are the stages `ask`, `unroll` and `shape`; `update` is
    `contract` and `tell`. The bookkeeping that belongs to a stage is timed with it: `shaping`
    includes the replacement of returns that are not finite, `update` the guard against generations
    without any finite return, the metrics and the merge of the observation statistics.

    Returns:
      noise: state -> noise.
      rollout: (state, noise) -> outcome of the segment.
      shaping: (state, outcome) -> shaped returns.
      update: (state, noise, shaped returns, outcome) -> the agent's state, statistics, metrics.
    """

    def draw(state: TrainState) -> PopulationNoise:
        return learner.ask(state, learner.population_slice(state))

    def unroll(state: TrainState, noise: PopulationNoise) -> SegmentOutcome:
        return learner.unroll(state, learner.population_slice(state), noise)

    def update(
        state: TrainState, noise: PopulationNoise, shaping: ShapedReturns, outcome: SegmentOutcome
    ) -> Any:
        total = learner.contract(state, noise, shaping.weights)
        after, metrics = learner.tell(state, total, shaping, noise.memory, outcome)
        # Memory and particles are inputs of this part: to return them would time their copies.
        return after.agent, after.statistics, metrics

    return {"noise": draw, "rollout": unroll, "shaping": learner.shape, "update": update}


def make_timed_functions(
    workload: Workload, contestant: Contestant, env: Environment
) -> TimedFunctions:
    """Builds the functions of a contestant.

    Raises:
      UserError: the contestant does not fit the environment, is not installed, or needs more
        devices than there are.
    """
    precision = contestant.precision or workload.policy.precision
    policy = make_policy(workload.policy.model_copy(update={"precision": precision}), env.spec)
    size = policy.parameters.size
    if contestant.name == EVOSAX:
        peer = peers.make_evosax_peer(env, policy, cast(peers.PeerSettings, contestant.config))
        return TimedFunctions(
            peer.init, peer.generation, lambda key: peer.population(peer.init(key)), size
        )
    if contestant.name in FLOORS:
        bare = contestant.name == BARE
        floor = Unperturbed(workload.population, Episode(workload.episodes))
        acting = FixedAction(env.spec) if bare else policy
        learner = _learner(workload, contestant, floor, env, acting)
        return _learner_functions(learner, {}, 0 if bare else size, contestant)
    assert contestant.config is not None
    problem = ProblemSpec(policy.parameters, env.spec.episode_length)
    agent = registry.agents.load(contestant.name).make(contestant.config, problem)
    learner = _learner(workload, contestant, agent, env, policy)
    steps = learner.generation_steps * workload.environment.wrappers.action_repeat
    if steps > MAX_GENERATION_STEPS:
        raise UserError(
            f"a generation may take {steps:,} environment steps; too many to be counted"
        )
    functions = _learner_functions(learner, split_traced(contestant.config)[1], size, contestant)
    return functions if contestant.is_spread else replace(functions, learner=learner)


def _learner(
    workload: Workload, contestant: Contestant, agent: Agent, env: Environment, policy: Policy
) -> Evolution:
    return Evolution(
        agent,
        env,
        policy,
        normalise_observations=workload.policy.normalise_observations,
        lane_axis=lane_axis(contestant.lanes),
        sharding=_placement(contestant).population,
    )


def _placement(contestant: Contestant) -> Placement:
    return Placement(shards=contestant.devices, chunks=contestant.chunks)


def _learner_functions(
    learner: Evolution, settings: dict[str, float], parameters: int, contestant: Contestant
) -> TimedFunctions:
    hyper = scalar_leaves(settings)

    def perturbation(key: Array) -> Noise:
        single = replace(learner, sharding=UNSHARDED)
        state = single.init(key, hyper)
        return single.ask(state, single.population_slice(state)).noise

    if contestant.is_spread:
        functions = _placed_functions(learner, hyper, _placement(contestant), contestant.lanes)
        return TimedFunctions(*functions, perturbation, parameters)

    def init(key: Array) -> TrainState:
        return learner.init(key, hyper)

    def generation(state: TrainState) -> tuple[TrainState, tuple[Array, Array]]:
        state, segment, _ = learner.generation(state)
        return state, (segment.returns, segment.steps)

    return TimedFunctions(init, generation, perturbation, parameters)


def _placed_functions(
    learner: Evolution, hyper: Hyper, placement: Placement, lanes: int
) -> tuple[Callable[[Array], Any], Callable[[Any], Any]]:
    """Builds `init` and `generation` of a learner with several devices, chunks or lanes.

    Args:
      learner: built with the placement's sharding and the name of the lane axis.
      hyper: its traced settings.
      placement: devices and chunks.
      lanes: number of runs that share a call (L).

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

    pairwise = learner.pairwise
    begin_lanes = vmap_lanes(lambda data: keys_to_data(begin(data)), lanes)
    first = placement.shard_map(begin_lanes, (False,), pairwise)
    generation = placement.shard_map(vmap_lanes(advance, lanes), (pairwise,), (pairwise, False))

    def init(key: Array) -> Any:
        keys = jax.random.split(key, lanes) if lanes > 1 else key[None]
        return first(jax.random.key_data(keys))

    return init, generation


@struct.dataclass
class FullHorizonState:
    """The state of a `FullHorizon`."""

    inner: EnvState
    is_over: Array  # [] bool, whether the environment itself has ended the episode
    steps: Array  # [] int32, steps since the reset


class FullHorizon:
    """An environment whose episodes all last to the time limit.

    Rewards stop where the environment would have ended the episode. That keeps returns a function
    of the states: XLA deletes what no output depends on, so that for a reward that is always 1 it
    would delete the physics, and the rollout would cost nothing.
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
            state=FullHorizonState(transition.state, state.is_over | transition.terminated, steps),
            reward=jnp.where(state.is_over, 0.0, transition.reward),
            terminated=jnp.zeros((), bool),
            truncated=jnp.zeros((), bool) if limit is None else steps >= limit,
        )


def make_environment(workload: Workload, horizon: Horizon) -> Environment:
    """Makes a fresh environment of a workload, with this horizon.

    Raises:
      UserError: it has no time limit.
    """
    entry = workload.environment
    suite = registry.environment_suite(entry.name)
    with suppress_loader_messages():  # importing or making one may run small compiled programs
        env = suite.make(entry.name, workload.options)
        env = wrap_environment(FullHorizon(env) if horizon == "full" else env, entry.wrappers)
    if env.spec.episode_length is None:
        raise UserError(
            f"environment {entry.display_name}: it has no time limit, so its episodes have no "
            "length to be timed over; give it an episode_length"
        )
    return env
