"""What draws an environment: its suite's drawing, a grid of cells, or traces."""

from collections.abc import Callable

import jax
import numpy as np

from rl_es import registry
from rl_es.interfaces import Drawing, Moment
from rl_es.replay.grids import Grid, is_grid
from rl_es.replay.lettering import captioned, strip_height
from rl_es.replay.traces import traces
from rl_es.rollout.trajectory import Trajectory
from rl_es.rollout.wrappers import bare
from rl_es.training.workbench import Workbench

Size = tuple[int, int]  # width and height in pixels


class Painter:
    """Draws the episodes of an environment, with a caption under each picture; close it when done.

    Attributes:
      size: of a picture.
      step_seconds: how long a step of the agent lasts; None where time is only counted.
      states: whether an episode has to keep the environment's states.
    """

    def __init__(self, workbench: Workbench, size: Size):
        """Draws what the workbench's environment shows.

        Raises:
          UserError: it cannot be drawn here.
        """
        self.size = size
        self._inside = size[0], size[1] - strip_height(size[1])
        task, shape = workbench.task, workbench.env.spec.observation_shape
        suite = registry.environment_suite(task.name)
        self.states = task.name in getattr(suite, "DRAWN", ())
        self._drawing: Drawing | None = None
        if self.states:
            options = suite.Options(**task.options)
            self._drawing = suite.drawing(task.name, options, *self._inside)
        elif is_grid(shape):
            self._drawing = Grid(shape, *self._inside)
        seconds = None if self._drawing is None else self._drawing.step_seconds
        self.step_seconds = None if seconds is None else seconds * task.wrappers.action_repeat

    def pictures(self, episode: Trajectory, title: str) -> Callable[[int], np.ndarray]:
        """A function from the steps taken to a picture [height, width, 3] uint8."""
        draw = self._uncaptioned(episode)
        returns = np.concatenate([[0.0], np.cumsum(episode.rewards, dtype=np.float64)])

        def picture(steps: int) -> np.ndarray:
            return captioned(draw(steps), self.size[1], title, steps, float(returns[steps]))

        return picture

    def _uncaptioned(self, episode: Trajectory) -> Callable[[int], np.ndarray]:
        drawing = self._drawing
        if drawing is None:
            return traces(episode, *self._inside)
        states = bare(episode.states)
        last = Moment(bare(episode.end[0]), episode.end[1], None)

        def draw(steps: int) -> np.ndarray:
            if steps == len(episode.rewards):
                return drawing.frame(last)
            state = jax.tree.map(lambda leaf: leaf[steps], states)
            return drawing.frame(Moment(state, episode.observations[steps], episode.actions[steps]))

        return draw

    def close(self) -> None:
        """Frees what drawing needs."""
        if self._drawing is not None:
            self._drawing.close()
