"""Pictures of environments: they show the state, in the task's own proportions."""

import subprocess
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import ImageColor

from rl_es.envs import _mujoco, brax, gymnax
from rl_es.errors import UserError
from rl_es.interfaces import Moment
from tests import extras

WIDTH, HEIGHT = 320, 220
BLUE, AMBER = "#4477aa", "#c98a1b"


def drawn(name: str, action: Any = None, **state: float) -> np.ndarray:
    drawing = gymnax.drawing(name, gymnax.Options(), WIDTH, HEIGHT)
    picture = drawing.frame(Moment(SimpleNamespace(**state), np.zeros(1), action))
    assert picture.shape == (HEIGHT, WIDTH, 3) and picture.dtype == np.uint8
    drawing.close()
    return picture


def where(picture: np.ndarray, colour: str) -> np.ndarray:
    """[N, 2] places of this colour, the second coordinate upwards."""
    target = np.array(ImageColor.getrgb(colour))
    rows, columns = np.nonzero((np.abs(picture - target) < 12).all(2))
    return np.stack([columns, -rows], 1).astype(float)


def lean(points: np.ndarray) -> float:
    """The angle of a rod from upright, clockwise, in (-pi/2, pi/2]: its principal axis."""
    _, _, axes = np.linalg.svd(points - points.mean(0), full_matrices=False)
    x, y = axes[0] * np.sign(axes[0][1])
    return float(np.arctan2(x, y))


@pytest.mark.parametrize("angle", [-0.4, -0.1, 0.0, 0.2, 0.7])
def test_the_pole_leans_as_it_does(angle: float) -> None:
    pole = where(drawn("CartPole-v1", x=0.3, theta=angle), BLUE)
    assert lean(pole) == pytest.approx(angle, abs=0.03)


def test_the_cart_is_where_it_is() -> None:
    """The rails' marks stand at 2.4: the same scale for both."""
    at = [where(drawn("CartPole-v1", x=x, theta=0.0), BLUE)[:, 0].mean() for x in (-1.0, 2.0)]
    marks = where(drawn("CartPole-v1", x=0.0, theta=0.0), "#cc3344")[:, 0]
    scale = (marks.max() - marks.min()) / 4.8
    assert (at[1] - at[0]) / scale == pytest.approx(3.0, rel=0.02)


@pytest.mark.parametrize("angle", [-2.5, -0.6, 0.0, 1.2, 3.0])
def test_the_pendulum_turns_against_the_clock(angle: float) -> None:
    """Gymnasium's sense: angles from upright, counter-clockwise."""
    across, up = where(drawn("Pendulum-v1", theta=angle), BLUE).mean(0) - [159.5, -109.5]
    assert np.arctan2(-across, up) == pytest.approx(angle, abs=0.03)


@pytest.mark.parametrize(("one", "two"), [(0.0, 0.0), (0.9, -0.4), (-2.0, 1.1), (3.0, 0.2)])
def test_the_acrobot_hangs_as_gymnasium_has_it(one: float, two: float) -> None:
    """Angles from hanging; x = l sin, y = -l cos, and the second adds to the first."""
    picture = drawn("Acrobot-v1", joint_angle1=one, joint_angle2=two)
    scale = HEIGHT / 4.5
    for colour, start, angle in (
        (BLUE, (0.0, 0.0), one),
        ("#6699cc", (np.sin(one), -np.cos(one)), one + two),
    ):
        middle = (where(picture, colour).mean(0) - [159.5, -109.5]) / scale
        expected = np.add(start, [0.5 * np.sin(angle), -0.5 * np.cos(angle)])
        # The joints are drawn over the ends, and the second link over the first.
        np.testing.assert_allclose(middle, expected, atol=0.13)


