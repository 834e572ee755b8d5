"""Linear: an unroll whose windows have known gradients, all alike or independent of each other.

For the variance of gradient estimates (Vicol et al. 2021, arXiv 2112.13835, section 4.2). With a
linear policy (`network: linear`), the return is linear in the weights, and the gradient of step t
is the outer product of what is observed and of what is rewarded. With a decay and a tanh it is a
recurrent network instead, whose return is not linear, for the bias of estimates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rl_es.config import Config, static

if TYPE_CHECKING:
    from rl_es.interfaces import Environment

NUMERICS = 1
NAMES = ("unrolled/linear",)


class Options(Config):
    """Settings of the linear unroll."""

    steps: int = static(10, "steps of an episode", ge=1)
    size: int = static(12, "numbers observed, and numbers that an action has", ge=1)
    gradients: Literal["independent", "identical"] = static(
        "independent", "how the gradients of an episode's steps relate"
    )
    decay: float = static(0.0, "what is left of the state after a step", ge=0, lt=1)
    response: Literal["linear", "tanh"] = static("linear", "what the state goes through in a step")


def make(name: str, options: Options) -> Environment:
    """The environment of this name, one of `NAMES`."""
    from rl_es.envs._unrolled.linear import Linear

    return Linear(
        name, options.steps, options.size, options.gradients, options.decay, options.response
    )
