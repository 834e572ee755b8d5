"""Environments, and the plain data that they give and take.

Evolution strategies, and the segments that they learn from.

Pictures of an environment.

Learners: whatever gives a learning curve, an evolution strategy or another.

The same task in its own simulator.

Noise on the parameters of a population.

Policies, and what of them is evolved.

Names of pytrees, by what they hold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import jax
import numpy as np
from flax import struct
from jax import Array

Params = Any  # arrays: what an agent evolves
PolicyState = Any  # what a recurrent policy carries between steps; () when it carries none
EnvState = Any  # only its environment looks into it
Noise = Any  # leaves [H, ...]
Memory = Any  # leaves [H, ...]: what an agent remembers of each pair
Update = Params  # the estimate, shaped like the parameters
Hyper = Mapping[str, Array]  # traced numbers by name


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


@dataclass(frozen=True)
class Matrix:
    """How a weight array is read as a matrix: `inputs` x `outputs`, in that order of its axes."""

    inputs: int
    outputs: int


@dataclass(frozen=True)
class ParameterSpec:
    """Static description of what is evolved.

    Attributes:
      shapes: pytree of `jax.ShapeDtypeStruct`, structured like the parameters (nested dicts).
      matrices: the weight arrays that are used as matrices only, by path; their noise is applied
        inside the policy, as a product. Every other array is perturbed directly.
      refused: weight arrays whose noise cannot be applied as a product, by path, with the reason.
        They can be perturbed directly, but not by low-rank noise.
      bounds: (low, high), structured like the parameters, where they are known to lie within.
    """

    shapes: Any
    matrices: Mapping[tuple[str, ...], Matrix] = field(default_factory=dict)
    refused: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    bounds: tuple[Any, Any] | None = None

    @property
    def size(self) -> int:
        """Number of scalars evolved."""
        return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(self.shapes))


class Policy(Protocol):
    """A network and an action head. Anything whose `act` runs Flax Linen modules qualifies."""

    @property
    def parameters(self) -> ParameterSpec:
        """What is evolved."""
        ...

    def init(self, key: Array) -> Params:
        """Draws initial parameters. Consumes `key`."""
        ...

    def initial_state(self) -> PolicyState:
        """The state carried by a particle at the start of an episode."""
        ...

    def act(
        self, params: Params, state: PolicyState, observation: Observation, key: Array
    ) -> tuple[PolicyState, Array]:
        """Chooses one action. Consumes `key` (unused by deterministic heads)."""
        ...


@struct.dataclass
class Snapshot:
    """A policy's parameters and the observation statistics that belong to them."""

    params: Params
    statistics: Any = None  # rl_es.rollout.normalisation.Statistics, or None


class Members(NamedTuple):
    """A population around shared parameters.

    Attributes:
      shared: the unperturbed parameters (no population axis).
      direct: by path, what is added to an array of the plus member and taken from that of the
        minus member, [H, ...].
      products: by path, noise that is applied as a product inside the policy, leading axis [H].
    """

    shared: Params
    direct: Mapping[tuple[str, ...], Array]
    products: Mapping[tuple[str, ...], Any]


class Perturbation(Protocol):
    """Draws unit noise for antithetic pairs, applies it inside a policy, contracts it."""

    @property
    def parameters(self) -> ParameterSpec: ...

    def draw(self, keys: Array, pairs: int) -> Noise:
        """Unit noise of the plus members [H, ...]; `keys` [blocks] is one per block of 64 pairs."""
        ...

    def members(self, params: Params, noise: Noise, sigma: Array) -> Members:
        """Everything a rollout needs of a population, once a segment; `sigma` is [] or [H]."""
        ...

    def contract(self, noise: Noise, weights: Array) -> Update:
        """Sum over pairs of weights [H] times unit noise."""
        ...

    def dense(self, noise: Noise) -> Params:
        """The noise written out, shaped like the parameters with a leading [H]."""
        ...


