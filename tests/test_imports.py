"""Imports run downwards only, wherever they stand: at the top, in functions, for type checkers.

Compiled functions are made where XLA's messages about programs from the cache are held back.
"""

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
    "api": {"analysis", "sweep", "tools", *SWEEP},
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


# Modules that jit functions, because these are compiled within `suppress_loader_messages`.
GUARDED = {
    "rl_es/training/compilation.py",  # compile_function
    "rl_es/training/export_cache.py",  # exported, not run
    "rl_es/rollout/evaluation.py",  # called by PolicyEvaluator.evaluate_natively
    "rl_es/tools/check_agent.py",  # both are called by checks that `check` runs quietly
    "rl_es/tools/check_environment.py",
    "envs/_adapter.py",  # these are traced into programs, or run while an environment is made
    "envs/_brax_adapter.py",
    "envs/_jaxmarl_adapter.py",
    "envs/_navix_adapter.py",
    "envs/_time_limits.py",
}


def compiles(source: str) -> bool:
    """Tells whether a file names jit or pmap, or lowers a function."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ImportFrom() if {"jit", "pmap"} & {alias.name for alias in node.names}:
                return True
            case ast.Attribute(attr="jit" | "pmap"):
                return True
            case ast.Call(func=ast.Attribute(attr="lower")) if node.args or node.keywords:
                return True  # `lower` of a text takes no arguments
    return False


def test_only_guarded_modules_call_compiled_functions():
    assert {file for file in FILES if compiles((ROOT / file).read_text())} == GUARDED


@pytest.mark.parametrize(
    "source",
    ["jax.jit(f)(x)", "@jax.jit\ndef f(x): ...", "from jax import jit", "f.lower(x).compile()"],
)
def test_a_bare_compiled_function_is_found(source: str):
    assert compiles(source) and not compiles("compile_function(f, x).call(x); name.lower()")


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
