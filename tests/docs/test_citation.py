"""CITATION.cff has what the Citation File Format 1.2.0 asks for, and the version of the suite."""

from pathlib import Path
from typing import Any

import pytest
import yaml

import rl_es

ROOT = Path(__file__).parents[2]


@pytest.fixture
def citation() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_it_has_what_the_format_asks_for(citation: dict[str, Any]):
    assert citation["cff-version"] == "1.2.0"
    assert all(citation[key] for key in ("message", "title", "authors"))
    assert citation["license"] == "Apache-2.0"
    for reference in citation["references"]:
        assert all(reference[key] for key in ("type", "title", "authors", "year", "url"))
        assert all({"name", "family-names"} & set(author) for author in reference["authors"])


def test_the_version_is_the_suites(citation: dict[str, Any]):
    assert str(citation["version"]) == rl_es.__version__
    assert f"## [{rl_es.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_papers_are_those_of_the_agents(citation: dict[str, Any]):
    urls = {reference["url"] for reference in citation["references"]}
    for agent in ("eggroll", "pes", "nres"):
        source = (ROOT / "agents" / f"{agent}.py").read_text()
        assert any(url in source for url in urls), agent
