"""Results of several folders as one."""

import json

import pytest

from rl_es import tables
from rl_es.analysis import merging
from rl_es.errors import UserError
from tests.artifacts import REFERENCE


def test_all_runs_are_there_with_their_curves(tmp_path):
    folders = [REFERENCE / "ranks", REFERENCE / "widths"]
    merging.merge(folders, tmp_path / "both")
    curves, runs = tables.load(tmp_path / "both")
    each = [tables.load(folder) for folder in folders]
    assert len(curves) == sum(len(curve) for curve, _ in each)
    for own, held in each:
        here = runs[runs["run_id"].isin(held["run_id"])].set_index("run_id")
        assert list(here["final_return"]) == list(
            held.set_index("run_id").loc[here.index, "final_return"]
        )
        some = held["run_id"].iloc[0]
        mine, theirs = (x[x["run_id"] == some]["return_mean"] for x in (curves, own))
        assert list(mine) == list(theirs)
    manifest = json.loads((tmp_path / "both" / "manifest.json").read_text())
    assert set(manifest["merged"]) == {"ranks", "widths"}
    # What was merged can be merged on.
    merging.merge([tmp_path / "both", REFERENCE / "tuning"], tmp_path / "three")
    assert len(tables.load(tmp_path / "three")[1]) > len(runs)


def test_a_run_that_two_folders_hold_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"ranks: holds run [0-9a-f]{16}, and so does .*ranks"):
        merging.merge([REFERENCE / "ranks", REFERENCE / "ranks"], tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_cells_is_no_place_for_merged_tables(tmp_path):
    cells = tmp_path / "cells"
    cells.mkdir()
    (cells / "0.parquet").write_bytes(b"")
    with pytest.raises(UserError, match="a sweep was run into it"):
        merging.merge([REFERENCE / "ranks", REFERENCE / "widths"], tmp_path)


@pytest.mark.parametrize("folders", [[], [REFERENCE / "ranks"]])
def test_fewer_than_two_folders_are_refused(tmp_path, folders):
    with pytest.raises(UserError, match="two or more"):
        merging.merge(folders, tmp_path)
