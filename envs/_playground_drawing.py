"""MuJoCo Playground's tasks as MuJoCo renders them: the models' own colours, lights and cameras."""

import numpy as np

from envs._mujoco import mujoco, renderer, unlogged
from envs._playground_adapter import made
from rl_es.interfaces import Moment

CAMERA = 0  # the first of each model shows all of its task


class PlaygroundDrawing:
    """A Playground task's `rl_es.interfaces.Drawing`."""

    def __init__(self, name: str, width: int, height: int):
        """Draws the task of this name.

        Raises:
          UserError: there is nothing to render with.
        """
        task = made(name)
        self._seconds = round(float(task.dt), 6)
        self._model = task.mj_model
        window = self._model.vis.global_
        window.offwidth, window.offheight = width, height
        self._data = mujoco.MjData(self._model)
        with unlogged():
            self._renderer = renderer(self._model, width, height)

    @property
    def step_seconds(self) -> float:
        return self._seconds

    def frame(self, moment: Moment) -> np.ndarray:
        for field in ("qpos", "qvel", "mocap_pos", "mocap_quat"):  # targets are moved as mocap
            getattr(self._data, field)[:] = np.asarray(getattr(moment.state, field))
        mujoco.mj_forward(self._model, self._data)
        self._renderer.update_scene(self._data, CAMERA)
        return self._renderer.render()

    def close(self) -> None:
        self._renderer.close()
