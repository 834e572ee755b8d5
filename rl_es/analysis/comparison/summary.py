"""A comparison of folders: what is compared, what differs besides, the findings, what is left out.

Besides their returns, folders may differ in machine, code, budgets and settings. Differences that
make returns incomparable are warned of.
"""

import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from rl_es.analysis.comparison.findings import (
    BETTER,
    SAME,
    UNKNOWN,
    VERDICTS,
    WORSE,
    Finding,
    adjust_verdicts,
    compare_pair,
    compare_total,
)
from rl_es.analysis.comparison.matching import (
    ComparedFolder,
    Match,
    MatchedValues,
    load_folders,
    match_labels,
    parse_renamings,
    read_values,
    runs_of,
    unmatched_labels,
)
from rl_es.analysis.drawing.captions import list_runs, running_note
from rl_es.analysis.drawing.palette import natural_order
from rl_es.analysis.formatting import DASH, format_range, format_ranges
from rl_es.analysis.metrics import FINAL, METRICS, SECONDS, THRESHOLD_STEPS, Metric
from rl_es.analysis.scores import LOW, ScoreScale, score_scale
from rl_es.analysis.statistics.aggregates import MANY_REPLICATES
from rl_es.errors import UserError
from rl_es.results.manifest import (
    SweepManifest,
    describe_mixed,
    parse_versions,
    read_sweep_manifest,
)

CLOSE = 0.05  # relative: budgets end on a full generation, and so differ by up to this
BUDGET, EVALUATION = "environment steps", "evaluations"
EPISODES, THRESHOLDS = "evaluation episodes", "thresholds"
INCOMPARABLE = (BUDGET, EVALUATION, EPISODES, THRESHOLDS)  # where these differ, so do returns
PLACEMENT = ("seeds", "lanes", "devices", "chunks", EPISODES)
FROM_MANIFEST = ("machine", "processor", EPISODES)  # compared where all folders have them
OF_TIME = ("machine", "processor", "device", "lanes", "devices", "chunks")


@dataclass(frozen=True)
class SettingDifference:
    """Something that is not the same in all folders.

    Attributes:
      what: the name of the setting.
      where: the labels or the environment in which it differs; empty for everywhere.
      values: text by folder, the base first; only of the folders that differ.
      of_code: True for a version or a revision of code.
    """

    what: str
    where: str
    values: Mapping[str, str]
    of_code: bool = False

    @property
    def text(self) -> str:
        """The difference on one line: 'lr (eggroll): base: 0.1, other: 0.2'."""
        where = f" ({self.where})" if self.where else ""
        return f"{self.what}{where}: {_values_text(self.values)}"


def find_differences(
    folders: Sequence[ComparedFolder], matches: Sequence[Match]
) -> list[SettingDifference]:
    """Returns everything that differs between the runs that are compared."""
    return [
        *_origin_differences(folders, matches),
        *_work_differences(folders, matches),
        *_setting_differences(folders, matches),
    ]


def difference_warnings(differences: Sequence[SettingDifference]) -> list[str]:
    """Returns one line for each kind of difference that makes returns incomparable.

    The last line, on versions of code, is only a reason to look twice.
    """
    lines = []
    for what in INCOMPARABLE:
        of_kind = [difference for difference in differences if difference.what == what]
        if of_kind:
            where = ", ".join(difference.where for difference in of_kind)
            first = f" in {of_kind[0].where}" if len(of_kind) > 1 else ""
            values = _values_text(of_kind[0].values)
            lines.append(f"{what} differ{f' in {where}' if where else ''} ({values}{first})")
    code = [d.text for d in differences if d.of_code and DASH not in d.values.values()]
    return [*lines, f"versions differ: {'; '.join(code)}"] if code else lines


def _values_text(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in values.items())


