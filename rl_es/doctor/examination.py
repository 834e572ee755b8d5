"""All checks of the machine, in order."""

from functools import partial
from pathlib import Path

from rl_es.doctor import machine, packages, training
from rl_es.findings import Check, check_of


def checks(out: Path) -> dict[str, Check]:
    """The checks by name; `out` is where results would go."""
    asked = packages.asked()
    looks = {
        "devices": machine.devices,
        "cores and memory": machine.cores_and_memory,
        "cache": machine.cache,
        "results folder": partial(machine.results, out),
        "training": training.training,
    }
    return {
        "python": check_of("python", packages.python),
        "packages": partial(packages.core, asked),
        "tried versions": packages.tried,
        "extras": partial(packages.extras, asked),
        **{what: check_of(what, look) for what, look in looks.items()},
    }
