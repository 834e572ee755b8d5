"""Settings of a policy, of an environment's wrappers and of evaluation, as in a sweep file."""

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, Strict, model_validator

from rl_es import plugins
from rl_es.config import Config, static
from rl_es.errors import UserError, brief, did_you_mean

INITS = ("normal", "zeros")
NETWORKS = ("mlp", "linear", "cnn", "gru", "shared_mlp", "egg", "gru_lm", "rwkv7", "parameters")


def _check_network(name: str) -> str:
    """Returns the name of a network, or raises a ValueError that names the nearest."""
    if name not in NETWORKS and not plugins.is_reference(name):
        raise ValueError(
            f"unknown network '{brief(name)}'{did_you_mean(name, NETWORKS)} "
            "(or name a Flax Linen module as package.module:Class or ./file.py:Class)"
        )
    return name


def _check_init(init: str) -> str:
    """Returns a known start of the weights, or raises a ValueError that names the nearest."""
    if init not in INITS and not init.endswith(".json"):
        raise ValueError(
            f"unknown start of the weights '{brief(init)}'{did_you_mean(init, INITS)} "
            "(or name the manifest of a saved policy, as results/NAME/policies/RUN/final.json)"
        )
    return init


Width = Annotated[int, Strict(), Field(ge=1)]
Precision = Literal["float32", "bfloat16", "tf32"]


class PolicyConfig(Config):
    """A network and an action head."""

    network: Annotated[str, AfterValidator(_check_network)] = static(
        "mlp",
        "mlp, linear (without bias), cnn, gru, shared_mlp (on each row of an observation), egg (a "
        "language model in integers), gru_lm and rwkv7 (language models), parameters (the action "
        "itself), or a Flax Linen module as package.module:Class or ./file.py:Class",
    )
    widths: tuple[Width, ...] = static(
        (64, 64),
        "hidden layers; cnn: dense layers after the convolution; gru: the last is its state; egg, "
        "gru_lm, rwkv7: the layers, all of one width",
        strict=False,
    )
    activation: Literal["tanh", "relu", "pqn"] = static(
        "tanh", "pqn: relu of a layer norm without parameters, as in the EGGROLL paper"
    )
    init: Annotated[str, AfterValidator(_check_init)] = static(
        "normal",
        "how weights start: normal, N(0, 1) / sqrt(inputs); zeros, all at 0 (for linear); or as "
        "those of a saved policy, results/NAME/policies/RUN/final.json",
        implied="normal",
    )
    integers: bool = static(
        True, "egg: integers; false, the same network in real numbers", implied=True
    )
    straight_through: bool = static(
        False, "egg: take the derivative of a floor to be 1, for gradients", implied=False
    )
    head_size: Width = static(64, "rwkv7: width of a head, a divisor of the width", implied=64)
    adapter_ranks: tuple[Width, Width, Width, Width] | None = static(
        None,
        "rwkv7: ranks of the adapters of decay, rate, value and gate; those of the published "
        "models of this width if absent",
        strict=False,
        implied=None,
    )
    channel_width: Width | None = static(
        None, "rwkv7: width of the channel mix; 4 times the width if absent", implied=None
    )
    sharing: Literal["all", "roles"] = static(
        "all", "of several agents: one network for all, or one for each role", implied="all"
    )
    agent_id: bool = static(
        True,
        "of several agents: append to an observation, as a one-hot vector, which of the agents of "
        "its network makes it",
        implied=True,
    )
    head: Literal[
        "auto", "categorical", "gaussian", "deterministic", "tanh", "tanh_gaussian", "tanh_mean"
    ] = static(
        "auto",
        "auto: categorical for discrete actions, gaussian for real ones; tanh: squashed into the "
        "actions' bounds; tanh_gaussian: a squashed sample, of twice as many outputs; tanh_mean: "
        "its mean",
    )
    normalise_observations: bool = static(
        False, "by running statistics of the population's own rollouts"
    )

    precision: Precision = static(
        "float32",
        "of the products with weight matrices: float32; bfloat16, of inputs rounded to bfloat16, "
        "summed in float32; tf32, the same on GPUs only",
        implied="float32",
    )

    def identity(self) -> dict[str, Any]:
        """Returns the settings that determine a run's numbers, as JSON.

        A network of the user's is known by its code, a saved policy by its weights.

        Raises:
          UserError: the network cannot be loaded, or there is no such saved policy.
        """
        content = super().identity()
        if (digest := self.start_digest) is not None:
            content["init"] = digest
        if (code := self.network_code) is not None:
            content["network_code"] = code
        return content

    @property
    def start_digest(self) -> str | None:
        """A hash of the weights of the saved policy that a run starts from; None without one.

        Raises:
          UserError: they cannot be read.
        """
        if self.init in INITS:
            return None
        path = Path(self.init).with_suffix(".msgpack")
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        except OSError as error:
            raise UserError(
                f"init: {path} cannot be read ({error.strerror}); name the manifest of a saved "
                "policy, as results/NAME/policies/RUN/final.json, with its weights beside it"
            ) from None

    @property
    def network_code(self) -> int | str | None:
        """`NUMERICS` of a network of the user's, or a hash of its code; None for a built-in one.

        Raises:
          UserError: the network cannot be loaded.
        """
        if self.network in NETWORKS:
            return None
        try:
            return plugins.module_numerics(*plugins.load(self.network))
        except UserError as error:
            raise UserError(f"network: {error}") from None


class WrapperConfig(Config):
    """The wrappers of an environment."""

    episode_length: int | None = static(
        None, "time limit in steps of the agent; the suite's own if absent", ge=1
    )
    action_repeat: int = static(1, "environment steps an action", ge=1)
    reward_scale: float = static(1.0, "factor on every reward")


def _points_of_axes(points: Any) -> Any:
    """Returns the numbers of points on both axes; one number stands for both."""
    return (points, points) if isinstance(points, int) else points


Coordinate = Annotated[float, Strict()]
Points = Annotated[int, Strict(), Field(ge=2, le=1000)]


class SurfaceConfig(Config):
    """The grid on which the objective of a policy with two parameters is evaluated."""

    low: tuple[Coordinate, Coordinate] = static(help="first point of each axis", strict=False)
    high: tuple[Coordinate, Coordinate] = static(help="last point of each axis", strict=False)
    points: Annotated[tuple[Points, Points], BeforeValidator(_points_of_axes)] = static(
        (41, 41), "of each axis, ends included; one number for both", strict=False
    )
    episodes: int = static(1, "episodes at each point, the same ones at all", ge=1)

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if not all(low < high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError("each of low must be below its high")
        return self


class EvaluationConfig(Config):
    """The evaluation of the unperturbed policy. Its steps are not counted as training steps."""

    points: int = static(20, "evaluations over the budget, besides the one at the start", ge=1)
    episodes: int = static(16, "episodes of each evaluation, the same ones for a seed", ge=1)