def _origin_differences(
    folders: Sequence[ComparedFolder], matches: Sequence[Match]
) -> Iterator[SettingDifference]:
    """Yields the differences of sweeps, code, machines, seeds and placements of runs."""
    texts = {}
    for folder in folders:
        runs = compared_runs(folder, folders[0], matches)
        texts[folder.name] = _origin_texts(runs, read_sweep_manifest(folder.path))
    packages = sorted({name for of_folder, _ in texts.values() for name in of_folder})
    for what in ("sweep", "git revision", "device", "machine", "processor", *packages, *PLACEMENT):
        of_code = what in packages
        values = {name: pair[0 if of_code else 1].get(what, "") for name, pair in texts.items()}
        if what not in FROM_MANIFEST or all(values.values()):
            yield from _difference(what, "", values, of_code or what == "git revision")


def _origin_texts(
    runs: pd.DataFrame, manifest: SweepManifest
) -> tuple[dict[str, str], dict[str, str]]:
    """Returns the versions of packages, and all else that is known of the origin of runs."""
    versions = parse_versions(runs["versions"])
    columns = ("sweep", "git_revision", "device", "lanes", "devices", "chunks")
    environments = manifest.sweep.get("environments", ())
    episodes = [env.get("evaluation", {}).get("episodes") for env in environments]
    return {name: " / ".join(sorted(of)) for name, of in versions.items()}, {
        **{column.replace("_", " "): _distinct_text(runs[column]) for column in columns},
        "machine": _distinct_text(manifest.of_starts("machine")),
        "processor": _distinct_text(manifest.of_starts("processor")),
        "seeds": format_ranges(runs["seed"]),
        EPISODES: _distinct_text(episodes),
    }


def _work_differences(
    folders: Sequence[ComparedFolder], matches: Sequence[Match]
) -> Iterator[SettingDifference]:
    """Yields the differences of budgets, evaluations and thresholds, by environment."""
    for env in sorted({match.env for match in matches}, key=natural_order):
        of_env = [match for match in matches if match.env == env]
        runs = {folder.name: compared_runs(folder, folders[0], of_env) for folder in folders}
        steps = {name: r["env_steps"].astype(float).median() for name, r in runs.items()}
        numbers = [value for value in steps.values() if value == value]
        if numbers and max(numbers) > (1 + CLOSE) * min(numbers):
            texts = {n: f"{v:,.0f}" if v == v else DASH for n, v in steps.items()}
            yield SettingDifference(BUDGET, env, texts)
        evaluations = {}
        for folder in folders:
            rows = folder.results.curves["run_id"]
            finished = runs[folder.name][runs[folder.name]["status"] == "finished"]["run_id"]
            most = rows[rows.isin(finished)].value_counts().max()  # some fall on one generation
            evaluations[folder.name] = _distinct_text([most])
        yield from _difference(EVALUATION, env, evaluations)
        thresholds = {name: _distinct_text(r["threshold"]) for name, r in runs.items()}
        yield from _difference(THRESHOLDS, env, thresholds)


def _setting_differences(
    folders: Sequence[ComparedFolder], matches: Sequence[Match]
) -> Iterator[SettingDifference]:
    """Yields differences of agents, networks and environments; equal ones are joined into one."""
    base, *other_folders = folders
    places: dict[tuple[str, str, tuple[tuple[str, str], ...]], list[str]] = {}
    for other in other_folders:
        for match in (match for match in matches if match.other is other):
            first = _setting_texts(base.results.runs, match.env, match.base)
            second = _setting_texts(other.results.runs, match.env, match.label)
            for what in sorted(first.keys() | second.keys()):
                pair = first.get(what, ""), second.get(what, "")
                if pair[0] != pair[1]:
                    values = ((base.name, pair[0] or DASH), (other.name, pair[1] or DASH))
                    where = match.env if what.startswith("environment.") else match.name
                    places.setdefault((other.name, what, values), []).append(where)
    for (_, what, values), where in places.items():
        yield SettingDifference(what, ", ".join(dict.fromkeys(where)), dict(values))


