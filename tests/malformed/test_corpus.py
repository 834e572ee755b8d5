"""Everything malformed that was thought of: a clear message, no traceback, no file changed."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rl_es import cli
from rl_es.training import compilation
from tests.malformed import folders
from tests.malformed.cases import Case, corpus, damage, state

CASES = list(corpus())
LONGEST = 2100  # characters of a message


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The parent of a good `results` folder of a sort, made once; not to be written into."""
    roots: dict[str, Path] = {}

    def of(sort: str) -> Path:
        if sort not in roots:
            roots[sort] = tmp_path_factory.mktemp(sort)
            folders.MADE[sort](roots[sort] / "results")
        return roots[sort]

    return of


@pytest.mark.parametrize("case", CASES, ids=[f"{case.command[0]}: {case.what}" for case in CASES])
def test_malformed(
    case: Case,
    good: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    root, run_id = tmp_path / "here", ""
    if case.folder:
        shutil.copytree(good(case.folder), root)
        run_id = folders.run_id() if case.folder in ("swept", "trained") else ""
        damage(root / "results", case.changes, run_id)
    else:
        (root / "empty").mkdir(parents=True)
        (root / "file").write_text("")
        damage(root, case.changes)
    monkeypatch.chdir(root)
    monkeypatch.setattr(compilation, "prepare_jax", lambda devices=None: None)
    before = state(tmp_path)
    capfd.readouterr()  # what XLA may have said while the good folder was made
    code = cli.main(case.command)
    output = capfd.readouterr()
    assert code == case.code, (output.out, output.err)
    (message,) = output.err.splitlines()
    assert message.startswith("error: ") and len(message) < LONGEST
    assert case.says in message
    assert "Traceback" not in output.out + output.err
    assert state(tmp_path) == before


def test_there_are_many() -> None:
    names = [(case.command, case.what) for case in CASES]
    assert len(CASES) >= 200 and len(set(names)) == len(names)
