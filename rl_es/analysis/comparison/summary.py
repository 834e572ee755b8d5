"""A whole comparison: what is compared, what differs, the findings, and what is left out."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from rl_es.analysis import digits, facts, metrics
from rl_es.analysis.comparison import findings
from rl_es.analysis.comparison.differing import EVALUATION, Differing, compared, differing, warnings
from rl_es.analysis.comparison.findings import Finding
from rl_es.analysis.comparison.matching import Folder, Match, unmatched
from rl_es.analysis.comparison.sides import Sides, read
from rl_es.analysis.comparison.verdicts import BETTER, SAME, UNKNOWN, VERDICTS, WORSE
from rl_es.analysis.drawing.notes import named, on_running
from rl_es.analysis.metrics import Metric
from rl_es.analysis.scores import Scale


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

    folders: Sequence[Folder]
    matched: Sequence[Match]
    metric: Metric
    scale: Scale
    margin: float | None
    replicates: int
    findings: Sequence[Finding]
    totals: Sequence[Finding]
    differing: Sequence[Differing]
    left: dict[str, list[tuple[str, str]]]

    @property
    def base(self) -> Folder:
        """The folder that the others are compared with."""
        return self.folders[0]

    @property
    def others(self) -> Sequence[Folder]:
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
        return "n = 1 seed" if sizes == {1} else f"n = {digits.span(sizes)} seeds"

    @property
    def warnings(self) -> list[str]:
        """What makes the verdicts doubtful, one line each."""
        found = self.differing
        said = warnings(found)
        for folder in self.folders:
            runs = compared(folder, self.base, self.matched)
            told = [*filter(None, [facts.mixed(runs)]), *on_running(runs)]
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
            runs = compared(folder, self.base, self.matched)
            runs = runs[runs["status"].isin(("diverged", "failed"))]
            if len(runs):
                told = "; ".join(named(runs))
                said.append(f"{folder.name}: {len(runs)} diverged or failed: {told}")
        return said


def compare(
    folders: Sequence[Folder],
    matched: Sequence[Match],
    metric: Metric,
    scale: Scale,
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
    sides = list(read(folders, matched, metric, scale, replicates))
    single = [findings.pair(of, replicates) for of in sides]
    totals = [findings.total(own, replicates) for own in _by_label(sides)]
    return Comparison(
        folders,
        matched,
        metric,
        scale,
        margin,
        replicates,
        findings.judged(single, margin),
        findings.judged([total for total in totals if total is not None], margin),
        differing(folders, matched),
        unmatched(folders, matched, environments, labels),
    )


def _by_label(sides: Sequence[Sides]) -> Iterator[list[Sides]]:
    groups: dict[tuple[str, str, str], list[Sides]] = {}
    for of in sides:
        key = of.match.other.name, of.match.base, of.match.label
        groups.setdefault(key, []).append(of)
    yield from groups.values()
