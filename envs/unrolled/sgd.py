"""SGD with momentum on the task of the learned optimiser: what that is compared with, once tuned.

The same classifier, images, minibatches, reward and evaluation as `unrolled/learned_optimiser`. The
action is [2], the logarithm of the learning rate (1e-4 to 10) and the logit of the momentum (0.01
to 0.999), the same at all steps; it starts at (0.01, 0.9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rl_es.envs._unrolled.options import TrainingOptions, check_suite

if TYPE_CHECKING:
    from rl_es.interfaces import Environment

NUMERICS = 1
NAMES = ("unrolled/sgd",)


class Options(TrainingOptions):
    """Settings of the task, those of the learned optimiser."""


check = check_suite


def make(name: str, options: Options) -> Environment:
    """The environment of this name, one of `NAMES`.

    Raises:
      UserError: the data is not there, damaged or does not suffice.
    """
    check(name, options)
    from rl_es.envs._unrolled.inner_training import InnerTraining
    from rl_es.envs._unrolled.sgd import Momentum

    return InnerTraining(name, options, lambda weights: Momentum())