@pytest.mark.parametrize("x", [-1.1, -0.5236, 0.2, 0.45])
@pytest.mark.parametrize("name", ["MountainCar-v0", "MountainCarContinuous-v0"])
def test_the_car_is_on_its_hill(name: str, x: float) -> None:
    """Gymnasium's hill, 0.45 sin 3x + 0.55: the car stands upright on it."""
    car = where(drawn(name, position=x), BLUE).mean(0)
    place = (car - [159.5, -109.5]) / (HEIGHT / 1.3) + [-0.3, 0.55]
    slope = 1.35 * np.cos(3 * x)
    upright = np.array([-slope, 1.0]) / np.hypot(slope, 1.0)
    expected = [x, 0.45 * np.sin(3 * x) + 0.55] + 0.066 * upright
    np.testing.assert_allclose(place, expected, atol=0.015)


@pytest.mark.parametrize(
    ("name", "state", "left", "right"),
    [
        ("CartPole-v1", {"x": 0.0, "theta": 0.0}, 0, 1),
        ("MountainCar-v0", {"position": -0.5236}, 0, 2),
        ("MountainCarContinuous-v0", {"position": -0.5236}, [-0.7], [0.7]),
        ("Pendulum-v1", {"theta": 0.0}, [-1.0], [1.0]),  # against the clock: below, to the right
        ("Acrobot-v1", {"joint_angle1": 0.0, "joint_angle2": 0.0}, 0, 2),
    ],
)
def test_actions_are_arrows(name: str, state: dict[str, float], left: Any, right: Any) -> None:
    points = [where(drawn(name, np.array(one), **state), AMBER) for one in (left, right)]
    assert points[0][:, 0].mean() < points[1][:, 0].mean() - 5
    assert len(where(drawn(name, **state), AMBER)) == 0  # nothing is done after the last step


@pytest.mark.parametrize("name", gymnax.DRAWN)
def test_a_step_lasts_what_the_task_says(name: str) -> None:
    drawing = gymnax.drawing(name, gymnax.Options(), 64, 48)
    expected = {"CartPole-v1": 0.02, "Pendulum-v1": 0.05, "Acrobot-v1": 0.2}.get(name)
    assert drawing.step_seconds == pytest.approx(expected)


@pytest.fixture(scope="session")
def rendering() -> None:
    """Skips where nothing can render, unless all tests have to run."""
    extras.require_rendering()


@pytest.mark.parametrize("name", brax.DRAWN)
def test_robots_are_rendered(rendering: None, name: str) -> None:
    from rl_es.envs._brax_adapter import make_environment
    from rl_es.envs._mujoco_rendering import VIEWS

    env = make_environment(name, brax.BACKENDS[name][0])
    start, rest = np.array(env.sys.init_q), np.zeros(env.sys.qd_size())
    drawing = brax.drawing(name, brax.Options(), WIDTH, HEIGHT)
    assert drawing.step_seconds == pytest.approx(float(env.dt), rel=1e-4)

    def orange(q: np.ndarray) -> np.ndarray:
        """Where the robot is: in a colour that nothing else has."""
        state = SimpleNamespace(q=q, qd=rest)
        picture = drawing.frame(Moment(state, np.zeros(1), None)).astype(int)
        assert picture.shape == (HEIGHT, WIDTH, 3)
        return np.argwhere(picture[..., 0] - picture[..., 2] > 60)

    robot = orange(start)
    assert len(robot) > 60
    bent = start.copy()
    bent[-1 if "pendulum" not in name else 1] += 0.5
    if name in ("brax/reacher", "brax/pusher"):
        bent = start + np.r_[0.5, np.zeros(len(start) - 1)]
    assert len(np.setdiff1d(*(one @ [WIDTH, 1] for one in (robot, orange(bent))))) > 8
    if VIEWS[name.removeprefix("brax/")].follow:
        away = start.copy()
        away[0] += 20.0
        np.testing.assert_allclose(orange(away).mean(0), robot.mean(0), atol=8)
    drawing.close()


def test_where_nothing_can_render_the_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def fails(command: list[str], env: dict[str, str], **_: Any) -> Any:
        tried.append(env["MUJOCO_GL"])
        return SimpleNamespace(returncode=1)

    monkeypatch.setattr(subprocess, "run", fails)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(UserError, match=r"libegl1.*libosmesa6") as error:
        _mujoco.backend.__wrapped__()
    assert "\n" not in str(error.value) and tried == ["egl", "osmesa"]


