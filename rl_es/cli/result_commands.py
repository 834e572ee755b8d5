"""The commands that read results and trained policies.

report, figures, compare and table show results; tensorboard writes them for another program; merge
and references make one table of several folders; evaluate and replay take trained policies. A
command is called, and returns the exit code.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction

from rl_es.cli.arguments import (
    Counts,
    Flag,
    NoReplays,
    Paths,
    ResultsFolder,
    Texts,
    option,
    results_folder,
)
from rl_es.cli.figure_arguments import NO_ADAPTATION, FigureOptionsArgument
from rl_es.cli.run_commands import write_films, write_report
from rl_es.errors import UserError, check_number
from rl_es.results.files import check_file, check_folder, folder_of_results, write_text

TableFormat = Literal["latex", "markdown", "csv"]
MetricName = Literal["final", "best", "auc", "steps_to_threshold", "seconds"]
Metric = Annotated[
    MetricName, option("measure of a run: last or best return, area under the curve, or a time")
]
MOST_REPLICATES = 1_000_000
Normalise = Annotated[
    tuple[str, str] | None,
    option(
        "references that are 0 and 1 on the scale of scores: untrained, threshold, best, a label, "
        "or FILE.csv:COLUMN",
        "LOW HIGH",
        "(default: untrained, and threshold where all have one, else best)",
    ),
]


@dataclasses.dataclass(frozen=True)
class ReportCommand:
    """Write tables, figures and the report of a results folder."""

    folder: ResultsFolder
    no_replays: NoReplays = False

    def __call__(self) -> int:
        folder_of_results(self.folder)
        if not self.no_replays:
            write_films(self.folder)
        write_report(self.folder)
        return 0


@dataclasses.dataclass(frozen=True)
class FiguresCommand:
    """Draw figures of results, speed or gradients folders, adapted to a paper's column or page."""

    folders: Annotated[Paths, option("results folders, or folders that hold some", "DIR")] = ()
    kind: Annotated[
        Texts,
        option(
            "a kind of figure",
            "KIND",
            "(may be repeated; default: each that a folder has something for)",
        ),
    ] = ()
    size: Annotated[
        Literal["auto", "column", "page"],
        option("width: by the number of panels, or 3.25 or 6.75 inches"),
    ] = "auto"
    format: Annotated[
        UseAppendAction[tuple[Literal["png", "svg", "pdf"], ...]],
        option("file format", note="(may be repeated; default: png and svg)"),
    ] = ()
    adaptation: FigureOptionsArgument = NO_ADAPTATION
    normalise: Normalise = None
    reference: Annotated[
        str | None,
        option(
            "label that all others are compared with",
            "LABEL",
            "(default: eggroll where it has runs; else the best, and no ratio of times)",
        ),
    ] = None
    published: Annotated[
        Path | None,
        option(
            "CSV of published times: env, label, reference, ratio; time_ratio shows them",
            "FILE",
            "(default: none)",
        ),
    ] = None
    replicates: Annotated[int | None, option("bootstrap samples", "N", "(default: many)")] = None
    out: Annotated[
        Path | None,
        option(
            "folder that receives a folder of figures for each results folder",
            "DIR",
            "(default: figures/ in each; figures_adapted/ for options from --label to --style)",
        ),
    ] = None
    list: Annotated[
        Flag, option("print the kinds of figures, with their content and needs", note="")
    ] = False

    def __call__(self) -> int:
        from rl_es import registry
        from rl_es.analysis import drawing, gallery
        from rl_es.analysis.figures import cost

        if self.list:
            print(gallery.list_kinds())
            return 0
        if not self.folders:
            raise UserError("figures: needs a folder, or --list")
        check_number("--replicates", self.replicates, 1, MOST_REPLICATES)
        changes: dict[str, Any] = {
            "settings": self.adaptation.settings(self.kind, self.size),
            "reference": self.reference,
            "published_file": self.published,
        }
        if self.normalise is not None:
            changes["low"], changes["high"] = self.normalise
        if self.replicates is not None:
            changes["replicates"] = self.replicates
        options = dataclasses.replace(drawing.DEFAULT_OPTIONS, **changes)
        formats = self.format or drawing.DEFAULT_FORMATS
        if self.out is not None:
            check_folder(self.out)
        if self.published is not None:  # an error before any drawing
            usual = registry.reference_agent("returns", registry.agents.names())
            cost.published_ratios(self.published, self.reference or usual or "")
        for path in gallery.draw_figures(self.folders, self.out, self.kind, options, formats):
            print(path)
        return 0


