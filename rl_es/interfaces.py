"""The contract of the suite: environments, policies, agents, learners, and the data between them.

The letters of axes, in every shape of the suite:

  S  seeds (runs that are vmapped together)
  P  members of a population
  H  antithetic pairs, P / 2; member 2h is pair h's plus, member 2h + 1 its minus
  E  episodes
  T  steps
  D  elements of an observation
  A  elements of an action, or number of discrete actions
  I  agents that act in an environment as a team (`EnvSpec.agents`)
  R  rank of a perturbation
  M  inputs of a weight matrix
  N  outputs of a weight matrix

All functions are pure. A key that a function consumes must not be used again. The first part holds
what every environment and agent needs; optional abilities of environments stand at the end.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import jax
import numpy as np
from flax import struct
from jax import Array

Params = Any  # pytree of arrays: what an agent evolves
PolicyState = Any  # what a recurrent policy carries between steps; () for others
EnvState = Any  # opaque to all but the environment
Noise = Any  # leaves [H, ...]
Memory = Any  # leaves [H, ...]: what an agent keeps of each pair
Update = Params  # an estimate, structured like the parameters
Hyper = Mapping[str, Array]  # traced hyper-parameters by name


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
    """Static description of an environment.

    Attributes:
      name: Name in a sweep file, such as `CartPole-v1` or `brax/ant`.
      observation_shape: Shape of an observation's float32 values.
      action_space: `Discrete` or `Box`. With several agents, the space of each agent's action.
      episode_length: Number of steps after which an episode is truncated; None if it never is.
      initial_action: Initial parameters of a policy that is its own action (`network: parameters`).
      evaluation_steps: Number of steps of the environment's own evaluation, which reports the
        `score` of the state that it ends in; None if evaluation reports episodic returns.
      rewards_after_end: True if steps after a termination may give rewards, as in most libraries.
        The engine does not count them.
      notes: Sentences about what an adapter read from another library's class; `check` prints them.
      agents: The role of each agent [I], of an environment in which several agents act as a team;
        agents of one role are interchangeable. Empty for one agent. With several, observations are
        [I, ...], padded to one shape, and actions [I] or [I, *action_space.shape]; agents with
        fewer discrete actions than others have a mask [I, A]. A reward is the whole team's.
    """

    name: str
    observation_shape: tuple[int, ...]
    action_space: Discrete | Box
    episode_length: int | None
    initial_action: tuple[float, ...] | None = None
    evaluation_steps: int | None = None
    rewards_after_end: bool = False
    notes: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()

    @property
    def action_shape(self) -> tuple[int, ...]:
        """Shape of an action: of all agents together, if there are several."""
        shape = () if isinstance(self.action_space, Discrete) else self.action_space.shape
        return (len(self.agents), *shape) if self.agents else shape


class Observation(NamedTuple):
    """An observation: float32 values, and the mask of allowed discrete actions or None."""

    values: Array  # [*observation_shape]
    action_mask: Array | None = None  # [A] bool; [I, A] with several agents


class Transition(NamedTuple):
    """The outcome of a step.

    Attributes:
      state: State after the step.
      observation: Observation of that state.
      reward: [] float32.
      terminated: [] bool, the task ended.
      truncated: [] bool, only the time limit was reached.
      steps: [] int32, number of the environment's own steps; more than 1 for a repeated action.
    """

    state: EnvState
    observation: Observation
    reward: Array
    terminated: Array
    truncated: Array
    steps: Array | np.int32 = np.int32(1)


class Environment(Protocol):
    """One instance of an environment, without auto-reset. The engine vmaps it."""

    @property
    def spec(self) -> EnvSpec: ...

    def reset(self, key: Array) -> tuple[EnvState, Observation]:
        """Starts an episode. Consumes `key`."""
        ...

    def step(self, key: Array, state: EnvState, action: Array) -> Transition:
        """Takes one step. Consumes `key`. Outcomes after the end of an episode are not used."""
        ...


@dataclass(frozen=True)
class Matrix:
    """A weight array read as a matrix [inputs, outputs], in that order of its axes."""

    inputs: int
    outputs: int


@dataclass(frozen=True)
class ParameterSpec:
    """Static description of a policy's parameters.

    Attributes:
      shapes: Pytree of `jax.ShapeDtypeStruct`, structured like the parameters (nested dicts).
      matrices: Weight arrays that are used as matrices only, by path. Their noise is applied inside
        the policy, as a product. Every other array is perturbed directly.
      refused: The reasons why the noise of a weight array cannot be applied as a product, by path.
        Such an array can be perturbed directly, but not by low-rank noise.
      bounds: (low, high), structured like the parameters; None if they are unbounded.
    """

    shapes: Any
    matrices: Mapping[tuple[str, ...], Matrix] = field(default_factory=dict)
    refused: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    bounds: tuple[Any, Any] | None = None

    @property
    def size(self) -> int:
        """Number of scalars."""
        return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(self.shapes))


class Policy(Protocol):
    """A map from observations to actions. An `act` that runs Flax Linen modules qualifies."""

    @property
    def parameters(self) -> ParameterSpec:
        """Description of the parameters that are evolved."""
        ...

    def init(self, key: Array) -> Params:
        """Draws initial parameters. Consumes `key`."""
        ...

    def initial_state(self) -> PolicyState:
        """Returns the policy's state at the start of an episode."""
        ...

    def act(
        self, params: Params, state: PolicyState, observation: Observation, key: Array
    ) -> tuple[PolicyState, Array]:
        """Chooses one action. Consumes `key` (deterministic heads do not use it)."""
        ...


