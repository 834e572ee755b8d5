"""The command line where streams are closed, homes cannot be written and text is ASCII.

Each case is one process. Folders that cannot be written are below a file, because root may write
everywhere else.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COMMAND = (sys.executable, str(ROOT / "run_benchmark.py"))
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
NO_CACHE = "set RL_ES_CACHE to a folder that can be written, or to nothing"
SWEEP = """
name: tiny
seeds: 1
defaults:
  budget: {generations: 2}
  evaluation: {points: 1, episodes: 2}
  policy: {widths: [4]}
environments: [{name: CartPole-v1, episode_length: 10}]
agents: [{name: random_search, with: {population: 8}}]
"""


def call(
    folder: Path, *command: str, redirection: str = "", **variables: str | None
) -> subprocess.CompletedProcess[str]:
    """Runs a command in a shell with redirections; a variable that is None is not set."""
    changed = {"PYTHONUNBUFFERED": None, "PYTHONPATH": str(ROOT), **variables}
    environment = {name: text for name, text in {**os.environ, **changed}.items() if text}
    if "XLA_FLAGS" in environment:  # one device, as on most machines
        flags = environment["XLA_FLAGS"].split()
        environment["XLA_FLAGS"] = " ".join(flag for flag in flags if "device_count" not in flag)
    return subprocess.run(
        ["sh", "-c", f'"$@" {redirection}', "sh", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(
    ("redirection", "output", "message"),
    [
        ("<&-", "Agents", "error: "),
        (">&-", "", "error: "),
        ("2>&-", "Agents", ""),
        ("<&- >&- 2>&-", "", ""),
    ],
)
def test_closed_streams(tmp_path: Path, redirection: str, output: str, message: str) -> None:
    listed = call(tmp_path, *COMMAND, "list", redirection=redirection)
    assert (listed.returncode, listed.stdout[:6], listed.stderr) == (0, output, "")
    refused = call(tmp_path, *COMMAND, "lisst", redirection=redirection)
    assert (refused.returncode, refused.stdout, refused.stderr[:7]) == (2, "", message)


def test_no_file_takes_the_descriptor_of_a_closed_stream(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from rl_es.cli import main\n"
        "assert main(['--version']) == 0\n"
        "descriptor = os.open('file', os.O_CREAT | os.O_WRONLY)\n"
        "os.write(descriptor, b'own')\n"
        "for number in range(3):\n"
        "    assert os.get_inheritable(number)\n"
        "for number in (1, 2):\n"
        "    os.write(number, b'from C')\n"
        "os.system('echo from a child; echo from a child >&2')\n"
        "sys.exit(descriptor)\n"
    )
    ended = call(tmp_path, sys.executable, "-c", program, redirection="<&- >&- 2>&-")
    assert ended.returncode > 2 and (tmp_path / "file").read_text() == "own"


@pytest.mark.parametrize("verb", ["--version", "list"])
def test_a_reader_that_has_ended_is_no_error(tmp_path: Path, verb: str) -> None:
    assert not call(tmp_path, *COMMAND, verb, redirection="| true").stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_output_to_a_full_disk_is_one_line(tmp_path: Path) -> None:
    ended = call(tmp_path, *COMMAND, "--version", redirection="> /dev/full")
    assert ended.returncode == 2 and ended.stderr == "error: No space left on device\n"


def test_in_a_home_that_is_a_file_everything_goes_on_without_a_cache(tmp_path: Path) -> None:
    """The text is ASCII as well, matplotlib's folder is below the file, and workers are silent."""
    home = tmp_path / "home"
    home.write_text("")
    (tmp_path / "tiny.yaml").write_text(SWEEP)
    machine = {**ASCII, "HOME": str(home), "RL_ES_CACHE": None, "XDG_CACHE_HOME": None}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    workers = str(min(2, cores))
    arguments = ("run", "tiny.yaml", "--out", "out", "--no-replays", "--workers", workers)
    run = call(tmp_path, *COMMAND, *arguments, **machine)
    (warning,) = run.stderr.splitlines()
    assert warning.startswith("warning: no cache of compiled programs") and NO_CACHE in warning
    assert run.returncode == 0 and (tmp_path / "out/index.md").is_file() and run.stdout.isascii()
    listed = call(tmp_path, *COMMAND, "list", "--long", **machine)
    assert listed.returncode == 0 and not listed.stderr and listed.stdout.isascii()


def test_doctor_says_once_that_there_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = str(tmp_path / "file" / "cache")
    ended = call(tmp_path, *COMMAND, "doctor", **ASCII, RL_ES_CACHE=cache, HOME=None)
    warnings = [line for line in ended.stdout.splitlines() if line.startswith("warn  cache")]
    assert len(warnings) == 1 and NO_CACHE in warnings[0] and ended.stdout.isascii()
    assert ended.returncode == 0 and not ended.stderr


def test_without_any_home_the_cache_says_what_to_set() -> None:
    """A user without an entry in the list of users, as in containers, and without HOME."""
    program = (
        "import os, pwd\n"
        "def find_user(number):\n"
        "    raise KeyError(number)\n"
        "pwd.getpwuid = find_user\n"
        "from rl_es.training.compilation import prepare_jax\n"
        "from rl_es.tools.doctor import check_cache\n"
        "from rl_es.terminal import run_check\n"
        "prepare_jax()\n"
        "print(*run_check('cache', check_cache))\n"
    )
    variables = {"HOME": None, "XDG_CACHE_HOME": None, "RL_ES_CACHE": None}
    ended = call(ROOT, sys.executable, "-c", program, **variables)
    assert ended.returncode == 0 and "no cache of compiled programs (could not" in ended.stderr
    assert ended.stderr.count(NO_CACHE) == 1 and "state='warn'" in ended.stdout
