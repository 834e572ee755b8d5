"""Runs commands of a checkout in a folder for each job, and keeps what they printed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COMMANDS = "commands.json"
JOBS = "jobs"
KEPT = "kept"  # folders that `reread` starts from, and that `compare` does not look at
SWEEPS = Path(__file__).with_name("sweeps")
TIMEOUT = 900.0  # seconds of a command
DELAY = 0.3  # seconds from what an interruption waits for to the interruption
SETTINGS = {"COLUMNS": "100", "LINES": "50", "TERM": "dumb", "NO_COLOR": "1"}


@dataclass
class Recorder:
    """The commands of one job, all run in the job's folder.

    Attributes:
      checkout: Root of the revision whose `run_benchmark.py` is run.
      out: Folder of the whole recording.
      job: Name of the job.
      base: Recording whose results folders are read again; the recording itself while recording.
      commands: What each command was, printed and returned.
    """

    checkout: Path
    out: Path
    job: str
    base: Path
    commands: list[dict[str, Any]] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """Working directory of the job's commands."""
        return self.out / JOBS / self.job

    def sweep(self, name: str) -> str:
        """Copies one of the recorder's YAML files into the job's folder; returns its name."""
        shutil.copy(SWEEPS / f"{name}.yaml", self.folder)
        return f"{name}.yaml"

    def link(self, path: str, name: str) -> str:
        """Links a folder of the checkout into the job's folder; returns the link's name."""
        (self.folder / name).symlink_to(self.checkout / path)
        return name

    def run(self, *arguments: str, through: tuple[str, ...] = ()) -> int:
        """Runs a command to its end, records its output and returns its exit code.

        Args:
          arguments: Verb and options of `run_benchmark.py`.
          through: A script of this folder, if any, that runs the command line in its own way.
        """
        begun = time.perf_counter()
        done = subprocess.run(
            self._command(arguments, through), cwd=self.folder, env=self._environment(),
            capture_output=True, timeout=TIMEOUT, check=False,
        )  # fmt: skip
        self._keep(arguments, done.returncode, done.stdout, done.stderr, begun)
        return done.returncode

    def interrupt(self, ready: Callable[[], bool], *arguments: str) -> int:
        """Runs a command, sends it SIGINT soon after `ready`, and records its exit code alone.

        How far the command has come by then depends on the machine, and so does its output.
        """
        begun = time.perf_counter()
        process = subprocess.Popen(
            self._command(arguments), cwd=self.folder, env=self._environment(),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        while process.poll() is None and not ready() and time.perf_counter() - begun < TIMEOUT:
            time.sleep(0.02)
        time.sleep(DELAY)
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=TIMEOUT)
        self._keep(arguments, process.returncode, b"", b"", begun)
        return process.returncode

    def save(self) -> None:
        """Writes the recorded commands beside the files that they wrote."""
        text = json.dumps(self.commands, indent=1, ensure_ascii=True)
        (self.folder / COMMANDS).write_text(text + "\n")

    def _command(self, arguments: tuple[str, ...], through: tuple[str, ...] = ()) -> list[str]:
        scripts = [str(Path(__file__).with_name(name)) for name in through]
        return [sys.executable, *scripts, str(self.checkout / "run_benchmark.py"), *arguments]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **SETTINGS, "PYTHONPATH": str(self.checkout)}

    def _keep(
        self, arguments: tuple[str, ...], code: int, output: bytes, errors: bytes, begun: float
    ) -> None:
        self.commands.append(
            {
                "arguments": [
                    text.encode("utf-8", "backslashreplace").decode() for text in arguments
                ],
                "code": code,
                "output": self._without_paths(output),
                "errors": self._without_paths(errors),
                "seconds": round(time.perf_counter() - begun, 1),
            }
        )

    def _without_paths(self, output: bytes) -> str:
        text = output.decode("utf-8", "backslashreplace")
        return text.replace(str(self.out), "OUT").replace(str(self.checkout), "CHECKOUT")


Job = Callable[[Recorder], None]


def check_imports(checkout: Path) -> None:
    """Checks that a process as the recorder starts it imports the checkout's own packages.

    Raises:
      ValueError: it does not, such as where an installed copy comes first.
    """
    script = "import rl_es, agents, envs; print(rl_es.__file__, agents.__file__, envs.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd="/", env=os.environ | {"PYTHONPATH": str(checkout)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    paths = done.stdout.split()
    if len(paths) != 3 or not all(Path(path).is_relative_to(checkout) for path in paths):
        raise ValueError(f"{checkout}: imports {done.stdout.strip() or done.stderr.strip()}")


def record(recorder: Recorder, job: Job) -> str:
    """Runs a job in an empty folder; returns a line about it."""
    begun = time.perf_counter()
    shutil.rmtree(recorder.folder, ignore_errors=True)
    recorder.folder.mkdir(parents=True)
    job(recorder)
    recorder.save()
    codes = [command["code"] for command in recorder.commands]
    seconds = time.perf_counter() - begun
    return f"{recorder.job}: {len(codes)} commands, codes {sorted(set(codes))}, {seconds:.0f} s"


def folders(out: Path) -> Iterator[Path]:
    """Yields the folder of each job of a recording that was recorded to its end."""
    for path in sorted((out / JOBS).glob(f"*/{COMMANDS}")):
        yield path.parent
