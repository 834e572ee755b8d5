"""Full-rank ES: Gaussian noise on every weight, whole episodes, z-scored returns.

What EGGROLL is compared with: the same estimate without the low-rank constraint.
"""

from rl_es.evolution.config import EpisodicConfig

NUMERICS = 1


class Hyperparameters(EpisodicConfig):
    """Settings of full-rank ES."""
