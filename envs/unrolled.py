"""Unrolled problems: a step of the environment is a step of an inner computation.

The action is the parameters of that computation, through a policy that is its own action
(`network: parameters`), or the update that a learned optimiser makes (`network: shared_mlp`). Each
problem is a suite of one environment, with options of its own; `envs/_unrolled/NAME.py` describes
it, with its source, and makes it.
"""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from rl_es.config import Config, static
from rl_es.envs._unrolled.options import (
    DataOptions,
    TrainingOptions,
    ValidatedOptions,
    Width,
    check_suite,
)

if TYPE_CHECKING:
    from rl_es.interfaces import Environment


class CubicOptions(Config):
    """Settings of the cubic return."""

    steps: int = static(4, "steps of an episode, each with a cube of its own", ge=1)
    inputs: int = static(16, "numbers observed (M)", ge=1)
    outputs: int = static(16, "numbers that an action has (N)", ge=1)
    control: float = static(
        0.0, "s, of the linear part that is subtracted; sigma cancels all that full rank sees", ge=0
    )


class InfluenceBalancingOptions(Config):
    """Settings of influence balancing."""

    loss_every: int = static(1, "steps from one loss to the next; the window, as a rule", ge=1)


class LearnedOptimiserOptions(TrainingOptions):
    """Settings of the learned optimiser."""

    step_scale: float = static(
        0.001, "what an action of 1 changes a parameter by; actions are clipped at 10", gt=0
    )


class LearningRateDecayOptions(ValidatedOptions):
    """Settings of learning-rate decay."""

    widths: tuple[Width, ...] = static((32,), "the classifier's hidden layers", strict=False)
    batch: int = static(50, "images of a minibatch", ge=1)
    steps: int = static(1000, "inner steps of an episode (T)", ge=1)
    time_scale: float | None = static(
        None, "steps after which the learning rate is down by 2^exp(theta_1); T if absent", gt=0
    )
    objective: Literal["loss", "accuracy"] = static(
        "loss",
        "reward: minus the minibatch's training loss at the start of the step, or the accuracy on "
        "as many validation images after it",
    )


class LinearOptions(Config):
    """Settings of the linear unroll."""

    steps: int = static(10, "steps of an episode", ge=1)
    size: int = static(12, "numbers observed, and numbers that an action has", ge=1)
    gradients: Literal["independent", "identical"] = static(
        "independent", "how the gradients of an episode's steps relate"
    )
    decay: float = static(0.0, "what is left of the state after a step", ge=0, lt=1)
    response: Literal["linear", "tanh"] = static("linear", "what the state goes through in a step")


class LorenzOptions(Config):
    """Settings of the Lorenz problem."""

    steps: int = static(2000, "steps of the unroll, of 0.005 time units each", ge=1)


class ManyHyperparametersOptions(ValidatedOptions):
    """Settings of many hyper-parameters."""

    width: int = static(32, "units of each of the five hidden layers", ge=1)
    batch: int = static(32, "images of a minibatch", ge=1)
    steps: int = static(1000, "inner steps of an episode (T)", ge=1)


class SGDOptions(TrainingOptions):
    """Settings of the task, those of the learned optimiser."""


class ToyRegressionOptions(Config):
    """Settings of toy regression."""

    steps: int = static(100, "steps of gradient descent", ge=1)


class Problem(NamedTuple):
    """What tells one problem from another.

    Attributes:
      options: Its options.
      summary: One line, for `list`.
      numerics: Integer that is raised by hand when its numbers change.
    """

    options: type[Config]
    summary: str
    numerics: int = 1


PROBLEMS = {
    "cubic": Problem(
        CubicOptions,
        "Cubic: a return of which the expected estimates are known exactly, for any rank of "
        "the noise.",
    ),
    "influence_balancing": Problem(
        InfluenceBalancingOptions,
        "Influence balancing: a linear system in which a parameter helps soon and harms later.",
    ),
    "learned_optimiser": Problem(
        LearnedOptimiserOptions,
        "A learned optimiser: a small network that reads features of each parameter makes "
        "its update.",
    ),
    "learning_rate_decay": Problem(
        LearningRateDecayOptions,
        "Learning-rate decay: two hyper-parameters of training a classifier by SGD with "
        "momentum 0.9.",
    ),
    "linear": Problem(
        LinearOptions,
        "Linear: an unroll whose windows have known gradients, all alike or independent of "
        "each other.",
    ),
    "lorenz": Problem(
        LorenzOptions,
        "Lorenz: two parameters of a chaotic system, from how well its trajectory follows a "
        "known one.",
    ),
    "many_hyperparameters": Problem(
        ManyHyperparametersOptions,
        "Many hyper-parameters: 29 of a classifier with five hidden layers, tuned on the "
        "validation loss.",
    ),
    "sgd": Problem(
        SGDOptions,
        "SGD with momentum on the task of the learned optimiser: what that is compared with, "
        "once tuned.",
    ),
    "toy_regression": Problem(
        ToyRegressionOptions,
        "Toy regression: the learning-rate schedule of gradient descent on a function of two "
        "numbers.",
    ),
}


def _suite(name: str, problem: Problem) -> SimpleNamespace:
    """Returns a suite of one environment, `unrolled/NAME`, made by `envs/_unrolled/NAME.py`."""
    # Problems on images refuse files that are missing or too small, before jax is loaded.
    check = check_suite if issubclass(problem.options, DataOptions) else None

    def make(environment: str, options: Any) -> Environment:
        if check is not None:
            check(environment, options)
        return importlib.import_module(f"rl_es.envs._unrolled.{name}").make(environment, options)

    return SimpleNamespace(
        NAMES=(f"unrolled/{name}",),
        Options=problem.options,
        NUMERICS=problem.numerics,
        make=make,
        __doc__=problem.summary,
        **({} if check is None else {"check": check}),
    )


SUITES = {name: _suite(name, problem) for name, problem in PROBLEMS.items()}