@dataclasses.dataclass(frozen=True)
class CompareCommand:
    """Compare results folders, the base first: differences, verdicts, seeds that would tell."""

    folders: Annotated[Paths, option("results folders, the base first", "DIR", "")]
    env: Annotated[Texts, option("an environment", note="(may be repeated; default: all)")] = ()
    label: Annotated[
        Texts, option("a label of the base", note="(may be repeated; default: all)")
    ] = ()
    metric: Metric = "final"
    map: Annotated[
        Texts,
        option(
            "compare the base's label OLD with the label NEW of the other folders",
            "OLD=NEW",
            "(may be repeated)",
        ),
    ] = ()
    normalise: Normalise = None
    margin: Annotated[
        float | None,
        option(
            "the smallest effect that matters: of the way from LOW to HIGH, of times as a share of "
            "the base's",
            "SHARE",
            "(default: none)",
        ),
    ] = None
    out: Annotated[
        Path | None, option(None, "DIR", "(default: results/compare/<base>-vs-<other>)")
    ] = None
    fail_if: Annotated[Literal["never", "worse"], option("exit with 1 if any verdict is this")] = (
        "never"
    )

    def __call__(self) -> int:
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
        option(
            "latex needs booktabs; csv is unrounded", note="(default: as --out ends, else markdown)"
        ),
    ] = None
    metric: Metric = "final"
    rows: Annotated[Literal["environments", "labels"], option("content of a row")] = "environments"
    normalise: Normalise = None
    interval: Annotated[bool, option("print intervals beside the means")] = True
    out: Annotated[Path | None, option(None, "FILE", "(default: standard output)")] = None

    def __call__(self) -> int:
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
        """Returns the format of `--format`, else of the file's suffix; refuses two that differ."""
        kinds: dict[str, TableFormat] = {".tex": "latex", ".md": "markdown", ".csv": "csv"}
        file_format = None if self.out is None else kinds.get(self.out.suffix)
        if self.format and file_format and self.format != file_format:
            raise UserError(
                f"{self.out}: is the name of a {file_format} file; --format is {self.format}"
            )
        return self.format or file_format or "markdown"


@dataclasses.dataclass(frozen=True)
class TensorboardCommand:
    """Write the curves of a results folder as TensorBoard's event files, a folder per run."""

    folder: ResultsFolder
    out: Annotated[
        Path | None,
        option(
            "folder of the event files; earlier ones are replaced",
            "DIR",
            "(default: tensorboard/ in the results folder)",
        ),
    ] = None

    def __call__(self) -> int:
        from rl_es.tools import tensorboard

        tensorboard.require_tensorboard()
        if self.out is not None:
            check_folder(self.out)
        runs = tensorboard.write_event_files(self.folder, self.out)
        folder = self.folder / tensorboard.FOLDER if self.out is None else self.out
        print(f"{len(runs)} runs in {folder}; tensorboard --logdir '{folder}' shows them")
        return 0


@dataclasses.dataclass(frozen=True)
class MergeCommand:
    """Write the tables of several results folders as those of one, with a report of it."""

    folders: Annotated[Paths, option("results folders", "DIR", "")]
    out: Annotated[Path, option("folder of the tables", "DIR")]
    label: Annotated[Texts, option("a label to merge", note="(may be repeated; default: all)")] = ()

    def __call__(self) -> int:
        check_folder(self.out)
        from rl_es.analysis import merge

        for path in merge.merge_folders(self.folders, self.out, self.label):
            print(path)
        write_report(self.out)
        return 0


