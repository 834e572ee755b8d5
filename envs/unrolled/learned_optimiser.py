"""A learned optimiser: a small network that reads features of each parameter makes its update.

After Metz et al. ("Understanding and correcting pathologies in the training of learned optimizers",
2019, arXiv 1810.10180; "Practical tradeoffs between memory, compute, and performance in learned
optimizers", 2022, arXiv 2203.11860) and the experiments on noise reuse (Li et al. 2023, arXiv
2304.12180); the features are our own choice. The task of `unrolled/sgd` is the same, trained by
SGD.

The observation is [n, 13], a row per parameter, and the action [n] its update in units of
`step_scale`; the policy for it is `network: shared_mlp, head: deterministic`. The reward of a step
is minus the training loss of the new weights on a new minibatch. What is evaluated is minus the
loss on training images at the end (the first 2048, if there are more).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rl_es.config import static
from rl_es.envs._unrolled.options import TrainingOptions, check_suite

if TYPE_CHECKING:
    from rl_es.interfaces import Environment

NUMERICS = 1
NAMES = ("unrolled/learned_optimiser",)


class Options(TrainingOptions):
    """Settings of the learned optimiser."""

    step_scale: float = static(
        0.001, "what an action of 1 changes a parameter by; actions are clipped at 10", gt=0
    )


check = check_suite


def make(name: str, options: Options) -> Environment:
    """The environment of this name, one of `NAMES`.

    Raises:
      UserError: the data is not there, damaged or does not suffice.
    """
    check(name, options)
    from rl_es.envs._unrolled.inner_training import InnerTraining
    from rl_es.envs._unrolled.learned_optimiser import LearnedRule

    scale, steps = options.step_scale, options.steps
    return InnerTraining(name, options, lambda weights: LearnedRule(weights, scale, steps))
