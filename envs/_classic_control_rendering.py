"""Drawings of gymnax's classic control tasks, in the proportions of their parameters.

Actions are drawn in amber: a force as an arrow, a torque as an arrow on a circle.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from rl_es.envs._canvas import AMBER, BLUE, FAINT, GREEN, INK, RED, Canvas, Point
from rl_es.interfaces import Moment

# (width, height, state, action, parameters) -> canvas with the drawing
Painter = Callable[[int, int, Any, float | None, Any], Canvas]


class ClassicControl:
    """A task's `rl_es.interfaces.Drawing`."""

    def __init__(self, name: str, width: int, height: int):
        """Draws the task of this name, one of `PAINTERS`."""
        from rl_es.envs._gymnax_adapter import make_environment

        _, self._params = make_environment(name)
        self._paint, clock = PAINTERS[name]
        self._size = width, height
        self._seconds = None if clock is None else float(getattr(self._params, clock))

    @property
    def step_seconds(self) -> float | None:
        return self._seconds

    def frame(self, moment: Moment) -> np.ndarray:
        action = None if moment.action is None else float(np.reshape(moment.action, -1)[0])
        return self._paint(*self._size, moment.state, action, self._params).picture()

    def close(self) -> None:
        pass


def _cart_pole(width: int, height: int, state: Any, action: float | None, params: Any) -> Canvas:
    edge, pole = float(params.x_threshold), 2 * float(params.length)
    canvas = Canvas(width, height, (0.0, 0.72), (2 * edge + 0.7, 2.6))
    x, angle = float(state.x), float(state.theta)
    canvas.line([(canvas.left, 0.0), (canvas.right, 0.0)], 0.02, FAINT)
    for limit in (-edge, edge):
        canvas.line([(limit, -0.08), (limit, 0.08)], 0.03, RED)
    for wheel in (-0.16, 0.16):
        canvas.disc((x + wheel, 0.06), 0.06, INK)
    canvas.box((x - 0.3, 0.07), (x + 0.3, 0.35), 0.05, INK)
    hinge = (x, 0.35)
    canvas.line([hinge, _clockwise(hinge, angle, pole)], 0.09, BLUE)
    canvas.disc(hinge, 0.035, FAINT)
    if action is not None:
        side = 1.0 if action > 0.5 else -1.0
        canvas.arrow((x + side * 0.36, 0.21), (x + side * 0.72, 0.21), 0.045, AMBER)
    return canvas


def _pendulum(width: int, height: int, state: Any, action: float | None, params: Any) -> Canvas:
    length, most = float(params.l), float(params.max_torque)
    canvas = Canvas(width, height, (0.0, 0.0), (2.5 * length, 2.5 * length))
    torque = 0.0 if action is None else float(np.clip(action, -most, most)) / most
    tip = _clockwise((0.0, 0.0), -float(state.theta), length)
    canvas.disc((0.0, length), 0.03, GREEN)  # the upright position
    canvas.line([(0.0, 0.0), tip], 0.13, BLUE)
    canvas.disc((0.0, 0.0), 0.05, INK)
    canvas.turn((0.0, 0.0), 0.34, -math.pi / 2, torque * 0.8 * math.pi, 0.035, AMBER)
    return canvas


def _acrobot(width: int, height: int, state: Any, action: float | None, params: Any) -> Canvas:
    first, second = float(params.link_length_1), float(params.link_length_2)
    reach = first + second
    canvas = Canvas(width, height, (0.0, 0.0), (2.25 * reach, 2.25 * reach))
    torques = np.asarray(params.available_torque)
    torque = 0.0 if action is None else float(torques[int(np.clip(action, 0, 2))])
    upper, lower = float(state.joint_angle1), float(state.joint_angle2)
    knee = _clockwise((0.0, 0.0), math.pi - upper, first)
    foot = _clockwise(knee, math.pi - upper - lower, second)
    canvas.line([(canvas.left, first), (canvas.right, first)], 0.025, GREEN)  # the height to reach
    canvas.line([(0.0, 0.0), knee], 0.14, BLUE)
    canvas.line([knee, foot], 0.14, "#6699cc")
    for joint in ((0.0, 0.0), knee):
        canvas.disc(joint, 0.06, INK)
    canvas.turn(knee, 0.3, -upper - math.pi / 2, torque * 0.6 * math.pi, 0.05, AMBER)
    return canvas


def _discrete_car(width: int, height: int, state: Any, action: float | None, params: Any) -> Canvas:
    push = None if action is None else float(np.clip(action, 0, 2)) - 1
    return _mountain_car(width, height, state, push, params)


def _mountain_car(width: int, height: int, state: Any, push: float | None, params: Any) -> Canvas:
    low, high = float(params.min_position), float(params.max_position)
    canvas = Canvas(width, height, ((low + high) / 2, 0.55), (high - low, 1.3))
    hill = [(x, _hill(x)) for x in np.linspace(canvas.left, canvas.right, 200).tolist()]
    corners = [(canvas.right, canvas.bottom), (canvas.left, canvas.bottom)]
    canvas.polygon([*hill, *corners], "#e4e1d8")
    canvas.line(hill, 0.012, INK)
    goal = float(params.goal_position)
    top = _hill(goal) + 0.16
    canvas.line([(goal, _hill(goal)), (goal, top)], 0.01, INK)
    canvas.polygon([(goal, top), (goal + 0.09, top - 0.03), (goal, top - 0.06)], GREEN)
    _car(canvas, float(state.position), 0.0 if push is None else float(np.clip(push, -1, 1)))
    return canvas


def _car(canvas: Canvas, x: float, push: float) -> None:
    slope = math.atan(3 * 0.45 * math.cos(3 * x))

    def at(along: float, up: float) -> Point:
        ahead, above = math.cos(slope), math.sin(slope)
        return x + along * ahead - up * above, _hill(x) + along * above + up * ahead

    canvas.polygon([at(-0.09, 0.03), at(0.09, 0.03), at(0.09, 0.075), at(-0.09, 0.075)], BLUE)
    canvas.polygon([at(-0.05, 0.07), at(0.05, 0.07), at(0.03, 0.105), at(-0.035, 0.105)], BLUE)
    for wheel in (-0.055, 0.055):
        canvas.disc(at(wheel, 0.03), 0.03, INK)
    canvas.arrow(at(0.0, 0.15), at(0.2 * push, 0.15), 0.016, AMBER)


def _hill(x: float) -> float:
    """Returns the road's height, as in Gymnasium; its slope pulls the car."""
    return 0.45 * math.sin(3 * x) + 0.55


def _clockwise(point: Point, angle: float, length: float) -> Point:
    """Returns the end of a rod that starts at a point, at this angle from upright."""
    return point[0] + length * math.sin(angle), point[1] + length * math.cos(angle)


# The painter of each task, and its parameter that holds the duration of a step.
PAINTERS: dict[str, tuple[Painter, str | None]] = {
    "CartPole-v1": (_cart_pole, "tau"),
    "Pendulum-v1": (_pendulum, "dt"),
    "Acrobot-v1": (_acrobot, "dt"),
    "MountainCar-v0": (_discrete_car, None),
    "MountainCarContinuous-v0": (_mountain_car, None),
}
