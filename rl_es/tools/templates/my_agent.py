"""An evolution strategy that learns from the best members only.

    python run_benchmark.py check ./my_agent.py:MyAgent  whether it keeps what the engine relies on
    python run_benchmark.py run my_agent.yaml            a comparison with eggroll and open_es

A strategy is made of parts: noise (`perturbation`), the segment that members are evaluated on, the
`shaping` of returns into weights, and an optimiser. `episodic_strategy` puts them together from the
settings; what is different is a method that is written anew, here `shape`. For a strategy that has
nothing in common with these, write the methods of rl_es.interfaces.Agent.
"""

import jax.numpy as jnp
from jax import Array

from rl_es.config import Style, traced
from rl_es.evolution.config import EpisodicConfig
from rl_es.evolution.perturbation import FullRank
from rl_es.evolution.strategy import EvolutionStrategy, StrategyState, episodic_strategy
from rl_es.interfaces import ProblemSpec, Segment


class MyAgent(EvolutionStrategy):
    """Weights are centred ranks above a share of the population; the others count alike."""

    STYLE = Style("#8c6d31", "dashed", "D")  # its look in figures; without it, one that is free

    class Hyperparameters(EpisodicConfig):
        """Settings: those of every episodic strategy, and its own.

        A `traced` one is a number that is handed to the compiled program, in `state.hyper`: many
        values share one program. A `static` one is a part of the program: read it from the config.
        """

        keep: float = traced(0.5, "share of the members that are told apart", gt=0, le=1)

    @staticmethod
    def make(config: Hyperparameters, problem: ProblemSpec) -> "MyAgent":
        """For low-rank noise, as eggroll has it: LowRank(problem.parameters, rank)."""
        return episodic_strategy(config, FullRank(problem.parameters), MyAgent)

    def shape(self, state: StrategyState, segment: Segment) -> Array:
        """[P] weights from the returns of all members. Higher returns are better."""
        ranks = jnp.argsort(jnp.argsort(segment.returns)).astype(jnp.float32)  # P - 1 is the best
        threshold = (1.0 - state.hyper["keep"]) * (self.population - 1)
        kept = jnp.maximum(ranks - threshold, 0.0)
        return (kept - kept.mean()) / (kept.std() + 1e-8)
