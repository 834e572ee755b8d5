"""PES: windows of K steps, fresh noise each window, weighted by the episode's accumulated noise.

Vicol, Metz and Sohl-Dickstein, "Unbiased Gradient Estimation in Unrolled Computation Graphs with
Persistent Evolution Strategies", 2021, https://arxiv.org/abs/2112.13835.
"""

from rl_es.evolution.config import PersistentConfig

NUMERICS = 1


class Hyperparameters(PersistentConfig):
    """Settings of persistent ES."""
