"""Learning-rate decay: two hyper-parameters of training a classifier by SGD with momentum 0.9.

Vicol et al., "Unbiased Gradient Estimation in Unrolled Computation Graphs with Persistent Evolution
Strategies", 2021, arXiv 2112.13835, the MNIST experiment with a learning-rate schedule:

  lr(t) = exp(theta_0) / (1 + t / time_scale) ^ exp(theta_1),  theta = (log 0.003, log 30) at first.

A step is one of SGD on a minibatch of the training images. What departs from the paper: other
images, and by default a smaller network (`widths: [100, 100]` is the paper's), batch (100 there)
and horizon (5000).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rl_es.config import static
from rl_es.envs._unrolled.options import ValidatedOptions, Width, check_suite

if TYPE_CHECKING:
    from rl_es.interfaces import Environment

NUMERICS = 1
NAMES = ("unrolled/learning_rate_decay",)


class Options(ValidatedOptions):
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


check = check_suite


def make(name: str, options: Options) -> Environment:
    """The environment of this name, one of `NAMES`.

    Raises:
      UserError: the data is not there, damaged or does not suffice.
    """
    check(name, options)
    from rl_es.envs._unrolled.datasets import load_images
    from rl_es.envs._unrolled.learning_rate_decay import LearningRateDecay

    return LearningRateDecay(
        name,
        load_images(options),
        widths=options.widths,
        batch=options.batch,
        steps=options.steps,
        time_scale=options.time_scale or float(options.steps),
        objective=options.objective,
    )
