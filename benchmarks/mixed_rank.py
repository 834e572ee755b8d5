"""EGGROLL with full-rank noise in some matrices: which layer pays for low rank?

    python run_benchmark.py run benchmarks/layers.yaml

An agent for that sweep alone. It perturbs the chosen matrices element by element, as a bias is.
"""

from dataclasses import replace
from typing import Literal

from rl_es.config import static
from rl_es.evolution.config import FACTORS_HELP, EpisodicConfig, FactorDistribution
from rl_es.evolution.perturbation import LowRank
from rl_es.evolution.strategy import EvolutionStrategy, episodic_strategy
from rl_es.interfaces import ProblemSpec


class Agent(EvolutionStrategy):
    """Low-rank noise on all matrices but those that are chosen."""

    class Hyperparameters(EpisodicConfig):
        """Settings of EGGROLL, and the matrices with noise of full rank."""

        rank: int = static(1, "rank of the noise on a weight matrix (R)", ge=1)
        factors: FactorDistribution = static("normal", FACTORS_HELP)
        full: Literal["first", "hidden", "head", "ends"] = static(
            "ends", "matrices with full-rank noise; ends: the first and the last (the head)"
        )

    @staticmethod
    def make(config: Hyperparameters, problem: ProblemSpec) -> "Agent":
        """Returns the strategy for a policy."""
        matrices = problem.parameters.matrices
        low_rank = {
            path: matrices[path]
            for place, path in enumerate(sorted(matrices))
            if not _is_full(config.full, place, len(matrices))
        }
        parameters = replace(problem.parameters, matrices=low_rank)
        perturbation = LowRank(parameters, config.rank, config.factors)
        return episodic_strategy(config, perturbation, Agent)


def _is_full(full: str, place: int, count: int) -> bool:
    """Returns whether the matrix at a place among `count` gets full-rank noise."""
    first, head = place == 0, place == count - 1
    return {"first": first, "hidden": not first and not head, "head": head, "ends": first or head}[
        full
    ]
