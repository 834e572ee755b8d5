"""`manifest.json`: what a results folder holds, and where and when each start of it ran.

What a results folder's `manifest.json` says of its sweep and of each start.

What `manifest.json` holds of each start, whichever kind of results lies beside it.

Where results come from: versions, revision, machine and device.

Which versions and revisions of code made results, and one line on it where several did.

Equal numbers are promised for equal versions: what is told here is a reason to look twice, never an
error. A package that one of them had and another had not is no difference: it is an extra.
"""

import functools
import importlib.metadata
import json
import platform
import resource
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import Field

from rl_es.errors import DamagedError, UserError
from rl_es.results import files, text_files
from rl_es.results.files import Note, read_or_set_aside
from rl_es.results.text_files import FileModel, read_json_as


class Start(FileModel):
    """What a manifest says of a start of a results folder."""

    time: str | None = None
    machine: str | None = None
    processor: str | None = None
    device: str | None = None
    git_revision: str | None = None
    versions: dict[str, str] = Field(default_factory=dict)


ALWAYS = ("rl_es", "jax", "jaxlib", "flax", "optax", "gymnax", "brax", "mujoco", "numpy")
EXTRAS = ("craftax", "jumanji", "kinetix-env", "navix", "playground", "rejax")
PACKAGES = (*ALWAYS, *EXTRAS)


@functools.cache
def package_versions() -> dict[str, str]:
    """Installed versions of the packages that decide the numbers."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def git_revision() -> str | None:
    """The git revision of this code, with `-dirty` where it was changed since; None outside git."""
    folder = Path(__file__).resolve().parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude", "*", "--abbrev=12"],
            cwd=folder, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None


@functools.cache
def device_name() -> str:
    """The device that programs run on, such as `cpu (x86_64, 2 cores)`."""
    import os

    import jax

    first = jax.devices()[0]
    if first.platform == "cpu":
        return f"cpu ({platform.machine()}, {os.cpu_count()} cores)"
    return f"{first.platform} ({first.device_kind})"


@functools.cache
def machine_record() -> str:
    """The operating system and its kernel, as Python names them."""
    return platform.platform()


@functools.cache
def processor_name() -> str:
    """The model of the CPU, as the system names it; `unknown` where it does not."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(models), platform.processor()) or "unknown"


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


REVISION = "revision"


def parse_versions(texts: Iterable[Any]) -> dict[str, set[str]]:
    """Distinct versions by package, of texts as the runs table has them; what is no text is none.

    Args:
      texts: JSON, each a mapping of packages to versions.
    """
    found: dict[str, set[str]] = {}
    for text in {text for text in texts if isinstance(text, str)}:
        for package, version in json.loads(text).items():
            found.setdefault(package, set()).add(str(version))
    return found


def describe_mixed(texts: Iterable[Any], revisions: Iterable[Any]) -> str:
    """One line on the versions that differ between runs; nothing where none does.

    Args:
      texts: of each run, the versions as `of_texts` takes them.
      revisions: of each run, the git revision; None where it is not known.
    """
    found = parse_versions(texts) | {
        REVISION: {str(one) for one in revisions if isinstance(one, str)}
    }
    told = [f"{name} {' and '.join(sorted(of))}" for name, of in found.items() if len(of) > 1]
    return f"Runs of different versions: {', '.join(sorted(told))}" if told else ""


