"""The sweep file's format: which keys it has and what each may hold.

```yaml
name: example                # names the default results folder; never a path
description: what it is for  # optional
seeds: 5                     # 0 to 4; or a list, [0, 3, 7]; or {first: 100, count: 10}
defaults:                    # each of these is optional
  budget: {env_steps: 5e6}   # exactly one of env_steps, generations, seconds
  evaluation: {points: 20, episodes: 16}
  policy: {network: mlp, widths: [32, 32]}
  agent: {population: 128}   # settings of every agent; each must have them
environments:
  - CartPole-v1              # a plain name, or
  - name: brax/inverted_pendulum
    label: pendulum_generalized     # optional, unique; default: the name
    options: {backend: generalized} # of the suite
    episode_length: 500             # also action_repeat, reward_scale
    threshold: 450                  # the return that counts as solved
    surface: {low: [-8, -8], high: [8, 8], points: 41, episodes: 1}  # of a two-parameter policy
    budget: {env_steps: 1e6}        # instead of the default; so are evaluation and policy, by key
    agents: {open_es: {lr: 0.05}}   # settings of an agent here, by its label, else by its name
agents:
  - open_es
  - name: eggroll
    label: eggroll searched         # optional, unique; default: the name
    policy: {head: deterministic}   # overrides the policy, by key
    with: {weight_decay: 0.01}      # fixed settings
    grid: {lr: [0.1, 0.01], update_scale: [paper, official]}  # every combination
    random: {samples: 20, seed: 0, sigma: {log_uniform: [0.05, 0.5]}, rank: {choice: [1, 2, 4]}}
figures: [best_so_far]              # optional: further figures of the report
tuning:                             # optional, as `tuned` writes it: where tuned settings come from
  - {name: tuning, search: random, trials: {open_es: 20}, seeds: [1000],
     budget: {CartPole-v1: {env_steps: 1e6}}, chosen_by: mean final return}
```

A random setting has one of uniform: [low, high], log_uniform: [low, high] and choice: [values].
A surface is the objective on a grid of both parameters, for the report; it changes no run.
Two things are checked later, where the values come together (`rl_es.sweep.cells`): an agent's
settings, by its own `Hyperparameters`, and whether every cell has a budget and differs from others.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from rl_es import registry
from rl_es.config import Config, static
from rl_es.errors import UserError
from rl_es.rollout.config import EvaluationConfig, PolicyConfig, SurfaceConfig
from rl_es.sweep.entries import Variation, World, labels_differ, named
from rl_es.sweep.fields import Seeds, SweepName, distinct

# Those that a report draws only where they are asked for.
OptionalFigure = Literal["best_so_far", "frontier", "time_ratio", "time_to_threshold"]


class Budget(Config):
    """When a run ends: after environment steps, generations, or (not reproducible) seconds."""

    env_steps: int | None = static(None, "environment steps of training", ge=1, le=10**15)
    generations: int | None = static(None, "generations; ppo: iterations", ge=1, le=10**12)
    seconds: float | None = static(None, "seconds of training; not reproducible", gt=0)

    @model_validator(mode="after")
    def _one(self) -> Self:
        kinds = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(kinds) != 1:
            given = " and ".join(kinds) or "none"
            raise ValueError(
                f"needs exactly one of env_steps, generations and seconds, has {given}"
            )
        return self


class AgentEntry(Variation):
    """One agent of a sweep."""

    policy: PolicyConfig = static(PolicyConfig(), "overrides the policy, by key")

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            registry.agents.load(name)
        except UserError as error:
            raise ValueError(str(error)) from None
        return name


class EnvironmentEntry(World):
    """One environment of a sweep, and what it overrides."""

    threshold: float | None = static(  # bounded as float32, in which returns are
        None, "the return that counts as solved", ge=-1e38, le=1e38
    )
    surface: SurfaceConfig | None = static(
        None, "the objective on a grid of the policy's two parameters, for the report"
    )
    budget: Budget | None = static(None, "instead of the default, as a whole")
    evaluation: EvaluationConfig = static(EvaluationConfig(), "overrides the default, by key")
    policy: PolicyConfig = static(PolicyConfig(), "overrides the default, by key")
    agents: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="settings of an agent here, by its label or its name"
    )


class Defaults(Config):
    """What holds wherever nothing overrides it."""

    budget: Budget | None = static(None, "when a run ends; each environment may have its own")
    evaluation: EvaluationConfig = static(EvaluationConfig(), "how runs are evaluated")
    policy: PolicyConfig = static(PolicyConfig(), "the network and its action head")
    agent: dict[str, Any] = Field(
        default_factory=dict, description="settings of every agent; each must have them"
    )


class Tuning(Config):
    """Where tuned settings come from: another sweep, and what it spent on them."""

    name: SweepName = static(help="of the tuning sweep")
    search: Literal["random", "grid", "tpe"] = static(help="how settings were proposed")
    trials: dict[str, Annotated[int, Field(ge=1)]] = static(
        help="of an agent in each environment, by label"
    )
    seeds: Seeds = static(help="that the trials ran; the sweep itself may have none of them")
    budget: dict[str, Budget] = static(help="of a run, by the environment's label")
    chosen_by: str = static(help="what decided between trials")


class Sweep(Config):
    """A whole sweep file."""

    name: SweepName = static(help="names the results folder, results/NAME")
    description: str | None = static(None, "what the sweep is for; the report shows it")
    seeds: Seeds = static(
        help="a count (5: seeds 0 to 4), a list, or {first: 100, count: 10}; each runs every agent"
    )
    defaults: Defaults = static(Defaults(), "what holds wherever nothing overrides it")
    environments: Annotated[
        tuple[Annotated[EnvironmentEntry, BeforeValidator(named)], ...],
        Field(min_length=1, strict=False),
        AfterValidator(labels_differ),
    ] = static(help="names, or mappings with a name")
    agents: Annotated[
        tuple[Annotated[AgentEntry, BeforeValidator(named)], ...],
        Field(min_length=1, strict=False),
        AfterValidator(labels_differ),
    ] = static(help="names, or mappings with a name")
    figures: Annotated[tuple[OptionalFigure, ...], AfterValidator(distinct)] = static(
        (), "further figures of the report", strict=False
    )
    tuning: Annotated[tuple[Tuning, ...], Field(strict=False)] = static(
        (), "where tuned settings come from, as `tuned` writes it"
    )
