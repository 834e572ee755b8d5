"""What a results folder's `manifest.json` says of its sweep and of each start."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from rl_es.files.json_files import Stated, read_as
from rl_es.manifests import Start


class _Tuning(Stated):
    """Where tuned settings come from."""

    name: str
    search: str
    trials: dict[str, int]
    seeds: list[int]
    budget: dict[str, dict[str, float | None]]
    chosen_by: str


class _Evaluation(Stated):
    episodes: int | None = None


class _Environment(Stated):
    evaluation: _Evaluation = _Evaluation()


class _Sweep(Stated):
    """What is told of a sweep."""

    name: str
    description: str | None = None
    figures: list[str] = Field(default_factory=list)
    tuning: list[_Tuning] = Field(default_factory=list)
    environments: list[_Environment] = Field(default_factory=list)


class _Content(Stated):
    sweep: _Sweep
    starts: list[Start] = Field(default_factory=list)


@dataclass(frozen=True)
class Manifest:
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


def read(folder: Path) -> Manifest:
    """The manifest of a results folder.

    Raises:
      UserError: it is damaged.
    """
    path = folder / "manifest.json"
    if not path.exists():
        return Manifest()
    _, content = read_as(path, _Content, "manifest of a sweep")
    starts = tuple(content.get("starts", ()))
    return Manifest(content["sweep"], starts, merged="merged" in content)


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
