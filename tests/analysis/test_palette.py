"""Colours are fixed for known agents, and distinct and stable for all others."""

import pytest

from rl_es import registry
from rl_es.analysis.drawing import assign_styles, natural_order
from rl_es.config import Style

AGENT_STYLES = registry.declarations("STYLE", registry.agents.names())


def own(*labels: str) -> dict[str, str]:
    return {label: label for label in labels}


def test_every_agent_of_the_suite_declares_a_style() -> None:
    """Those of a family, such as `evosax/SNES`, are too many to differ by a style of their own."""
    assert [*AGENT_STYLES] == [name for name in registry.agents.names() if "/" not in name]
    assert {style.order for style in AGENT_STYLES.values()} == {*range(1, len(AGENT_STYLES) + 1)}


def test_legends_are_in_the_declared_order() -> None:
    agents = ["random_search", "ppo", "pes", "mine", "eggroll", "full_rank_es", "open_es"]
    assert [*assign_styles(own(*agents))] == [
        "open_es", "full_rank_es", "eggroll", "pes", "ppo", "random_search", "mine"
    ]  # fmt: skip


def test_a_recorded_style_is_that_of_the_plug_in() -> None:
    recorded = {"./mine.py:Mine": Style("#123456", "long", "v", order=0)}
    styles = assign_styles({"Mine": "./mine.py:Mine", "pes": "pes"}, recorded)
    assert styles == {"Mine": recorded["./mine.py:Mine"], "pes": AGENT_STYLES["pes"]}
    assert assign_styles({"Mine": "./mine.py:Mine"})["Mine"].colour != "#123456"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("red",), "colour must be '#rrggbb', is 'red'"),
        (("#123456", "--"), "line must be one of solid, dashed, dashdot, dotted, long, is '--'"),
        (
            ("#123456", "solid", "x"),
            r"marker must be one of o, s, \^, D, v, P, X, p, <, >, h, \*, d, 8, H, is 'x'",
        ),
    ],
)
def test_a_wrong_style_is_refused(values: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Style(*values)


@pytest.mark.parametrize(
    "labels", [list(AGENT_STYLES), ["pes"], ["ppo", "eggroll"], ["pes", "mine"]]
)
def test_known_agents_look_the_same_in_any_company(labels: list[str]) -> None:
    styles = assign_styles(own(*labels))
    assert all(styles[label] == AGENT_STYLES[label] for label in labels if label in AGENT_STYLES)


def test_known_styles_differ_in_colour_and_in_grey() -> None:
    assert len({style.colour for style in AGENT_STYLES.values()}) == len(AGENT_STYLES)
    assert len({style.marker for style in AGENT_STYLES.values()}) == len(AGENT_STYLES)


def test_an_agents_only_label_has_its_style() -> None:
    assert assign_styles({"EGGROLL (ours)": "eggroll"})["EGGROLL (ours)"] == AGENT_STYLES["eggroll"]


@pytest.mark.parametrize("count", [8, 40, 100])
def test_variants_are_distinct(count: int) -> None:
    labels = {f"eggroll r{rank}": "eggroll" for rank in range(count)} | own("pes", "eggroll")
    styles = assign_styles(labels)
    assert len(set(styles.values())) == count + 2
    assert styles["eggroll"] == AGENT_STYLES["eggroll"]


@pytest.mark.parametrize("count", range(1, 13))
def test_colours_do_not_repeat_among_twelve_labels(count: int) -> None:
    agents = [*AGENT_STYLES, "mine"]
    for size in (1, 3, len(agents)):
        labels = {f"{agents[n % size]} v{n}": agents[n % size] for n in range(count)}
        colours = [style.colour for style in assign_styles(labels).values()]
        assert len(set(colours)) == count


def test_the_order_of_the_table_does_not_matter() -> None:
    labels = {"eggroll r4": "eggroll", "eggroll r16": "eggroll", "mine": "mine", "pes": "pes"}
    forward, backward = assign_styles(labels), assign_styles(dict(reversed(labels.items())))
    assert forward == backward
    assert list(forward) == list(backward) == ["eggroll r4", "eggroll r16", "pes", "mine"]


def test_natural_order() -> None:
    names = ["r16", "r4", "lr=0.1", "lr=0.01", "1a", "a", ""]
    assert sorted(names, key=natural_order) == ["", "1a", "a", "lr=0.01", "lr=0.1", "r4", "r16"]
