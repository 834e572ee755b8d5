"""EGGROLL trains two generations on each kind of environment, PPO on some: whole small sweeps.

All sixteen environments of the EGGROLL paper are among them. Marked slow is what compiles for more
than some ten seconds.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rl_es.results import tables
from tests import extras
from tests.running import ran, sweep_of

POPULATION, STEPS = 8, 10

PAPER = (
    "CartPole-v1",
    "Pendulum-v1",
    "brax/ant",
    "brax/humanoid",
    "brax/inverted_double_pendulum",
    "craftax/Craftax-Classic-Symbolic",
    "craftax/Craftax-Symbolic",
    "jumanji/Game2048-v1",
    "jumanji/Knapsack-v1",
    "jumanji/Snake-v1",
    "kinetix/l/hard_pinball",
    "kinetix/m/h17_thrustcontrol_left",
    "kinetix/s/h1_thrust_over_ball",
    "navix/Navix-DoorKey-8x8-v0",
    "navix/Navix-Dynamic-Obstacles-6x6-Random-v0",
    "navix/Navix-FourRooms-v0",
)
# Of navix one a kind of task, of Playground tasks without and with contacts, and with targets.
OTHERS = (
    "jaxmarl/MPE_simple_spread_v3",
    "jaxmarl/MPE_simple_speaker_listener_v4",
    "jaxmarl/MPE_simple_reference_v3",
    "jaxmarl/MPE_simple_facmac_v1",
    "jumanji/Maze-v0",
    "jumanji/PacMan-v1",
    "jumanji/SlidingTilePuzzle-v0",
    "jumanji/TSP-v1",
    "jumanji/CVRP-v1",
    "jumanji/GraphColoring-v1",
    "navix/Navix-Empty-8x8-v0",
    "navix/Navix-LavaGapS5-v0",
    "navix/Navix-SimpleCrossingS9N1-v0",
    "navix/Navix-DistShift1-v0",
    "navix/Navix-GoToDoor-6x6-v0",
    "playground/PendulumSwingup",
    "playground/CartpoleBalance",
    "playground/CheetahRun",
    "playground/SwimmerSwimmer6",
    "playground/ReacherEasy",
)
QUICK = {
    "CartPole-v1",
    "Pendulum-v1",
    "jumanji/Game2048-v1",
    "jumanji/Knapsack-v1",
    "navix/Navix-Empty-8x8-v0",
}
# They end at the time limit only; and no two members have the same return.
ENDLESS = ("Pendulum-v1", "jaxmarl/", "playground/")
DENSE = ("Pendulum-v1", "brax/")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=extras.marks(name) + ([] if name in QUICK else [pytest.mark.slow]))
        for name in (*PAPER, *OTHERS)
    ],
)
def test_eggroll_trains(name: str, tmp_path: Path):
    curves = trained(name, "eggroll", f"{{population: {POPULATION}}}", tmp_path)
    assert curves["update_norm"].iloc[-1] > 0 or not name.startswith(DENSE)
    most = 2 * POPULATION * STEPS
    assert most == curves["env_steps"].max() or not name.startswith(ENDLESS)
    assert 2 * POPULATION <= curves["env_steps"].max() <= most


@pytest.mark.extra("rejax")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=extras.marks(name))
        for name in ("Pendulum-v1", "jumanji/Knapsack-v1", "jaxmarl/MPE_simple_speaker_listener_v4")
    ],
)
def test_ppo_trains(name: str, tmp_path: Path):
    """On real actions, on masked ones, and on those of two agents of which one has a mask."""
    sizes = "{num_envs: 4, num_steps: 12, num_epochs: 2, num_minibatches: 2}"
    curves = trained(name, "ppo", sizes, tmp_path)
    assert curves["update_norm"].iloc[-1] > 0
    assert curves["env_steps"].max() == 2 * 4 * 12


def trained(name: str, agent: str, settings: str, folder: Path) -> pd.DataFrame:
    """The curve of two generations."""
    text = f"""
name: two_generations
seeds: 1
defaults:
  budget: {{generations: 2}}
  evaluation: {{points: 1, episodes: 2}}
  policy: {{widths: [8]}}
  agent: {settings}
environments: [{{name: {name}, episode_length: {STEPS}}}]
agents: [{agent}]
"""
    curves, _ = tables.load_tables(ran(folder, sweep_of(text)))
    assert curves["generation"].max() == 2
    assert np.isfinite(curves["return_mean"]).all()
    return curves
