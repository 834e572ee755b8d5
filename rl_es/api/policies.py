"""Trained policies, in Python."""

from pathlib import Path

import numpy as np

from rl_es.api.arguments import path, whole
from rl_es.api.packages import bring
from rl_es.errors import MOST_SEED, UserError, brief
from rl_es.training import policies
from rl_es.training.platform import prepare
from rl_es.training.policies import SavedPolicy

MOST_EPISODES = 1_000_000


def loader() -> policies.Loader:
    """A loader of policies; those of one environment and network share their compiled programs.

    Raises:
      UserError: no agents or environments are known.
    """
    bring()
    prepare()
    return policies.Loader()


def load_policy(manifest: str | Path) -> SavedPolicy:
    """The policy of a manifest, `policies/<run_id>/final.json` of a results folder.

    Raises:
      UserError: there is no such manifest, or it or its weights are damaged.
    """
    file = path("load_policy: manifest", manifest)
    return loader().load(file)


def evaluate(policy: SavedPolicy | str | Path, episodes: int = 100, seed: int = 0) -> np.ndarray:
    """Evaluates a trained policy, unperturbed, on fresh whole episodes.

    Args:
      policy: from `Results.policy` or `load_policy`, or the path of its manifest.
      episodes: how many (E).
      seed: a seed for the episodes, which are none of those seen in training.

    Returns:
      [E] undiscounted returns.

    Raises:
      UserError: an argument is wrong, or the path leads to no policy.
    """
    episodes = whole("evaluate: episodes", episodes, 1, MOST_EPISODES)
    seed = whole("evaluate: seed", seed, 0, MOST_SEED)
    if isinstance(policy, str | Path):
        policy = load_policy(policy)
    if not isinstance(policy, SavedPolicy):
        raise UserError(f"evaluate: policy: must be one that was saved, is {brief(policy)}")
    return policy.evaluate(episodes, seed)
