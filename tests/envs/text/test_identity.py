"""Runs on different texts are different runs, from the run id to the report."""

from pathlib import Path

import pytest

from rl_es.analysis.results import separate_variants
from rl_es.envs._text import sources
from rl_es.envs._text.corpus import Documents
from rl_es.results import tables
from rl_es.sweep.cells import expand_cells
from rl_es.training import task
from rl_es.training.policies import find_policy
from tests.running import ran, sweep_of

SWEEP = """
name: identity
seeds: 1
defaults:
  budget: {generations: 1}
  evaluation: {points: 1, episodes: 1}
  policy: {network: linear, head: deterministic}
environments: [{name: text/python_docs, options: {evaluation_steps: 3}}]
agents: [{name: nres, with: {population: 4, window: 3}}]
"""


def show(monkeypatch: pytest.MonkeyPatch, *documents: bytes) -> None:
    """Lets the documents of Python be these; the last is held out."""
    text = Documents(documents[:-1], documents[-1:])
    monkeypatch.setattr(sources, "read_python_docs", lambda: text)
    task.clear_cache()


def test_run_ids_know_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = {expand_cells(sweep_of(SWEEP))[0].run_id}
    for documents in [(b"ab", b"ba"), (b"ab", b"bb"), (b"a", b"b", b"ba"), (b"ab", b"ba")]:
        show(monkeypatch, *documents)
        ids.add(expand_cells(sweep_of(SWEEP))[0].run_id)
    assert len(ids) == 4  # the first and the last of the small texts are the same


def test_a_report_tells_texts_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    show(monkeypatch, b"ab", b"ba")
    folder = ran(tmp_path, sweep_of(SWEEP))
    find_policy(folder, "text/python_docs", "nres")  # warns of nothing, which would be an error
    show(monkeypatch, b"ab", b"bb")
    ran(tmp_path, sweep_of(SWEEP, "seeds=[1]"))
    _, runs = separate_variants(*tables.load_tables(folder))
    digests = [Documents((b"ab",), (text,)).digest[:8] for text in (b"ba", b"bb")]
    assert sorted(runs["label"]) == sorted(f"nres (data={digest})" for digest in digests)
    with pytest.warns(UserWarning, match="the data of text/python_docs have changed since"):
        find_policy(folder, "text/python_docs", "nres")


@pytest.mark.parametrize("option", ["loss: tables", "streams: 4", "vocabulary: bytes"])
def test_run_ids_know_the_options(option: str) -> None:
    changed = SWEEP.replace("evaluation_steps: 3", f"evaluation_steps: 3, {option}")
    ids = [expand_cells(sweep_of(text))[0].run_id for text in (SWEEP, changed)]
    assert ids[0] != ids[1]
