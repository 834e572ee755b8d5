"""Results of several folders as one."""

import json
import shutil
from pathlib import Path

import pytest

from rl_es.analysis import merge
from rl_es.errors import UserError
from rl_es.results import tables
from tests.artifacts import REFERENCE


def test_all_runs_are_there_with_their_curves(tmp_path):
    folders = [REFERENCE / "ranks", REFERENCE / "widths"]
    merge.merge_folders(folders, tmp_path / "both")
    curves, runs = tables.load_tables(tmp_path / "both")
    sources = [tables.load_tables(folder) for folder in folders]
    assert len(curves) == sum(len(curve) for curve, _ in sources)
    for source_curves, source_runs in sources:
        rows = runs[runs["run_id"].isin(source_runs["run_id"])].set_index("run_id")
        assert list(rows["final_return"]) == list(
            source_runs.set_index("run_id").loc[rows.index, "final_return"]
        )
        run_id = source_runs["run_id"].iloc[0]
        first, second = (x[x["run_id"] == run_id]["return_mean"] for x in (curves, source_curves))
        assert list(first) == list(second)
    manifest = json.loads((tmp_path / "both" / "manifest.json").read_text())
    assert [Path(entry["folder"]).name for entry in manifest["merged"]] == ["ranks", "widths"]
    assert [entry["sweep"]["name"] for entry in manifest["merged"]] == ["ranks", "widths"]
    # What was merged can be merged on.
    merge.merge_folders([tmp_path / "both", REFERENCE / "tuning"], tmp_path / "three")
    assert len(tables.load_tables(tmp_path / "three")[1]) > len(runs)


def test_a_run_that_two_folders_hold_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"ranks: holds run [0-9a-f]{16}, and so does .*ranks"):
        merge.merge_folders([REFERENCE / "ranks", REFERENCE / "ranks"], tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("into", ["cells", "tables", "source"])
def test_results_of_others_are_not_written_over(tmp_path, into):
    folders, out = [REFERENCE / "ranks", REFERENCE / "widths"], tmp_path / "out"
    if into == "cells":
        (out / "cells").mkdir(parents=True)
        (out / "cells" / "0.parquet").write_bytes(b"")
    elif into == "tables":
        shutil.copytree(REFERENCE / "tuning", out)
    else:
        merge.merge_folders(folders, out)
        folders.append(out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="holds results that would be lost"):
        merge.merge_folders(folders, out)
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_merging_again_replaces_what_was_merged(tmp_path):
    merge.merge_folders([REFERENCE / "ranks", REFERENCE / "widths"], tmp_path)
    merge.merge_folders([REFERENCE / "ranks", REFERENCE / "tuning"], tmp_path)
    assert set(tables.load_tables(tmp_path)[1]["sweep"]) == {"ranks", "tuning"}


@pytest.mark.parametrize("folders", [[], [REFERENCE / "ranks"]])
def test_fewer_than_two_folders_are_refused(tmp_path, folders):
    with pytest.raises(UserError, match="two or more"):
        merge.merge_folders(folders, tmp_path)
