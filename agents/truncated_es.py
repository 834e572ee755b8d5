"""Truncated ES: windows of K steps from an unperturbed particle, with no memory between windows.

The biased foil of PES: it sees what a perturbation does within one window and nothing after it.
"""

from rl_es.evolution.config import PersistentConfig

NUMERICS = 1


class Hyperparameters(PersistentConfig):
    """Settings of truncated ES."""
