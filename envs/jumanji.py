"""jumanji 1.1.2: games, puzzles and combinatorial problems, under the names `jumanji/...`.

Those that take one discrete action a step; the allowed ones are masked. An observation is all that
jumanji shows but the mask, flattened field by field, with the number of steps as a share of the
time limit, which is how jumanji's own networks see it; 2048's is the board [4, 4, 1] of the powers
of two. An action that is not allowed does nothing in 2048, Maze, SlidingTilePuzzle and PacMan; it
ends the others, at jumanji's penalties. No policy with an action head chooses it.

Knapsack ends when nothing fits any more, GraphColoring and TSP after 20 steps, CVRP after 40 at the
latest, 2048 when no move is left (after 40 to 330 random ones), Snake when it runs into
itself or has nowhere to go, PacMan when it is caught or has eaten everything, Maze and
SlidingTilePuzzle when they are solved. GraphColoring pays in the last step alone, and Maze at the
target alone, which random actions reach in a quarter of the episodes. Where jumanji has a time
limit, it calls its end a termination; here that is a truncation. 2048, which has no limit, is
truncated after 10,000 moves.

Left out: those of several actions a step (BinPack, Cleaner, Connector, FlatPack, JobShop,
LevelBasedForaging, Minesweeper, MMST, MultiCVRP, RobotWarehouse, RubiksCube, SearchAndRescue,
Sudoku, Tetris), since an action head chooses one and no product of heads obeys a mask over their
combinations; and Sokoban, which downloads its levels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rl_es.config import Config
from rl_es.registry import check_requires

if TYPE_CHECKING:
    from rl_es.interfaces import Environment

NUMERICS = 1
# Steps after which an episode is truncated: jumanji's limit, or the most that the task can take;
# 2048 has neither.
EPISODE_LENGTHS = {
    "jumanji/Game2048-v1": 10_000,
    "jumanji/Knapsack-v1": 50,
    "jumanji/Snake-v1": 4000,
    "jumanji/Maze-v0": 100,
    "jumanji/PacMan-v1": 1000,
    "jumanji/SlidingTilePuzzle-v0": 500,
    "jumanji/TSP-v1": 20,
    "jumanji/CVRP-v1": 40,
    "jumanji/GraphColoring-v1": 20,
}
NAMES = tuple(EPISODE_LENGTHS)


class Options(Config):
    """jumanji environments are used as jumanji registers them."""


check = check_requires("jumanji", "jumanji")


def make(name: str, options: Options) -> Environment:
    """The environment of this name, one of `NAMES`.

    Raises:
      UserError: jumanji is not installed.
    """
    check(name, options)
    from rl_es.envs._jumanji_adapter import JumanjiEnvironment
    from rl_es.rollout.wrappers import TimeLimit

    steps = EPISODE_LENGTHS[name]
    return TimeLimit(JumanjiEnvironment(name, steps), steps)
