"""The notebooks of the tutorials run from top to bottom, and hold what such a run shows."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.docs.blocks import ROOT
from tests.docs.notebooks import FOLDER, PAGES, code_cells, execute, make_notebook, sources
from tests.docs.test_links import broken_links

MOST_BYTES = 250_000
MOST_PICTURE = 60_000  # characters of base64
PICTURES = {"compare_my_strategy": 1, "figures_for_my_paper": 5, "reproduce": 1}
# What the outputs of a notebook say, as regular expressions.
SHOWN = {
    "compare_my_strategy": [
        r"Pendulum-v1 +SignES +5 +lr [\d.]+, sigma [\d.]+",  # the best of the trials
        r"\| environment \| open\\_es \| eggroll \| random\\_search \| SignES \|",
        r"random_search +SignES +[\d.]+ +[\d.]+ +[\d.]+",  # a probability and its interval
        r"results/signs_figures/improvement_page\.png",
        r"eggroll → SignES +4 .* (cannot tell|same|better|worse)",
    ],
    "figures_for_my_paper": [
        r"results/paper_figures/profiles_column\.pdf",
        r"results/paper_figures/improvement_page\.tex",
        r"results/paper_figures/table\.tex",
        r"Pendulum-v1 +open_es +10 +-\d+",
        r"EGGROLL above PES: 0\.68 \[0\.57, 0\.76\]",
    ],
    "reproduce": [
        r"30 cells in 3 groups",
        r"6 of 6 cells done, 0 failed",
        r"\| CartPole-v1 \| \d+.* \| \d+.* \|",
        r"results/paper_figures/learning_curves_column\.tex",
    ],
}


def _outputs(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [output for cell in code_cells(notebook) for output in cell["outputs"]]


def _check_outputs(notebook: dict[str, Any], name: str) -> None:
    outputs = _outputs(notebook)
    assert {output["output_type"] for output in outputs} <= {
        "stream",
        "display_data",
        "execute_result",
    }
    text = "".join("".join(output.get("text", "")) for output in outputs)
    assert not re.search(r"^(error: |Traceback)", text, re.MULTILINE)
    assert [pattern for pattern in SHOWN[name] if not re.search(pattern, text)] == []
    pictures = [o["data"]["image/png"] for o in outputs if "image/png" in o.get("data", {})]
    assert len(pictures) == PICTURES[name]
    assert all(len(picture) < MOST_PICTURE for picture in pictures)


@pytest.mark.extra("notebooks")
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    # Here training takes longer than compilation, unlike in other tests.
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "0")
    notebook = execute(make_notebook(PAGES[path]), tmp_path)
    _check_outputs(notebook, path.stem)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_it_is_kept_with_its_outputs(path: Path) -> None:
    notebook = json.loads(path.read_text())
    assert sources(notebook) == sources(make_notebook(PAGES[path]))
    counts = [cell["execution_count"] for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1)), "`make notebooks` executes it"
    _check_outputs(notebook, path.stem)
    assert path.stat().st_size < MOST_BYTES
    assert str(Path.home()) not in path.read_text() and "/tmp/" not in path.read_text()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_its_links_lead_somewhere(path: Path) -> None:
    cells = json.loads(path.read_text())["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert "](../tutorials/" in text
    assert broken_links(path, text) == []


def test_every_notebook_is_of_a_page() -> None:
    assert set(FOLDER.glob("*.ipynb")) == set(PAGES)


@pytest.mark.extra("notebooks")
def test_a_command_that_fails_is_noticed(tmp_path: Path) -> None:
    from nbclient.exceptions import CellExecutionError

    notebook = make_notebook(PAGES[FOLDER / "reproduce.ipynb"])
    setup, command, *_ = code_cells(notebook)
    command["source"] = ["%%sh\n", "python run_benchmark.py report results/nowhere"]
    with pytest.raises(CellExecutionError, match="results/nowhere"):
        execute(notebook | {"cells": [setup, command]}, tmp_path)
