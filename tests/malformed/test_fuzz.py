"""Whatever the bytes: a `UserError` or success, never another exception, never a changed file."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import serialization
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rl_es.analysis import scores
from rl_es.errors import UserError, printable
from rl_es.results import checksums, manifest, replays, surfaces, text_files, timings
from rl_es.sweep.loading import load_sweep, override, validate_document
from rl_es.sweep.schema import Sweep
from rl_es.sweep.yaml_reader import parse_yaml
from rl_es.training import policy_manifest
from rl_es.training.checkpoint import load as load_state
from rl_es.tuning import trials
from tests.malformed import folders
from tests.malformed.cases import state

fuzz = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def outcome(call: Callable[[], Any]) -> Any:
    """What a call gives, or None where it refuses: with one line, on what a person can change."""
    try:
        return call()
    except UserError as error:
        assert str(error).strip() and printable(str(error)).isprintable()
        return None


# Sweep files and overrides.

TEXT = folders.SWEEP.strip()
SPANS = st.tuples(st.integers(0, len(TEXT)), st.integers(0, 12))
PIECES = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        ["{", "}", "[", "]", ": ", ", ", "\n", "- ", "~", "null", "&a ", "*a", "!!set ", "'", '"']
        + ["1e400", "-1", "0", "1.5", "true", ".nan", "../x", "\\0", "\\ud800", "\t", "#", "|", ">"]
    ),
)


@fuzz
@given(st.lists(st.tuples(SPANS, PIECES), min_size=1, max_size=3))
def test_a_sweep_file_with_slips(tmp_path: Path, slips: list[Any]) -> None:
    text = TEXT
    for (start, length), piece in slips:
        text = text[:start] + piece + text[start + length :]
    path = tmp_path / "sweep.yaml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    result = outcome(lambda: load_sweep(path))
    assert result is None or isinstance(result, Sweep)


@fuzz
@given(st.binary(max_size=40), st.integers(0, len(TEXT)))
def test_a_sweep_file_with_other_bytes(tmp_path: Path, content: bytes, at: int) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_bytes(TEXT[:at].encode() + content + TEXT[at:].encode())
    outcome(lambda: load_sweep(path))


NAMES = "seeds name defaults budget env_steps agents environments open_es CartPole-v1 0 1 -1 with x"
PATHS = st.one_of(
    st.text(max_size=20), st.lists(st.sampled_from([*NAMES.split(), ""]), max_size=5).map(".".join)
)
VALUES = st.one_of(
    st.text(max_size=20), st.sampled_from(["1", "[1]", "{a: 1}", "~", "*a", "open_es", "1e-3"])
)


@fuzz
@given(PATHS, VALUES)
def test_any_assignment(path: str, value: str) -> None:
    def check() -> Sweep:
        document = parse_yaml(TEXT, "sweep.yaml")
        override(document, [f"{path}={value}"])
        return validate_document(document, Sweep, lambda sweep: None)

    outcome(check)


# JSON files.

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), NUMBERS, st.text(max_size=8)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
Readers = dict[str, tuple[str, str, Callable[[Path], Any]]]  # sort of folder, file, reader
READERS: Readers = {
    "a sweep's manifest": ("swept", "manifest.json", manifest.read_sweep_manifest),
    "a benchmark's manifest": ("timed", "manifest.json", timings.load),
    "a tuning's manifest": (
        "tuned",
        "manifest.json",
        lambda at: trials._read_sweep(at / "manifest.json"),
    ),
    "trials": ("tuned", "trials.json", trials.read_trials),
    "films": ("swept", "replays/replays.json", replays.read_replays),
    "a policy": (
        "trained",
        "policies/RUN/final.json",
        lambda at: policy_manifest.list_policies(at, "final"),
    ),
}
MINIMAL_CONTENT: dict[str, Any] = {
    "trials.json": {"trials": [{"env": "a", "agent": "b", "label": "c", "settings": {"lr": 1}}]},
    "replays/replays.json": {"schema_version": 1, "replays": [], "missing": []},
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A good results folder of each sort."""
    made = {sort: tmp_path_factory.mktemp(sort) / "results" for sort in folders.MADE}
    for sort, make in folders.MADE.items():
        make(made[sort])
    return made


