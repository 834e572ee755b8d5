"""Colours are fixed for known agents, and distinct and stable for all others."""

import pytest

from rl_es.analysis.drawing.palette import AGENT_STYLES, assign_styles, natural_order


def own(*labels: str) -> dict[str, str]:
    return {label: label for label in labels}


@pytest.mark.parametrize(
    "labels", [list(AGENT_STYLES), ["pes"], ["ppo", "eggroll"], ["pes", "mine"]]
)
def test_known_agents_look_the_same_in_any_company(labels: list[str]) -> None:
    found = assign_styles(own(*labels))
    assert all(found[label] == AGENT_STYLES[label] for label in labels if label in AGENT_STYLES)


def test_known_styles_differ_in_colour_and_in_grey() -> None:
    assert len({style.colour for style in AGENT_STYLES.values()}) == len(AGENT_STYLES)
    assert len({style.marker for style in AGENT_STYLES.values()}) == len(AGENT_STYLES)


def test_an_agents_only_label_has_its_style() -> None:
    assert assign_styles({"EGGROLL (ours)": "eggroll"})["EGGROLL (ours)"] == AGENT_STYLES["eggroll"]


@pytest.mark.parametrize("count", [8, 40, 100])
def test_variants_are_distinct(count: int) -> None:
    labels = {f"eggroll r{rank}": "eggroll" for rank in range(count)} | own("pes", "eggroll")
    found = assign_styles(labels)
    assert len(set(found.values())) == count + 2
    assert found["eggroll"] == AGENT_STYLES["eggroll"]
    if count == 8:
        assert sum(style.colour == AGENT_STYLES["pes"].colour for style in found.values()) <= 2


def test_the_order_of_the_table_does_not_matter() -> None:
    labels = {"eggroll r4": "eggroll", "eggroll r16": "eggroll", "mine": "mine", "pes": "pes"}
    forward, backward = assign_styles(labels), assign_styles(dict(reversed(labels.items())))
    assert forward == backward
    assert list(forward) == list(backward) == ["eggroll r4", "eggroll r16", "pes", "mine"]


def test_natural_order() -> None:
    names = ["r16", "r4", "lr=0.1", "lr=0.01", "1a", "a", ""]
    assert sorted(names, key=natural_order) == ["", "1a", "a", "lr=0.01", "lr=0.1", "r4", "r16"]