def test_what_the_user_chose_to_render_with_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "no-such-thing")
    monkeypatch.setattr(_mujoco.mujoco, "Renderer", lambda *_: 1 / 0)
    with pytest.raises(UserError, match="cannot render with MUJOCO_GL=no-such-thing"):
        _mujoco.renderer(None, 64, 64)


def particles(task: str, action: Any = None, **state: Any) -> np.ndarray:
    from rl_es.envs import jaxmarl

    drawing = jaxmarl.drawing(f"jaxmarl/MPE_{task}", jaxmarl.Options(), WIDTH, HEIGHT)
    assert drawing.step_seconds == pytest.approx(0.1)
    state = {"p_pos": np.zeros((6, 2)), "c": np.zeros((3, 2)), "goal": None, **state}
    picture = drawing.frame(Moment(SimpleNamespace(**state), np.zeros((3, 18)), action))
    assert picture.shape == (HEIGHT, WIDTH, 3) and picture.dtype == np.uint8
    drawing.close()
    return picture


@pytest.mark.extra("jaxmarl")
def test_particles_are_where_they_are() -> None:
    """One unit is a side of the square's half, on either axis."""
    unit, middle = HEIGHT / 2.6, [(WIDTH - 1) / 2, -(HEIGHT - 1) / 2]
    places = np.array([[0.5, -0.5]] * 3 + [[-0.5, 0.25]] * 3)
    picture = particles("simple_spread_v3", p_pos=places)
    for colour, place in ((BLUE, places[0]), ("#33373d", places[3])):
        at = (where(picture, colour).mean(0) - middle) / unit
        np.testing.assert_allclose(at, place, atol=0.02)


@pytest.mark.extra("jaxmarl")
@pytest.mark.parametrize(
    ("action", "direction"), [(1, [-1, 0]), (2, [1, 0]), (3, [0, -1]), (4, [0, 1])]
)
def test_an_arrow_points_where_an_agent_is_pushed(action: int, direction: list[int]) -> None:
    places = np.array([[0.0, 0.0], *[[1.1, 1.1]] * 5])
    picture = particles("simple_spread_v3", np.array([action, 0, 0]), p_pos=places)
    offset = where(picture, AMBER).mean(0) - [(WIDTH - 1) / 2, -(HEIGHT - 1) / 2]
    assert offset @ direction > 5 and np.abs(offset @ [direction[1], direction[0]]) < 1
    assert not len(where(particles("simple_spread_v3", np.zeros(3, int), p_pos=places), AMBER))


@pytest.mark.extra("jaxmarl")
def test_the_listener_has_the_colour_of_the_landmark_that_is_meant() -> None:
    from rl_es.envs._mpe_rendering import MEANT

    places = np.array([[-0.5, -0.5], [0.0, 0.0], [0.9, 0.9], [0.9, -0.9], [-0.9, 0.9]])
    words = np.eye(3)[[1, 1]] * [[1], [0]]
    for goal, colour in enumerate(MEANT):
        state = {"p_pos": places, "c": words, "goal": np.array(goal)}
        points = where(particles("simple_speaker_listener_v4", **state), colour)
        near = np.linalg.norm(points - [(WIDTH - 1) / 2, -(HEIGHT - 1) / 2], axis=1) < 8
        assert near.any() and not near.all(), "the listener's core, and the landmark itself"


@pytest.mark.extra("jaxmarl")
def test_a_word_is_written_on_who_speaks_it() -> None:
    places = np.array([[-0.5, -0.5], *[[0.5, 0.5]] * 4])
    state = {"p_pos": places, "goal": np.array(0)}
    words = [np.eye(3)[[word, 0]] * [[1], [0]] for word in (0, 1)]
    pictures = [particles("simple_speaker_listener_v4", c=c, **state) for c in words]
    rows, columns = np.nonzero((pictures[0] != pictures[1]).any(2))
    unit, middle = HEIGHT / 2.6, np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    centre = (np.array([columns.mean(), rows.mean()]) - middle) / unit
    np.testing.assert_allclose(centre, [-0.5, 0.5], atol=0.05)
