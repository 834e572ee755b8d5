"""A whole comparison: what is compared, what differs, the findings, and what is left out.

What differs between folders besides their returns: machine, code, budgets, settings.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from rl_es.analysis import formatting, metrics, pages
from rl_es.analysis.comparison import findings
from rl_es.analysis.comparison.findings import BETTER, SAME, UNKNOWN, VERDICTS, WORSE, Finding
from rl_es.analysis.comparison.matching import (
    ComparedFolder,
    Match,
    MatchedValues,
    read_values,
    unmatched_labels,
)
from rl_es.analysis.drawing.captions import named_note, running_note
from rl_es.analysis.drawing.palette import natural_order
from rl_es.analysis.formatting import DASH, format_ranges
from rl_es.analysis.metrics import Metric
from rl_es.analysis.scores import ScoreScale
from rl_es.results import manifest
from rl_es.results.manifest import SweepManifest

CLOSE = 0.05  # relative: budgets end on whole generations, and so differ by up to this
BUDGET, EVALUATION = "environment steps", "evaluations"
EPISODES, THRESHOLDS = "evaluation episodes", "thresholds"
MATTER = (BUDGET, EVALUATION, EPISODES, THRESHOLDS)  # where these differ, returns do not compare


@dataclass(frozen=True)
class SettingDifference:
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


def find_differences(
    folders: Sequence[ComparedFolder], matched: Sequence[Match]
) -> list[SettingDifference]:
    """Everything that differs between the runs that are compared."""
    return [*_provenance(folders, matched), *_work(folders, matched), *_settings(folders, matched)]


def difference_warnings(found: Sequence[SettingDifference]) -> list[str]:
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


def _provenance(
    folders: Sequence[ComparedFolder], matched: Sequence[Match]
) -> Iterator[SettingDifference]:
    runs = {folder.name: compared_keys(folder, folders[0], matched) for folder in folders}
    notes = {folder.name: manifest.read_sweep_manifest(folder.path) for folder in folders}
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
    yield from _one("seeds", "", {name: format_ranges(own["seed"]) for name, own in runs.items()})
    for column in ("lanes", "devices", "chunks"):
        yield from _one(column, "", {name: _all(own[column]) for name, own in runs.items()})
    episodes = {name: _episodes(noted) for name, noted in notes.items()}
    if all(episodes.values()):
        yield from _one(EPISODES, "", episodes)


def _work(
    folders: Sequence[ComparedFolder], matched: Sequence[Match]
) -> Iterator[SettingDifference]:
    """Budgets, evaluations and thresholds, an environment at a time."""
    for env in sorted({match.env for match in matched}, key=natural_order):
        here = [match for match in matched if match.env == env]
        runs = {folder.name: compared_keys(folder, folders[0], here) for folder in folders}
        steps = {name: own["env_steps"].astype(float).median() for name, own in runs.items()}
        known = [value for value in steps.values() if value == value]
        if known and max(known) > (1 + CLOSE) * min(known):
            yield SettingDifference(BUDGET, env, {n: _steps(value) for n, value in steps.items()})
        points = {}
        for folder in folders:
            rows = folder.results.curves["run_id"]
            finished = runs[folder.name][runs[folder.name]["status"] == "finished"]["run_id"]
            most = rows[rows.isin(finished)].value_counts().max()  # some fall on one generation
            points[folder.name] = _all([most])
        yield from _one(EVALUATION, env, points)
        thresholds = {name: _all(own["threshold"]) for name, own in runs.items()}
        yield from _one(THRESHOLDS, env, thresholds)


def _settings(
    folders: Sequence[ComparedFolder], matched: Sequence[Match]
) -> Iterator[SettingDifference]:
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
        yield SettingDifference(what, ", ".join(dict.fromkeys(where)), dict(told))


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


def compared_keys(
    folder: ComparedFolder, base: ComparedFolder, matched: Sequence[Match]
) -> pd.DataFrame:
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
) -> Iterator[SettingDifference]:
    """What differs, if the values of the folders do; a dash for one that has none."""
    if len(set(values.values())) > 1:
        told = {name: value or DASH for name, value in values.items()}
        yield SettingDifference(what, where, told, of_code)


def _all(values: Iterable[Any]) -> str:
    """Distinct values, in natural order, as text."""
    known = [value for value in values if value is not None and value == value]
    told = {f"{value:g}" if isinstance(value, float) else str(value) for value in known}
    return " / ".join(sorted(told, key=natural_order))


def _versions(texts: pd.Series) -> dict[str, str]:
    return {name: " / ".join(sorted(of)) for name, of in manifest.parse_versions(texts).items()}


def _steps(value: float) -> str:
    return f"{value:,.0f}" if value == value else DASH


def _episodes(noted: SweepManifest) -> str:
    """The episodes of an evaluation, as the sweep asked for at its last start."""
    environments = noted.sweep.get("environments", ())
    return _all(one.get("evaluation", {}).get("episodes") for one in environments)


@dataclass(frozen=True)
class Comparison:
    """Folders compared with the first of them.

    Attributes:
      folders: the base first.
      matched: what is compared with what.
      metric: what runs are judged by.
      scale: of normalised scores.
      margin: the smallest effect that matters, on that scale; None for none.
      replicates: of the bootstrap.
      findings: one per match.
      totals: one per label with two environments or more on the scale.
      differing: what is not the same in all folders.
      left: by folder, the pairs that were not compared with anything.
    """

    folders: Sequence[ComparedFolder]
    matched: Sequence[Match]
    metric: Metric
    scale: ScoreScale
    margin: float | None
    replicates: int
    findings: Sequence[Finding]
    totals: Sequence[Finding]
    differing: Sequence[SettingDifference]
    left: dict[str, list[tuple[str, str]]]

    @property
    def base(self) -> ComparedFolder:
        """The folder that the others are compared with."""
        return self.folders[0]

    @property
    def others(self) -> Sequence[ComparedFolder]:
        """The folders that are compared with the base."""
        return self.folders[1:]

    @property
    def counts(self) -> dict[str, int]:
        """How many environments and labels have each verdict."""
        found = Counter(finding.verdict for finding in self.findings)
        return {verdict: found[verdict] for verdict in VERDICTS}

    @property
    def verdict(self) -> str:
        """The verdict on the whole: the worst of the findings."""
        found = {finding.verdict for finding in self.findings}
        return next(one for one in (WORSE, UNKNOWN, SAME, BETTER) if one in found)

    @property
    def environments(self) -> list[str]:
        """The environments compared, in order."""
        return list(dict.fromkeys(match.env for match in self.matched))

    def within(self, environments: Collection[str], /) -> "Comparison":
        """The comparison in these environments alone; totals stay those over all."""
        return replace(
            self,
            matched=[match for match in self.matched if match.env in environments],
            findings=[finding for finding in self.findings if finding.env in environments],
        )

    def tables(self) -> dict[str, pd.DataFrame]:
        """All rows of the environments compared, by folder and table."""
        found = {}
        for place, folder in enumerate(self.folders):
            part = folder.results.within(self.environments).tables()
            found |= {f"{place} {name}": table for name, table in part.items()}
        return found

    def counted(self) -> str:
        """'n = 10 seeds', or from which to which number."""
        sizes = {n for finding in self.findings for n in (finding.base.n, finding.against.n)}
        return "n = 1 seed" if sizes == {1} else f"n = {formatting.format_range(sizes)} seeds"

    @property
    def warnings(self) -> list[str]:
        """What makes the verdicts doubtful, one line each."""
        found = self.differing
        said = difference_warnings(found)
        for folder in self.folders:
            runs = compared_keys(folder, self.base, self.matched)
            told = [*filter(None, [pages.mixed_versions_text(runs)]), *running_note(runs)]
            said += [f"{folder.name}: {sentence.rstrip('.')}" for sentence in told]
        if self.metric.name == metrics.SECONDS:
            of_time = ("machine", "processor", "device", "lanes", "devices", "chunks")
            said += [f"times differ in {one.told}" for one in found if one.what in of_time]
        elif self.metric.name == metrics.ARRIVAL and any(d.what == EVALUATION for d in found):
            said.append("arrivals are seen at evaluations only: fewer of them, later arrivals")
        off = [env for env in self.environments if env not in self.scale.environments]
        if off and not self.metric.lower:
            where = f"not on the scale where {self.scale.told}"
            said.append(f"{where}, so not in totals: {', '.join(off)}")
        return said

    @property
    def lost(self) -> list[str]:
        """The runs that diverged or failed, a line per folder."""
        said = []
        for folder in self.folders:
            runs = compared_keys(folder, self.base, self.matched)
            runs = runs[runs["status"].isin(("diverged", "failed"))]
            if len(runs):
                told = "; ".join(named_note(runs))
                said.append(f"{folder.name}: {len(runs)} diverged or failed: {told}")
        return said


def compare(
    folders: Sequence[ComparedFolder],
    matched: Sequence[Match],
    metric: Metric,
    scale: ScoreScale,
    margin: float | None,
    replicates: int,
    environments: Sequence[str],
    labels: Sequence[str],
) -> Comparison:
    """Compares folders with the first of them.

    Args:
      folders: the base first.
      matched: what is compared with what.
      metric: what runs are judged by.
      scale: of normalised scores.
      margin: the smallest effect that matters, on that scale; None for none.
      replicates: of the bootstrap.
      environments: those that were asked for; empty for all.
      labels: likewise.
    """
    sides = list(read_values(folders, matched, metric, scale, replicates))
    single = [findings.compare_pair(of, replicates) for of in sides]
    totals = [findings.compare_total(own, replicates) for own in _by_label(sides)]
    return Comparison(
        folders,
        matched,
        metric,
        scale,
        margin,
        replicates,
        findings.adjust_verdicts(single, margin),
        findings.adjust_verdicts([total for total in totals if total is not None], margin),
        find_differences(folders, matched),
        unmatched_labels(folders, matched, environments, labels),
    )


def _by_label(sides: Sequence[MatchedValues]) -> Iterator[list[MatchedValues]]:
    groups: dict[tuple[str, str, str], list[MatchedValues]] = {}
    for of in sides:
        key = of.match.other.name, of.match.base, of.match.label
        groups.setdefault(key, []).append(of)
    yield from groups.values()
