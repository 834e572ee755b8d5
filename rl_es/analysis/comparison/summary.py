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
    ComparedFolder,
    Finding,
    Match,
    adjust_verdicts,
    compare_matches,
    compare_totals,
    compared_pairs,
    compared_runs,
    match_labels,
    parse_renamings,
    runs_of,
    select_pairs,
)
from rl_es.analysis.drawing import list_runs, natural_order, running_note
from rl_es.analysis.formatting import DASH, format_range, format_ranges
from rl_es.analysis.metrics import FINAL, METRICS, SECONDS, THRESHOLD_STEPS, Metric
from rl_es.analysis.results import load_results, setting_columns
from rl_es.analysis.scores import LOW, ScoreScale, score_scale
from rl_es.analysis.statistics import MANY_REPLICATES
from rl_es.errors import UserError
from rl_es.results.files import distinct_names, folder_of_results
from rl_es.results.manifest import describe_mixed, parse_versions, read_sweep_manifest

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
      setting: Name of the setting.
      where: Labels or environment in which it differs; empty for everywhere.
      values: Text by folder, the base first; only of the folders that differ.
      of_code: True for a version or a revision of code.
    """

    setting: str
    where: str
    values: Mapping[str, str]
    of_code: bool = False

    @property
    def values_text(self) -> str:
        """The values on one line: 'base: 0.1, other: 0.2'."""
        return ", ".join(f"{name}: {value}" for name, value in self.values.items())

    @property
    def text(self) -> str:
        """The difference on one line: 'lr (eggroll): base: 0.1, other: 0.2'."""
        where = f" ({self.where})" if self.where else ""
        return f"{self.setting}{where}: {self.values_text}"


def find_differences(
    folders: Sequence[ComparedFolder], matches: Sequence[Match]
) -> list[SettingDifference]:
    """Returns everything that differs between the runs that are compared."""
    runs = {folder.name: compared_runs(folder, matches) for folder in folders}
    texts = (*_origin_texts(folders, runs), *_work_texts(folders, runs))
    different = [text for text in texts if len(set(text.values.values())) > 1]
    return [*different, *_setting_differences(matches)]


def _origin_texts(
    folders: Sequence[ComparedFolder], runs: Mapping[str, pd.DataFrame]
) -> Iterator[SettingDifference]:
    """Yields the sweeps, code, machines, seeds and placements of the runs of all folders."""
    origins: dict[str, dict[str, str]] = {}
    packages: set[str] = set()
    for folder in folders:
        rows, manifest = runs[folder.name], read_sweep_manifest(folder.path)
        versions = parse_versions(rows["versions"])
        environments = manifest.sweep.get("environments", ())
        episodes = [env.get("evaluation", {}).get("episodes") for env in environments]
        columns = ("sweep", "git_revision", "device", "lanes", "devices", "chunks")
        packages |= versions.keys()
        origins[folder.name] = {
            **{name: " / ".join(sorted(texts)) for name, texts in versions.items()},
            **{column.replace("_", " "): _distinct_text(rows[column]) for column in columns},
            "machine": _distinct_text(manifest.of_starts("machine")),
            "processor": _distinct_text(manifest.of_starts("processor")),
            "seeds": format_ranges(rows["seed"]),
            EPISODES: _distinct_text(episodes),
        }
    names = ("sweep", "git revision", "device", "machine", "processor")
    for name in (*names, *sorted(packages), *PLACEMENT):
        values = {folder: texts.get(name) or DASH for folder, texts in origins.items()}
        if name not in FROM_MANIFEST or DASH not in values.values():
            of_code = name in packages or name == "git revision"
            yield SettingDifference(name, "", values, of_code)


def _work_texts(
    folders: Sequence[ComparedFolder], runs: Mapping[str, pd.DataFrame]
) -> Iterator[SettingDifference]:
    """Yields the budgets, evaluations and thresholds of all folders, by environment."""
    environments = {env for rows in runs.values() for env in rows["env"]}
    for env in sorted(environments, key=natural_order):
        steps: dict[str, float] = {}
        evaluations: dict[str, str] = {}
        thresholds: dict[str, str] = {}
        for folder in folders:
            rows = runs[folder.name][runs[folder.name]["env"] == env]
            ids = folder.results.curves["run_id"]
            complete = rows["run_id"][rows["status"] == "finished"]
            most = ids[ids.isin(complete)].value_counts().max()  # some fall on one generation
            steps[folder.name] = rows["env_steps"].astype(float).median()
            evaluations[folder.name] = _distinct_text([most]) or DASH
            thresholds[folder.name] = _distinct_text(rows["threshold"]) or DASH
        numbers = [number for number in steps.values() if number == number]
        if numbers and max(numbers) > (1 + CLOSE) * min(numbers):
            texts = {n: f"{v:,.0f}" if v == v else DASH for n, v in steps.items()}
            yield SettingDifference(BUDGET, env, texts)
        yield SettingDifference(EVALUATION, env, evaluations)
        yield SettingDifference(THRESHOLDS, env, thresholds)


def _setting_differences(matches: Sequence[Match]) -> Iterator[SettingDifference]:
    """Yields differences of agents, networks and environments; equal ones are joined into one."""
    places: dict[tuple[str, tuple[tuple[str, str], ...]], list[str]] = {}
    for match in matches:
        texts = [
            (folder.name, _setting_texts(runs_of(folder.results.runs, match.env, label)))
            for folder, label in match.sides
        ]
        for setting in sorted(set().union(*(of for _, of in texts))):
            values = tuple((name, of.get(setting, DASH)) for name, of in texts)
            if values[0][1] != values[1][1]:
                where = match.env if setting.startswith("environment.") else match.name
                places.setdefault((setting, values), []).append(where)
    for (setting, values), where in places.items():
        yield SettingDifference(setting, ", ".join(dict.fromkeys(where)), dict(values))


def _setting_texts(runs: pd.DataFrame) -> dict[str, str]:
    """Returns the value or values of each setting of a label; those without one are left out."""
    texts = {name: _distinct_text(runs[column]) for column, name in setting_columns(runs).items()}
    texts["agent"] = _distinct_text(runs["agent"])
    for column in ("policy", "environment"):
        parts: dict[str, list[str]] = {}
        for text in runs[column].dropna().unique():
            for name, value in json.loads(text).items():
                parts.setdefault(f"{column}.{name}", []).append(json.dumps(value, sort_keys=True))
        texts |= {name: " / ".join(values) for name, values in parts.items()}
    return {name: value for name, value in texts.items() if value}


def _distinct_text(values: Iterable[Any]) -> str:
    """Returns distinct values, in natural order, as text."""
    present = [value for value in values if value is not None and value == value]
    texts = {f"{value:g}" if isinstance(value, float) else str(value) for value in present}
    return " / ".join(sorted(texts, key=natural_order))


@dataclass(frozen=True)
class Comparison:
    """Folders compared with the first of them.

    Attributes:
      folders: Folders, the base first.
      matches: Runs that are compared with each other.
      metric: Metric that runs are judged by.
      scale: Scale of normalised scores.
      margin: Smallest effect that matters, on that scale; None for none.
      replicates: Number of replicates of the bootstrap.
      findings: A finding per match.
      totals: A finding per label with two environments or more on the scale.
      differences: Everything that is not the same in all folders.
      left_out_pairs: By folder, the (environment, label) pairs that were not compared.
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
    left_out_pairs: dict[str, list[tuple[str, str]]]

    @property
    def base(self) -> ComparedFolder:
        """The folder that the candidates are compared with."""
        return self.folders[0]

    @property
    def candidates(self) -> Sequence[ComparedFolder]:
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
            findings=[f for f in self.findings if f.match.env in environments],
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
        sizes = {interval.n for finding in self.findings for interval in finding.typical}
        return "n = 1 seed" if sizes == {1} else f"n = {format_range(sizes)} seeds"

    @property
    def warnings(self) -> list[str]:
        """One line for each reason to doubt the verdicts."""
        lines = _difference_warnings(self.differences)
        for folder in self.folders:
            runs = compared_runs(folder, self.matches)
            versions = describe_mixed(runs["versions"], runs["git_revision"])
            sentences = [*([versions] if versions else []), *running_note(runs)]
            lines += [f"{folder.name}: {sentence.rstrip('.')}" for sentence in sentences]
        if self.metric.name == SECONDS:
            causes = (d.text for d in self.differences if d.setting in OF_TIME)
            lines += [f"times differ in {cause}" for cause in causes]
        elif self.metric.name == THRESHOLD_STEPS and any(
            d.setting == EVALUATION for d in self.differences
        ):
            lines.append("arrivals are seen at evaluations only: fewer of them, later arrivals")
        off_scale = [env for env in self.environments if env not in self.scale.environments]
        if off_scale and not self.metric.lower:
            where = f"not on the scale where {self.scale.description}"
            lines.append(f"{where}, so not in totals: {', '.join(off_scale)}")
        return lines

    @property
    def lost_runs(self) -> list[str]:
        """The runs that diverged or failed, a line per folder."""
        lines = []
        for folder in self.folders:
            runs = compared_runs(folder, self.matches)
            runs = runs[runs["status"].isin(("diverged", "failed"))]
            if len(runs):
                names = "; ".join(list_runs(runs))
                lines.append(f"{folder.name}: {len(runs)} diverged or failed: {names}")
        return lines


