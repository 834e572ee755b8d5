"""Exported functions on disk: what is used again, what is not, and equal numbers either way."""

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from rl_es.config import split_traced
from rl_es.interfaces import Limit
from rl_es.results import tables
from rl_es.sweep.cells import expand_cells, group_cells
from rl_es.sweep.queue import compile_group, make_placed_group
from rl_es.training import export_cache
from rl_es.training.export_cache import Exporter
from rl_es.training.program import Compiler, Program
from rl_es.training.resources import Resources
from tests.running import sweep_of
from tests.sweep.small import ONE

SHAPE = jax.ShapeDtypeStruct((3,), jnp.float32)
VALUES = np.asarray([1.0, 2.0, 3.0], np.float32)
CLONE = Path(__file__).parents[2]


class Multiplication:
    """Multiplies an array, and counts how often it is traced."""

    def __init__(self, factor: float = 2.0) -> None:
        self.traces, self.factor = 0, factor

    def __call__(self, x: Any) -> Any:
        self.traces += 1
        return {"product": self.factor * x, "others": (x.sum(), None)}


def product(function: Callable[..., Any]) -> list[float]:
    return jax.jit(function)(VALUES)["product"].tolist()


def traces(*identity: Any, shape: Any = SHAPE) -> int:
    """Returns how often a function is traced to be exported: 0 where the cache has it."""
    function = Multiplication()
    Exporter([*identity], True)(function, shape)
    return function.traces


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The only source of this process, as far as the cache sees; the cache is empty.

    This process itself has imported tests, and so never uses the cache.
    """
    path = tmp_path / "module.py"
    path.write_text("x = 1\n")

    def imported_sources() -> dict[str, list[int]] | None:
        state = export_cache._source_state(str(path))
        return None if state is None else {str(path): state}

    monkeypatch.setattr(export_cache, "_PACKAGE", tmp_path)
    monkeypatch.setattr(export_cache, "_process_start", lambda: time.time() + 60)
    monkeypatch.setattr(export_cache, "_imported_sources", imported_sources)
    folder = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "cache"))
    export_cache._source_state.cache_clear()
    yield path
    export_cache._source_state.cache_clear()
    jax.config.update("jax_compilation_cache_dir", folder)


def files(source: Path) -> list[Path]:
    return sorted((source.parent / "cache" / export_cache.FOLDER).glob("*"))


def test_a_function_is_traced_once(source: Path) -> None:
    first, second = Multiplication(), Multiplication()
    exported = Exporter(["f"], True)(first, SHAPE)
    loaded = Exporter(["f"], True)(second, SHAPE)
    assert [first.traces, second.traces] == [1, 0]
    assert product(exported) == product(loaded) == [2.0, 4.0, 6.0]
    assert jax.jit(loaded)(VALUES)["others"][1] is None
    assert len(files(source)) == 1


def test_another_identity_or_shape_or_setting_or_version_is_another_function(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert traces("f") == 1 and traces("f") == 0
    assert traces("g") == 1
    assert traces("f", shape=jax.ShapeDtypeStruct((4,), jnp.float32)) == 1
    assert traces("f", shape=jax.ShapeDtypeStruct((3,), jnp.float16)) == 1
    with jax.default_matmul_precision("highest"):
        assert traces("f") == 1
    assert traces("f") == 0
    monkeypatch.setattr(export_cache, "_installed_packages", lambda folders: ["jax-99.dist-info"])
    assert traces("f") == 1
    monkeypatch.setattr(export_cache.sys, "version", "4.0")
    assert traces("f") == 1
    assert len(files(source)) == 7


def test_a_changed_source_replaces_the_function(source: Path) -> None:
    assert traces("f") == 1
    for text, change in (("x = 22\n", 0), ("x = 33\n", 1)):  # another size, another time
        source.write_text(text)
        os.utime(source, (1e9 + change, 1e9 + change))
        export_cache._source_state.cache_clear()  # another process
        assert traces("f") == 1 and traces("f") == 0
    assert len(files(source)) == 1


def test_a_source_that_was_edited_since_the_start_is_not_trusted(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_cache, "_process_start", lambda: source.stat().st_mtime - 1)
    assert traces("f") == traces("f") == 1 and files(source) == []


def test_the_start_of_this_process_is_known() -> None:
    code = (
        "import time; from rl_es.training.export_cache import _process_start\n"
        "print(time.time() - time.process_time() - _process_start())"
    )
    before = time.time()
    text = subprocess.run([sys.executable, "-c", code], cwd=CLONE, capture_output=True).stdout
    assert -1 < float(text) < time.time() - before


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-1],
        lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
        lambda content: content.replace(b"export 1", b"export 0", 1),
        lambda content: pickle.dumps(Exception("unpickled")),
    ],
    ids=["empty", "cut", "flipped", "format", "pickle"],
)
def test_a_damaged_file_is_replaced(source: Path, damage: Callable[[bytes], bytes]) -> None:
    assert traces("f") == 1
    (path,) = files(source)
    content = path.read_bytes()
    path.write_bytes(damage(content))
    assert traces("f") == 1 and traces("f") == 0
    assert files(source) == [path]


def test_writers_do_not_disturb_each_other(source: Path) -> None:
    threads = [threading.Thread(target=traces, args=("f",)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert traces("f") == 0 and len(files(source)) == 1


def test_what_the_cache_may_not_hold(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def report(x: Any) -> Any:
        return jax.pure_callback(lambda x: np.asarray(x), SHAPE, x)

    assert Exporter(["f"], True)(report, SHAPE) is report
    assert product(Exporter(["f"], False)(Multiplication(), SHAPE)) == [2.0, 4.0, 6.0]
    monkeypatch.setattr(export_cache, "MAX_BYTES", 100)
    assert traces("f") == traces("f") == 1
    assert files(source) == []
    jax.config.update("jax_compilation_cache_dir", None)  # RL_ES_CACHE is empty
    assert traces("f") == traces("f") == 1


def test_this_process_has_imported_tests() -> None:
    assert export_cache._imported_sources() is None
    assert export_cache._source_state(__file__) is None
    assert export_cache._source_state(jax.__file__) is not None


def numbers(program: Program, settings: dict[str, float]) -> list[bytes]:
    """Returns the bits of a state after two generations, and of an evaluation of it."""
    lanes = program.lanes
    seeds = np.arange(lanes, dtype=np.uint32)
    hyper = {name: np.full(lanes, value, np.float32) for name, value in settings.items()}
    limit = Limit(np.full(lanes, 2, np.int32), np.full(lanes, 2**30, np.int32))
    state, rows = program.advance(program.init(seeds, hyper), limit)
    returns = program.evaluate(seeds, program.snapshot(state))
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves((state, rows, returns))]


SWEEP = """
name: exported
seeds: 2
defaults:
  budget: {generations: 2}
  evaluation: {episodes: 2}
  policy: {widths: [8], normalise_observations: true}
