"""Every sweep file that comes with the suite is valid, and so is the documented example."""

from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from rl_es.envs._text import sources
from rl_es.envs._unrolled import options
from rl_es.speed import schema as speed_schema
from rl_es.speed import workloads as speed_workloads
from rl_es.speed.workloads import expand_workloads
from rl_es.sweep import schema
from rl_es.sweep.cells import expand_cells, group_cells
from rl_es.sweep.loading import load_sweep
from rl_es.sweep.yaml_reader import parse_yaml
from tests.envs.text.test_vocabulary import write_vocabulary
from tests.running import sweep_of

FOLDER = Path(__file__).parent.parent / "sweeps"
SPEED = sorted((FOLDER / "speed").glob("*.yaml"))
FILES = sorted(set(FOLDER.rglob("*.yaml")) - set(SPEED))


@pytest.fixture(autouse=True)
def _libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of suites that are extras need their libraries, which only runs use."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: ModuleSpec(name, None))


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(FOLDER)) for path in FILES])
def test_sweep(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Those of a paper's size need data that is not everywhere: all else of them is checked.
    monkeypatch.setattr(options, "check_options", lambda chosen, batch: None)
    monkeypatch.setattr(sources, "check_options", lambda name, chosen: None)
    if path.stem == "rwkv7":  # names a vocabulary and a policy that are not there: it gets them
        monkeypatch.chdir(tmp_path)
        write_vocabulary(Path("PATH_OF_VOCABULARY.txt"), *(f"{n:02}" for n in range(100)), "->")
        Path("PATH_OF_IMPORTED_POLICY.msgpack").touch()
    cells = expand_cells(load_sweep(path))
    assert sum(len(group.cells) for group in group_cells(cells)) == len(cells) > 0


@pytest.mark.parametrize("path", SPEED, ids=[path.name for path in SPEED])
def test_speed_file(path: Path) -> None:
    benchmark = speed_workloads.load_benchmark(path)
    assert benchmark.name == path.stem
    assert all(workload.contestants for workload in expand_workloads(benchmark))


def test_documented_speed_file() -> None:
    text = (speed_schema.__doc__ or "").split("```")[1].removeprefix("yaml")
    benchmark = speed_workloads.validate_benchmark(parse_yaml(text, "schema.py"))
    assert len(expand_workloads(benchmark)) == 2 * 2 * 2
    assert {len(workload.contestants) for workload in expand_workloads(benchmark)} == {8}


def test_documented_example() -> None:
    text = (schema.__doc__ or "").split("```")[1].removeprefix("yaml")
    cells = expand_cells(sweep_of(text))
    assert len(cells) == 2 * (1 + 4 * 20) * 5
