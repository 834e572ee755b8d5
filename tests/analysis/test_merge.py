"""Results of several folders as one."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from rl_es.analysis import merge, publication, scores, sweep_report, sweep_tables
from rl_es.analysis.figures.catalogue import KINDS
from rl_es.analysis.results import load_results
from rl_es.errors import UserError
from rl_es.results import tables
from rl_es.sweep.cells import digest
from tests.analysis import kinds
from tests.analysis.conftest import write_run
from tests.artifacts import REFERENCE
from tests.looks import texts


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


def test_only_the_runs_of_the_labels_are_merged(tmp_path):
    folders, labels = (
        [REFERENCE / "ranks", REFERENCE / "widths"],
        ["eggroll rank=1", "full_rank_es"],
    )
    merge.merge_folders(folders, tmp_path / "all")
    merge.merge_folders(folders, tmp_path / "some", labels)
    (all_curves, all_runs), (curves, runs) = (
        tables.load_tables(tmp_path / name) for name in ("all", "some")
    )
    assert set(all_runs["label"]) > set(labels) == set(runs["label"]) == set(curves["label"])
    assert len(runs) == all_runs["label"].isin(labels).sum()
    assert len(curves) == all_curves["label"].isin(labels).sum()
    assert sorted(load_results(tmp_path / "some").legend) == sorted(labels)


def test_a_label_without_runs_is_refused(tmp_path):
    folders = [REFERENCE / "ranks", REFERENCE / "widths"]
    with pytest.raises(UserError, match="no label 'eggroll rnk=1' here; did you mean"):
        merge.merge_folders(folders, tmp_path, ["full_rank_es", "eggroll rnk=1"])
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


def _write_sweep(folder: Path, runs: dict[str, tuple[str, range, float]]) -> Path:
    """Writes the runs of a sweep: by label its environments, seeds and learning rate.

    A run's id depends on all but the name of the sweep, as in a real one.
    """
    for label, (environments, seeds, lr) in runs.items():
        for env in environments:
            for seed in seeds:
                run_id = digest([env, label, seed, lr])
                hyper = {"lr": lr}
                write_run(folder, env, label, seed, hyper=hyper, sweep=folder.name, run_id=run_id)
    return folder


def test_a_label_of_two_sweeps_with_equal_settings_is_one(tmp_path: Path) -> None:
    seeds, more_seeds = range(2), range(1, 4)  # both have seed 1
    first = _write_sweep(tmp_path / "a", {"pes": ("xy", seeds, 0.1), "nres": ("x", seeds, 0.1)})
    second = _write_sweep(tmp_path / "b", {"pes": ("xy", more_seeds, 0.1)})
    merge.merge_folders([first, second], tmp_path / "both")
    results = load_results(tmp_path / "both")
    assert results.runs.groupby(["env", "label"])["seed"].apply(list).to_dict() == {
        ("x", "nres"): [0, 1],
        ("x", "pes"): [0, 1, 2, 3],
        ("y", "pes"): [0, 1, 2, 3],
    }
    assert len(results.curves) == 10 * 11
    # A third sweep has another learning rate under that label: one more label, not two.
    third = _write_sweep(tmp_path / "c", {"pes": ("xy", seeds, 0.2)})
    merge.merge_folders([first, second, third], tmp_path / "three")
    labels = set(load_results(tmp_path / "three").runs["label"])
    assert labels == {"nres", "pes (lr=0.1)", "pes (lr=0.2)"}


def test_one_run_with_two_curves_is_refused(tmp_path: Path) -> None:
    first = _write_sweep(tmp_path / "a", {"pes": ("x", range(2), 0.1)})
    write_run(
        tmp_path / "b", "x", "pes", 0, sweep="b", returns=[1.0] * 11,
        run_id=digest(["x", "pes", 0, 0.1]),
    )  # fmt: skip
    with pytest.raises(UserError, match=r"b: holds run [0-9a-f]{16}, and so does .*a"):
        merge.merge_folders([first, tmp_path / "b"], tmp_path / "both")


def test_aggregates_cover_the_environments_that_labels_share(tmp_path: Path) -> None:
    seeds = range(3)
    first = _write_sweep(tmp_path / "a", {"pes": ("uxy", seeds, 0.1), "nres": ("uxy", seeds, 0.1)})
    second = _write_sweep(tmp_path / "b", {"eggroll": ("xyz", seeds, 0.1)})
    merge.merge_folders([first, second], tmp_path / "both")
    results = load_results(tmp_path / "both")
    digest_of_all = sweep_tables.make_digest(results)
    assert set(digest_of_all.aggregates["environments"]) == {2}
    rows = [[cell.text for cell in row] for row in sweep_tables.totals_table(digest_of_all).rows]
    assert [(row[0], row[1]) for row in rows] == [("eggroll", "6"), ("pes", "6"), ("nres", "6")]
    legend = sweep_tables.totals_legend(digest_of_all)
    assert "over 2 environments that all labels share. Some label has no run in: u, z." in legend
    # The totals are those of a folder that holds the shared environments alone.
    alone = sweep_tables.make_digest(results.within(["x", "y"])).aggregates
    columns = ["label", "statistic", "estimate", "low", "high", "n"]
    assert alone[columns].equals(digest_of_all.aggregates[columns])
    (figure,) = KINDS["normalised"].figures(results)
    panels = {panel.get_title(): panel for panel in figure.figure.axes}
    assert list(panels) == ["shared: IQM", "shared: mean", "u", "x", "y", "z"]
    assert "Shared: the 2 environments in which every label has runs, so without u, z" in texts(
        figure.figure
    )
    for name in ("aggregate_curves", "profiles"):
        (figure,) = KINDS[name].figures(results)
        assert "the 2 environments in which every label has runs" in texts(figure.figure)


@pytest.mark.parametrize(
    ("nres", "eggroll", "shared"), [("xy", "xz", "1 (x)"), ("y", "z", "0")], ids=["one", "none"]
)
def test_a_line_says_why_no_aggregate_compares_labels(
    tmp_path: Path, nres: str, eggroll: str, shared: str
) -> None:
    seeds = range(2)
    labels = {
        "pes": ("ux", seeds, 0.1),
        "nres": (nres, seeds, 0.1),
        "eggroll": (eggroll, seeds, 0.1),
    }
    folder = _write_sweep(tmp_path / "a", labels)
    with kinds.only("learning_curves"):
        sweep_report.write(folder)
    line = (
        "No aggregates over environments: the environments in which every label has runs are "
        f"{shared}, and an aggregate needs 2, or two labels with a score in all 4."
    )
    lines = (folder / "index.md").read_text().splitlines()
    assert line in lines[lines.index("## Over all environments") :]
    assert f"<p>{line}</p>" in (folder / "report.html").read_text()
    table = publication.compose(folder, "latex", "final", replicates=20)
    assert line.rstrip(".") in " ".join(table.split())
    results = load_results(folder)
    for name in ("aggregates", "aggregate_curves", "profiles"):
        assert not [*KINDS[name].figures(results)]


def test_no_line_where_nothing_is_missed(tmp_path: Path) -> None:
    folder = _write_sweep(tmp_path / "a", {"pes": ("xyz", range(2), 0.1)})
    scale = sweep_tables.make_digest(load_results(folder)).scale
    assert scores.missing_totals_text([("x", "pes"), ("y", "pes")], scale) == ""
    assert scores.missing_totals_text([("x", "pes"), ("x", "nres")], scale) == ""
    unscaled = replace(scale, low=("untrained", {"x": 0.0}), high=("best", {"x": 1.0}))
    pairs = [(env, label) for env in "xy" for label in ("pes", "nres")]
    assert scores.missing_totals_text(pairs, unscaled) == (
        "No aggregates over environments: x can be scaled, where 0 is untrained, 1 is best; an "
        "aggregate needs 2."
    )


def test_a_label_that_diverges_somewhere_leaves_all_environments_shared(tmp_path: Path) -> None:
    folder = _write_sweep(tmp_path / "a", {"pes": ("xyz", range(2), 0.1)})
    for env in "xyz":
        write_run(folder, env, "nres", 0, status="failed" if env == "z" else "finished")
    aggregates = sweep_tables.make_digest(load_results(folder)).aggregates
    assert aggregates.groupby("label")["environments"].max().to_dict() == {"nres": 2, "pes": 3}
