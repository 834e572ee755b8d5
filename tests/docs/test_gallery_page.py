"""The commands under the figures of docs/gallery.md draw them from tables that are there."""

import re
from pathlib import Path

import pytest

from rl_es.analysis.figures.catalogue import KINDS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "gallery.md").read_text()
COMMANDS = re.findall(r"`python run_benchmark\.py figures (\S+) --kind (\S+) --out \S+`", PAGE)


def test_most_figures_of_the_page_have_such_a_command() -> None:
    assert len(COMMANDS) >= PAGE.count("![") - 2 > 8


@pytest.mark.parametrize(("folder", "kind"), COMMANDS)
def test_the_tables_and_the_kind_are_there(folder: str, kind: str) -> None:
    assert (ROOT / folder / "curves.parquet").exists()
    assert kind in KINDS
