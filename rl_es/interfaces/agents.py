"""Evolution strategies, and the segments that they learn from."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from flax import struct
from jax import Array

from rl_es.interfaces.perturbations import Members
from rl_es.interfaces.policies import ParameterSpec
from rl_es.interfaces.pytrees import Hyper, Memory, Noise, Params, Update


@dataclass(frozen=True)
class Problem:
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