@struct.dataclass
class Snapshot:
    """A policy's parameters, and the observation statistics that belong to them."""

    params: Params
    statistics: Any = None  # rl_es.rollout.normalisation.Statistics, or None


class Members(NamedTuple):
    """A population around shared parameters.

    Attributes:
      shared: The unperturbed parameters (no population axis).
      direct: Scaled noise [H, ...] by path, which is added to an array of the plus member and
        subtracted from that of the minus member.
      products: Noise by path that is applied as a product inside the policy, leading axis [H].
    """

    shared: Params
    direct: Mapping[tuple[str, ...], Array]
    products: Mapping[tuple[str, ...], Any]


class SeparateMembers(NamedTuple):
    """A population whose members share no parameters.

    Attributes:
      params: The members' parameters, leaves [H, 2, ...].
    """

    params: Params


Population = Members | SeparateMembers


class Perturbation(Protocol):
    """Unit noise of antithetic pairs: drawn, applied inside a policy, and contracted."""

    @property
    def parameters(self) -> ParameterSpec: ...

    def draw(self, keys: Array, pairs: int) -> Noise:
        """Draws unit noise of the plus members [H, ...]. Consumes `keys` [blocks of 64 pairs]."""
        ...

    def members(self, params: Params, noise: Noise, sigma: Array) -> Members:
        """Returns the population at noise scale `sigma` [] or [H]; called once a segment."""
        ...

    def contract(self, noise: Noise, weights: Array) -> Update:
        """Returns the sum over pairs of weights [H] times unit noise."""
        ...

    def dense(self, noise: Noise) -> Params:
        """Returns the noise as arrays shaped like the parameters, with a leading [H]."""
        ...


@dataclass(frozen=True)
class ProblemSpec:
    """Static description of what an agent is made for.

    Attributes:
      parameters: Description of the parameters that it evolves.
      episode_length: Number of steps of an episode; None if episodes never end.
    """

    parameters: ParameterSpec
    episode_length: int | None


@dataclass(frozen=True)
class Episode:
    """A segment of whole episodes: every member starts `episodes` fresh ones each generation."""

    episodes: int = 1


