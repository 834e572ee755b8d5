"""Environments in the style of gymnax or brax, converted to the engine's."""

import inspect
from typing import Any

from rl_es.errors import UserError
from rl_es.interfaces import Environment
from rl_es.rollout.wrappers import implicit_promotion


def adapt(name: str, env: Any) -> Environment:
    """Returns an environment in any of the styles as the engine's.

    gymnax: `reset_env` and `step_env`, of its versions 0.0.x and 1.x. brax: `reset(key)`,
    `step(state, action)` and the number `action_size`; its time limit is that of a
    wrapper. An environment of either style that states no limit may end by one that its state
    counts: `_time_limits` finds it.

    Raises:
      UserError: it is in none of these, or lacks something; says what to write.
    """
    if hasattr(env, "spec"):
        return env
    if hasattr(env, "step_env") and hasattr(env, "reset_env"):
        from rl_es.envs._gymnax_adapter import GymnaxEnvironment

        with implicit_promotion():
            params = getattr(env, "default_params", None)
            params = params() if inspect.ismethod(params) else params
        return _with_limit(GymnaxEnvironment(name, env, params))
    if hasattr(env, "action_size"):
        from rl_es.envs import _brax_adapter

        return _with_limit(_brax_adapter.adapt(name, env))
    if hasattr(env, "default_params") or hasattr(env, "action_space"):
        raise UserError(
            f"{name}: reset and step of gymnax start a new episode by themselves; write "
            "reset_env(self, key, params) and step_env(self, key, state, action, params), which "
            "do not"
        )
    raise UserError(
        f"{name} is in no style that is known: an environment has a `spec` (rl_es.interfaces), or "
        "`reset_env` and `step_env` (gymnax), or `action_size` (brax)"
    )


def _with_limit(env: Environment) -> Environment:
    if env.spec.episode_length is not None:
        return env
    from rl_es.envs._time_limits import tell_limit

    with implicit_promotion():
        return tell_limit(env)