@dataclass(frozen=True)
class ProblemSpec:
    """What an agent is made for: what it evolves, and how long its episodes are (None: endless)."""

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
      steps: window length K.
      start: members go on from their own particle, or each window from the pair's centre particle,
        which then advances under the unperturbed parameters.
      staggered: the first episodes of pairs are cut short by whole windows, so that pairs are in
        all phases of an episode at once.
    """

    steps: int
    start: Literal["particle", "centre"] = "particle"
    staggered: bool = False

    def windows(self, episode_length: int) -> int:
        """Windows of an episode of so many steps; the last one may be shorter."""
        return -(-episode_length // self.steps)


@struct.dataclass
class Segment:
    """What a segment's rollout tells an agent. Never holds an environment's state."""

    returns: Array  # [P], member 2h is pair h's plus, member 2h + 1 its minus; finite for an agent
    ended: Array  # [H] bool: this pair's episode is over
    steps: Array  # [] int32: environment steps really taken, of all members (and centres)
    episodes: Array  # [] int32: episodes finished, of members (or of centres, where they go on)


class Agent(Protocol):
    """An evolution strategy; pure, jit- and vmap-safe; never sees an environment's state.

    `ask` and `contract` act on blocks of whole antithetic pairs, so that a population can be cut
    into chunks or shards; `shape` and `tell` see the whole population.
    """

    @property
    def population(self) -> int: ...

    @property
    def segment(self) -> Episode | Persistent: ...

    def init(self, params: Params, hyper: Hyper) -> Any:
        """The agent's state around initial parameters. Keeps the traced numbers."""
        ...

    def remember(self, pairs: int) -> Memory:
        """What is remembered of each pair before its first segment."""
        ...

    def ask(self, keys: Array, state: Any, memory: Memory, fresh: Array) -> tuple[Noise, Memory]:
        """Noise for blocks of pairs.

        Args:
          keys: [blocks], one key for each 64 pairs (the last block may be shorter). Consumed.
          state: the agent's state.
          memory: [H, ...] as the last `ask` left it.
          fresh: [H] bool, pairs whose episode starts now.

        Returns:
          The noise of the plus members [H, ...], and the memory to keep.
        """
        ...

    def members(self, state: Any, noise: Noise) -> Members:
        """The perturbed parameters of a block of pairs, as a rollout wants them."""
        ...

    def shape(self, state: Any, segment: Segment) -> Array:
        """[P] weights from every member's return; one that is not finite is the worst by now."""
        ...

    def contract(self, state: Any, noise: Noise, memory: Memory, weights: Array) -> Update:
        """Sum over the block's members of weights [2H] times signed unit noise (PES: the score)."""
        ...

    def tell(self, state: Any, update: Update, segment: Segment) -> tuple[Any, Array]:
        """The next state, and [] the norm of the parameters' change."""
        ...

    def center(self, state: Any) -> Params:
        """The unperturbed parameters: what is evaluated and saved."""
        ...


class Moment(NamedTuple):
    """What can be seen of an episode before one of its steps, or after the last."""

    state: EnvState  # of the environment as its suite makes it, without what is wrapped around it
    observation: np.ndarray  # [*observation_shape] float32
    action: np.ndarray | None  # the one that is taken now; None after the last step


class Drawing(Protocol):
    """Draws an environment, a picture per step. It may hold what has to be given back: close it."""

    @property
    def step_seconds(self) -> float | None:
        """How long a step lasts in the world that is drawn; None where time is only counted."""
        ...

    def frame(self, moment: Moment) -> np.ndarray:
        """A picture [height, width, 3] uint8."""
        ...

    def close(self) -> None:
        """Gives back what it holds; it draws no more."""
        ...


class Limit(NamedTuple):
    """Where a call to `advance` stops: whichever is reached first."""

    generations: Any  # [] int32, in this call
    env_steps: Any  # [] int32, in this call


@struct.dataclass
class Rows:
    """What one call to `advance` reports: sums over the call; the rest is the last generation's."""

    generations: Array  # [] int32
    env_steps: Array  # [] int32
    episodes: Array  # [] int32
    population_mean: Array  # [] float32, of the returns that are finite
    population_best: Array  # [] float32, likewise
    update_norm: Array  # [] float32
    nonfinite_members: Array | None  # [] int32, over all generations; None without a population


class Learner(Protocol):
    """Anything that gives a learning curve. Both functions are compiled by whoever runs them."""

    @property
    def env(self) -> Environment:
        """What it is trained on."""
        ...

    @property
    def pairs(self) -> int | None:
        """H, antithetic pairs that devices can share; None where there are none."""
        ...

    @property
    def pairwise(self) -> Any:
        """A tree prefix of the state: True for arrays that lead with the pair axis."""
        ...

    @property
    def generation_steps(self) -> int:
        """Most environment steps of a generation, an action that is repeated counted once."""
        ...

    def placed(self, lanes: str | None, spread: Any) -> "Learner":
        """The same for lanes vmapped under this axis name, and pairs spread over devices.

        Args:
          lanes: None where runs are not vmapped.
          spread: a `rl_es.training.sharding.PopulationSharding`; the usual one where there are
            no pairs.
        """
        ...

    def init(self, key: Array, hyper: Hyper) -> Any: ...

    def advance(self, state: Any, limit: Limit) -> tuple[Any, Rows]: ...

    def snapshot(self, state: Any) -> Snapshot: ...


class NativeStep(NamedTuple):
    """What a step of a batch gives."""

    state: np.ndarray  # [E, ...] float64
    observations: np.ndarray  # [E, D] float64
    rewards: np.ndarray  # [E] float64; not a number where the simulation broke down
    terminated: np.ndarray  # [E] bool


class Native(Protocol):
    """An environment's task in another simulator, which runs on the host, a batch at a time.

    A second opinion on a policy that was trained in the environment of the same name: observations
    and actions mean there what they mean here. Rewards, starts and ends are the task's own. What
    happens to an episode depends on its seed and its actions alone, not on the batch that it is in.
    """

    @property
    def title(self) -> str:
        """Simulator and task with their versions, for people."""
        ...

    @property
    def episode_length(self) -> int:
        """Steps after which an episode is truncated."""
        ...

    def reset(self, seeds: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Starts an episode a seed: states [E, ...] and observations [E, D], float64."""
        ...

    def step(self, state: np.ndarray, actions: np.ndarray) -> NativeStep:
        """One step of each episode from states [E, ...], under actions [E, A]."""
        ...
