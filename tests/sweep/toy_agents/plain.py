"""A plain agent."""

from typing import Literal

from rl_es.config import Config, static, traced

NUMERICS = 1


class Hyperparameters(Config):
    """Two traced settings, three static ones."""

    lr: float = traced(0.01, "learning rate", gt=0)
    sigma: float = traced(0.1, "scale", gt=0)
    rule: Literal["sgd", "adam"] = static("adam", "rule")
    size: int = static(2, "size", ge=1)
    schedule: Literal["constant", "linear"] = static(
        "constant", "added after the first results", implied="constant"
    )
