"""Weights & Biases without a network: what is logged lies in the results folder."""

import importlib.util
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from rl_es import cli, registry
from rl_es.results import tables
from tests.sweep.small import ONE


def records_of(path: Path) -> Iterator[bytes]:
    """Yields the records of a file in the format of LevelDB's logs, after a header of 7 bytes."""
    data, place, parts = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:  # no record starts in the last bytes of a block
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or its last part
            yield parts
            parts = b""


@pytest.mark.extra("wandb")
def test_offline_runs_lie_in_the_results_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from wandb.proto import wandb_internal_pb2

    monkeypatch.setenv("WANDB_MODE", "offline")
    (tmp_path / "one.yaml").write_text(ONE)
    out = tmp_path / "out"
    command = ["run", str(tmp_path / "one.yaml"), "--out", str(out), "--wandb", "--no-replays"]
    assert cli.main(command) == 0
    assert "is left out" not in capfd.readouterr().out
    curves, _ = tables.load_tables(out)
    for run_id, rows in curves.groupby("run_id"):
        (path,) = (out / "wandb").glob(f"offline-run-*-{run_id}/run-{run_id}.wandb")
        records = [wandb_internal_pb2.Record.FromString(data) for data in records_of(path)]
        history = [record.history for record in records if record.HasField("history")]
        assert [row.step.num for row in history] == list(rows["env_steps"])
        returns = [
            float(item.value_json)
            for row in history
            for item in row.item
            if "return_mean" in (item.key, *item.nested_key)
        ]
        assert returns == list(rows["return_mean"])


def test_without_wandb_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "wandb" else find(name)
    )
    (tmp_path / "one.yaml").write_text(ONE)
    out = tmp_path / "out"
    assert cli.main(["run", str(tmp_path / "one.yaml"), "--out", str(out), "--wandb"]) == 2
    assert registry.install_command("wandb") in capfd.readouterr().err and not out.exists()
