"""The commands that read results: report, figures, compare, table."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import FlagCreatePairsOff, Positional, UseAppendAction, arg

from rl_es.cli.afterwards import write_replays, write_report
from rl_es.cli.flags import NoReplays, ResultsFolder
from rl_es.errors import UserError, check_number
from rl_es.files.naming import check_file, folder_of_results
from rl_es.files.whole import check_folder, write_text

TableFormat = Literal["latex", "markdown", "csv"]
MetricName = Literal["final", "best", "auc", "steps_to_threshold", "seconds"]
Metric = Annotated[
    MetricName,
    arg(help="of each run: last or best return, area under the curve, or times (less is better)"),
]
MOST_REPLICATES = 1_000_000
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
class Report:
    """Write tables, figures and the report of a results folder."""

    folder: ResultsFolder
    no_replays: NoReplays = False

    def __call__(self) -> int:
        """Returns the exit code."""
        folder_of_results(self.folder)
        if not self.no_replays:
            write_replays(self.folder)
        write_report(self.folder)
        return 0


@dataclasses.dataclass(frozen=True)
class Figures:
    """Draw figures of results, speed or gradients folders, for a paper's column or page."""

    folders: Annotated[
        Positional[tuple[Path, ...]],
        arg(metavar="DIR", help="results folders, or folders that hold some"),
    ] = ()
    kind: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(
            metavar="KIND",
            help="a kind of figure",
            help_behavior_hint="(may be repeated; default: each that a folder has something for)",
        ),
    ] = ()
    size: Annotated[
        Literal["auto", "column", "page"],
        arg(help="as wide as the panels want, or 3.25 or 6.75 inches"),
    ] = "auto"
    format: Annotated[
        UseAppendAction[tuple[Literal["png", "svg", "pdf"], ...]],
        arg(help="of the files", help_behavior_hint="(may be repeated; default: png and svg)"),
    ] = ()
    normalise: Normalise = None
    reference: Annotated[
        str | None,
        arg(
            metavar="LABEL",
            help="the label that others are compared with",
            help_behavior_hint="(default: eggroll where it is)",
        ),
    ] = None
    published: Annotated[
        Path | None,
        arg(
            metavar="FILE",
            help="CSV with env, label, reference and ratio: others' times, shown by time_ratio",
            help_behavior_hint="(default: none)",
        ),
    ] = None
    replicates: Annotated[
        int | None, arg(metavar="N", help="of the bootstrap", help_behavior_hint="(default: many)")
    ] = None
    out: Annotated[
        Path | None,
        arg(
            metavar="DIR",
            help="a folder for each folder's figures",
            help_behavior_hint="(default: figures/ in each)",
        ),
    ] = None
    list: Annotated[
        FlagCreatePairsOff[bool],
        arg(help="print the kinds, what each shows and needs", help_behavior_hint=""),
    ] = False

    def __call__(self) -> int:
        """Returns the exit code."""
        from rl_es.analysis import gallery
        from rl_es.analysis.drawing import files
        from rl_es.analysis.drawing.options import USUAL
        from rl_es.analysis.drawing.sheet import SIZES
        from rl_es.analysis.figures import time_ratio

        if self.list:
            print(gallery.listing())
            return 0
        if not self.folders:
            raise UserError("figures: needs a folder, or --list")
        check_number("--replicates", self.replicates, 1, MOST_REPLICATES)
        given: dict[str, Any] = {"sheet": SIZES[self.size], "reference": self.reference}
        given["published"] = self.published
        if self.normalise is not None:
            given |= dict(zip(("low", "high"), self.normalise, strict=True))
        if self.replicates is not None:
            given["replicates"] = self.replicates
        options = dataclasses.replace(USUAL, **given)
        formats = self.format or files.FORMATS
        if self.out is not None:
            check_folder(self.out)
        if self.published is not None:  # what is damaged is said before anything is drawn
            time_ratio.published(self.published, self.reference or time_ratio.USUAL_REFERENCE)
        for path in gallery.draw(self.folders, self.out, self.kind, options, formats):
            print(path)
        return 0


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

    folder: ResultsFolder
    format: Annotated[
        TableFormat | None,
        arg(
            help="latex needs booktabs; csv is unrounded",
            help_behavior_hint="(default: as --out ends, else markdown)",
        ),
    ] = None
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

        if self.out is not None:
            check_file(self.out)
        options = (self.metric, self.rows, self.normalise, self.interval)
        text = report.compose(self.folder, self._format(), *options)
        if self.out is None:
            print(text, end="")
        else:
            write_text(self.out, text)
            print(self.out)
        return 0

    def _format(self) -> TableFormat:
        """The format that was asked for, or that the file's name asks for.

        Raises:
          UserError: the two differ.
        """
        kinds: dict[str, TableFormat] = {".tex": "latex", ".md": "markdown", ".csv": "csv"}
        named = None if self.out is None else kinds.get(self.out.suffix)
        if self.format and named and self.format != named:
            raise UserError(f"{self.out}: is the name of a {named} file; --format is {self.format}")
        return self.format or named or "markdown"
