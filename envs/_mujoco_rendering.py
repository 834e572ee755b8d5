"""Drawings rendered by MuJoCo: of brax's robots, and of MuJoCo Playground's tasks.

Brax's models get one light, one floor and the same colours. Playground's tasks keep the colours,
lights and cameras of their models.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from rl_es.envs import _brax_adapter
from rl_es.envs._adapter import without_printing
from rl_es.envs._mujoco import mujoco, renderer, without_logging
from rl_es.interfaces import Moment

with without_printing():
    import brax.envs


@dataclasses.dataclass(frozen=True)
class CameraView:
    """The camera's view of a robot; angles in degrees, lengths in metres.

    Attributes:
      distance: Distance of the camera from the point that it looks at.
      elevation: Elevation of the camera; -90 looks straight down.
      azimuth: Azimuth of the camera; 90 looks along y, so that x points right.
      look_at: The point that the camera looks at; with `follow`, relative to the robot's position
        on the ground.
      follow: Move the camera with the robot.
      floor: Height of a floor that is added; None if the model has one.
    """

    distance: float
    elevation: float = -12.0
    azimuth: float = 90.0
    look_at: tuple[float, float, float] = (0.0, 0.0, 0.0)
    follow: bool = True
    floor: float | None = None


VIEWS = {
    "ant": CameraView(4.2, -25.0, 110.0, (0.0, 0.0, 0.35)),
    "halfcheetah": CameraView(3.4, look_at=(0.0, 0.0, 0.55)),
    "hopper": CameraView(3.6, look_at=(0.0, 0.0, 0.75)),
    "humanoid": CameraView(4.2, azimuth=120.0, look_at=(0.0, 0.0, 0.9)),
    "humanoidstandup": CameraView(4.2, azimuth=120.0, look_at=(0.0, 0.0, 0.7)),
    "inverted_double_pendulum": CameraView(3.8, look_at=(0.0, 0.0, 0.5), follow=False),
    "inverted_pendulum": CameraView(2.8, look_at=(0.0, 0.0, 0.2), follow=False, floor=-0.4),
    "pusher": CameraView(2.3, -40.0, 160.0, (0.3, -0.1, -0.15), follow=False),
    "reacher": CameraView(0.95, -75.0, look_at=(0.0, 0.0, 0.0), follow=False),
    "swimmer": CameraView(6.5, -45.0),
    "walker2d": CameraView(3.8, look_at=(0.0, 0.0, 0.8)),
}
_FILES = {"halfcheetah": "half_cheetah"}
_PLAIN = (0.4, 0.33, 0.26, 1.0)  # the models' default colour
_ROBOT = (0.86, 0.47, 0.22, 1.0)
_STILL = (0.45, 0.48, 0.52, 1.0)
_TARGET = (0.1, 0.55, 0.25, 1.0)


class BraxDrawing:
    """A brax environment's `rl_es.interfaces.Drawing`."""

    def __init__(self, name: str, backend: str, width: int, height: int):
        """Draws the environment of this name and backend.

        Raises:
          UserError: there is nothing to render with.
        """
        short = name.removeprefix("brax/")
        self._view = VIEWS[short]
        with without_logging():
            self._seconds = round(float(_brax_adapter.make_environment(name, backend).dt), 6)
            self._model = _scene(short, self._view, width, height)
        self._data = mujoco.MjData(self._model)
        self._renderer = renderer(self._model, width, height)
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FREE
        self._camera.distance = self._view.distance
        self._camera.elevation = self._view.elevation
        self._camera.azimuth = self._view.azimuth

    @property
    def step_seconds(self) -> float:
        return self._seconds

    def frame(self, moment: Moment) -> np.ndarray:
        self._data.qpos[:] = np.asarray(moment.state.q)
        self._data.qvel[:] = np.asarray(moment.state.qd)
        mujoco.mj_forward(self._model, self._data)
        look_at = np.array(self._view.look_at)
        if self._view.follow:  # horizontally only, so that jumps are visible
            look_at[:2] += self._data.subtree_com[1, :2]
        self._camera.lookat[:] = look_at
        self._renderer.update_scene(self._data, self._camera)
        return self._renderer.render()

    def close(self) -> None:
        self._renderer.close()


def _scene(short: str, view: CameraView, width: int, height: int) -> Any:
    """Returns brax's model with a sky, a floor and a light of ours."""
    file = Path(brax.envs.__file__).parent / "assets" / f"{_FILES.get(short, short)}.xml"
    spec = mujoco.MjSpec.from_file(str(file))
    spec.visual.global_.offwidth, spec.visual.global_.offheight = width, height
    _light(spec, view)
    _sky_and_floor(spec, view)
    for geom in spec.geoms:
        if geom.type == mujoco.mjtGeom.mjGEOM_PLANE:
            geom.material, geom.rgba = "replay_floor", [1, 1, 1, 1]
        elif geom.material or np.allclose(geom.rgba, _PLAIN):
            still = geom.parent.name == "world"
            geom.material, geom.rgba = "", _STILL if still else _ROBOT
        if geom.name == "target":
            geom.rgba = _TARGET
    return spec.compile()


def _light(spec: Any, view: CameraView) -> None:
    """Replaces the lights by one that follows the robot: shadows are drawn only near a light."""
    for light in spec.lights:
        light.active = False
    spec.visual.headlight.ambient, spec.visual.headlight.diffuse = [0.35] * 3, [0.25] * 3
    spec.visual.headlight.specular = [0.0] * 3
    spec.visual.quality.shadowsize = 1024
    spec.visual.map.shadowclip = 1.2
    spec.stat.extent, spec.visual.map.znear = view.distance, 0.01
    height = view.distance
    spec.worldbody.first_body().add_light(
        name="replay_light", pos=[-0.3 * height, -0.4 * height, height], dir=[0.3, 0.4, -1],
        mode=mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM, castshadow=True,
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, diffuse=[0.55] * 3, specular=[0.15] * 3,
    )  # fmt: skip


def _sky_and_floor(spec: Any, view: CameraView) -> None:
    """Replaces the sky, and adds a floor's material and, if the view has one, a floor."""
    for texture in list(spec.textures):
        if texture.type == mujoco.mjtTexture.mjTEXTURE_SKYBOX:
            spec.delete(texture)
    spec.add_texture(
        name="replay_sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, width=128, height=128,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.93, 0.95, 0.98], rgb2=[0.72, 0.80, 0.89],
    )  # fmt: skip
    spec.add_texture(
        name="replay_floor", type=mujoco.mjtTexture.mjTEXTURE_2D, width=256, height=256,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        rgb1=[0.86, 0.87, 0.88], rgb2=[0.77, 0.79, 0.81],
    )  # fmt: skip
    squares = 4 / view.distance  # of a metre, or less in a narrow view
    ground = spec.add_material(name="replay_floor", texrepeat=[squares] * 2, texuniform=True)
    ground.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "replay_floor"
    if view.floor is not None:
        spec.worldbody.add_geom(
            name="replay_floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[40, 40, 1],
            pos=[0, 0, view.floor],
        )  # fmt: skip


CAMERA = 0  # the first camera of each model shows the whole task


class PlaygroundDrawing:
    """A Playground task's `rl_es.interfaces.Drawing`."""

    def __init__(self, task: Any, width: int, height: int):
        """Draws a task of Playground, which this module does not import: brax comes without it.

        Raises:
          UserError: there is nothing to render with.
        """
        self._seconds = round(float(task.dt), 6)
        self._model = task.mj_model
        window = self._model.vis.global_
        window.offwidth, window.offheight = width, height
        self._data = mujoco.MjData(self._model)
        with without_logging():
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
