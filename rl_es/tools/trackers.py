"""The trackers that a run can be asked for: TensorBoard, Weights & Biases."""

from pathlib import Path

from rl_es.sweep.tracking import Tracker


def make_trackers(folder: Path, tensorboard: bool, wandb: bool) -> list[Tracker]:
    """Returns the trackers that are asked for; they write into `folder`, the results folder.

    Raises:
      UserError: a library is not installed.
    """
    trackers: list[Tracker] = []
    if tensorboard:
        from rl_es.tools.tensorboard import TensorboardTracker

        trackers.append(TensorboardTracker(folder))
    if wandb:
        from rl_es.tools.wandb import WandbTracker

        trackers.append(WandbTracker(folder))
    return trackers
