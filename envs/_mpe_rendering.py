"""Drawings of JaxMARL's MPE: agents and landmarks on their plane, and who wants what.

An agent is a disc with its force as an amber arrow; its colour is its role's. Landmarks have
colours where one of them is meant for an agent: the agent that has to go there has a core of the
landmark's colour. A word is the letter in the agent that spoke it: A is the first.
"""

from typing import Any

import numpy as np

from rl_es.envs._canvas import AMBER, BLUE, FAINT, GREEN, INK, PAPER, RED, Canvas, Point
from rl_es.envs._jaxmarl_adapter import make_environment
from rl_es.interfaces import Moment

ROLES = {"speaker": INK, "adversary": RED}  # others are blue
MEANT = (RED, GREEN, "#8855aa")  # colours of landmarks that may be meant
SPAN = 2.6  # of the plane that is always seen; starts lie within 2


class Particles:
    """A task's `rl_es.interfaces.Drawing`."""

    def __init__(self, name: str, action_type: str, width: int, height: int):
        """Draws the task of this name."""
        self._env, self._size = make_environment(name, action_type), (width, height)

    @property
    def step_seconds(self) -> float | None:
        return float(self._env.dt)

    def frame(self, moment: Moment) -> np.ndarray:
        env, state = self._env, moment.state
        places = [(float(x), float(y)) for x, y in np.asarray(state.p_pos)]
        agents, marks = places[: env.num_agents], places[env.num_agents :]
        reach = max(SPAN, *(2.2 * abs(value) for place in agents for value in place))
        canvas = Canvas(*self._size, (0.0, 0.0), (reach, reach))
        for side in (-1.0, 1.0):
            canvas.line([(side, -1.0), (side, 1.0)], 0.01, FAINT)
            canvas.line([(-1.0, side), (1.0, side)], 0.01, FAINT)
        goals = _goals(env, state)
        for number, place in enumerate(marks):
            colour = MEANT[number] if goals else INK
            canvas.disc(place, float(env.rad[env.num_agents + number]), colour)
        for number, (agent, place) in enumerate(zip(env.agents, agents, strict=True)):
            radius = float(env.rad[number])
            canvas.disc(place, radius, ROLES.get(agent.rpartition("_")[0], BLUE))
            if number in goals:
                canvas.disc(place, 0.6 * radius, PAPER)
                canvas.disc(place, 0.5 * radius, MEANT[goals[number]])
            word = np.asarray(state.c[number])
            if word.size and word.any():
                canvas.text(place, chr(ord("A") + int(word.argmax())), 1.3 * radius, PAPER)
            force = _force(env, moment.action, number)
            if (size := float(np.linalg.norm(force))) > 0.05:
                start, end = (_beside(place, force / size, radius + d) for d in (0.0, 0.2 * size))
                canvas.arrow(start, end, 0.03, AMBER)
        return canvas.picture()

    def close(self) -> None:
        pass


def _goals(env: Any, state: Any) -> dict[int, int]:
    """Returns the number of the landmark that is meant for each agent that has one."""
    goal = np.atleast_1d(np.asarray([] if state.goal is None else state.goal)).astype(int).tolist()
    first = env.num_agents - len(goal)  # of speaker and listener, only the listener moves
    return {first + number: landmark for number, landmark in enumerate(goal)}


def _force(env: Any, actions: Any, number: int) -> np.ndarray:
    """Returns the force of an agent's own action [2], of length 1 at most in each direction."""
    rows = [] if actions is None else np.atleast_1d(np.asarray(actions))
    if actions is not None and np.asarray(actions).dtype.kind == "f":
        rows = np.reshape(rows, (-1, np.shape(rows)[-1]))
    if number >= len(rows) or not bool(env.moveable[number]):
        return np.zeros(2)
    if np.ndim(rows[number]):
        push = np.clip(rows[number], 0, 1)
        return np.array([push[2] - push[1], push[4] - push[3]])
    return np.array([(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)][int(rows[number]) % 5], float)


def _beside(place: Point, direction: np.ndarray, distance: float) -> Point:
    return place[0] + distance * float(direction[0]), place[1] + distance * float(direction[1])