def changed_versions(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """One line on what is not as it was at an earlier start; nothing where all is.

    Args:
      before: of that start, `versions` by package and `git_revision`, as a manifest has them; each
        may be missing, or None.
      now: the same of this start.
    """
    both = [
        {**(one.get("versions") or {}), REVISION: one.get("git_revision")} for one in (before, now)
    ]
    told = [
        f"{name} {was} then, {both[1][name]} now"
        for name, was in sorted(both[0].items())
        if was and both[1].get(name) and both[1][name] != was
    ]
    if not told:
        return ""
    return f"versions differ from those of the last start here: {', '.join(told)}"


NAME = "manifest.json"
KINDS = ("sweep", "benchmark", "gradients")


class _Title(FileModel):
    name: str


class _AnyManifest(FileModel):
    sweep: _Title | None = None
    benchmark: _Title | None = None
    gradients: _Title | None = None
    starts: list[Start]


def read_starts(path: Path) -> tuple[str, str, list[dict[str, Any]]]:
    """The kind, the name and the starts of a manifest.

    Raises:
      DamagedError: it is damaged.
    """
    found, content = text_files.read_json_as(path, _AnyManifest, "manifest")
    held = next((kind for kind in KINDS if getattr(found, kind) is not None), None)
    if held is None:
        raise DamagedError(f"{path}: not a readable manifest (it has none of {', '.join(KINDS)})")
    return held, content[held]["name"], content["starts"]


def write_manifest(
    folder: Path,
    kind: str,
    stated: Mapping[str, Any],
    start: Mapping[str, Any],
    note: Note,
    **more: Any,
) -> None:
    """Writes the manifest, or adds this start to the one that is there; a damaged one is set aside.

    Args:
      folder: the results folder.
      kind: one of `KINDS`: the key that the content stands under.
      stated: the content of the file that is run; it has a `name`.
      start: what to note of this start, besides its time, versions, revision and machine.
      note: told of a manifest that is set aside, and of versions that are not those of the last
        start.
      more: further content, as JSON.

    Raises:
      UserError: the folder holds other results.
    """
    this = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": package_versions(),
        "git_revision": git_revision(),
        "device": device_name(),
        "machine": machine_record(),
        "processor": processor_name(),
        **start,
    }
    path = folder / NAME
    with files.is_claimed(folder, "manifest"):
        own = (kind, stated["name"])
        held, name, starts = read_or_set_aside(folder, path, read_starts, note) or (*own, [])
        if (held, name) != own:
            raise UserError(
                f"{folder}: holds the results of {held} '{name}', not "
                f"{'' if held == kind else f'{kind} '}'{stated['name']}'; "
                "choose another folder with --out"
            )
        if starts and (told := changed_versions(starts[-1], this)):
            note(told)
        text_files.write_json(path, {kind: dict(stated), "starts": [*starts, this], **more})


class _Tuning(FileModel):
    """Where tuned settings come from."""

    name: str
    search: str
    trials: dict[str, int]
    seeds: list[int]
    budget: dict[str, dict[str, float | None]]
    chosen_by: str


class _Evaluation(FileModel):
    episodes: int | None = None


class _Environment(FileModel):
    evaluation: _Evaluation = _Evaluation()


class _SweepDescription(FileModel):
    """What is told of a sweep."""

    name: str
    description: str | None = None
    figures: list[str] = Field(default_factory=list)
    tuning: list[_Tuning] = Field(default_factory=list)
    environments: list[_Environment] = Field(default_factory=list)


class _SweepManifest(FileModel):
    sweep: _SweepDescription
    starts: list[Start] = Field(default_factory=list)


@dataclass(frozen=True)
class SweepManifest:
    """What was asked for at the last start, and every start; empty where there is no manifest."""

    sweep: Mapping[str, Any] = field(default_factory=dict)
    starts: tuple[Mapping[str, Any], ...] = ()
    merged: bool = False  # from other folders

    @property
    def description(self) -> str:
        """The description that the sweep file gives."""
        return str(self.sweep.get("description") or "")

    @property
    def tuning(self) -> str:
        """Where tuned settings come from: each tuning's name, trials, seeds and budgets."""
        return "; ".join(map(_tuning, self.sweep.get("tuning", ())))

    def of_starts(self, name: str) -> list[str]:
        """The distinct values of an entry, in the order of the starts."""
        return list(dict.fromkeys(str(start[name]) for start in self.starts if start.get(name)))


def read_sweep_manifest(folder: Path) -> SweepManifest:
    """The manifest of a results folder.

    Raises:
      UserError: it is damaged.
    """
    path = folder / "manifest.json"
    if not path.exists():
        return SweepManifest()
    _, content = read_json_as(path, _SweepManifest, "manifest of a sweep")
    starts = tuple(content.get("starts", ()))
    return SweepManifest(content["sweep"], starts, merged="merged" in content)


def _tuning(record: Mapping[str, Any]) -> str:
    trials = {agent: f"{count} trials" for agent, count in record["trials"].items()}
    budgets = {
        env: " ".join(f"{value:g} {kind}" for kind, value in budget.items() if value is not None)
        for env, budget in record["budget"].items()
    }
    seeds = ", ".join(map(str, record["seeds"]))
    return (
        f"{record['name']}, {record['search']} search: {_each(trials)} in each environment, "
        f"seeds {seeds}, {_each(budgets)} a run, by {record['chosen_by']}"
    )


def _each(values: Mapping[str, str]) -> str:
    """'20', or where they differ '20 for a, 10 for b'."""
    if len(set(values.values())) <= 1:
        return next(iter(values.values()), "none")
    return ", ".join(f"{value} for {name}" for name, value in values.items())
