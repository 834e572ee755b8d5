"""The best trial: by mean final return over the tuning seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rl_es.tuning.trials import Trial

CHOSEN_BY = "mean final return"


@dataclass(frozen=True)
class Pick:
    """What was picked of the trials of an agent in an environment.

    Attributes:
      best: the trial.
      second: the runner-up; None where no other trial counts.
      trials: how many there were.
      lost: how many of them do not count, since a run diverged or failed.
    """

    best: Trial
    second: Trial | None
    trials: int
    lost: int


def pick(trials: Sequence[Trial]) -> Pick | str:
    """The best trial and the next one, or the reason why none can be named.

    A trial counts only if all its runs finished: the mean of those that are left after a divergence
    is no fair sample. Equal means, such as those of a task that many trials solve, are ranked by
    the mean over all evaluations, which favours the faster trial, and then by the trials' order.
    """
    missing = sum(trial.missing > 0 for trial in trials)
    if missing or not trials:
        return f"{missing} of {len(trials)} trials have not ended; run the tuning to its end"
    whole = [trial for trial in trials if not trial.lost]
    if not whole:
        return f"each of {len(trials)} trials lost a run (diverged or failed)"
    ranked = sorted(whole, key=lambda t: (-mean(t), -float(np.mean(t.area)), t.number))
    # A search may propose the same settings twice: those are one run.
    second = next((trial for trial in ranked if trial.label != ranked[0].label), None)
    return Pick(ranked[0], second, len(trials), len(trials) - len(whole))


def mean(trial: Trial) -> float:
    """The mean final return of a trial's finished runs."""
    return float(np.mean(trial.final))
