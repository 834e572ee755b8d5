"""One results folder and several processes: claims, workers of this machine, shards."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import pytest

from rl_es.errors import UserError
from rl_es.results import files, tables
from rl_es.sweep import worker_pool
from rl_es.sweep.cells import ALL_GROUPS, Shard, expand_cells, group_cells, parse_shard
from rl_es.sweep.progress import CellReport
from rl_es.sweep.queue import GroupQueue
from rl_es.sweep.store import Store
from rl_es.training.resources import Resources
from tests.running import Said, alike, ran, same, single_device, sweep_of
from tests.sweep.small import ONE, TINY, broken_cartpole

ROOT = Path(__file__).parents[2]
LONG = (  # runs that last, since workers are to be ended in the middle of one
    "defaults.budget={generations: 100000}",
    "agents=[{name: eggroll}]",
    "environments=[{name: Pendulum-v1, episode_length: 20}]",
    "seeds=1",
)
DOOR = """
import sys
from rl_es import cli
from rl_es.cli import run_commands
run_commands.write_report = run_commands.write_films = lambda folder: None
cli.leave(cli.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ran(tmp_path_factory.mktemp("once"), sweep_of(TINY))


@pytest.fixture
def pool_workers(monkeypatch: pytest.MonkeyPatch) -> list[worker_pool.Worker]:
    """The workers that a test starts."""
    pool: list[worker_pool.Worker] = []
    init = worker_pool.Worker.__init__

    def init_and_record(self: worker_pool.Worker, *args: Any) -> None:
        init(self, *args)
        pool.append(self)

    monkeypatch.setattr(worker_pool.Worker, "__init__", init_and_record)
    return pool


def by_workers(folder: Path, *changes: str, code: int = 0, **calls: Callable[..., None]) -> Said:
    """Two workers run a sweep; returns what was said."""
    said, sweep = Said(**calls), sweep_of(TINY, *changes)
    ran(folder, sweep, said, code, make_executor=worker_pool.worker_pool(2), checkpoint_seconds=0.2)
    return said


# --- claims -------------------------------------------------------------------------------------


def test_a_claim_is_one_process_s_until_it_is_released(tmp_path: Path) -> None:
    first = files.claim(tmp_path, "a")
    assert first is not None and files.claim(tmp_path, "a") is None
    assert files.claim(tmp_path, "b") is not None
    assert files.claim_holder(tmp_path, "a").startswith(f"process {os.getpid()} on ")
    first.release()
    first.release()
    again = files.claim(tmp_path, "a")
    assert again is not None
    again.release()


def test_a_claim_ends_with_its_process(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from rl_es.results import files\n"
        "kept = files.claim(Path(sys.argv[1]), 'a'); print('taken', flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        assert process.stdout is not None and process.stdout.readline() == b"taken\n"
        assert files.claim(tmp_path, "a") is None
        process.kill()
    claim = files.claim(tmp_path, "a")
    assert claim is not None
    claim.release()


def test_a_claimed_group_is_waited_for(expected: Path, tmp_path: Path) -> None:
    """This process runs what is free first."""
    first = group_cells(expand_cells(sweep_of(TINY)))[0]
    claim = files.claim(tmp_path, first.key)
    assert claim is not None

    said = Said(note=lambda *_: threading.Timer(0.5, claim.release).start())
    ran(tmp_path, sweep_of(TINY), said)
    (note,) = said.notes
    assert note.startswith(f"waiting for process {os.getpid()} on ") and first.label in note
    ended = [report[0].group for event, *report in said.said if event == "finish"]
    assert ended[-len(first.cells) :] == [first.key] * len(first.cells)
    same(expected, tmp_path)


def test_two_commands_on_one_folder_run_each_cell_once(expected: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    command = [sys.executable, "-c", DOOR, "run", str(tmp_path / "tiny.yaml"), "--lanes", "1"]
    command += ["--out", str(tmp_path / "out")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [
        subprocess.Popen(command, cwd=ROOT, env=single_device(), **pipes) for _ in range(2)
    ]
    try:
        said = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], said
    ended = [line for output, _ in said for line in output.splitlines() if ": finished" in line]
    names = [line.split("] ")[1].split(":")[0] for line in ended if "another process" not in line]
    assert len(names) == 16 and len(set(names)) == 16
    same(expected, tmp_path / "out")


def test_what_fails_again_is_left_alone_by_the_next_process(tmp_path: Path) -> None:
    """A cell that is to be run again is run by one of the processes that share a folder."""
    (group,) = group_cells(expand_cells(sweep_of(ONE)))
    store, said = Store(tmp_path), Said()
    with broken_cartpole():
        ran(tmp_path, sweep_of(ONE), code=1)
    versions = {cell.run_id: store.version(cell) for cell in group.cells}

    def take() -> Any:
        return GroupQueue([group], store, said, lambda group: group, versions).take()

    claimed = take()
    assert claimed is not None and claimed.run_ids == versions.keys()
    claimed.release()
    for cell in group.cells:
        store.write(cell, *store.read(cell))
    assert take() is None and said.counts["fail"] == 2


# --- workers ------------------------------------------------------------------------------------


def test_runs_of_other_processes_are_reported_from_their_files(short: Path, tmp_path: Path) -> None:
    (group,) = group_cells(expand_cells(sweep_of(ONE)))
    folder, said = tmp_path / "results", Said()
    shutil.copytree(short, folder)
    store, (first, second) = Store(folder), group.cells
    versions = {first.run_id: store.version(first), second.run_id: 0}
    watcher = worker_pool.FolderWatcher(
        [SimpleNamespace(group=group)], versions, SimpleNamespace(store=store, progress=said)
    )
    watcher.poll()
    watcher.poll()
    rows, record = store.read(first)
    store.write(first, rows[:2], {**record, "status": "running", "generations": 3})
    watcher.poll()
    store.write(first, rows[:2], {**record, "status": "failed", "reason": "why"})
    watcher.poll()
    assert [event for event, *_ in said.said] == [
        "compiling", "compiling", "finish", "running", "fail",
    ]  # fmt: skip
    assert said.said[2][1:3] == (second, "finished")
    assert said.said[3][1][:3] == (first, 0.5, rows[1]["return_mean"])
    assert said.said[4][1:] == (first, "why") and watcher.failures == 1 and not watcher.works


def test_workers_give_the_tables_of_one_process(expected: Path, tmp_path: Path) -> None:
    counts = by_workers(tmp_path).counts
    alike(expected, tmp_path)  # a worker has fewer threads than this process
    assert counts["finish"] == 16 and counts["begin"] == 1 and counts["compiling"] == 8
    assert not list(tmp_path.glob("**/.*"))


def killing(
    folder: Path, pool_workers: list[worker_pool.Worker], times: int
) -> Callable[..., None]:
    """Ends, so many times, the worker that runs the cell that is reported."""
    left = [times]

    def running(report: CellReport) -> None:
        holder = files.claim_holder(folder, report.cell.group)
        alive = [w.process for w in pool_workers if w.process.poll() is None]
        process = next((p for p in alive if holder.startswith(f"process {p.pid} on ")), None)
        if left[0] and report.fraction > 0.0 and process is not None:
            left[0] -= 1
            process.kill()
            process.wait()

    return running


def test_a_worker_that_is_killed_is_replaced(
    pool_workers: list[worker_pool.Worker], tmp_path: Path
) -> None:
    changes = (*LONG, "defaults.budget.generations=3000")
    folder = tmp_path / "killed"
    said = by_workers(folder, *changes, running=killing(folder, pool_workers, 1))
    assert len(pool_workers) == 3
    (note,) = said.notes
    assert "its process was ended by SIGKILL, perhaps for its memory; it is run once more" in note
    by_workers(tmp_path / "whole", *changes)
    same(folder, tmp_path / "whole")


def test_a_group_that_kills_its_workers_fails(
    pool_workers: list[worker_pool.Worker], tmp_path: Path
) -> None:
    changes = (*LONG, "environments=[{name: Pendulum-v1}, {name: CartPole-v1}]")
    by_workers(tmp_path, *changes[:-1], code=1, running=killing(tmp_path, pool_workers, 2))
    _, runs = tables.load_tables(tmp_path)
    assert runs.status.item() == "failed" and "ended by SIGKILL" in runs.reason.item()


def test_stopped_workers_save_what_they_run(
    pool_workers: list[worker_pool.Worker], tmp_path: Path
) -> None:
    """Also where they are interrupted several times, as by a terminal and by their parent."""

    def running(report: CellReport) -> None:
        for worker in [*pool_workers, *pool_workers]:
            worker.interrupt()
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        by_workers(tmp_path, *LONG, running=running)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1
    assert tables.load_tables(tmp_path)[1].status.item() == "running"


@pytest.mark.parametrize("number", [3, 100])
def test_more_workers_than_cores_are_refused(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    with pytest.raises(UserError, match=f"--workers: must be at most 2, the cores; is {number}"):
        ran(tmp_path, sweep_of(TINY), make_executor=worker_pool.worker_pool(number))


def test_workers_share_cores_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1, 2, 5, 6, 7})
    shares = list(worker_pool.core_shares(Resources(memory=100), 2))
    assert [cores for _, cores, _ in shares] == [(1, 2), (5, 6, 7)]
    assert [resources.memory for resources, *_ in shares] == [100, 100]
    half, third = (next(iter(worker_pool.core_shares(Resources(), n)))[0].memory for n in (2, 3))
    assert half is not None and third is not None and half * 2 == pytest.approx(third * 3, rel=1e-6)


def test_workers_share_gpus_and_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "local_device_count", lambda: 2)
    for name in ("CUDA_VISIBLE_DEVICES", worker_pool.FRACTION, worker_pool.OLD_FRACTION):
        monkeypatch.delenv(name, raising=False)

    def variables(number: int) -> list[tuple[str, str]]:
        shares = [share for *_, share in worker_pool.core_shares(Resources(), number, "false")]
        assert {share[worker_pool.OLD_FRACTION] for share in shares} == {""}
        assert {share[worker_pool.PREALLOCATION] for share in shares} == {"false"}
        return [(share["CUDA_VISIBLE_DEVICES"], share[worker_pool.FRACTION]) for share in shares]

    assert variables(1) == [("0,1", "0.800")]
    assert variables(3) == [("0", "0.400"), ("1", "0.400"), ("0", "0.400")]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    monkeypatch.setenv(worker_pool.OLD_FRACTION, "0.5")
    assert variables(2) == [("5", "0.500"), ("7", "0.500")]


def test_a_parent_leaves_the_memory_of_gpus_to_its_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(worker_pool.PREALLOCATION, "true")
    assert worker_pool.worker_pool(2).keywords["preallocation"] == "true"  # pyright: ignore
    assert os.environ[worker_pool.PREALLOCATION] == "false"


# --- shards -------------------------------------------------------------------------------------


def test_shards_of_one_folder_or_two_are_the_whole(expected: Path, tmp_path: Path) -> None:
    for index in range(2):
        for folder in (tmp_path / "one", tmp_path / str(index)):
            ran(folder, sweep_of(TINY), shard=Shard(index, 2))
    same(expected, tmp_path / "one")
    assert [len(tables.load_tables(tmp_path / name)[1]) for name in "01"] == [8, 8]
    same(expected, tmp_path / "0", tmp_path / "1")


def test_shards_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_shard("0/1") == ALL_GROUPS and str(parse_shard("3/10")) == "3/10"
    for text in ("", "1", "1/", "/1", "2/2", "-1/2", "a/b", "0/0", "1.0/2"):
        with pytest.raises(UserError, match="--shard: must be I/N"):
            parse_shard(text)
