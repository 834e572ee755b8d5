"""Three of brax's robots in MuJoCo itself, on Gymnasium's models: a batch of episodes in threads.

The tasks are Swimmer-v5, HalfCheetah-v5 and Hopper-v5 of Gymnasium 1.x
(https://gymnasium.farama.org/environments/mujoco). Their models are read from the installed
gymnasium package; rewards, observations, starts and ends are written here for a batch. A seed gives
the start that Gymnasium's own `reset(seed=...)` gives.

Observations have the same layout in brax: joint positions without the robot's place in the world,
then joint velocities, in the models' order; hopper's first one is the torso's height, and its
velocities are clipped at 10, in both. Actions are brax's, clipped to [-1, 1], which is the control
range of these models; their gears turn them into forces. What differs:

- integrator: Gymnasium's swimmer and hopper take fourth-order Runge-Kutta steps, brax semi-implicit
  Euler steps. A step of the task lasts as long in both: 0.04, 0.05 and 0.008 seconds.
- contacts: brax's hopper touches the floor with its foot only, its halfcheetah with head, thighs
  and feet; here every part can, and hopper's parts touch one another. Contact is modelled
  otherwise.
- masses: brax's spring and positional backends take powers of them, so that each part of hopper
  weighs 1 kg (exponent 0; halfcheetah's 0.7); generalized and mjx take them as they are.
- gears: the same, but spring and positional give halfcheetah's front shin and foot 100 and 100,
  not 60 and 30.
- reward: the step by which hopper falls earns the healthy reward of 1 in brax, and none here.
"""

import importlib.metadata
import importlib.util
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from mujoco.rollout import Rollout

from rl_es import registry
from rl_es.envs._mujoco import mujoco, without_logging
from rl_es.errors import UserError
from rl_es.interfaces import NativeStep

EPISODE_LENGTH = 1000


def _hopper_is_healthy(positions: np.ndarray, velocities: np.ndarray) -> np.ndarray:
    """Returns [E] bool: above 0.7 m, leaning less than 0.2 rad, and no value beyond 100."""
    rest = np.concatenate([positions[:, 2:], velocities], 1)
    upright = (positions[:, 1] > 0.7) & (np.abs(positions[:, 2]) < 0.2)
    return upright & (np.abs(rest) < 100).all(1)


@dataclass(frozen=True)
class RobotTask:
    """A task with a robot's model; the numbers are Gymnasium's.

    Attributes:
      name: Name in Gymnasium.
      model: File of the model.
      frame_skip: Number of simulation steps of one step.
      hidden: Number of joint positions, from the first, that are not observed.
      control_cost: Weight of the squared actions in the reward.
      noise: Scale of the initial noise, which is uniform for positions.
      velocity_noise: Distribution of the initial noise of velocities.
      velocity_clip: Bound of observed velocities.
      healthy: Maps positions [E, Q] and velocities [E, V] to the episodes that continue [E], which
        then earn 1; None if all continue, and earn nothing for it.
    """

    name: str
    model: str
    frame_skip: int
    hidden: int
    control_cost: float
    noise: float
    velocity_noise: Literal["uniform", "normal"] = "uniform"
    velocity_clip: float = np.inf
    healthy: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None


TASKS = {
    "brax/swimmer": RobotTask("Swimmer-v5", "swimmer.xml", 4, 2, 1e-4, 0.1),
    "brax/halfcheetah": RobotTask("HalfCheetah-v5", "half_cheetah.xml", 5, 1, 0.1, 0.1, "normal"),
    "brax/hopper": RobotTask(
        "Hopper-v5", "hopper.xml", 4, 1, 1e-3, 5e-3, velocity_clip=10.0, healthy=_hopper_is_healthy
    ),
}


class NativeTask:
    """A task as a `rl_es.interfaces.Native`.

    A state is MuJoCo's: time, joint positions, joint velocities. The constraint solver starts each
    step anew, Gymnasium's starts from its last solution: they agree to the solver's tolerance.
    """

    def __init__(self, name: str, threads: int | None = None):
        """Loads the task of a brax environment; `threads` step it, by default one a processor."""
        self.task = TASKS[name]
        with without_logging():
            self.model = mujoco.MjModel.from_xml_path(str(_models() / self.task.model))
        threads = threads or os.cpu_count() or 1
        self._data = [mujoco.MjData(self.model) for _ in range(threads)]
        self._pool = Rollout(nthread=threads)
        self._seconds = self.model.opt.timestep * self.task.frame_skip
        self._low, self._high = self.model.actuator_ctrlrange.T

    @property
    def title(self) -> str:
        gymnasium = importlib.metadata.version("gymnasium")
        return f"MuJoCo {mujoco.__version__}, {self.task.name} of Gymnasium {gymnasium}"

    @property
    def episode_length(self) -> int:
        return EPISODE_LENGTH

    def reset(self, seeds: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        state = np.stack([self._start(np.random.default_rng(seed)) for seed in seeds])
        return state, self.observe(state)

    def step(self, state: np.ndarray, actions: np.ndarray) -> NativeStep:
        task = self.task
        controls = np.clip(np.asarray(actions, np.float64), self._low, self._high)
        trajectory, _ = self._pool.rollout(
            self.model, self._data, state, controls[:, None], nstep=task.frame_skip
        )
        after = np.asarray(trajectory)[:, -1]
        speed = (after[:, 1] - state[:, 1]) / self._seconds  # forwards, of the root's first joint
        rewards = speed - task.control_cost * np.square(controls).sum(1)
        # Where the physics breaks down, MuJoCo restarts at time 0, or stops.
        is_broken = ~(np.abs(after[:, 0] - state[:, 0] - self._seconds) < 1e-6)
        terminated = is_broken
        if task.healthy is not None:
            healthy = task.healthy(*self._parts(after))
            rewards, terminated = rewards + healthy, terminated | ~healthy
        rewards[is_broken] = np.nan
        return NativeStep(after, self.observe(after), rewards, terminated)

    def observe(self, state: np.ndarray) -> np.ndarray:
        """Returns the observations [E, Q - hidden + V] of states [E, 1 + Q + V]."""
        positions, velocities = self._parts(state)
        clip = self.task.velocity_clip
        visible = positions[:, self.task.hidden :]
        return np.concatenate([visible, np.clip(velocities, -clip, clip)], 1)

    def _start(self, random: np.random.Generator) -> np.ndarray:
        """Draws an initial state [1 + Q + V], in Gymnasium's order."""
        task, model = self.task, self.model
        positions = model.qpos0 + random.uniform(-task.noise, task.noise, model.nq)
        if task.velocity_noise == "normal":
            velocities = task.noise * random.standard_normal(model.nv)
        else:
            velocities = random.uniform(-task.noise, task.noise, model.nv)
        return np.concatenate([[0.0], positions, velocities])

    def _parts(self, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the joint positions [E, Q] and velocities [E, V] of states."""
        return state[:, 1 : 1 + self.model.nq], state[:, 1 + self.model.nq :]


def _models() -> Path:
    """Returns the folder of Gymnasium's models, without importing gymnasium and its renderer.

    Raises:
      UserError: it is not installed.
    """
    spec = importlib.util.find_spec("gymnasium")
    if spec is None or not spec.submodule_search_locations:
        command = registry.install_command("native")
        raise UserError(f"native physics needs Gymnasium's models: {command}")
    return Path(spec.submodule_search_locations[0]) / "envs" / "mujoco" / "assets"
