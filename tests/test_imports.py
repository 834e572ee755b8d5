"""Imports run downwards only, wherever they stand: at the top, in functions, for type checkers."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("rl_es", "agents", "envs")
    for path in (ROOT / folder).rglob("*.py")
)

# What a part of the engine may import of it, besides itself; parts that are not named, nothing.
READING = {"files", "errors", "places", "explaining"}
BASE = {"config", "plugins", "registry", *READING}
EVOLUTION = {"evolution", "interfaces", *BASE}
ROLLOUT = {"rollout", *EVOLUTION}
TRAINING = {"training", "tables", *ROLLOUT}
SWEEP = {"sweep", "surfaces", "manifests", "versions", *TRAINING}
ALLOWED = {
    "errors": set(),
    "places": {"errors"},
    "explaining": {"errors", "places"},
    "files": READING,
    "manifests": READING,
    "versions": set(),
    "config": set(),
    "interfaces": set(),
    "promotion": set(),
    "terminal": set(),
    "plugins": {"config", "errors"},
    "registry": {"errors", "plugins"},
    "tables": READING,
    "timings": READING,
    "surfaces": READING,
    "estimates": READING,
    "filmed": READING,
    "evolution": EVOLUTION,
    "rollout": ROLLOUT,
    "training": TRAINING,
    "sweep": SWEEP,
    "analysis": {
        "analysis",
        "tables",
        "timings",
        "estimates",
        "surfaces",
        "filmed",
        "manifests",
        "versions",
        "terminal",
        *READING,
    },
    "speed": {"speed", "timings", "promotion", *SWEEP},
    "gradients": {"gradients", "estimates", *SWEEP},
    "tuning": {"tuning", "terminal", *SWEEP},
    "evaluating": {"terminal", *TRAINING},
    "references": {"analysis", *TRAINING},
    "event_files": {"analysis", "registry", *READING},
    "replay": {"replay", "filmed", *TRAINING},
    "listing": {"terminal", *SWEEP},
    "findings": {"errors", "terminal"},
    "skeletons": {"skeletons", "config", "interfaces", "errors", "files", "evolution"},
    "doctor": {"doctor", "findings", *TRAINING},
    "conformance": {"conformance", "findings", *SWEEP},
    "api": {"api", "analysis", *SWEEP},
    "schemas": {"schemas", "listing", *SWEEP},
    "cli": {
        "analysis",
        "evaluating",
        "references",
        "event_files",
        "listing",
        "findings",
        "conformance",
        "skeletons",
        "schemas",
        "replay",
        "speed",
        "gradients",
        "tuning",
        "doctor",
        *SWEEP,
    },
}


def imported(source: str, file: str) -> set[str]:
    """Dotted names of everything that a file imports, with the names taken from each module."""
    package = file.split("/")[:-1]
    names = set()
    for node in ast.walk(ast.parse(source, file)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def part(name: str) -> str:
    """The part of the engine that `rl_es.PART...` belongs to."""
    return name.split(".")[1] if "." in name else ""


def violations(source: str, file: str) -> list[str]:
    """The imports of a file that run upwards or sideways."""
    top, *inside = file.removesuffix(".py").split("/")
    found = []
    for name in sorted(imported(source, file)):
        root = name.split(".")[0]
        others = {"run_benchmark", "tests", "agents", "envs"} - {top}
        if root in others:
            found.append(name)
        elif root == "rl_es" and top == "rl_es" and inside != ["__init__"]:
            own = inside[0]
            if part(name) not in ALLOWED.get(own, set()) and part(name) != own:
                found.append(name)
    return found


@pytest.mark.parametrize("file", FILES)
def test_imports_run_downwards(file: str):
    assert violations((ROOT / file).read_text(), file) == []


def test_every_part_of_the_engine_has_its_place():
    parts = {file.split("/")[1].removesuffix(".py") for file in FILES if file.startswith("rl_es/")}
    assert parts - {"__init__"} == set(ALLOWED)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("rl_es/evolution/x.py", "from rl_es.rollout import unroll"),
        ("rl_es/evolution/x.py", "def f():\n    import rl_es.training.learner"),
        ("rl_es/rollout/x.py", "if TYPE_CHECKING:\n    from ..training.learner import Evolution"),
        ("rl_es/analysis/x.py", "from rl_es import interfaces"),
        ("rl_es/sweep/x.py", "from rl_es.analysis import report"),
        ("rl_es/sweep/x.py", "from rl_es.speed import workloads"),
        ("rl_es/analysis/speed/x.py", "from rl_es.speed.names import BARE"),
        ("rl_es/tables/x.py", "from rl_es.interfaces import Rows"),
        ("rl_es/rollout/x.py", "import envs"),
        ("rl_es/cli.py", "import run_benchmark"),
        ("agents/x.py", "from envs._adapter import cast"),
        ("envs/x.py", "from tests.toys import Drift"),
    ],
)
def test_an_upward_import_is_found(file: str, source: str):
    assert violations(source, file)


def test_a_downward_import_is_none():
    assert not violations("from ..evolution import tree\nimport jax.numpy", "rl_es/rollout/x.py")
    assert not violations("from envs._adapter import cast", "envs/x.py")
    assert not violations("from rl_es import errors", "agents/x.py")
