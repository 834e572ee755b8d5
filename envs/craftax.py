"""Craftax 1.6.1 with symbolic observations, under the names `craftax/...`; an extra.

Matthews et al. 2024, "Craftax: A Lightning-Fast Benchmark for Open-Ended Reinforcement Learning".
A world is generated at each reset. Craftax-Classic pays 1 for each of 22 achievements when it is
first unlocked, Craftax 1, 3, 5 or 8 for each of 67; a tenth of lost or gained health is added. An
action that cannot be done has no effect, so there are no masks.

Episodes are truncated after Craftax's own numbers of steps, 10,000 and 100,000. The state of one
Craftax world takes 0.27 MB, that of Craftax-Classic 0.02 MB: populations are bounded by memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rl_es.config import Config
from rl_es.registry import check_requires

if TYPE_CHECKING:
    from rl_es.interfaces import Environment

NUMERICS = 1
NAMES = ("craftax/Craftax-Classic-Symbolic", "craftax/Craftax-Symbolic")


class Options(Config):
    """Craftax environments are used with their default parameters."""


check = check_requires("craftax", "craftax")


def make(name: str, options: Options) -> Environment:
    """The environment of this name, one of `NAMES`.

    Raises:
      UserError: Craftax is not installed.
    """
    check(name, options)
    from rl_es.envs._adapter import LimitedEnvironment
    from rl_es.interfaces import Discrete

    env = make_raw(name)
    params = env.default_params
    return LimitedEnvironment(name, env, params, Discrete(int(env.action_space(params).n)))


def make_raw(name: str) -> Any:
    """Returns Craftax's own environment of a name."""
    from craftax.craftax_env import make_craftax_env_from_name

    from rl_es.rollout.wrappers import implicit_promotion

    with implicit_promotion():
        return make_craftax_env_from_name(f"{name.removeprefix('craftax/')}-v1", auto_reset=False)
