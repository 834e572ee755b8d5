"""`manifest.json`: the content of a results folder, and where and when each start of it ran.

It holds the checked file that was run (a sweep, a speed benchmark or gradient estimates), and for
each start its time, versions, git revision, machine and device.

Equal numbers are promised for equal versions only. Different versions are therefore reported in
one line, as a warning and never as an error. A package that only one start had installed is no
difference: it is an extra.
"""

import contextlib
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
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from rl_es.config import Style
from rl_es.errors import DamagedError, UserError
from rl_es.results import files, text_files
from rl_es.results.figure_settings import (
    FigureSettings,
    list_or_settings,
    optional_figures,
    settings_of,
)
from rl_es.results.files import Note, read_or_set_aside
from rl_es.results.text_files import FileModel, read_json_as


class Start(FileModel):
    """A start of a results folder."""

    time: str | None = None
    machine: str | None = None
    processor: str | None = None
    device: str | None = None
    git_revision: str | None = None
    project_revision: str | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    command: list[str] = Field(default_factory=list)


ALWAYS = ("rl_es", "jax", "jaxlib", "flax", "optax", "gymnax", "brax", "mujoco", "numpy")
EXTRAS = ("craftax", "jaxmarl", "jumanji", "kinetix-env", "navix", "playground", "rejax")
PACKAGES = (*ALWAYS, *EXTRAS)
_CODE = Path(__file__).resolve()


@functools.cache
def package_versions() -> dict[str, str]:
    """Returns the installed versions of the packages that decide the numbers."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


@functools.cache
def git_revision() -> str | None:
    """Returns the git revision of this code, `-dirty` where it was changed.

    An installed package may lie inside another project's repository, which does not track it: its
    version is returned in place of that project's revision. None where there is neither.
    """
    if _is_clone():
        return _describe_revision(_CODE.parent)
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return f"rl_es-{importlib.metadata.version('rl_es')}"
    return None


@functools.cache
def project_revision() -> str | None:
    """Returns the git revision of the user's project; None outside git, or in this code's clone."""
    project = _repository(Path.cwd())
    if project is None or (_is_clone() and project == _repository(_CODE.parent)):
        return None
    return _describe_revision(Path.cwd())


@functools.cache
def _is_clone() -> bool:
    """Returns whether git tracks this code, as it does in a clone."""
    return _git(_CODE.parent, "ls-files", "--error-unmatch", _CODE.name) is not None


def _repository(folder: Path) -> str | None:
    """Returns the top folder of the repository that holds a folder; None outside git."""
    return _git(folder, "rev-parse", "--show-toplevel")


def _describe_revision(folder: Path) -> str | None:
    return _git(folder, "describe", "--always", "--dirty", "--exclude", "*", "--abbrev=12") or None


def _git(folder: Path, *arguments: str) -> str | None:
    """Returns what git prints in a folder; None where it fails or is not installed."""
    try:
        process = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return process.stdout.strip()


@functools.cache
def device_name() -> str:
    """Returns the device that programs run on, such as `cpu (x86_64, 2 cores)`."""
    import os

    import jax

    first = jax.devices()[0]
    if first.platform == "cpu":
        return f"cpu ({platform.machine()}, {os.cpu_count()} cores)"
    return f"{first.platform} ({first.device_kind})"


@functools.cache
def machine_record() -> str:
    """Returns the operating system and its kernel, as Python names them."""
    return platform.platform()


@functools.cache
def processor_name() -> str:
    """Returns the model of the CPU; `unknown` where the system does not name it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(models), platform.processor()) or "unknown"


