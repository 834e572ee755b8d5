"""Values put into the text of sweep files: every other byte of the text stays."""

import difflib
from pathlib import Path
from typing import Any

import pytest

from rl_es.errors import UserError
from rl_es.sweep.yaml_reader import parse_yaml
from rl_es.tuning.yaml_editor import set_list, set_value

FILES = sorted((Path(__file__).parents[2] / "sweeps").rglob("*.yaml"))
FILES = [path for path in FILES if path.parent.name != "speed"]
LAYOUTS = {
    "a plain name": ("- CartPole-v1   # first", "- name: CartPole-v1   # first"),
    "braces": ("- {name: CartPole-v1, threshold: 1}  # first", "# first"),
    "a block": ("- name: CartPole-v1\n    threshold: 475   # solved\n\n  # below", "# below"),
    "lines of text": ("- name: CartPole-v1\n    options:\n      text: |\n        a\n", "a"),
    "empty agents": ("- name: CartPole-v1\n    agents: {}   # none", "}   # none"),
    "agents": ("- name: CartPole-v1\n    agents:\n      open_es: {lr: 1}  # it", "# it"),
    "its own block": (
        "- name: CartPole-v1\n    agents:\n      eggroll:\n        lr: 1e-3  # by hand\n"
        "        sigma: 0.5",
        "sigma: 0.5",
    ),
    "its own braces": ("- name: CartPole-v1\n    agents: {eggroll: {lr: 7}}", "{eggroll: {lr"),
}


def document(environment: str) -> str:
    return f"name: x\nenvironments:\n  {environment}\n\n# Agents.\nagents: [eggroll]  # one\n"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_value_is_put_into_every_layout(layout: str):
    environment, unchanged = LAYOUTS[layout]
    before = document(environment)
    after = before
    for name, value in (("lr", 0.01), ("optimiser", "sgd")):
        path = ("environments", 0, "agents", "eggroll", name)
        after = set_value(after, path, value)
        assert set_value(after, path, value) == after
    entry: Any = parse_yaml(before, "x.yaml").content["environments"][0]
    expected: dict[str, Any] = {"name": entry} if isinstance(entry, str) else entry
    agents = expected.setdefault("agents", {})
    agents["eggroll"] = {**agents.get("eggroll", {}), "lr": 0.01, "optimiser": "sgd"}
    content = parse_yaml(after, "x.yaml").content
    assert content == {**content, "name": "x", "environments": [expected], "agents": ["eggroll"]}
    assert unchanged in after and after.endswith("\n\n# Agents.\nagents: [eggroll]  # one\n")


def test_a_plain_name_in_brackets_becomes_a_mapping():
    text = "name: x\nenvironments: [A-v0, B-v0]  # two\n"
    after = set_value(text, ("environments", 1, "agents", "a b", "flag"), True)
    assert after.splitlines()[1] == (
        "environments: [A-v0, {name: B-v0, agents: {a b: {flag: true}}}]  # two"
    )


def test_nothing_is_put_into_a_value():
    with pytest.raises(UserError, match="name: is a value"):
        set_value("name: x\n", ("name", "lr"), 1)


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_lines_of_shipped_sweeps_stay(path: Path):
    before = path.read_text()
    content = parse_yaml(before, path.name).content
    last = len(content["environments"]) - 1
    after = set_value(before, ("environments", last, "agents", "some", "lr"), 1.5e-05)
    after = set_list(after, "tuning", [{"name": "t", "seeds": [1]}])
    changed = difflib.ndiff(before.splitlines(), after.splitlines())
    untuned = before.partition("\ntuning:\n")[0].splitlines()
    removed = [line for line in changed if line.startswith("- ") and line[2:] in untuned]
    assert len(removed) <= 1, removed  # the line of the environment, where it is a plain name
    edited = parse_yaml(after, path.name).content
    environment = edited["environments"][last]
    assert environment["agents"]["some"] == {"lr": 1.5e-05}
    assert edited["tuning"] == [{"name": "t", "seeds": [1]}]
    assert {**edited, "tuning": 0, "environments": 0} == {**content, "tuning": 0, "environments": 0}


def test_a_block_is_replaced_and_not_repeated():
    text = "tuning:\n  - name: a\n    x: 1   # old\n# end\nseeds: 2\n"
    once = set_list(text, "tuning", [{"name": "b"}, {"name": "c", "x": [1, "true"]}])
    assert once == ('tuning:\n  - name: b\n  - name: c\n    x: [1, "true"]\n# end\nseeds: 2\n')
    assert set_list(once, "tuning", parse_yaml(once, "x").content["tuning"]) == once
