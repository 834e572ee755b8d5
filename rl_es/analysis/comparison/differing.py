"""What differs between folders besides their returns: machine, code, budgets, settings."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rl_es import versions
from rl_es.analysis import manifest
from rl_es.analysis.comparison.matching import Folder, Match
from rl_es.analysis.digits import DASH, ranges
from rl_es.analysis.drawing.palette import natural
from rl_es.analysis.manifest import Manifest

CLOSE = 0.05  # relative: budgets end on whole generations, and so differ by up to this
BUDGET, EVALUATION = "environment steps", "evaluations"
EPISODES, THRESHOLDS = "evaluation episodes", "thresholds"
MATTER = (BUDGET, EVALUATION, EPISODES, THRESHOLDS)  # where these differ, returns do not compare


@dataclass(frozen=True)
class Differing:
    """Something that is not the same in all folders.

    Attributes:
      what: its name.
      where: the labels or the environment in which it differs; empty for everywhere.
      values: as text by folder, the base first; only of the folders that differ.
      of_code: whether it is a version or a revision of code.
    """

    what: str
    where: str
    values: Mapping[str, str]
    of_code: bool = False

    @property
    def told(self) -> str:
        """One line: 'lr (eggroll): 0.1, 0.2'."""
        where = f" ({self.where})" if self.where else ""
        values = ", ".join(f"{name}: {value}" for name, value in self.values.items())
        return f"{self.what}{where}: {values}"


def differing(folders: Sequence[Folder], matched: Sequence[Match]) -> list[Differing]:
    """Everything that differs between the runs that are compared."""
    return [*_provenance(folders, matched), *_work(folders, matched), *_settings(folders, matched)]


def warnings(found: Sequence[Differing]) -> list[str]:
    """One line for each kind of difference that makes returns incomparable.

    The last line, on versions of code, is only a reason to look twice.
    """
    said = []
    for what in MATTER:
        own = [one for one in found if one.what == what]
        if own:
            where = ", ".join(one.where for one in own)
            values = ", ".join(f"{name}: {value}" for name, value in own[0].values.items())
            first = f" in {own[0].where}" if len(own) > 1 else ""
            said.append(f"{what} differ{f' in {where}' if where else ''} ({values}{first})")
    code = [one.told for one in found if one.of_code and DASH not in one.values.values()]
    return [*said, f"versions differ: {'; '.join(code)}"] if code else said


def _provenance(folders: Sequence[Folder], matched: Sequence[Match]) -> Iterator[Differing]:
    runs = {folder.name: compared(folder, folders[0], matched) for folder in folders}
    notes = {folder.name: manifest.read(folder.path) for folder in folders}
    columns = {"sweep": "sweep", "git revision": "git_revision", "device": "device"}
    for what, column in columns.items():
        told = {name: _all(own[column]) for name, own in runs.items()}
        yield from _one(what, "", told, of_code=column == "git_revision")
    for key in ("machine", "processor"):
        told = {name: _all(noted.of_starts(key)) for name, noted in notes.items()}
        if all(told.values()):
            yield from _one(key, "", told)
    known = {name: _versions(own["versions"]) for name, own in runs.items()}
    for package in sorted({package for found in known.values() for package in found}):
        told = {name: found.get(package, "") for name, found in known.items()}
        yield from _one(package, "", told, of_code=True)
    yield from _one("seeds", "", {name: ranges(own["seed"]) for name, own in runs.items()})
    for column in ("lanes", "devices", "chunks"):
        yield from _one(column, "", {name: _all(own[column]) for name, own in runs.items()})
    episodes = {name: _episodes(noted) for name, noted in notes.items()}
    if all(episodes.values()):
        yield from _one(EPISODES, "", episodes)


def _work(folders: Sequence[Folder], matched: Sequence[Match]) -> Iterator[Differing]:
    """Budgets, evaluations and thresholds, an environment at a time."""
    for env in sorted({match.env for match in matched}, key=natural):
        here = [match for match in matched if match.env == env]
        runs = {folder.name: compared(folder, folders[0], here) for folder in folders}
        steps = {name: own["env_steps"].astype(float).median() for name, own in runs.items()}
        known = [value for value in steps.values() if value == value]
        if known and max(known) > (1 + CLOSE) * min(known):
            yield Differing(BUDGET, env, {n: _steps(value) for n, value in steps.items()})
        points = {}
        for folder in folders:
            rows = folder.results.curves["run_id"]
            finished = runs[folder.name][runs[folder.name]["status"] == "finished"]["run_id"]
            most = rows[rows.isin(finished)].value_counts().max()  # some fall on one generation
            points[folder.name] = _all([most])
        yield from _one(EVALUATION, env, points)
        thresholds = {name: _all(own["threshold"]) for name, own in runs.items()}
        yield from _one(THRESHOLDS, env, thresholds)


def _settings(folders: Sequence[Folder], matched: Sequence[Match]) -> Iterator[Differing]:
    """Settings of agents, networks and environments; equal differences are joined into one."""
    base, *others = folders
    found: dict[tuple[str, str, tuple[tuple[str, str], ...]], list[str]] = {}
    for other in others:
        for match in (match for match in matched if match.other is other):
            sides = (base, match.base), (other, match.label)
            first, second = (
                _flat(folder.results.runs, match.env, label) for folder, label in sides
            )
            for what in sorted(first.keys() | second.keys()):
                values = first.get(what, ""), second.get(what, "")
                if values[0] != values[1]:
                    told = ((base.name, values[0] or DASH), (other.name, values[1] or DASH))
                    of_env = what.startswith("environment.")
                    where = match.env if of_env else match.shown
                    found.setdefault((other.name, what, told), []).append(where)
    for (_, what, told), where in found.items():
        yield Differing(what, ", ".join(dict.fromkeys(where)), dict(told))


def _flat(runs: pd.DataFrame, env: str, label: str) -> dict[str, str]:
    """By setting, its value or values as text; settings without a value are left out."""
    own = runs[(runs["env"] == env) & (runs["label"] == label)]
    found = {
        name.removeprefix("hyper."): _all(own[name]) for name in own if name.startswith("hyper.")
    }
    found["agent"] = _all(own["agent"])
    for column in ("policy", "environment"):
        parts: dict[str, list[str]] = {}
        for text in own[column].dropna().unique():
            for name, value in json.loads(text).items():
                parts.setdefault(f"{column}.{name}", []).append(json.dumps(value, sort_keys=True))
        found |= {name: " / ".join(values) for name, values in parts.items()}
    return {name: value for name, value in found.items() if value}


def compared(folder: Folder, base: Folder, matched: Sequence[Match]) -> pd.DataFrame:
    """The runs of a folder that are compared."""
    if folder is base:
        pairs = {(match.env, match.base) for match in matched}
    else:
        pairs = {(match.env, match.label) for match in matched if match.other is folder}
    runs = folder.results.runs
    kept = [pair in pairs for pair in zip(runs["env"], runs["label"], strict=True)]
    return runs[kept]


def _one(
    what: str, where: str, values: Mapping[str, str], of_code: bool = False
) -> Iterator[Differing]:
    """What differs, if the values of the folders do; a dash for one that has none."""
    if len(set(values.values())) > 1:
        told = {name: value or DASH for name, value in values.items()}
        yield Differing(what, where, told, of_code)


def _all(values: Iterable[Any]) -> str:
    """Distinct values, in natural order, as text."""
    known = [value for value in values if value is not None and value == value]
    told = {f"{value:g}" if isinstance(value, float) else str(value) for value in known}
    return " / ".join(sorted(told, key=natural))


def _versions(texts: pd.Series) -> dict[str, str]:
    return {name: " / ".join(sorted(of)) for name, of in versions.of_texts(texts).items()}


def _steps(value: float) -> str:
    return f"{value:,.0f}" if value == value else DASH


def _episodes(noted: Manifest) -> str:
    """The episodes of an evaluation, as the sweep asked for at its last start."""
    environments = noted.sweep.get("environments", ())
    return _all(one.get("evaluation", {}).get("episodes") for one in environments)