"""
CARTPOLE = "{name: CartPole-v1, episode_length: 30}"
PENDULUM = "{name: Pendulum-v1, episode_length: 20}"
BRAX = "{name: brax/inverted_pendulum, episode_length: 20}"


@pytest.mark.parametrize(
    ("env", "agent", "devices"),
    [
        (CARTPOLE, "{name: eggroll, with: {population: 128}}", 1),
        (PENDULUM, "{name: pes, with: {population: 256, window: 10}}", 2),
        (BRAX, "{name: pes, with: {population: 128, window: 10}}", 1),
        pytest.param(
            *(PENDULUM, "{name: evosax/CMA_ES, with: {population: 16}}", 1),  # decomposes a matrix
            marks=pytest.mark.extra("evosax"),
        ),
        pytest.param(CARTPOLE, "{name: ppo}", 1, marks=pytest.mark.extra("rejax")),
    ],
    ids=["eggroll", "pes-2-devices", "brax", "evosax", "ppo"],
)
def test_an_exported_group_has_the_same_numbers(
    source: Path, env: str, agent: str, devices: int
) -> None:
    (group,) = group_cells(
        expand_cells(sweep_of(f"{SWEEP}environments: [{env}]\nagents: [{agent}]\n"))
    )
    work = make_placed_group(group, Resources(devices))
    _, settings = split_traced(group.cells[0].config)
    training, placement = work.training, work.place.placement
    exported_program = compile_group(Compiler(), work)
    assert len(files(source)) == 2
    program = Compiler().compile(
        training.learner, settings, work.lanes, training.evaluate, "", placement
    )
    assert placement.devices == devices
    assert numbers(exported_program, settings) == numbers(program, settings)


def test_a_second_start_traces_no_generation(tmp_path: Path) -> None:
    """And gives the same tables; its first cell starts another program of the same environment."""
    (tmp_path / "one.yaml").write_text(ONE)
    environment = {
        **os.environ,
        "RL_ES_CACHE": str(tmp_path / "cache"),
        "JAX_LOG_COMPILES": "1",
        "COLUMNS": "200",
    }

    def run(out: str, *changes: str) -> str:
        arguments = ["run", "one.yaml", "--out", out, *(f"--set={change}" for change in changes)]
        return subprocess.run(
            [sys.executable, CLONE / "run_benchmark.py", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stderr

    def count(log: str) -> list[int]:
        names = ("advance_leaves", "evaluate_leaves")
        return [log.count(f"Finished tracing + transforming {name}") for name in names]

    assert count(run("cold")) == [1, 1]
    assert count(run("warm")) == [0, 0]
    assert count(run("sigma", "agents.0.with.sigma=0.3", "seeds=[5]")) == [0, 0]  # traced
    assert count(run("population", "agents.0.with.population=32")) == [1, 0]
    cold, warm = (tables.load_tables(tmp_path / out) for out in ("cold", "warm"))
    for first, second in zip(cold, warm, strict=True):
        columns = [name for name in first if "seconds" not in name and "memory" not in name]
        pd.testing.assert_frame_equal(first[columns], second[columns], check_exact=True)
