"""Measures of the package's structure: `python -m tests.structure [--checkout DIR]`.

Prints how many modules and lines there are and how large they are, how many modules of the package
each one imports, class names that stand for two things, names that are bare participles or
pronouns, circles of imports, and how many files hold one generation. `tests/test_structure.py`
keeps the bounds. With `--checkout`, the same of another checkout, such as an earlier revision.
"""

import argparse
import ast
import re
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("rl_es", "agents", "envs")
# Every agent's file has a class `Hyperparameters`, every suite's file a class `Options`.
CONTRACT = {"Hyperparameters", "Options"}
# What holds one generation: the learner and an agent, with everything that they import.
GENERATION = ("rl_es.training.learner", "rl_es.agents.eggroll")

PRONOUNS = (
    "anyone both each either every everyone here it mine nothing one ones other others own same "
    "some something such that there these this those what which whoever whole"
)
IRREGULAR = (
    "broken built chosen come drawn driven fed felt found given gone grown had held kept known "
    "laid lent lost made meant met paid ran ridden risen said seen sent shown spent spoken stood "
    "taken taught thought told understood won written"
)
REGULAR = re.compile(r"_*[a-z]+ed")
# Words that end in -ed and are nouns, verbs or terms of the field.
NO_PARTICIPLES = {
    *("bed", "embed", "exceed", "feed", "fixed", "need", "proceed", "seed", "speed"),
    *("terminated", "traced", "truncated"),
}
BARE = {*PRONOUNS.split(), *IRREGULAR.split()}


def is_bare(name: str) -> bool:
    """Tells whether a name is one participle or one pronoun."""
    word = name.strip("_")
    return word in BARE or (REGULAR.fullmatch(word) is not None and word not in NO_PARTICIPLES)


def modules(root: Path) -> dict[str, Path]:
    """Returns the package's modules by dotted name; agents and envs count as parts of rl_es."""
    paths = {}
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            if parts[0] == "rl_es" and parts[1] in FOLDERS:
                continue  # a link to the folder
            name = ".".join(part for part in parts if part != "__init__")
            paths[name if folder == "rl_es" else f"rl_es.{name}"] = path
    return paths


def imports(tree: ast.AST, names: Mapping[str, Path]) -> set[str]:
    """Returns the modules of the package that a module imports, wherever the import stands."""
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                imported.add(module if _listed(module) in names else node.module)
    return {_listed(name) for name in imported} & names.keys()


def _listed(name: str) -> str:
    """Returns a module's name as `modules` has it."""
    return f"rl_es.{name}" if name.split(".")[0] in ("agents", "envs") else name


def bindings(tree: ast.AST) -> Iterator[str]:
    """Yields each name that a module binds, once a scope."""
    scopes = [tree, *(n for n in ast.walk(tree) if isinstance(n, _SCOPES))]
    for scope in scopes:
        names = set()
        if isinstance(scope, ast.FunctionDef | ast.Lambda):
            arguments = scope.args
            names |= {a.arg for a in (*arguments.posonlyargs, *arguments.args)}
            names |= {a.arg for a in arguments.kwonlyargs} - {"self", "cls"}
            names |= {a.arg for a in (arguments.vararg, arguments.kwarg) if a is not None}
        for node in _inside(scope):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                names.add(node.attr)
        yield from sorted(names - {"self", "cls", "_"})


_SCOPES = (ast.FunctionDef, ast.Lambda, ast.ClassDef)


def _inside(scope: ast.AST) -> Iterator[ast.AST]:
    """Yields the nodes of a scope, without those of the scopes inside it."""
    stack = list(ast.iter_child_nodes(scope))
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, _SCOPES):
            stack.extend(ast.iter_child_nodes(node))


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Returns the sets of modules that import each other."""
    reach = {name: closure(graph, [name]) for name in graph}
    joined = {frozenset(other for other in reach[name] if name in reach[other]) for name in graph}
    return sorted(sorted(names) for names in joined if len(names) > 1)


def closure(graph: Mapping[str, set[str]], starts: Sequence[str]) -> set[str]:
    """Returns these modules and all that they import, directly or not."""
    reached, stack = set(), list(starts)
    while stack:
        name = stack.pop()
        if name not in reached:
            reached.add(name)
            stack.extend(graph.get(name, ()))
    return reached


def repeated_classes(trees: Mapping[str, ast.AST]) -> dict[str, list[str]]:
    """Returns the modules of each class name that more than one class has."""
    places = defaultdict(list)
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name not in CONTRACT:
                places[node.name].append(name)
    return {name: where for name, where in sorted(places.items()) if len(where) > 1}


def bare_names(trees: Mapping[str, ast.AST]) -> tuple[dict[str, int], int]:
    """Returns how often each bare participle or pronoun is bound, and the count of all bindings."""
    counts, total = defaultdict(int), 0
    for tree in trees.values():
        for name in bindings(tree):
            total += 1
            if is_bare(name):
                counts[name] += 1
    return dict(sorted(counts.items(), key=lambda item: -item[1])), total


def measure(root: Path) -> dict[str, str]:
    """Returns each measure of a checkout by its name."""
    paths = modules(root)
    trees = {name: ast.parse(path.read_text()) for name, path in paths.items()}
    lines = sorted(len(path.read_text().splitlines()) for path in paths.values())
    graph = {name: imports(tree, paths) - {name} for name, tree in trees.items()}
    repeated, (bare, total) = repeated_classes(trees), bare_names(trees)
    generation = [name for name in closure(graph, GENERATION) if not _is_package(paths[name])]
    return {
        "modules": f"{len(lines)}",
        "lines": f"{sum(lines)}",
        "module lines: median, 90th percentile, largest": (
            f"{statistics.median(lines):g}, {lines[int(0.9 * len(lines))]}, {lines[-1]}"
        ),
        "own imports a module": f"{sum(map(len, graph.values())) / len(graph):.2f}",
        "class names used twice": f"{len(repeated)} ({', '.join(repeated)})",
        "names that are bare participles or pronouns": (
            f"{100 * sum(bare.values()) / total:.2f} % of {total} ("
            + ", ".join(f"{name} {count}" for name, count in list(bare.items())[:12])
            + ")"
        ),
        "circles of imports": f"{len(circles(graph))}",
        "files that hold a generation": f"{len(generation)}",
    }


def _is_package(path: Path) -> bool:
    return path.name == "__init__.py"


def main() -> None:
    """Prints the measures."""
    parser = argparse.ArgumentParser(description=__doc__, add_help=True)
    parser.add_argument("--checkout", type=Path, default=ROOT)
    for name, value in measure(parser.parse_args().checkout).items():
        sys.stdout.write(f"{name}: {value}\n")


if __name__ == "__main__":
    main()
