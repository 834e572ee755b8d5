"""What every environment can be shown by, and the line under each picture."""

import numpy as np
import pytest

from rl_es import registry
from rl_es.interfaces import Moment
from rl_es.replay.rendering import (
    MOST_LINES,
    GridDrawing,
    Painter,
    add_caption,
    draw_traces,
    grid_colours,
    is_grid,
    strip_height,
)
from rl_es.rollout.config import PolicyConfig, WrapperConfig
from rl_es.rollout.evaluation import Trajectory
from rl_es.training.policies import PolicyEvaluator
from rl_es.training.task import Task

RED = np.array([204, 51, 68])  # the cursor


def episode(observations: np.ndarray, actions: np.ndarray, rewards: np.ndarray) -> Trajectory:
    return Trajectory((), observations, actions, rewards, True, ((), observations[-1]))


def random_episode(steps: int, width: int) -> Trajectory:
    random = np.random.default_rng(0)
    values = random.normal(size=(steps, width)).astype(np.float32)
    return episode(values, values[:, :1], values[:, 0])


def cursor(picture: np.ndarray) -> float:
    """Where the cursor is, as a share of the width."""
    return np.flatnonzero((picture == RED).all(2).mean(0) > 0.5).mean() / picture.shape[1]


@pytest.mark.parametrize(("steps", "width"), [(1, 1), (2, 3), (50, MOST_LINES + 9)])
def test_the_cursor_goes_from_left_to_right(steps: int, width: int) -> None:
    picture = draw_traces(random_episode(steps, width), 320, 220)
    pictures = [picture(step) for step in range(steps + 1)]
    assert pictures[0].shape == (220, 320, 3) and pictures[0].dtype == np.uint8
    at = np.array([cursor(one) for one in pictures])
    np.testing.assert_allclose(at, np.linspace(at[0], at[-1], steps + 1), atol=0.005)
    assert at[0] < 0.06 and at[-1] > 0.94


def test_traces_show_the_values() -> None:
    """Only the reward's panel differs, the lowest quarter of the picture."""
    one = random_episode(30, 4)
    other = one._replace(rewards=np.where(np.arange(30) == 12, 9.0, one.rewards))
    differs = (draw_traces(one, 320, 220)(0) != draw_traces(other, 320, 220)(0)).any((1, 2))
    assert differs[165:].any() and not differs[:160].any()


def test_values_that_are_no_numbers_are_no_obstacle() -> None:
    episode_of_nan = random_episode(5, 2)._replace(observations=np.array([[np.nan, np.inf]] * 5))
    assert draw_traces(episode_of_nan, 64, 64)(5).shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("shape", "grid"),
    [((10, 10, 4), True), ((10, 5), True), ((1, 1), False), ((5,), False), ((), False)],
)
def test_which_observations_are_grids(shape: tuple[int, ...], grid: bool) -> None:
    assert is_grid(shape) == grid


def test_cells_have_the_colour_of_their_channel() -> None:
    observation = np.zeros((10, 10, 6), np.float32)
    observation[2, 7, 4] = 1
    picture = GridDrawing((10, 10, 6), 320, 220).frame(Moment((), observation, None))
    assert picture.shape == (220, 320, 3) and picture.dtype == np.uint8
    cells = np.argwhere((picture == grid_colours(6)[4]).all(2))
    assert len(cells) == 21 * 21  # squares of 22 with a line
    # 10 x 10 squares of 22 pixels in the middle of the width, from the top.
    np.testing.assert_allclose(cells.mean(0), [2 * 22 + 10, 50 + 7 * 22 + 10])


@pytest.mark.parametrize("channels", [1, 4, 7, 10])
def test_channels_can_be_told_apart(channels: int) -> None:
    colours = grid_colours(channels).astype(int)
    apart = np.abs(colours[:, None] - colours[None]).sum(2) + 999 * np.eye(channels, dtype=int)
    assert apart.min() > 40


def test_the_line_says_time_and_return() -> None:
    height, strip = 240, strip_height(240)
    blank = np.full((height - strip, 320, 3), 200, np.uint8)
    picture = add_caption(blank, height, "early", 7, -3.25)
    assert picture.shape == (240, 320, 3) and picture.dtype == np.uint8 and strip % 2 == 0
    np.testing.assert_array_equal(picture[:-strip], blank)
    other = {
        "left": add_caption(blank, height, "late", 7, -3.25),
        "middle": add_caption(blank, height, "early", 8, -3.25),
        "right": add_caption(blank, height, "early", 7, 3.25),
    }
    for third, name in enumerate(other):
        differs = np.flatnonzero((picture != other[name]).any((0, 2)))
        assert len(differs) and set(differs // 107) == {third}, name


@pytest.mark.parametrize("name", ["Catch-bsuite", "MemoryChain-bsuite", "Pendulum-v1"])
def test_a_painter_draws_what_its_environment_has(name: str) -> None:
    """A suite's drawing, cells, or traces, with the return up to each time."""
    linear = PolicyConfig(network="linear")
    workbench = PolicyEvaluator(Task.from_options(name, {}, WrapperConfig(), linear))
    painter = Painter(workbench, (160, 120))
    assert painter.states == (name == "Pendulum-v1")
    assert painter.step_seconds == (0.05 if name == "Pendulum-v1" else None)
    painter.close()


def test_repeated_actions_take_longer() -> None:
    wrappers = WrapperConfig(action_repeat=3, episode_length=5)
    linear = PolicyConfig(network="linear")
    workbench = PolicyEvaluator(Task.from_options("Pendulum-v1", {}, wrappers, linear))
    assert Painter(workbench, (160, 120)).step_seconds == pytest.approx(0.15)


@pytest.mark.parametrize("ability", ["DRAWN", "GENERATIVE"])
def test_environments_with_a_replay_of_their_own_are_environments(ability: str) -> None:
    suites = list(map(registry.suites.load, registry.suites.names()))
    assert any(hasattr(suite, ability) for suite in suites)
    for suite in suites:
        assert set(getattr(suite, ability, ())) <= set(suite.NAMES)
