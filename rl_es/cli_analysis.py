"""The commands that read results folders and write none: compare, table."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

from rl_es.errors import UserError

MetricName = Literal["final", "best", "auc", "steps_to_threshold", "seconds"]
Metric = Annotated[
    MetricName,
    arg(help="of each run: last or best return, area under the curve, or times (less is better)"),
]
Normalise = Annotated[
    tuple[str, str] | None,
    arg(
        metavar="LOW HIGH",
        help="references that are 0 and 1 on the scale of scores: untrained, threshold, best, a "
        "label, or FILE.csv:COLUMN",
        help_behavior_hint="(default: untrained, and threshold where all have one, else best)",
    ),
]


@dataclasses.dataclass(frozen=True)
class Compare:
    """Compare results folders, the base first: differences, verdicts, seeds that would tell."""

    folders: Annotated[
        Positional[tuple[Path, ...]],
        arg(metavar="DIR", help="results folders, the base first", help_behavior_hint=""),
    ]
    env: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(help="an environment", help_behavior_hint="(may be repeated; default: all)"),
    ] = ()
    label: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(help="a label of the base", help_behavior_hint="(may be repeated; default: all)"),
    ] = ()
    metric: Metric = "final"
    map: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(
            metavar="OLD=NEW",
            help="hold the base's label OLD against the others' NEW",
            help_behavior_hint="(may be repeated)",
        ),
    ] = ()
    normalise: Normalise = None
    margin: Annotated[
        float | None,
        arg(
            metavar="SHARE",
            help="the smallest effect that matters: of the way from LOW to HIGH, of times as a "
            "share of the base's",
            help_behavior_hint="(default: none)",
        ),
    ] = None
    out: Annotated[
        Path | None,
        arg(metavar="DIR", help_behavior_hint="(default: results/compare/<base>-vs-<other>)"),
    ] = None
    fail_if: Annotated[
        Literal["never", "worse"], arg(help="exit with 1 if any verdict is this")
    ] = "never"

    def __call__(self) -> int:
        """Returns the exit code."""
        from rl_es.analysis.comparison import report

        found = report.build(
            self.folders,
            environments=self.env,
            labels=self.label,
            metric=self.metric,
            renamed=self.map,
            normalise=self.normalise,
            margin=self.margin,
        )
        for path in report.publish(found, self.out):
            print(path)
        return 1 if self.fail_if == "worse" and found.counts["worse"] else 0


@dataclasses.dataclass(frozen=True)
class Table:
    """Write a table of a results folder for a paper or a page: means, intervals, the best."""

    folder: Annotated[Positional[Path], arg(metavar="DIR", help="results folder")]
    format: Annotated[
        Literal["latex", "markdown", "csv"], arg(help="latex needs booktabs; csv is unrounded")
    ] = "markdown"
    metric: Metric = "final"
    rows: Annotated[Literal["environments", "labels"], arg(help="what has a row")] = "environments"
    normalise: Normalise = None
    interval: Annotated[bool, arg(help="intervals beside the means")] = True
    out: Annotated[
        Path | None, arg(metavar="FILE", help_behavior_hint="(default: standard output)")
    ] = None

    def __call__(self) -> int:
        """Returns the exit code."""
        from rl_es.analysis.publication import report
        from rl_es.files import write_text

        if self.out is not None and self.out.is_dir():
            raise UserError(f"{self.out}: is a folder; --out needs a file")
        options = (self.metric, self.rows, self.normalise, self.interval)
        text = report.compose(self.folder, self.format, *options)
        if self.out is None:
            print(text, end="")
        else:
            write_text(self.out, text)
            print(self.out)
        return 0
