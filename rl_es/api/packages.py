"""The installed packages that hold agents and environments.

A distribution lists them under the entry points `rl_es.packages`; importing one tells the registry
where to look (as `run_benchmark.py` does for the command line).
"""

import importlib.metadata

from rl_es import registry
from rl_es.errors import UserError, brief, why

GROUP = "rl_es.packages"


def bring() -> None:
    """Imports the packages that are installed. Loads no jax.

    Raises:
      UserError: one of them cannot be imported, or afterwards no agent or environment is known.
    """
    for point in importlib.metadata.entry_points(group=GROUP):
        try:
            point.load()
        except (ImportError, AttributeError) as error:
            raise UserError(
                f"{brief(point.value)}: is installed as a package of agents or environments, and "
                f"cannot be imported ({why(error)})"
            ) from None
    if not registry.agents.files() or not registry.suites.files():
        raise UserError(
            "no agents or no environments are known: install this package again (pip install -e .)"
        )