def peak_memory() -> int:
    """Returns the largest resident memory of this process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


REVISION = "revision"


def parse_versions(texts: Iterable[Any]) -> dict[str, set[str]]:
    """Returns the distinct versions by package.

    Args:
      texts: `versions` of the runs table: JSON, each a mapping of packages to versions. Values that
        are no text are ignored.
    """
    versions: dict[str, set[str]] = {}
    for text in {text for text in texts if isinstance(text, str)}:
        for package, version in json.loads(text).items():
            versions.setdefault(package, set()).add(str(version))
    return versions


def describe_mixed(texts: Iterable[Any], revisions: Iterable[Any]) -> str:
    """Returns one line on the versions that differ between runs; '' where none does.

    Args:
      texts: the versions of each run, as `parse_versions` takes them.
      revisions: the git revision of each run; None where it is unknown.
    """
    versions = parse_versions(texts) | {
        REVISION: {str(revision) for revision in revisions if isinstance(revision, str)}
    }
    differences = [
        f"{name} {' and '.join(sorted(of))}" for name, of in versions.items() if len(of) > 1
    ]
    return f"Runs of different versions: {', '.join(sorted(differences))}" if differences else ""


def changed_versions(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Returns one line on the versions that changed since an earlier start; '' where none did.

    Args:
      before: `versions` by package and `git_revision` of that start, as a manifest has them; each
        may be missing, or None.
      now: the same of this start.
    """
    earlier, current = (
        {**(start.get("versions") or {}), REVISION: start.get("git_revision")}
        for start in (before, now)
    )
    changes = [
        f"{name} {version} then, {current[name]} now"
        for name, version in sorted(earlier.items())
        if version and current.get(name) and current[name] != version
    ]
    if not changes:
        return ""
    return f"versions differ from those of the last start here: {', '.join(changes)}"


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
    """Returns the kind, the name and the starts of a manifest.

    Raises:
      DamagedError: it is damaged.
    """
    manifest, content = text_files.read_json_as(path, _AnyManifest, "manifest")
    kind = next((kind for kind in KINDS if getattr(manifest, kind) is not None), None)
    if kind is None:
        raise DamagedError(f"{path}: not a readable manifest (it has none of {', '.join(KINDS)})")
    return kind, content[kind]["name"], content["starts"]


def write_manifest(
    folder: Path,
    kind: str,
    content: Mapping[str, Any],
    start: Mapping[str, Any],
    note: Note,
    **more: Any,
) -> None:
    """Writes the manifest, or adds a start to an existing one; a damaged one is set aside.

    Args:
      folder: the results folder.
      kind: one of `KINDS`: the key of the content.
      content: the content of the file that is run; it has a `name`.
      start: values of this start besides its time, versions, revision and machine.
      note: receives a message about a manifest that is set aside, and about versions that changed
        since the last start.
      more: further content, as JSON.

    Raises:
      UserError: the folder holds the results of another file.
    """
    entry = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": package_versions(),
        "git_revision": git_revision(),
        **({"project_revision": project} if (project := project_revision()) else {}),
        "device": device_name(),
        "machine": machine_record(),
        "processor": processor_name(),
        **start,
    }
    path = folder / NAME
    with files.hold_claim(folder, "manifest"):
        owner = (kind, content["name"])
        present = read_or_set_aside(folder, path, read_starts, note)
        present_kind, name, starts = present or (*owner, [])
        if (present_kind, name) != owner:
            raise UserError(
                f"{folder}: holds the results of {present_kind} '{name}', not "
                f"{'' if present_kind == kind else f'{kind} '}'{content['name']}'; "
                "choose another folder with --out"
            )
        if starts and (message := changed_versions(starts[-1], entry)):
            note(message)
        text_files.write_json(path, {kind: dict(content), "starts": [*starts, entry], **more})


class _Tuning(FileModel):
    """Origin of tuned settings."""

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
    """The keys of a sweep that reports show."""

    name: str
    description: str | None = None
    figures: Annotated[tuple[str, ...] | FigureSettings, list_or_settings(str)] = ()
    tuning: list[_Tuning] = Field(default_factory=list)
    environments: list[_Environment] = Field(default_factory=list)


class _Style(FileModel):
    """The look of a plug-in, `rl_es.config.Style`."""

    colour: str
    line: str
    marker: str

    @model_validator(mode="after")
    def _check(self) -> Self:
        Style(self.colour, self.line, self.marker)
        return self


class EnvironmentProtocol(FileModel):
    """The budget and the evaluations of all runs in an environment.

    Attributes:
      env: Label of the environment.
      budget: The end of a run: `env_steps`, `generations` or `seconds`.
      evaluation: `points`, evaluations besides the one at the start, and `episodes` of each.
    """

    env: str
    budget: dict[str, float | None] = Field(default_factory=dict)
    evaluation: dict[str, int] = Field(default_factory=dict)


class _MergedFolder(FileModel):
    folder: str


