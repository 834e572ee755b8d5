"""An agent with the settings of every strategy."""

from rl_es.evolution.config import EpisodicConfig

NUMERICS = 3


class Hyperparameters(EpisodicConfig):
    """No setting of its own."""