def _difference_warnings(differences: Sequence[SettingDifference]) -> list[str]:
    """Returns one line for each kind of difference that makes returns incomparable.

    The last line, on versions of code, is only a reason to look twice.
    """
    lines = []
    for setting in INCOMPARABLE:
        of_kind = [difference for difference in differences if difference.setting == setting]
        if of_kind:
            where = ", ".join(difference.where for difference in of_kind)
            values = of_kind[0].values_text
            values += f" in {of_kind[0].where}" if len(of_kind) > 1 else ""
            lines.append(f"{setting} differ{f' in {where}' if where else ''} ({values})")
    code = [d.text for d in differences if d.of_code and DASH not in d.values.values()]
    return [*lines, f"versions differ: {'; '.join(code)}"] if code else lines


def compare_folders(
    paths: Sequence[Path],
    *,
    environments: Sequence[str] = (),
    labels: Sequence[str] = (),
    metric: str = FINAL,
    renamings: Sequence[str] = (),
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
      renamings: texts like `OLD=NEW`: labels of the base and of another folder to be compared.
      normalise: the references of the base that are 0 and 1; None for the default of
        `scores.score_scale`.
      margin: the smallest effect that matters, on the normalised scale; None for none.
      replicates: number of replicates of the bootstrap.

    Raises:
      UserError: there is nothing to compare, or a name is unknown.
    """
    if margin is not None and not (margin > 0 and math.isfinite(margin)):
        raise UserError(f"--margin: must be a number above 0; is {margin:g}")
    if len(paths) < 2:
        raise UserError("compare: needs two results folders or more, the base first")
    for path in paths:
        folder_of_results(path)
    folders = [
        ComparedFolder(name, path, load_results(path))
        for name, path in zip(distinct_names(paths), paths, strict=True)
    ]
    matches = match_labels(folders, parse_renamings(renamings, folders), environments, labels)
    scale = score_scale(folders[0].results, *(normalise or (LOW, None)))
    findings = list(compare_matches(folders, matches, METRICS[metric], scale, replicates))
    if not any(all(side.n for side in finding.typical) for finding in findings):
        raise UserError(f"--metric {metric}: no run of both folders has one")
    left_out_pairs = {
        folder.name: [
            pair
            for pair in select_pairs(folder, environments, labels)
            if pair not in compared_pairs(folder, matches)
        ]
        for folder in folders
    }
    return Comparison(
        folders,
        matches,
        METRICS[metric],
        scale,
        margin,
        replicates,
        adjust_verdicts(findings, margin),
        adjust_verdicts([*compare_totals(findings, replicates)], margin),
        find_differences(folders, matches),
        {name: pairs for name, pairs in left_out_pairs.items() if pairs},
    )
