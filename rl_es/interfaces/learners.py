"""Learners: whatever gives a learning curve, an evolution strategy or another."""

from typing import Any, NamedTuple, Protocol

from flax import struct
from jax import Array

from rl_es.interfaces.environments import Environment
from rl_es.interfaces.policies import Snapshot
from rl_es.interfaces.pytrees import Hyper


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
          spread: a `rl_es.training.spread.Spread`; the usual one where there are no pairs.
        """
        ...

    def init(self, key: Array, hyper: Hyper) -> Any: ...

    def advance(self, state: Any, limit: Limit) -> tuple[Any, Rows]: ...

    def snapshot(self, state: Any) -> Snapshot: ...
