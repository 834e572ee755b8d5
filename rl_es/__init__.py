"""rl_es: a benchmark suite for evolution strategies in reinforcement learning, in JAX."""

__version__ = "0.1.0"
