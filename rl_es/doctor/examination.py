"""All checks in order."""

from functools import partial
from pathlib import Path

from rl_es.doctor import machine, packages, training
from rl_es.findings import Check


def checks(out: Path) -> dict[str, Check]:
    """The checks by name; `out` is where results would go."""
    asked = packages.asked()
    return {
        "python": packages.python,
        "packages": partial(packages.core, asked),
        "tried versions": packages.tried,
        "extras": partial(packages.extras, asked),
        "devices": machine.devices,
        "cores and memory": machine.cores_and_memory,
        "cache": machine.cache,
        "results folder": partial(machine.results, out),
        "training": training.training,
    }
