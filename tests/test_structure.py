"""Bounds of the package's structure, as `python -m tests.structure` measures it."""

import ast

import pytest

from tests import structure

PATHS = structure.modules(structure.ROOT)
TREES = {name: ast.parse(path.read_text()) for name, path in PATHS.items()}
GRAPH = {name: structure.imports(tree, PATHS) - {name} for name, tree in TREES.items()}
MOST_FILES = 16  # that hold one generation
MOST_BARE = 0.025  # share of names that are bare participles or pronouns
# Names that say nothing of what they hold, wherever they stand.
REFUSED = {"asked", "found", "held", "made", "one", "said", "taken", "told", "wanted", "whole"}


def test_a_class_name_stands_for_one_thing() -> None:
    assert structure.repeated_classes(TREES) == {}


def test_no_modules_import_each_other() -> None:
    assert structure.circles(GRAPH) == []


def test_few_files_hold_a_generation() -> None:
    files = structure.closure(GRAPH, structure.GENERATION)
    files = {name for name in files if PATHS[name].name != "__init__.py"}
    assert len(files) <= MOST_FILES, sorted(files)


def test_names_say_what_they_hold() -> None:
    counts, total = structure.bare_names(TREES)
    assert counts.keys() & REFUSED == set()
    assert sum(counts.values()) / total <= MOST_BARE, counts


@pytest.mark.parametrize("name", ["found", "_told", "own", "wanted", "pickled"])
def test_a_bare_name_is_noticed(name: str) -> None:
    assert structure.is_bare(name)


@pytest.mark.parametrize("name", ["seed", "found_runs", "speed", "terminated", "fixed", "run"])
def test_a_noun_is_no_bare_name(name: str) -> None:
    assert not structure.is_bare(name)


def test_each_scope_binds_its_names_once() -> None:
    tree = ast.parse(
        "def f(a, *, b=1):\n    a = c = 2\n    for d in a: c = d\n    return [e for e in c]"
    )
    assert sorted(structure.bindings(tree)) == ["a", "b", "c", "d", "e", "f"]


def test_a_circle_is_noticed() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}
    assert structure.circles(graph) == [["a", "b", "c"]]