@dataclass(frozen=True)
class Persistent:
    """A segment of `steps` steps of particles that live on between generations.

    Attributes:
      steps: Window length K.
      start: `particle`: members go on from their own particles. `centre`: both members start each
        window from the pair's centre particle, which then advances under the unperturbed
        parameters.
      staggered: True if the first episodes of pairs are cut short by whole windows, so that pairs
        are in all phases of an episode at once.
    """

    steps: int
    start: Literal["particle", "centre"] = "particle"
    staggered: bool = False

    def windows(self, episode_length: int) -> int:
        """Returns the number of windows of an episode; the last one may be shorter."""
        return -(-episode_length // self.steps)


@struct.dataclass
class Segment:
    """The outcome of a segment's rollout. It never holds an environment's state.

    Attributes:
      returns: [P]; finite when an agent gets it.
      ended: [H] bool, pairs whose episode is over.
      steps: [] int32, number of environment steps taken, by all members (and centres).
      episodes: [] int32, number of episodes finished, by members (or by centres, if these go on).
    """

    returns: Array
    ended: Array
    steps: Array
    episodes: Array


class Agent(Protocol):
    """An evolution strategy. It never sees an environment's state.

    `ask` and `contract` act on blocks of whole antithetic pairs, so that a population can be cut
    into chunks or shards. `shape` and `tell` see the whole population. All are safe under jit and
    vmap.
    """

    @property
    def population(self) -> int:
        """Number of members (P)."""
        ...

    @property
    def segment(self) -> Episode | Persistent:
        """The part of an episode that members are evaluated on in a generation."""
        ...

    def init(self, params: Params, hyper: Hyper) -> Any:
        """Returns the agent's state around initial parameters. It keeps the traced numbers."""
        ...

    def remember(self, pairs: int) -> Memory:
        """Returns the memory of pairs before their first segment, leaves [H, ...]."""
        ...

    def ask(self, keys: Array, state: Any, memory: Memory, fresh: Array) -> tuple[Noise, Memory]:
        """Returns noise for blocks of pairs.

        Args:
          keys: [blocks], one for each 64 pairs (the last block may be shorter). Consumed.
          state: The agent's state.
          memory: [H, ...], the memory that the last `ask` returned.
          fresh: [H] bool, pairs whose episode starts now.

        Returns:
          The noise of the plus members [H, ...], and the memory to keep.
        """
        ...

    def members(self, state: Any, noise: Noise) -> Members:
        """Returns the perturbed parameters of a block of pairs."""
        ...

    def shape(self, state: Any, segment: Segment) -> Array:
        """Returns the members' weights [P]. A return that was not finite is now the worst one."""
        ...

    def contract(self, state: Any, noise: Noise, memory: Memory, weights: Array) -> Update:
        """Returns the sum over the block's members of weights [2H] times signed unit noise.

        An agent that accumulates noise (PES) uses sigma times the accumulated score instead.
        """
        ...

    def tell(self, state: Any, update: Update, segment: Segment) -> tuple[Any, Array]:
        """Returns the next state, and the norm of the parameters' change []."""
        ...

    def center(self, state: Any) -> Params:
        """Returns the unperturbed parameters: what is evaluated and saved."""
        ...


class Limit(NamedTuple):
    """The limits of a call to `advance`, which stops at whichever is reached first."""

    generations: Any  # [] int32, in this call
    env_steps: Any  # [] int32, in this call


@struct.dataclass
class Rows:
    """The report of a call to `advance`.

    Attributes:
      generations: [] int32, number of generations.
      env_steps: [] int32, sum over the call.
      episodes: [] int32, sum over the call.
      population_mean: [] float32, mean of the finite returns of the last generation.
      population_best: [] float32, highest finite return of the last generation.
      update_norm: [] float32, norm of the last generation's change of the parameters.
      nonfinite_members: [] int32, sum over the call; None without a population.
    """

    generations: Array
    env_steps: Array
    episodes: Array
    population_mean: Array
    population_best: Array
    update_norm: Array
    nonfinite_members: Array | None


class Learner(Protocol):
    """A method that has a learning curve: an evolution strategy, or another.

    `init`, `advance` and `snapshot` are compiled by their callers.
    """

    @property
    def env(self) -> Environment:
        """The environment of training."""
        ...

    @property
    def pairs(self) -> int | None:
        """Number of antithetic pairs (H), which devices can share; None without pairs."""
        ...

    @property
    def pairwise(self) -> Any:
        """A tree prefix of the state: True for arrays whose leading axis is that of pairs."""
        ...

    @property
    def generation_steps(self) -> int:
        """Most environment steps of a generation; a repeated action counts as one."""
        ...

    def with_placement(self, lane_axis: str | None, sharding: Any) -> "Learner":
        """Returns this learner for vmapped runs, and for pairs that are sharded over devices.

        Args:
          lane_axis: Name of the vmapped axis of runs; None if they are not vmapped.
          sharding: A `rl_es.training.sharding.PopulationSharding`; the default one without pairs.
        """
        ...

    def init(self, key: Array, hyper: Hyper) -> Any:
        """Returns the state before the first generation. Consumes `key`."""
        ...

    def advance(self, state: Any, limit: Limit) -> tuple[Any, Rows]:
        """Runs generations until a limit is reached; none if it already is."""
        ...

    def snapshot(self, state: Any) -> Snapshot:
        """Returns the policy to evaluate and save."""
        ...


class Scored(Environment, Protocol):
    """An environment with an evaluation of its own (`EnvSpec.evaluation_steps`)."""

    def score(self, state: EnvState) -> Array:
        """Returns the result of an evaluation that ends in a state []; higher is better."""
        ...


class HeldOut(Environment, Protocol):
    """An environment whose policies are evaluated on data that training does not show.

    Such data are text of the same kind, or levels of the same generator.
    """

    def held_out(self) -> Environment:
        """Returns the environment of evaluation: the same tasks on the held-out data.

        Observations, actions and the evaluation have the same specification.
        """
        ...


class Generative(Environment, Protocol):
    """An environment of text, in which a policy can write: actions stand for the next token.

    Tokens are indices in a vocabulary. Token 0 is what a text begins after.
    """

    @property
    def vocabulary(self) -> Sequence[bytes]:
        """The bytes of each token [V]."""
        ...

    def observe(self, token: Array) -> Observation:
        """Returns the observation of a token [] int32."""
        ...

    def log_probabilities(self, action: Array) -> Array:
        """Returns the natural logarithms of the next token's probabilities [V] under an action."""
        ...


class Transcribed(Environment, Protocol):
    """An environment whose episodes can be read as text, such as questions and answers."""

    def transcribe(self, actions: np.ndarray) -> str:
        """Returns an episode as a line of text, by its actions [T, ...]."""
        ...


class Solved(Environment, Protocol):
    """An environment whose expected gradient estimates are known exactly."""

    def expected_gradient(
        self, params: Params, sigma: float, fourth_moment: Callable[[int, int], float]
    ) -> Params | None:
        """Returns the expectation of the gradient estimate, E[f(params + sigma E) E] / sigma.

        It holds for returns, actions and observations as they are: without fitness shaping,
        sampled actions or normalisation; and for every strategy, whether it draws noise for each
        episode or for each window.

        Args:
          params: The unperturbed parameters.
          sigma: Standard deviation of the noise on each of them.
          fourth_moment: Returns E[(v' E u)^4] of the unit noise E on a matrix of M inputs and N
            outputs, for unit vectors v [M] and u [N]; 3 for full rank.

        Returns:
          float64 arrays, structured like the parameters; None where it is not known for these.
        """
        ...


class Moment(NamedTuple):
    """One step of an episode, for drawing.

    Attributes:
      state: State of the environment before the step, without its wrappers' state.
      observation: [*observation_shape] float32.
      action: The action that is taken; None after the last step.
    """

    state: EnvState
    observation: np.ndarray
    action: np.ndarray | None


class Drawing(Protocol):
    """Draws an environment, one picture a step. It may hold resources: close it."""

    @property
    def step_seconds(self) -> float | None:
        """Duration of a step in the simulated world, in seconds; None if time is only counted."""
        ...

    def frame(self, moment: Moment) -> np.ndarray:
        """Returns a picture [height, width, 3] uint8."""
        ...

    def close(self) -> None:
        """Frees its resources. It cannot draw afterwards."""
        ...


class NativeStep(NamedTuple):
    """The outcome of a step of E episodes in another simulator."""

    state: np.ndarray  # [E, ...] float64
    observations: np.ndarray  # [E, D] float64
    rewards: np.ndarray  # [E] float64; nan where the simulation broke down
    terminated: np.ndarray  # [E] bool


class Native(Protocol):
    """An environment's task in another simulator, which runs on the host, a batch at a time.

    It gives a second opinion on a policy that was trained in the environment of the same name.
    Observations and actions have the same meaning; rewards, starts and ends are the task's own.
    An episode depends on its seed and its actions alone, and not on the batch that it is in.
    """

    @property
    def title(self) -> str:
        """Simulator and task with their versions, for display."""
        ...

    @property
    def episode_length(self) -> int:
        """Number of steps after which an episode is truncated."""
        ...

    def reset(self, seeds: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Starts one episode a seed; returns states [E, ...] and observations [E, D], float64."""
        ...

    def step(self, state: np.ndarray, actions: np.ndarray) -> NativeStep:
        """Takes one step of each episode, from states [E, ...] under actions [E, A]."""
        ...
