"""The wheel: what it holds, and that it works beside other packages named `agents` and `envs`."""

import importlib.metadata
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from configparser import ConfigParser
from pathlib import Path, PurePosixPath

import pytest

from tests.newest import copy_sources

ROOT = Path(__file__).parents[1]
TINY = (
    *("--set", "environments=[CartPole-v1]", "--set", "agents=[eggroll]", "--set", "seeds=1"),
    *("--set", "budget.generations=2", "--set", "defaults.agent={population: 8}"),
    *("--set", "evaluation={points: 2, episodes: 2}", "--set", "figures=[]", "--no-replays"),
)
TRAIN = """
import rl_es
result = rl_es.train("CartPole-v1", "eggroll", generations=2, population=8, progress=False)
print(rl_es.__file__, len(result.runs))
"""


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources without any download."""
    try:
        setuptools = importlib.metadata.version("setuptools")
        importlib.metadata.version("pip")
    except importlib.metadata.PackageNotFoundError as error:
        pytest.skip(f"a wheel needs {error.name} to be built")
    if int(setuptools.split(".")[0]) < 77:
        pytest.skip(f"a wheel needs setuptools 77 to be built, here is {setuptools}")
    folder = tmp_path_factory.mktemp("wheel")
    sources = folder / "sources"
    copy_sources(sources)
    _pip(
        "wheel",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "-w",
        str(folder),
        sources.as_posix(),
    )
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_one_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {PurePosixPath(name) for name in archive.namelist()}
        metadata = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
        entry_points = archive.read(metadata).decode()
    tops = {name.parts[0] for name in names}
    assert tops == {"rl_es", PurePosixPath(metadata).parts[0]}
    contents = {name for name in names if name.parts[0] == "rl_es"}
    files = {
        PurePosixPath("rl_es", *folder, path.relative_to(top).as_posix())
        for top, folder in (
            (ROOT / "rl_es", ()),
            (ROOT / "agents", ("agents",)),
            (ROOT / "envs", ("envs",)),
            (ROOT / "sweeps", ("sweeps",)),
        )
        for path in top.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert contents == files
    parser = ConfigParser()
    parser.read_string(entry_points)
    assert {name: dict(parser[name]) for name in parser.sections()} == {
        "console_scripts": {"rl_es": "rl_es.__main__:run"}
    }


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment with the wheel, and this one's packages below it.

    It has packages `agents` and `envs` of others, which must not be imported.
    """
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, symlinks=True)
    programs = folder / "bin"
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
    (packages / "below.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for name in ("agents", "envs"):
        (packages / name).mkdir()
        (packages / name / "__init__.py").write_text("raise RuntimeError('of another package')\n")
    target = str(programs / "python")
    _pip("--python", target, "install", "--no-deps", "--no-index", str(wheel))
    return programs


@pytest.mark.slow
def test_the_installed_command(installed: Path, tmp_path: Path) -> None:
    for name in ("agents", "envs"):
        (tmp_path / name).mkdir()
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}

    def output(program: str, *arguments: str) -> str:
        done = subprocess.run(
            [str(installed / program), *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    listing = output("rl_es", "list")
    assert "eggroll" in listing and "CartPole-v1" in listing
    assert listing == output("python", "-m", "rl_es", "list")
    assert "usage: rl_es plan" in output("rl_es", "plan", "--help")
    assert "paper/cartpole" in output("rl_es", "sweeps")
    assert output("rl_es", "sweeps", "--copy", "paper/cartpole") == "cartpole.yaml\n"
    assert "compiled programs" in output("rl_es", "plan", "quickstart", "--no-probe")
    assert "results/quickstart/index.md" in output("rl_es", "run", "quickstart", *TINY)
    assert "next: rl_es check ./mine.py:" in output("rl_es", "new", "agent", "mine")
    file, runs = output("python", "-c", TRAIN).split()
    assert Path(file).is_relative_to(installed.parent) and runs == "1"