@dataclasses.dataclass(frozen=True)
class ReferencesCommand:
    """Write a table of reference scores: random actions, untrained policies, labels of results."""

    folders: Annotated[Paths, option("results folders; random actions are evaluated again", "DIR")]
    out: Annotated[Path, option("CSV file", "FILE")]
    label: Annotated[
        Texts,
        option("a column of final returns", note="(may be repeated; default: ppo, where it is)"),
    ] = ()
    episodes: Annotated[int, option("number of episodes of random actions in each environment")] = (
        1000
    )
    seed: Annotated[int, option("seed of these episodes")] = 0

    def __call__(self) -> int:
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
        str | None, option("name or label of the environment", "ENV", "(default: all)")
    ] = None
    label: Annotated[str | None, option("label of the agent", "LABEL", "(default: all)")] = None
    episodes: Annotated[int, option("number of episodes of each policy")] = 10
    seed: Annotated[int, option("seed of the episodes, the same for all policies")] = 0
    native: Annotated[
        Flag, option("evaluate in MuJoCo as well, for some of brax's environments", note="")
    ] = False
    stage: Annotated[
        Literal["early", "middle", "final"],
        option("stage of training; only the first seed has early and middle"),
    ] = "final"
    pass_at: Annotated[
        Counts,
        option(
            "pass@K too: the share of starts that one of K sampled episodes solves",
            "K",
            "(may be repeated)",
        ),
    ] = ()
    answers: Annotated[int, option("pass@K: episodes that are sampled of each start")] = 16
    temperature: Annotated[float, option("pass@K: temperature of sampling")] = 1.0
    success: Annotated[float, option("pass@K: return from which on an episode succeeds")] = 1.0

    def __call__(self) -> int:
        from rl_es.tools import evaluate

        print(evaluate.evaluate_policies(**vars(self)))
        return 0


@dataclasses.dataclass(frozen=True)
class ImportCommand:
    """Write a saved policy from published weights of a language model, to start runs from."""

    kind: Annotated[Positional[Literal["rwkv7"]], option("network of the weights")]
    checkpoint: Annotated[
        Positional[Path], option("weights, .pth or .safetensors; nothing in it is executed", "FILE")
    ]
    env: Annotated[str, option("environment of tokens, such as text/files", "ENV")]
    settings: Annotated[
        str | None,
        option("the environment's options: '{vocabulary: PATH.txt, logits: nats}'", "MAPPING", ""),
    ] = None
    out: Annotated[
        Path | None, option("results folder", "DIR", "(default: results/import/<name>)")
    ] = None

    def __call__(self) -> int:
        from rl_es.results.files import slug
        from rl_es.tools.check import parse_settings
        from rl_es.tools.import_rwkv7 import import_rwkv7

        out = results_folder(self.out, "import", slug(self.checkpoint.stem))
        settings = parse_settings(self.settings)
        path, policy = import_rwkv7(self.checkpoint, self.env, settings, out)
        print(f"{path}\nruns start from it with policy: {policy}")
        return 0


@dataclasses.dataclass(frozen=True)
class ReplayCommand:
    """Film an episode of a trained policy: MP4, GIF, or a page with early, middle and final.

    In an environment of text, the policy writes one.
    """

    folder: ResultsFolder
    env: Annotated[
        str | None, option("name or label of the environment", "ENV", "(default: the only one)")
    ] = None
    label: Annotated[
        str | None, option("label of the agent", "LABEL", "(default: highest final return)")
    ] = None
    agent: Annotated[
        str | None, option("agent whose best label is filmed", "AGENT", "(default: any)")
    ] = None
    seed: Annotated[int, option("seed of the run")] = 0
    stage: Annotated[
        Literal["early", "middle", "final", "all"] | None,
        option("stage of training; all: side by side", note="(default: final; html: all)"),
    ] = None
    episode_seed: Annotated[int, option("seed of the episode")] = 0
    format: Annotated[
        Literal["mp4", "gif", "html", "txt"] | None,
        option("file format", note="(default: as --out ends, else mp4; of text: txt)"),
    ] = None
    size: Annotated[str, option("size of each picture in pixels", "WxH")] = "320x240"
    out: Annotated[
        Path | None, option("file of the film", "FILE", "(default: one in DIR/replays)")
    ] = None
    open: Annotated[Flag, option("open the file in a browser", note="")] = False

    def __call__(self) -> int:
        from rl_es.replay import command

        path = command.run_replay(**{k: v for k, v in vars(self).items() if k != "open"})
        print(path)
        if self.open:
            command.open_in_browser(path)
        return 0
