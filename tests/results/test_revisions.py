"""The revision of the code that made results: the suite's own, and the user's project apart."""

import shutil
import subprocess
import sys
from pathlib import Path

import rl_es

PROGRAM = """
from rl_es.results import manifest
print(manifest.git_revision(), manifest.project_revision(), sep="|")
"""


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    process = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return process.stdout.strip()


def revisions(cwd: Path, package: Path) -> list[str]:
    """Returns both revisions as a process in a folder sees them, which imports that package."""
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=cwd,
        env={"PYTHONPATH": str(package), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    return process.stdout.strip().split("|")


def project(folder: Path) -> str:
    """Makes a repository with one commit; returns its revision."""
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "train.py").write_text("1\n")
    (folder / ".gitignore").write_text("venv\n__pycache__\n")
    git(folder, "add", "train.py", ".gitignore")
    git(folder, "commit", "-qm", "start")
    return git(folder, "describe", "--always", "--abbrev=12")


def test_an_installed_package_is_not_the_project_around_it(tmp_path):
    user = project(tmp_path / "user")
    package = tmp_path / "user" / "venv"
    shutil.copytree(
        Path(rl_es.__file__).parent, package / "rl_es", ignore=shutil.ignore_patterns("__pycache__")
    )
    revision, project_revision = revisions(tmp_path / "user", package)
    assert user not in revision and (revision.startswith("rl_es-") or revision == "None")
    assert project_revision == user


def test_a_clone_is_known_by_its_revision_alone(tmp_path):
    clone = tmp_path / "clone"
    project(clone)
    shutil.copytree(
        Path(rl_es.__file__).parent, clone / "rl_es", ignore=shutil.ignore_patterns("__pycache__")
    )
    git(clone, "add", ".")
    git(clone, "commit", "-qm", "code")
    revision = git(clone, "describe", "--always", "--abbrev=12")
    assert revisions(clone, clone) == [revision, "None"]
    user = project(tmp_path / "user")
    assert revisions(tmp_path / "user", clone) == [revision, user]
