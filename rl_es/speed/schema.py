"""The format of a speed file: the workloads, and the contestants that are timed on them.

```yaml
name: example                 # names the default results folder
description: what it is for   # optional
rounds: 9                     # samples of each contestant, one a round, interleaved
min_seconds: 0.3              # a shorter generation is repeated inside its sample
compile: true                 # measure compilation, cold and from the persistent cache
parts: true                   # time noise, rollout, shaping and update apart, too
workloads:                    # every combination
  environments:
    - CartPole-v1             # a plain name, or
    - name: brax/ant
      label: ant              # optional, unique; default: the name
      options: {backend: spring}
      episode_length: 100     # also action_repeat, reward_scale
  widths: [[64, 64, 64]]      # hidden layers
  populations: [256, 1024]
  episodes: [1]               # a member and generation
  horizons: [full, natural]   # full: no episode ends before the time limit
policy: {activation: tanh}    # network and head, without widths
agent: {sigma: 0.1}           # settings of every agent; each must have them
contestants:
  - bare                      # the environment under a fixed action
  - inference                 # the unperturbed policy shared by all members: 100 %
  - {name: eggroll, grid: {rank: [1, 2, 4, 8]}}
  - name: full_rank_es
    label: full rank          # optional, unique; default: the name
    up_to: 256                # the largest population that it is run with
    horizon: natural          # instead of the workload's
    precision: bfloat16       # instead of the policy's
    devices: 2                # that share its population
    chunks: 1                 # in which each evaluates its part, one after the other
    lanes: 5                  # runs that share a call
    with: {shaping: z_score}
  - evosax                    # evosax's Open_ES, with the extra `evosax`
```

A contestant is an agent of the suite, a floor (`FLOORS`) or a peer (`PEERS`).
"""

from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, Strict, field_validator

from rl_es import registry
from rl_es.config import Config
from rl_es.errors import brief, did_you_mean
from rl_es.evolution.config import check_even
from rl_es.rollout.config import PolicyConfig, Precision, Width
from rl_es.sweep.schema import (
    EnvironmentChoice,
    SweepName,
    VariedEntry,
    check_distinct,
    check_labels,
    name_to_mapping,
)

BARE, INFERENCE, EVOSAX = "bare", "inference", "evosax"

# Generations without noise, shaping and update.
FLOORS = {
    BARE: "the environment under a fixed action",
    INFERENCE: "the unperturbed policy, shared by all members: pure batch inference",
}
# Strategies of other libraries on the same network, population and steps.
PEERS = {EVOSAX: "Open_ES of evosax (extra `evosax`)"}

Horizon = Literal["full", "natural"]

T = TypeVar("T")
DistinctList = Annotated[
    tuple[T, ...], Field(min_length=1, strict=False), AfterValidator(check_distinct)
]
Count = Annotated[int, Strict(), Field(ge=1)]
Population = Annotated[int, Strict(), Field(ge=2), AfterValidator(check_even)]
Layers = Annotated[tuple[Width, ...], Field(strict=False)]


class Workloads(Config):
    """The axes of the workloads; all their combinations are timed."""

    environments: Annotated[
        tuple[Annotated[EnvironmentChoice, BeforeValidator(name_to_mapping)], ...],
        Field(min_length=1, strict=False),
        AfterValidator(check_labels),
    ]
    widths: DistinctList[Layers]
    populations: DistinctList[Population]
    episodes: DistinctList[Count] = (1,)
    horizons: DistinctList[Horizon] = ("full",)


class ContestantEntry(VariedEntry):
    """The entry of a contestant: a floor, a peer, or an agent with settings that may vary."""

    up_to: int | None = Field(None, ge=2)
    horizon: Horizon | None = None
    precision: Precision | None = None
    devices: int = Field(1, ge=1, le=4096)
    chunks: int = Field(1, ge=1)
    lanes: int = Field(1, ge=1)

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        names = [*FLOORS, *PEERS, *registry.strategy_names()]
        if name not in names:
            raise ValueError(f"unknown contestant '{brief(name)}'{did_you_mean(name, names)}")
        return name


class Benchmark(Config):
    """A whole speed file."""

    name: SweepName
    description: str | None = None
    rounds: int = Field(9, ge=1, le=1000)
    min_seconds: float = Field(0.3, ge=0, le=600)
    compile: bool = True
    parts: bool = True
    workloads: Workloads
    policy: PolicyConfig = PolicyConfig()
    agent: dict[str, object] = Field(default_factory=dict)
    contestants: Annotated[
        tuple[Annotated[ContestantEntry, BeforeValidator(name_to_mapping)], ...],
        Field(min_length=1, strict=False),
        AfterValidator(check_labels),
    ]
