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

# The parts of the engine that each part may import, besides itself.
EVOLUTION = {"config", "errors", "interfaces"}
ROLLOUT = {"evolution", "plugins", *EVOLUTION}
TRAINING = {"registry", "results", "rollout", *ROLLOUT}
SWEEP = {"training", *TRAINING}
ALLOWED = {
    "errors": set(),
    "config": set(),
    "interfaces": set(),
    "terminal": {"errors"},
    "plugins": {"config", "errors"},
    "registry": {"errors", "plugins"},
    "results": {"config", "errors"},
    "evolution": EVOLUTION,
    "rollout": ROLLOUT,
    "training": TRAINING,
    "sweep": SWEEP,
    "analysis": {"config", "errors", "registry", "results", "terminal"},
    "speed": {"sweep", *SWEEP},
    "gradients": {"sweep", *SWEEP},
    "tuning": {"sweep", "terminal", *SWEEP},
    "replay": SWEEP,
    "tools": {"analysis", "sweep", "terminal", *SWEEP},
    "api": {"analysis", "sweep", *SWEEP},
    "cli": {
        "analysis",
        "gradients",
        "replay",
        "speed",
        "sweep",
        "terminal",
        "tools",
        "tuning",
        *SWEEP,
    },
    "__main__": {"agents", "cli", "envs"},
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
    upward = []
    for name in sorted(imported(source, file)):
        root = name.split(".")[0]
        if root in {"run_benchmark", "tests", "agents", "envs"}:
            upward.append(name)
        elif root == "rl_es" and top in ("agents", "envs"):
            if part(name) in {"agents", "envs"} - {top}:
                upward.append(name)
        elif root == "rl_es" and inside != ["__init__"]:
            importer = inside[0]
            if part(name) not in ALLOWED.get(importer, set()) | {importer}:
                upward.append(name)
    return upward


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
        ("rl_es/analysis/speed/x.py", "from rl_es.speed.schema import Benchmark"),
        ("rl_es/results/x.py", "from rl_es.interfaces import Rows"),
        ("rl_es/rollout/x.py", "from rl_es import envs"),
        ("rl_es/rollout/x.py", "import envs"),
        ("rl_es/cli.py", "import run_benchmark"),
        ("agents/x.py", "from rl_es.envs._adapter import cast"),
        ("envs/x.py", "from tests.toys import Drift"),
    ],
)
def test_an_upward_import_is_found(file: str, source: str):
    assert violations(source, file)


def test_a_downward_import_is_none():
    assert not violations(
        "from ..evolution import perturbation\nimport jax.numpy", "rl_es/rollout/x.py"
    )
    assert not violations("from rl_es.envs._adapter import cast", "envs/x.py")
    assert not violations("from rl_es import errors", "agents/x.py")
