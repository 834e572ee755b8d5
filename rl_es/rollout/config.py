"""Settings of a policy, an environment's wrappers and evaluation, as a sweep file states them."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Strict

from rl_es.config import Config, static
from rl_es.errors import did_you_mean

NETWORKS = ("mlp", "linear", "cnn", "gru")


def _known_network(name: str) -> str:
    if name not in NETWORKS and ":" not in name:
        raise ValueError(
            f"unknown network '{name}'{did_you_mean(name, NETWORKS)} "
            "(or name a Flax Linen module as package.module:Class)"
        )
    return name


Width = Annotated[int, Strict(), Field(ge=1)]


class PolicyConfig(Config):
    """A network and an action head."""

    network: Annotated[str, AfterValidator(_known_network)] = static(
        "mlp",
        "mlp, linear (without bias), cnn, gru, or a Flax Linen module as package.module:Class",
    )
    widths: tuple[Width, ...] = static(
        (64, 64),
        "hidden layers; cnn: dense layers after the convolution; gru: the last is its state",
        strict=False,
    )
    activation: Literal["tanh", "relu", "pqn"] = static(
        "tanh", "pqn: relu of a layer norm without parameters, as in the EGGROLL paper"
    )
    head: Literal["auto", "categorical", "gaussian", "deterministic"] = static(
        "auto", "auto: categorical for discrete actions, gaussian for real ones"
    )
    normalise_observations: bool = static(
        False, "by running statistics of the population's own rollouts"
    )


class WrapperConfig(Config):
    """What is put around an environment."""

    episode_length: int | None = static(
        None, "time limit in steps of the agent; the suite's own if absent", ge=1
    )
    action_repeat: int = static(1, "environment steps an action", ge=1)
    reward_scale: float = static(1.0, "factor on every reward")


class EvaluationConfig(Config):
    """How the unperturbed policy is evaluated. Its steps are not counted as training steps."""

    points: int = static(20, "evaluations over the budget, besides the one at the start", ge=1)
    episodes: int = static(16, "episodes of each evaluation, the same ones for a seed", ge=1)