def locations(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where a structure can be changed."""
    if isinstance(content, dict):
        inner = content.items()
    elif isinstance(content, list):
        inner = enumerate(content)
    else:
        inner = ()
    return [path, *(result for key, value in inner for result in locations(value, (*path, key)))]


def changed(content: Any, location: tuple[Any, ...], value: Any) -> Any:
    """The structure with another value at a place."""
    if not location:
        return value
    key, *rest = location
    inner = changed(content[key], tuple(rest), value)
    if isinstance(content, dict):
        return {**content, key: inner}
    return [*content[:key], inner, *content[key + 1 :]]


@pytest.mark.parametrize("what", READERS)
@fuzz
@given(st.data())
def test_a_json_file_with_another_value(
    what: str, good: dict[str, Path], tmp_path: Path, data: st.DataObject
) -> None:
    sort, name, read = READERS[what]
    name = name.replace("RUN", folders.run_id())
    folder = tmp_path / "results"
    if not folder.exists():
        shutil.copytree(good[sort], folder)
    file = folder / name
    source = good[sort] / name
    content = text_files.read_json(source, what) if source.exists() else MINIMAL_CONTENT[name]
    location = data.draw(st.sampled_from(locations(content)))
    damaged = changed(content, location, data.draw(JSON))
    file.parent.mkdir(exist_ok=True)
    if isinstance(damaged, dict):
        text_files.write_json(file, damaged)
    else:
        file.write_text(json.dumps(damaged))
    before = state(folder)
    outcome(lambda: read(folder))
    assert state(folder) == before


@fuzz
@given(st.binary(max_size=100))
def test_a_json_file_of_any_bytes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    outcome(lambda: manifest.read_sweep_manifest(tmp_path))


# Checkpoints.

SHAPES = {"w": jax.ShapeDtypeStruct((2,), np.float32)}


@fuzz
@given(st.binary(max_size=60), st.booleans())
def test_a_checkpoint_of_any_bytes(tmp_path: Path, content: bytes, sealed: bool) -> None:
    path = tmp_path / "state.msgpack"
    path.write_bytes(checksums.seal(content) if sealed else content)
    outcome(lambda: load_state(path, SHAPES))


@fuzz
@given(st.data())
def test_a_checkpoint_with_another_value(tmp_path: Path, data: st.DataObject) -> None:
    content: Any = {"format": 3, "description": "['w']:float32(2,)", "counters": "{}"}
    content["leaves"] = {"0": np.zeros(2, np.float32)}
    location = data.draw(st.sampled_from(locations(content)))
    value = data.draw(
        st.one_of(st.text(max_size=5), st.integers(-9, 9), st.lists(st.integers(0, 9), max_size=3))
    )
    path = tmp_path / "state.msgpack"
    damaged = changed(content, location, value)
    path.write_bytes(checksums.seal(serialization.msgpack_serialize(damaged, in_place=False)))
    outcome(lambda: load_state(path, SHAPES))


@fuzz
@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=4), st.integers(0, 8))
def test_a_checkpoint_with_other_bytes(tmp_path: Path, at: int, new: bytes, cut: int) -> None:
    content = {"format": 3, "description": "['w']:float32(2,)", "counters": "{}"}
    serialized = serialization.msgpack_serialize(
        {**content, "leaves": {"0": np.zeros(2, np.float32)}}
    )
    at %= len(serialized)
    path = tmp_path / "state.msgpack"
    path.write_bytes(checksums.seal(serialized[:at] + new + serialized[at + cut :]))
    outcome(lambda: load_state(path, SHAPES))


# Parquet and CSV.


@fuzz
@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=6), st.integers(0, 12))
def test_a_workload_with_other_bytes(
    good: dict[str, Path], tmp_path: Path, at: int, new: bytes, cut: int
) -> None:
    serialized = (good["timed"] / "workloads" / f"{0:016x}.parquet").read_bytes()
    at %= len(serialized)
    path = tmp_path / f"{0:016x}.parquet"
    path.write_bytes(serialized[:at] + new + serialized[at + cut :])
    outcome(lambda: timings.read(path))


@fuzz
@given(st.binary(max_size=200))
def test_a_surface_of_any_bytes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    outcome(lambda: surfaces.read(path))


CELLS = st.text(alphabet="env,random\n\"'1.5-e \t;#\0\ufeffé", max_size=60)


@fuzz
@given(CELLS)
def test_any_csv(tmp_path: Path, text: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_bytes(f"env,random\n{text}".encode())

    def check() -> Any:
        table = scores.read_csv_table(path, ["env", "random"], "table of references")
        return scores.read_number_column(path, table, "random")

    outcome(check)
