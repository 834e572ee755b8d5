"""Environments in the style of gymnax or brax, converted to the engine's."""

from typing import Any

from rl_es.errors import UserError
from rl_es.interfaces import Environment
from rl_es.rollout.wrappers import implicit_promotion


def adapt(name: str, env: Any) -> Environment:
    """Returns an environment in any of the styles as the engine's.

    gymnax: `reset_env`, `step_env` and `default_params`, of its versions 0.0.x and 1.x. brax:
    `reset(key)`, `step(state, action)` and the numbers `observation_size` and `action_size`; such
    an environment has no time limit of its own: `episode_length` in a sweep file sets one.

    Raises:
      UserError: it is in none of these; says what it needs.
    """
    if hasattr(env, "spec"):
        return env
    if hasattr(env, "step_env") and hasattr(env, "default_params"):
        from rl_es.envs._gymnax_adapter import GymnaxEnvironment

        with implicit_promotion():
            params = env.default_params
        return GymnaxEnvironment(name, env, params)
    if hasattr(env, "action_size") and hasattr(env, "observation_size"):
        from rl_es.envs._brax_adapter import BraxStyleEnvironment

        return BraxStyleEnvironment(name, env)
    raise UserError(
        f"{name} is in no style that is known: an environment has a `spec` (rl_es.interfaces), or "
        "`default_params` and `step_env` (gymnax), or `observation_size` and `action_size` (brax)"
    )
