"""The verb `figures`: every folder below one, each kind that there is something for."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from rl_es import cli
from rl_es.analysis import gallery, results, sweep_report
from rl_es.analysis.drawing import FigureOptions, captions, fingerprint
from rl_es.errors import UserError
from rl_es.results import tables
from tests.artifacts import REFERENCE
from tests.speed import tables as timed

Results = Callable[..., Path]
FEW = FigureOptions(replicates=20)


@pytest.fixture
def tree(results: Results, tmp_path: Path) -> Path:
    """A folder of cells, one of tables alone, and one of speed, below one folder."""
    cells = results(threshold=50.0, hyper={"lr": 0.1, "staggered": True, "shaping": "z_score"})
    report_like = tmp_path / "tree" / "tables"
    report_like.mkdir(parents=True)
    tables.write_tables(report_like, *tables.load_tables(cells))
    (report_like / "runs.parquet").unlink()
    shutil.move(cells, tmp_path / "tree" / "cells here")
    timed.ladder(tmp_path / "tree" / "deep" / "speed")
    return tmp_path / "tree"


def test_tables_are_as_good_as_cells(tree: Path) -> None:
    pair = (tables.load_tables(tree / name) for name in ("cells here", "tables"))
    for first, second in zip(*pair, strict=True):
        pd.testing.assert_frame_equal(first, second)
    names = ("cells here", "tables")
    first, second = (fingerprint(results.load_results(tree / name).tables()) for name in names)
    assert first == second


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("curves.parquet", "no parquet", "not a readable table of results"),
        ("runs.csv", "run_id,seed\na,1\n", "not a readable table of results"),
        ("runs.csv", "schema_version,seed\n1,one\n", "not a readable table of results"),
        ("runs.csv", "schema_version\n7\n", "written with results schema 7, this version reads 1"),
    ],
)
def test_damaged_tables_are_named(tree: Path, name: str, content: str, message: str) -> None:
    (tree / "tables" / "SHA256SUMS").unlink()  # which would say it first
    (tree / "tables" / name).write_text(content)
    with pytest.raises(UserError, match=f"{name}: {message}"):
        tables.load_tables(tree / "tables")


def test_each_folder_has_its_own_figures(tree: Path, tmp_path: Path) -> None:
    kinds = ["learning_curves", "cost_against_width"]
    out = tmp_path / "out"
    paths = list(gallery.draw_figures([tree], out, kinds, FEW, ["pdf", "png"]))
    names = {path.relative_to(out).as_posix() for path in paths}
    forms = ("pdf", "png")
    assert names == {
        *(f"{name}/learning_curves.{form}" for name in ("cells here", "tables") for form in forms),
        *(f"deep/speed/cost_against_width.{form}" for form in forms),
    }
    hashes = {captions.read_caption(out / name / "learning_curves.png").input for name in
              ("cells here", "tables")}  # fmt: skip
    assert len(hashes) == 1


def test_by_default_beside_the_report_and_without_touching_it(tree: Path) -> None:
    folder = tree / "cells here"
    pictures = {
        path: path.read_bytes() for path in sweep_report.write(folder) if path.suffix == ".png"
    }
    assert cli.main(
        ["figures", str(folder), "--size", "column", "--kind", "learning_curves", "--format", "svg",
         "--replicates", "20"]
    ) == 0  # fmt: skip
    assert (folder / "figures" / "learning_curves_column.svg").exists()
    assert all(path.read_bytes() == content for path, content in pictures.items())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kind", "surface"], "nothing to draw as 'surface', which needs a surface"),
        (["--kind", "learning_curve"], "no kind of figure 'learning_curve'; did you mean"),
        (["--kind", "profiles", "--normalise", "untrained", "best-label"], "unknown reference"),
        (["--kind", "improvement", "--reference", "pess"], "no label 'pess' here; did you mean"),
        (["--replicates", "0"], "--replicates: must be at least 1; is 0"),
        (["gone"], "gone: no such folder"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_a_line(
    tree: Path, capfd: pytest.CaptureFixture, arguments: list[str], message: str
) -> None:
    out = ["--out", str(tree / "out")]
    folder = [] if "gone" in arguments else [str(tree / "tables")]
    assert cli.main(["figures", *folder, *arguments, *out]) == 2
    errors = capfd.readouterr().err
    assert message in errors and len(errors.strip().splitlines()) == 1


def test_an_empty_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no results of a sweep, of speed or of gradients"):
        gallery.find_collections(tmp_path)


def test_the_kinds_are_listed(capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["figures", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for collection in gallery.COLLECTIONS:
        assert f"{collection.name}:" in lines
        for name, kind in collection.kinds.items():
            (line,) = [line for line in lines if line.startswith(f"  {name} ")]
            assert kind.caption in line and kind.needs in line


def test_references_that_are_committed_have_figures() -> None:
    """Each folder of results/reference is found, and read, by what it holds."""
    collections = {
        path.relative_to(REFERENCE).as_posix(): kind
        for path, kind in gallery.find_collections(REFERENCE)
    }
    assert (
        collections["quickstart"].name == "results" and collections["speed/widths"].name == "speed"
    )
    assert collections["pes/variance"].name == "gradients" and len(collections) >= 20
    for path in ("quickstart", "pes/variance", "tuning"):
        source = collections[path].load(REFERENCE / path)
        assert any(len(kind.subjects(source, FEW)) for kind in collections[path].kinds.values())


def test_a_hash_stands_for_numbers_not_for_their_form() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, None], "c": ["x", "y"], "d": [True, False]})
    shuffle = frame[["c", "a", "d", "b"]].iloc[::-1].astype({"a": "float64", "b": "Float64"})
    digest = fingerprint({"t": frame})
    assert fingerprint({"t": shuffle.assign(empty=None)}) == digest
    assert fingerprint({"u": frame}) != digest
    assert fingerprint({"t": frame.assign(b=[0.5, 0.5 + 1e-15])}) != digest
    assert fingerprint({"t": frame.assign(c=["y", "x"])}) != digest
    lists = pd.DataFrame({"a": [[1.0, 2.0], None]})
    assert fingerprint({"t": lists}) != fingerprint({"t": lists.iloc[:1]})