def _setting_texts(runs: pd.DataFrame, env: str, label: str) -> dict[str, str]:
    """Returns the value or values of each setting of a label; those without one are left out."""
    group = runs_of(runs, env, label)
    texts = {
        name.removeprefix("hyper."): _distinct_text(group[name])
        for name in group
        if name.startswith("hyper.")
    }
    texts["agent"] = _distinct_text(group["agent"])
    for column in ("policy", "environment"):
        parts: dict[str, list[str]] = {}
        for text in group[column].dropna().unique():
            for name, value in json.loads(text).items():
                parts.setdefault(f"{column}.{name}", []).append(json.dumps(value, sort_keys=True))
        texts |= {name: " / ".join(values) for name, values in parts.items()}
    return {name: value for name, value in texts.items() if value}


def compared_runs(
    folder: ComparedFolder, base: ComparedFolder, matches: Sequence[Match]
) -> pd.DataFrame:
    """Returns the runs of a folder that are compared."""
    if folder is base:
        pairs = {(match.env, match.base) for match in matches}
    else:
        pairs = {(match.env, match.label) for match in matches if match.other is folder}
    runs = folder.results.runs
    return runs[[pair in pairs for pair in zip(runs["env"], runs["label"], strict=True)]]


def _difference(
    what: str, where: str, values: Mapping[str, str], of_code: bool = False
) -> Iterator[SettingDifference]:
    """Yields a difference if the values of the folders differ; a dash for one without a value."""
    if len(set(values.values())) > 1:
        texts = {name: value or DASH for name, value in values.items()}
        yield SettingDifference(what, where, texts, of_code)


def _distinct_text(values: Iterable[Any]) -> str:
    """Returns distinct values, in natural order, as text."""
    present = [value for value in values if value is not None and value == value]
    texts = {f"{value:g}" if isinstance(value, float) else str(value) for value in present}
    return " / ".join(sorted(texts, key=natural_order))


@dataclass(frozen=True)
class Comparison:
    """Folders compared with the first of them.

    Attributes:
      folders: the folders, the base first.
      matches: what is compared with what.
      metric: what runs are judged by.
      scale: the scale of normalised scores.
      margin: the smallest effect that matters, on that scale; None for none.
      replicates: number of replicates of the bootstrap.
      findings: a finding per match.
      totals: a finding per label with two environments or more on the scale.
      differences: what is not the same in all folders.
      unmatched: by folder, the (environment, label) pairs that were not compared with anything.
    """

    folders: Sequence[ComparedFolder]
    matches: Sequence[Match]
    metric: Metric
    scale: ScoreScale
    margin: float | None
    replicates: int
    findings: Sequence[Finding]
    totals: Sequence[Finding]
    differences: Sequence[SettingDifference]
    unmatched: dict[str, list[tuple[str, str]]]

    @property
    def base(self) -> ComparedFolder:
        """The folder that the others are compared with."""
        return self.folders[0]

    @property
    def other_folders(self) -> Sequence[ComparedFolder]:
        """The folders that are compared with the base."""
        return self.folders[1:]

    @property
    def counts(self) -> dict[str, int]:
        """The number of environments and labels with each verdict."""
        counts = Counter(finding.verdict for finding in self.findings)
        return {verdict: counts[verdict] for verdict in VERDICTS}

    @property
    def verdict(self) -> str:
        """The worst verdict of the findings."""
        return next(v for v in (WORSE, UNKNOWN, SAME, BETTER) if self.counts[v])

    @property
    def environments(self) -> list[str]:
        """The environments compared, in order."""
        return list(dict.fromkeys(match.env for match in self.matches))

    def within(self, environments: Collection[str], /) -> "Comparison":
        """Returns the comparison in these environments alone; totals stay those over all."""
        return replace(
            self,
            matches=[match for match in self.matches if match.env in environments],
            findings=[finding for finding in self.findings if finding.env in environments],
        )

    def tables(self) -> dict[str, pd.DataFrame]:
        """Returns all rows of the environments compared, by folder and table."""
        return {
            f"{number} {name}": table
            for number, folder in enumerate(self.folders)
            for name, table in folder.results.within(self.environments).tables().items()
        }

    def sample_note(self) -> str:
        """Returns 'n = 10 seeds', or from which to which number."""
        sizes = {n for finding in self.findings for n in (finding.base.n, finding.against.n)}
        return "n = 1 seed" if sizes == {1} else f"n = {format_range(sizes)} seeds"

    @property
    def warnings(self) -> list[str]:
        """One line for each reason to doubt the verdicts."""
        lines = difference_warnings(self.differences)
        for folder in self.folders:
            runs = compared_runs(folder, self.base, self.matches)
            mixed = describe_mixed(runs["versions"], runs["git_revision"])
            sentences = [*([mixed] if mixed else []), *running_note(runs)]
            lines += [f"{folder.name}: {sentence.rstrip('.')}" for sentence in sentences]
        if self.metric.name == SECONDS:
            lines += [f"times differ in {d.text}" for d in self.differences if d.what in OF_TIME]
        elif self.metric.name == THRESHOLD_STEPS and any(
            d.what == EVALUATION for d in self.differences
        ):
            lines.append("arrivals are seen at evaluations only: fewer of them, later arrivals")
        off_scale = [env for env in self.environments if env not in self.scale.environments]
        if off_scale and not self.metric.lower:
            where = f"not on the scale where {self.scale.description}"
            lines.append(f"{where}, so not in totals: {', '.join(off_scale)}")
        return lines

    @property
    def lost(self) -> list[str]:
        """The runs that diverged or failed, a line per folder."""
        lines = []
        for folder in self.folders:
            runs = compared_runs(folder, self.base, self.matches)
            runs = runs[runs["status"].isin(("diverged", "failed"))]
            if len(runs):
                names = "; ".join(list_runs(runs))
                lines.append(f"{folder.name}: {len(runs)} diverged or failed: {names}")
        return lines


