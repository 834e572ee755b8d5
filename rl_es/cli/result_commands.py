"""The commands that read results and trained policies.

report, figures, compare and table show results; tensorboard writes them for another program; merge
and references make one table of several folders; evaluate and replay take trained policies.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import FlagCreatePairsOff, Positional, UseAppendAction, arg

from rl_es.cli.arguments import NoReplays, ResultsFolder
from rl_es.cli.run_commands import write_films, write_report
from rl_es.errors import UserError, check_number
from rl_es.results.files import check_file, check_folder, folder_of_results, write_text

TableFormat = Literal["latex", "markdown", "csv"]
MetricName = Literal["final", "best", "auc", "steps_to_threshold", "seconds"]
Metric = Annotated[
    MetricName,
    arg(help="measure of a run: last or best return, area under the curve, or a time"),
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
class ReportCommand:
    """Write tables, figures and the report of a results folder."""

    folder: ResultsFolder
    no_replays: NoReplays = False

    def __call__(self) -> int:
        """Returns the exit code."""
        folder_of_results(self.folder)
        if not self.no_replays:
            write_films(self.folder)
        write_report(self.folder)
        return 0


@dataclasses.dataclass(frozen=True)
class FiguresCommand:
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
        arg(help="width: by the number of panels, or 3.25 or 6.75 inches"),
    ] = "auto"
    format: Annotated[
        UseAppendAction[tuple[Literal["png", "svg", "pdf"], ...]],
        arg(help="file format", help_behavior_hint="(may be repeated; default: png and svg)"),
    ] = ()
    normalise: Normalise = None
    reference: Annotated[
        str | None,
        arg(
            metavar="LABEL",
            help="label that all others are compared with",
            help_behavior_hint="(default: eggroll where it is)",
        ),
    ] = None
    published: Annotated[
        Path | None,
        arg(
            metavar="FILE",
            help="CSV of published times: env, label, reference, ratio; time_ratio shows them",
            help_behavior_hint="(default: none)",
        ),
    ] = None
    replicates: Annotated[
        int | None, arg(metavar="N", help="bootstrap samples", help_behavior_hint="(default: many)")
    ] = None
    out: Annotated[
        Path | None,
        arg(
            metavar="DIR",
            help="folder that receives a folder of figures for each results folder",
            help_behavior_hint="(default: figures/ in each)",
        ),
    ] = None
    list: Annotated[
        FlagCreatePairsOff[bool],
        arg(help="print the kinds of figures, with their content and needs", help_behavior_hint=""),
    ] = False

    def __call__(self) -> int:
        """Returns the exit code."""
        from rl_es.analysis import gallery
        from rl_es.analysis.drawing import figure_kinds
        from rl_es.analysis.drawing.figure_kinds import DEFAULT_OPTIONS
        from rl_es.analysis.drawing.layout import SHEETS
        from rl_es.analysis.figures import cost

        if self.list:
            print(gallery.list_kinds())
            return 0
        if not self.folders:
            raise UserError("figures: needs a folder, or --list")
        check_number("--replicates", self.replicates, 1, MOST_REPLICATES)
        changes: dict[str, Any] = {"sheet": SHEETS[self.size], "reference": self.reference}
        changes["published"] = self.published
        if self.normalise is not None:
            changes |= dict(zip(("low", "high"), self.normalise, strict=True))
        if self.replicates is not None:
            changes["replicates"] = self.replicates
        options = dataclasses.replace(DEFAULT_OPTIONS, **changes)
        formats = self.format or figure_kinds.DEFAULT_FORMATS
        if self.out is not None:
            check_folder(self.out)
        if self.published is not None:  # an error before any drawing
            cost.published_ratios(self.published, self.reference or cost.DEFAULT_REFERENCE)
        for path in gallery.draw_figures(self.folders, self.out, self.kind, options, formats):
            print(path)
        return 0


@dataclasses.dataclass(frozen=True)
class CompareCommand:
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
            help="compare the base's label OLD with the label NEW of the other folders",
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
        from rl_es.analysis.comparison.report import publish
        from rl_es.analysis.comparison.summary import compare_folders

        comparison = compare_folders(
            self.folders,
            environments=self.env,
            labels=self.label,
            metric=self.metric,
            renamings=self.map,
            normalise=self.normalise,
            margin=self.margin,
        )
        for path in publish(comparison, self.out):
            print(path)
        return 1 if self.fail_if == "worse" and comparison.counts["worse"] else 0


@dataclasses.dataclass(frozen=True)
class TableCommand:
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
    rows: Annotated[Literal["environments", "labels"], arg(help="content of a row")] = (
        "environments"
    )
    normalise: Normalise = None
    interval: Annotated[bool, arg(help="print intervals beside the means")] = True
    out: Annotated[
        Path | None, arg(metavar="FILE", help_behavior_hint="(default: standard output)")
    ] = None

    def __call__(self) -> int:
        """Returns the exit code."""
        from rl_es.analysis import publication

        if self.out is not None:
            check_file(self.out)
        options = (self.metric, self.rows, self.normalise, self.interval)
        text = publication.compose(self.folder, self._format(), *options)
        if self.out is None:
            print(text, end="")
        else:
            write_text(self.out, text)
            print(self.out)
        return 0

    def _format(self) -> TableFormat:
        """Returns the format of `--format`, else the one of the file's suffix.

        Raises:
          UserError: the two differ.
        """
        kinds: dict[str, TableFormat] = {".tex": "latex", ".md": "markdown", ".csv": "csv"}
        named = None if self.out is None else kinds.get(self.out.suffix)
        if self.format and named and self.format != named:
            raise UserError(f"{self.out}: is the name of a {named} file; --format is {self.format}")
        return self.format or named or "markdown"


@dataclasses.dataclass(frozen=True)
class TensorboardCommand:
    """Write the curves of a results folder as TensorBoard's event files, a folder per run."""

    folder: ResultsFolder
    out: Annotated[
        Path | None,
        arg(
            metavar="DIR",
            help="folder of the event files; earlier ones are replaced",
            help_behavior_hint="(default: tensorboard/ in the results folder)",
        ),
    ] = None

    def __call__(self) -> int:
        """Returns the exit code."""
        from rl_es.tools import tensorboard

        tensorboard.require_tensorboard()
        if self.out is not None:
            check_folder(self.out)
        written = tensorboard.write_event_files(self.folder, self.out)
        folder = self.folder / tensorboard.FOLDER if self.out is None else self.out
        print(f"{len(written)} runs in {folder}; tensorboard --logdir '{folder}' shows them")
        return 0


