"""A Craftax environment as the engine's `Environment`, with its default parameters."""

from typing import Any

from craftax.craftax_env import make_craftax_env_from_name

from rl_es.envs._adapter import LimitedEnvironment
from rl_es.interfaces import Discrete
from rl_es.rollout.wrappers import implicit_promotion


def make_adapted(name: str) -> Any:
    """Returns Craftax's own environment of a name."""
    with implicit_promotion():
        return make_craftax_env_from_name(f"{name.removeprefix('craftax/')}-v1", auto_reset=False)


def craftax_environment(name: str) -> LimitedEnvironment:
    """Returns the environment of a name."""
    env = make_adapted(name)
    params = env.default_params
    return LimitedEnvironment(name, env, params, Discrete(int(env.action_space(params).n)))
