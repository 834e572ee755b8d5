"""Groups as tasks of a Ray cluster, one of this machine; and what a task sends, without Ray."""

import re
import threading
from pathlib import Path
from typing import Any

import pytest

from rl_es import registry
from rl_es.errors import UserError
from rl_es.results.files import write_bytes
from rl_es.sweep import ray_executor
from rl_es.sweep.ray_executor import RayMailbox, RayProgress
from tests.running import Said, alike, ran, sweep_of
from tests.sweep.small import ONE


@pytest.mark.extra("ray")
def test_a_task_s_files_and_reports_come_to_the_driver(tmp_path: Path) -> None:
    """One cell is half done before: its task goes on from the files that it is sent."""
    expected = ran(tmp_path / "whole", sweep_of(ONE))
    folder = ran(
        tmp_path / "ray", sweep_of(ONE, "budget.generations=2", "defaults.evaluation.points=1")
    )
    reports = Said()
    ran(
        folder,
        sweep_of(ONE),
        reports,
        make_executor=ray_executor.ray_executor(ray_executor.RayResources(cpus=0.5)),
    )
    alike(expected, folder)
    counts = reports.counts
    assert counts["finish"] == 2 and counts["compiling"] == 2 and counts["running"] >= 2
    assert len(list(folder.glob("policies/*/final.msgpack"))) == 2
    assert not list(folder.glob("**/.*"))


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        (ray_executor.RayResources("127.0.0.1:1"), "--address: no Ray cluster at '127.0.0.1:1'"),
        (
            ray_executor.RayResources(gpus=5000),
            "--ray-gpus: a task takes 5000 .* none has more than",
        ),
    ],
)
@pytest.mark.extra("ray")
def test_what_a_cluster_lacks_is_one_line(
    cluster: ray_executor.RayResources, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message) as refusal:
        ran(tmp_path, sweep_of(ONE), make_executor=ray_executor.ray_executor(cluster))
    assert len(str(refusal.value).splitlines()) == 1


# --- without Ray --------------------------------------------------------------------------------


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    command = re.escape(registry.install_command("ray"))
    with pytest.raises(UserError, match=f"--executor ray needs .*{command}"):
        ray_executor.require_ray()


def test_a_task_sends_what_is_new_in_the_order_of_writing(tmp_path: Path) -> None:
    write_bytes(tmp_path / "cells" / "old.parquet", b"old")
    sent: list[Any] = []
    progress = RayProgress(
        tmp_path, lambda messages: sent.append(messages) or False, threading.Event()
    )
    progress.send()
    assert sent == [[]]
    for name in ("cells/b", "checkpoints/a", "policies/c/d"):
        write_bytes(tmp_path / name, name.encode())
    write_bytes(tmp_path / "claims" / "x.lock", b"")
    (tmp_path / ".half").write_text("half")
    progress.note("hello")
    progress.send()
    names = [message.get("file", message.get("call")) for message in sent[1]]
    assert names == ["cells/b", "checkpoints/a", "policies/c/d", "note"]
    assert sent[1][1]["content"] == b"checkpoints/a"
    write_bytes(tmp_path / "cells" / "old.parquet", b"new")
    progress.send()
    assert [message["file"] for message in sent[2]] == ["cells/old.parquet"]


def test_a_task_sends_the_rest_and_is_told_to_stop(tmp_path: Path) -> None:
    post, stop = RayMailbox(), threading.Event()
    progress = RayProgress(tmp_path, post.put, stop)
    with progress.sending():
        progress.note("one")
    assert [message["values"] for message in post.take()] == [("one", True)] and not stop.is_set()
    post.stop()
    with progress.sending():
        pass
    assert stop.is_set() and post.take() == []