def compare_folders(
    paths: Sequence[Path],
    *,
    environments: Sequence[str] = (),
    labels: Sequence[str] = (),
    metric: str = FINAL,
    renamed: Sequence[str] = (),
    normalise: tuple[str, str] | None = None,
    margin: float | None = None,
    replicates: int = MANY_REPLICATES,
) -> Comparison:
    """Returns the comparison of folders with the first of them.

    Args:
      paths: results folders, the base first.
      environments: the environments to compare; empty for all.
      labels: the labels of the base to compare; empty for all.
      metric: one of `rl_es.analysis.metrics.METRICS`.
      renamed: texts like `OLD=NEW`: labels of the base and of another folder to be compared.
      normalise: the references of the base that are 0 and 1; None for the default of
        `scores.score_scale`.
      margin: the smallest effect that matters, on the normalised scale; None for none.
      replicates: number of replicates of the bootstrap.

    Raises:
      UserError: there is nothing to compare, or a name is unknown.
    """
    if margin is not None and not (margin > 0 and math.isfinite(margin)):
        raise UserError(f"--margin: must be a number above 0; is {margin:g}")
    folders = load_folders(paths)
    matches = match_labels(folders, parse_renamings(renamed, folders), environments, labels)
    low, high = normalise or (LOW, None)
    on_scale = score_scale(folders[0].results, low, high)
    values = list(read_values(folders, matches, METRICS[metric], on_scale, replicates))
    if not any(item.typical[0].n and item.typical[1].n for item in values):
        raise UserError(f"--metric {metric}: no run of both folders has one")
    by_label: dict[tuple[str, str, str], list[MatchedValues]] = {}
    for item in values:
        key = item.match.other.name, item.match.base, item.match.label
        by_label.setdefault(key, []).append(item)
    findings = [compare_pair(item, replicates) for item in values]
    totals = [compare_total(items, replicates) for items in by_label.values()]
    return Comparison(
        folders,
        matches,
        METRICS[metric],
        on_scale,
        margin,
        replicates,
        adjust_verdicts(findings, margin),
        adjust_verdicts([total for total in totals if total is not None], margin),
        find_differences(folders, matches),
        unmatched_labels(folders, matches, environments, labels),
    )