@dataclasses.dataclass(frozen=True)
class MergeCommand:
    """Write the tables of several results folders as those of one, with a report of it."""

    folders: Annotated[
        Positional[tuple[Path, ...]],
        arg(metavar="DIR", help="results folders", help_behavior_hint=""),
    ]
    out: Annotated[Path, arg(metavar="DIR", help="folder of the tables")]

    def __call__(self) -> int:
        """Returns the exit code."""
        check_folder(self.out)
        from rl_es.analysis import merge

        for path in merge.merge_folders(self.folders, self.out):
            print(path)
        write_report(self.out)
        return 0


@dataclasses.dataclass(frozen=True)
class ReferencesCommand:
    """Write a table of reference scores: random actions, untrained policies, labels of results."""

    folders: Annotated[
        Positional[tuple[Path, ...]],
        arg(metavar="DIR", help="results folders; random actions are evaluated again"),
    ]
    out: Annotated[Path, arg(metavar="FILE", help="CSV file")]
    label: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(
            help="a column of final returns",
            help_behavior_hint="(may be repeated; default: ppo, where it is)",
        ),
    ] = ()
    episodes: Annotated[
        int, arg(help="number of episodes of random actions in each environment")
    ] = 1000
    seed: Annotated[int, arg(help="seed of these episodes")] = 0

    def __call__(self) -> int:
        """Returns the exit code."""
        check_file(self.out)
        from rl_es.tools import reference_scores

        print(
            reference_scores.write_references(
                self.folders, self.out, self.label, self.episodes, self.seed
            )
        )
        return 0


@dataclasses.dataclass(frozen=True)
class EvaluateCommand:
    """Evaluate the saved policies of a results folder on fresh episodes; write evaluations.csv."""

    folder: ResultsFolder
    env: Annotated[
        str | None,
        arg(
            metavar="ENV",
            help="name or label of the environment",
            help_behavior_hint="(default: all)",
        ),
    ] = None
    label: Annotated[
        str | None,
        arg(metavar="LABEL", help="label of the agent", help_behavior_hint="(default: all)"),
    ] = None
    episodes: Annotated[int, arg(help="number of episodes of each policy")] = 10
    seed: Annotated[int, arg(help="seed of the episodes, the same for all policies")] = 0
    native: Annotated[
        FlagCreatePairsOff[bool],
        arg(
            help="evaluate in MuJoCo as well, for some of brax's environments",
            help_behavior_hint="",
        ),
    ] = False
    stage: Annotated[
        Literal["early", "middle", "final"],
        arg(help="stage of training; only the first seed has early and middle"),
    ] = "final"

    def __call__(self) -> int:
        """Returns the exit code."""
        from rl_es.tools import evaluate

        print(evaluate.evaluate_policies(**vars(self)))
        return 0


@dataclasses.dataclass(frozen=True)
class ReplayCommand:
    """Film an episode of a trained policy: MP4, GIF, or a page with early, middle and final."""

    folder: ResultsFolder
    env: Annotated[
        str | None,
        arg(
            metavar="ENV",
            help="name or label of the environment",
            help_behavior_hint="(default: the only one)",
        ),
    ] = None
    label: Annotated[
        str | None,
        arg(
            metavar="LABEL",
            help="label of the agent",
            help_behavior_hint="(default: highest final return)",
        ),
    ] = None
    agent: Annotated[
        str | None,
        arg(
            metavar="AGENT",
            help="agent whose best label is filmed",
            help_behavior_hint="(default: any)",
        ),
    ] = None
    seed: Annotated[int, arg(help="seed of the run")] = 0
    stage: Annotated[
        Literal["early", "middle", "final", "all"] | None,
        arg(
            help="stage of training; all: side by side",
            help_behavior_hint="(default: final; html: all)",
        ),
    ] = None
    episode_seed: Annotated[int, arg(help="seed of the episode")] = 0
    format: Annotated[
        Literal["mp4", "gif", "html"] | None,
        arg(help="file format", help_behavior_hint="(default: as --out ends, else mp4)"),
    ] = None
    size: Annotated[str, arg(metavar="WxH", help="size of each picture in pixels")] = "320x240"
    out: Annotated[
        Path | None,
        arg(
            metavar="FILE",
            help="file of the film",
            help_behavior_hint="(default: one in DIR/replays)",
        ),
    ] = None
    open: Annotated[
        FlagCreatePairsOff[bool], arg(help="open the file in a browser", help_behavior_hint="")
    ] = False

    def __call__(self) -> int:
        """Returns the exit code."""
        from rl_es.replay import command

        chosen = vars(self) | {}
        opened = chosen.pop("open")
        path = command.run_replay(**chosen)
        print(path)
        if opened:
            command.open_in_browser(path)
        return 0
