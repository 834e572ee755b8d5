"""Files of text as documents, and options that do not fit a text."""

from pathlib import Path
from typing import Any

import pytest

from rl_es.envs import text
from rl_es.envs._text.sources import read_documents
from rl_es.errors import UserError
from rl_es.sweep.cells import expand_cells
from tests.running import sweep_of

ENVIRONMENT = "text/files"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eleven files, two of them in folders."""
    for name in ("b", "a/z", "c/d/y", *"efghijkl"):
        path = tmp_path / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (tmp_path / "other.md").write_bytes(b"not this")
    return tmp_path


def options(folder: Path, **others: Any) -> text.Options:
    return text.Options(folder=str(folder), **others)


def test_files_are_documents_in_the_order_of_their_paths(folder: Path) -> None:
    documents = read_documents(ENVIRONMENT, options(folder))
    assert documents.training == (b"a/z", b"b", b"c/d/y", *(b"%c" % c for c in b"efghijl"))
    assert documents.held_out == (b"k",)
    assert documents.training_size == len(b"".join(documents.training)) + 10


def test_a_text_is_known_by_its_content_alone(folder: Path, tmp_path_factory: Any) -> None:
    other = tmp_path_factory.mktemp("other") / "folder"
    folder.rename(other)
    digests = [text.data_digest(ENVIRONMENT, options(other))]
    other.rename(folder)
    digests.append(text.data_digest(ENVIRONMENT, options(folder)))
    assert digests[0] == digests[1]
    (folder / "k.txt").write_bytes(b"K")
    assert text.data_digest(ENVIRONMENT, options(folder)) != digests[0]


SWEEP = """
name: files
seeds: 1
defaults: {{budget: {{generations: 1}}}}
environments: [{{name: text/files, options: {{folder: {folder}}}}}]
agents: [nres]
"""


def test_a_run_is_known_by_its_text_alone(folder: Path, tmp_path_factory: Any) -> None:
    first = expand_cells(sweep_of(SWEEP.format(folder=folder)))[0].run_id
    other = tmp_path_factory.mktemp("other") / "folder"
    folder.rename(other)
    assert expand_cells(sweep_of(SWEEP.format(folder=other)))[0].run_id == first
    (other / "b.txt").write_bytes(b"B")
    assert expand_cells(sweep_of(SWEEP.format(folder=other)))[0].run_id != first


def test_what_does_not_fit_is_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    def message(name: str, **settings: Any) -> str:
        with pytest.raises(UserError) as error:
            text.check(name, text.Options(**settings))
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "comes with Python" in message("text/python_docs", folder="x")
    assert "needs a folder of .txt files" in message(ENVIRONMENT)
    size = sum(1 + len(name) for name in ("b", "a/z", "c/d/y", *"efghijl"))
    expected = f"streams: {size + 1}, but the training text of text/files has {size} tokens"
    assert message(ENVIRONMENT, folder=str(folder), streams=size + 1).startswith(expected)
    text.check(ENVIRONMENT, options(folder, streams=size))
    assert "has 0 .txt files" in message(ENVIRONMENT, folder=str(folder / "absent"))
    assert "has 1 .txt files" in message(ENVIRONMENT, folder=str(folder / "a"))
    (folder / "b.txt").write_bytes(b"b\0b")
    assert f"{folder}/b.txt: holds a byte 0" in message(ENVIRONMENT, folder=str(folder))
