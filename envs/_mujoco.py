"""MuJoCo without its messages, and its renderer on machines that may have no screen."""

import importlib
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import mujoco as bindings

from rl_es.errors import UserError

mujoco: Any = bindings  # compiled, and without type stubs
WITHOUT_SCREEN = ("egl", "osmesa")
# A context can exist without the library that draws in it, so a trial renders.
_TRIAL = """
import mujoco
model = mujoco.MjModel.from_xml_string("<mujoco/>")
with mujoco.Renderer(model, 8, 8) as renderer:
    renderer.update_scene(mujoco.MjData(model))
    renderer.render()
"""


@contextmanager
def without_logging() -> Iterator[None]:
    """Suppresses MuJoCo's warnings in this context, such as that a model is outdated.

    MuJoCo would write them to MUJOCO_LOG.TXT in the current folder.
    """
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        mujoco.set_mju_user_warning(before)


def renderer(model: Any, width: int, height: int) -> Any:
    """Returns a `mujoco.Renderer` of this size in pixels; close it after use.

    MUJOCO_GL decides the backend if it is set. Otherwise EGL is tried, then OSMesa, then a screen
    if there is one.

    Raises:
      UserError: none of them works here.
    """
    backend_name = os.environ.get("MUJOCO_GL") or backend()
    try:
        if backend_name in WITHOUT_SCREEN:
            _use(backend_name)
        return mujoco.Renderer(model, height, width)
    except Exception as error:  # each backend has failures of its own
        raise UserError(f"MuJoCo cannot render with MUJOCO_GL={backend_name} ({error})") from None


@cache
def backend() -> str:
    """Returns the first backend that can render on this machine.

    Each is tried in a new process: one in which a backend has failed cannot try another.

    Raises:
      UserError: nothing can; names the packages that would.
    """
    screen = ("glfw",) if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") else ()
    if sys.platform != "linux":
        return ""  # MuJoCo knows what its system has
    for name in (*WITHOUT_SCREEN, *screen):
        command = [sys.executable, "-c", _TRIAL]
        environment = {**os.environ, "MUJOCO_GL": name}
        trial = subprocess.run(command, env=environment, capture_output=True, check=False)
        if trial.returncode == 0:
            return name
    raise UserError(
        "MuJoCo has nothing to render with here: install EGL or OSMesa "
        "(Debian: apt-get install libegl1 libopengl0 libgl1-mesa-dri, or libosmesa6)"
    )


def _use(name: str) -> None:
    """Makes later renderers use this backend, which MuJoCo chooses once, when it is imported."""
    context = importlib.import_module(f"mujoco.{name}").GLContext
    module: Any = importlib.import_module("mujoco.rendering.classic.gl_context")
    module.GLContext = context
