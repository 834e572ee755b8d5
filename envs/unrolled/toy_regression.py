"""Toy regression: the learning-rate schedule of gradient descent on a function of two numbers.

Wu et al., "Understanding short-horizon bias in stochastic meta-optimization", 2018, as PES uses it
(Vicol et al. 2021, arXiv 2112.13835, section 5.2). The action holds the logarithms of the learning
rates at the start and at the end; between them the rate itself is linear in time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rl_es.config import Config, static

if TYPE_CHECKING:
    from rl_es.interfaces import Environment

NUMERICS = 1
NAMES = ("unrolled/toy_regression",)


class Options(Config):
    """Settings of toy regression."""

    steps: int = static(100, "steps of gradient descent", ge=1)


def make(name: str, options: Options) -> Environment:
    """The environment of this name, one of `NAMES`."""
    from rl_es.envs._unrolled.toy_regression import ToyRegression

    return ToyRegression(name, options.steps)
