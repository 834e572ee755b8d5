"""Records episodes of PettingZoo's MPE, which `test_jaxmarl` holds those of the suite against.

    python -m venv /tmp/mpe2 && /tmp/mpe2/bin/pip install mpe2==1.1.1
    /tmp/mpe2/bin/python tests/envs/record_mpe2.py tests/envs/mpe2.npz

mpe2 needs an environment of its own: its pygame-ce overwrites pygame. An array is named by task,
action type and content, with the leading axes [episodes, steps]. A state is the one before a step,
an observation the one after it; positions and velocities are of agents, then of landmarks. Half of
the episodes start with all agents close to each other, so that some collide.
"""

import importlib
import sys
from typing import Any

import numpy as np

EPISODES, STEPS = 4, 25
TASKS = {
    "simple_v3": "mpe2.simple_v3",
    "simple_spread_v3": "mpe2.simple_spread_v3",
    "simple_speaker_listener_v4": "mpe2.simple_speaker_listener_v4",
    "simple_reference_v3": "mpe2.simple_reference_v3",
}


def goals(world: Any) -> list[int]:
    """Returns the number of the landmark that is meant for each agent that is told of to another.

    For speaker and listener it is one number, for two agents that tell each other one for each.
    """
    numbers = {}
    for agent in world.agents:
        if getattr(agent, "_goal_b", None) is not None:
            numbers[world.agents.index(agent.goal_a)] = world.landmarks.index(agent.goal_b)
    return [numbers[agent] for agent in sorted(numbers)]


def state(world: Any) -> dict[str, Any]:
    """Returns a copy of the state of a world, and its goals."""
    return {
        "p_pos": np.array([entity.state.p_pos for entity in world.entities]),
        "p_vel": np.array([entity.state.p_vel for entity in world.entities]),
        "c": np.array([agent.state.c for agent in world.agents]),
        "goal": np.array(goals(world)),
    }


def record(module: str, continuous: bool, episode: int) -> list[dict[str, Any]]:
    """Returns what is recorded of each step of an episode of random actions."""
    make = importlib.import_module(module).parallel_env
    env = make(max_cycles=STEPS, continuous_actions=continuous)
    env.reset(seed=episode)
    world = env.unwrapped.world
    if episode % 2:
        for agent in world.agents:
            agent.state.p_pos *= 0.2
    rng, steps = np.random.default_rng(episode), []
    for _ in range(STEPS):
        names, before = [*env.agents], state(world)
        spaces = [env.action_space(name) for name in names]
        actions = [
            rng.random(space.shape, np.float32) if continuous else rng.integers(space.n)
            for space in spaces
        ]
        observations, rewards, terminated, truncated, _ = env.step(
            dict(zip(names, actions, strict=True))
        )
        step = {
            "action": [np.atleast_1d(action) for action in actions],
            "observation": [observations[name] for name in names],
            "reward": [rewards[name] for name in names],
            "terminated": any(terminated.values()),
            "truncated": any(truncated.values()),
        }
        steps.append({**before, **{key: pad(value) for key, value in step.items()}})
    assert not env.agents, "an episode is longer than recorded"
    return steps


def pad(value: Any) -> np.ndarray:
    """Returns numbers of each agent as an array, filled up with zeros."""
    if not isinstance(value, list) or np.ndim(value[0]) == 0:
        return np.array(value)
    length = max(len(row) for row in value)
    return np.array([np.pad(row, (0, length - len(row))) for row in value])


def main() -> None:
    arrays = {}
    for task, module in TASKS.items():
        for kind in ("discrete", "continuous"):
            episodes = [record(module, kind == "continuous", e) for e in range(EPISODES)]
            for name in episodes[0][0]:
                values = np.array([[step[name] for step in steps] for steps in episodes])
                small = {"f": np.float32, "i": np.int8}.get(values.dtype.kind, values.dtype)
                arrays[f"{task}/{kind}/{name}"] = values.astype(small)
    np.savez_compressed(sys.argv[1], **arrays)


if __name__ == "__main__":
    main()
