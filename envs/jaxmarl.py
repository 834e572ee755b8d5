"""MPE of JaxMARL 0.2.0: particles on a plane that act as a team, under the names `jaxmarl/MPE_...`.

Several agents observe and act at once, and share one return: a reward is the sum of the agents'
rewards, as JaxMARL's own logs and OpenAI's original add them up. Observations are padded with zeros
to one length, and an agent with fewer discrete actions than others has a mask. Episodes are
truncated after 25 steps, as in PettingZoo's MPE; JaxMARL ends them a step later. Nothing ends them
before.

spread: three agents have to cover three landmarks, and collide at a price. speaker_listener: one
agent sees which landmark is meant and speaks, the other hears and moves. reference: each of two
agents moves, and tells the other which landmark is meant for it; of its 50 actions, number
5 w + m says word w and moves by m. MPE_simple_v3 is one agent that has to reach one landmark. In
facmac, predators chase preys that JaxMARL moves. The first prey chooses its way as if it stood
where a predator does, and moves little.

Left out: tag, adversary, push, crypto and world_comm, in which agents play against each other, so
that the sum of their rewards is no task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rl_es.config import Config, static
from rl_es.registry import require

if TYPE_CHECKING:
    from rl_es.interfaces import Drawing, Environment

NUMERICS = 1
EPISODE_LENGTH = 25
FACMAC = (
    "jaxmarl/MPE_simple_facmac_v1",
    "jaxmarl/MPE_simple_facmac_3a_v1",
    "jaxmarl/MPE_simple_facmac_6a_v1",
    "jaxmarl/MPE_simple_facmac_9a_v1",
)
NAMES = (
    "jaxmarl/MPE_simple_v3",
    "jaxmarl/MPE_simple_spread_v3",
    "jaxmarl/MPE_simple_speaker_listener_v4",
    "jaxmarl/MPE_simple_reference_v3",
    *FACMAC,
)
DRAWN = NAMES
_AGAINST = "its agents play against each other, so that the sum of their rewards is no task"
LEFT_OUT = {
    f"jaxmarl/MPE_simple_{task}": _AGAINST
    for task in ("adversary_v3", "crypto_v3", "push_v3", "tag_v3", "world_comm_v3")
}


class Options(Config):
    """Options of all tasks; those of facmac take real actions only."""

    action_type: Literal["discrete", "continuous"] = static(
        "discrete", "continuous: forces and words as real numbers in [0, 1]; facmac has no other"
    )


def check(name: str, options: Options) -> None:
    """Refuses options that an environment cannot take, and a missing library.

    Raises:
      UserError: says which.
    """
    require("jaxmarl", "jaxmarl", name)


def make(name: str, options: Options) -> Environment:
    """The environment of this name, one of `NAMES`.

    Raises:
      UserError: jaxmarl is not installed.
    """
    check(name, options)
    from rl_es.envs._jaxmarl_adapter import MPEEnvironment
    from rl_es.rollout.wrappers import TimeLimit

    return TimeLimit(MPEEnvironment(name, options.action_type), EPISODE_LENGTH)


def drawing(name: str, options: Options, width: int, height: int) -> Drawing:
    """Pictures of one of `DRAWN`."""
    check(name, options)
    from rl_es.envs._mpe_rendering import Particles

    return Particles(name, options.action_type, width, height)