class _SweepManifest(FileModel):
    sweep: _SweepDescription
    starts: list[Start] = Field(default_factory=list)
    styles: dict[str, _Style] = Field(default_factory=dict)
    protocol: list[EnvironmentProtocol] = Field(default_factory=list)
    labels: list[str] = Field(default_factory=list)
    baselines: dict[str, dict[str, float]] = Field(default_factory=dict)
    merged: list[_MergedFolder] | None = None


@dataclass(frozen=True)
class SweepManifest:
    """The sweep of the last start, and all starts; empty where there is no manifest.

    Attributes:
      sweep: The content of its file.
      starts: A record of each start.
      styles: Styles in figures, by the reference of a plug-in.
      protocol: The budget and the evaluations in each environment, in the order of the sweep; empty
        in folders from before they were recorded.
      labels: The labels in the order of the sweep; empty in folders from before it was recorded.
      baselines: Returns of other methods, by environment and name; of a merge: of all folders.
      merged_folders: The folders that the tables come from; None where they were not merged.
    """

    sweep: Mapping[str, Any] = field(default_factory=dict)
    starts: tuple[Mapping[str, Any], ...] = ()
    styles: Mapping[str, Style] = field(default_factory=dict)
    protocol: tuple[EnvironmentProtocol, ...] = ()
    labels: tuple[str, ...] = ()
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    merged_folders: tuple[str, ...] | None = None

    @property
    def is_merge(self) -> bool:
        """True where the tables come from several folders."""
        return self.merged_folders is not None

    @property
    def commands(self) -> list[tuple[str, ...]]:
        """The distinct commands of all starts, in order; each as words after the program's name."""
        commands = (tuple(start.get("command") or ()) for start in self.starts)
        return [*dict.fromkeys(filter(None, commands))]

    @property
    def description(self) -> str:
        """Description in the sweep file; '' where there is none."""
        return str(self.sweep.get("description") or "")

    @property
    def tuning(self) -> str:
        """Origin of tuned settings: name, trials, seeds and budgets of each tuning."""
        return "; ".join(map(_tuning, self.sweep.get("tuning", ())))

    @property
    def optional_figures(self) -> tuple[str, ...]:
        """The optional figures that the sweep requests."""
        return optional_figures(self.sweep.get("figures", ()))

    @property
    def figure_settings(self) -> FigureSettings:
        """How the sweep adapts its figures."""
        return settings_of(self.sweep.get("figures", ()))

    def of_starts(self, name: str) -> list[str]:
        """Returns the distinct values of an entry, in the order of the starts."""
        return list(dict.fromkeys(str(start[name]) for start in self.starts if start.get(name)))


def read_sweep_manifest(folder: Path) -> SweepManifest:
    """Reads the manifest of a results folder of a sweep.

    Raises:
      UserError: it is damaged.
    """
    path = folder / "manifest.json"
    if not path.exists():
        return SweepManifest()
    manifest, content = read_json_as(path, _SweepManifest, "manifest of a sweep")
    starts = tuple(content.get("starts", ()))
    styles = {name: Style(**style.model_dump()) for name, style in manifest.styles.items()}
    merged = manifest.merged
    return SweepManifest(
        content["sweep"],
        starts,
        styles,
        tuple(manifest.protocol),
        tuple(manifest.labels),
        manifest.baselines,
        None if merged is None else tuple(entry.folder for entry in merged),
    )


def _tuning(record: Mapping[str, Any]) -> str:
    trials = {agent: f"{count} trials" for agent, count in record["trials"].items()}
    budgets = {
        env: " ".join(f"{value:g} {kind}" for kind, value in budget.items() if value is not None)
        for env, budget in record["budget"].items()
    }
    seeds = ", ".join(map(str, record["seeds"]))
    return (
        f"{record['name']}, {record['search']} search: {_by_name(trials)} in each environment, "
        f"seeds {seeds}, {_by_name(budgets)} a run, by {record['chosen_by']}"
    )


def _by_name(values: Mapping[str, str]) -> str:
    """Returns a value that all names share, such as '20', else '20 for a, 10 for b'."""
    if len(set(values.values())) <= 1:
        return next(iter(values.values()), "none")
    return ", ".join(f"{value} for {name}" for name, value in values.items())
