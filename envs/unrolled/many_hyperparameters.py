"""Many hyper-parameters: 29 of a classifier with five hidden layers, tuned on the validation loss.

Vicol et al. 2021, arXiv 2112.13835, the experiment with many hyper-parameters on Fashion-MNIST.
For each hidden layer the fraction of its units that are active, by a hard mask: not differentiable.
For the weights and for the biases of each of the six layers a learning rate and a momentum.

A step is one of SGD on a minibatch of the training images; the reward is minus the loss on as many
validation images after it, at most 2 log 10 and that where it is no number (a step of the worst
settings). What departs from the paper: by default other images (`data: fashion_mnist`), layers of
32 units (`width: 100`), and the start (half of the units active, learning rates 0.01, momenta 0.9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rl_es.config import static
from rl_es.envs._unrolled.options import ValidatedOptions, check_suite

if TYPE_CHECKING:
    from rl_es.interfaces import Environment

NUMERICS = 1
NAMES = ("unrolled/many_hyperparameters",)


class Options(ValidatedOptions):
    """Settings of many hyper-parameters."""

    width: int = static(32, "units of each of the five hidden layers", ge=1)
    batch: int = static(32, "images of a minibatch", ge=1)
    steps: int = static(1000, "inner steps of an episode (T)", ge=1)


check = check_suite


def make(name: str, options: Options) -> Environment:
    """The environment of this name, one of `NAMES`.

    Raises:
      UserError: the data is not there, damaged or does not suffice.
    """
    check(name, options)
    from rl_es.envs._unrolled.datasets import load_images
    from rl_es.envs._unrolled.many_hyperparameters import ManyHyperparameters

    return ManyHyperparameters(
        name, load_images(options), options.width, options.batch, options.steps
    )
