"""The tables of a results folder: curves, runs, surfaces, and the styles of labels.

Runs that share a label but not their settings must not be averaged. A folder may hold cells of two
sweeps, or of one sweep whose file was changed in between. Where one label then stands for several
variants, each variant gets its own label, with what differs between them in an environment: the
sweep's name, parts of the policy, settings, the code of a plug-in. Runs of two sweeps with equal
settings are one variant, whatever else stands under their label.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from rl_es import registry
from rl_es.analysis import drawing
from rl_es.analysis.drawing import Style, natural_order
from rl_es.results import manifest, surfaces, tables
from rl_es.results.figure_settings import FigureSettings
from rl_es.results.surfaces import Surface
from rl_es.results.text_files import parse_mapping


@dataclass(frozen=True)
class ResultTables:
    """The results of a folder, or of some of its environments.

    Attributes:
      curves: One row a run and evaluation.
      runs: One row a run.
      styles: Styles of all labels of the folder, in the order of legends.
      surfaces: Surfaces by environment, of those that have one.
      baselines: Returns of other methods by environment, of those that have some, and by name.
      plugin_styles: Styles of plug-ins, by reference.
      optional_figures: Names of the optional figures that the sweep requests.
      parent: Results of the whole folder, if these are of some of its environments.
      figure_settings: How the sweep adapts figures.
      environment_order: Environments in the order of figures; empty for the natural order.
      original: Results before figures were adapted; None where they were not.
    """

    curves: pd.DataFrame
    runs: pd.DataFrame
    styles: Mapping[str, Style]
    surfaces: Mapping[str, Surface] = field(default_factory=dict)
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    plugin_styles: Mapping[str, Style] = field(default_factory=dict)
    optional_figures: frozenset[str] = frozenset()
    parent: "ResultTables | None" = None
    figure_settings: FigureSettings = field(default_factory=FigureSettings)
    environment_order: tuple[str, ...] = ()
    original: "ResultTables | None" = None

    @property
    def root(self) -> "ResultTables":
        """The results of all environments of the folder."""
        return self.parent or self

    @property
    def environments(self) -> list[str]:
        """The environments' labels, in the order of figures."""
        environments = sorted(self.runs["env"].unique(), key=natural_order)
        if not self.environment_order:
            return environments
        return [env for env in self.environment_order if env in environments]

    @property
    def legend(self) -> dict[str, Style]:
        """The styles of the labels that have a run here, in the order of legends."""
        return drawing.select_styles(self.styles, self.runs["label"])

    def restyle(self, styles: Mapping[str, Style]) -> dict[str, Style]:
        """Returns styles of labels or agents by new names, in the colours of the settings."""
        settings = self.figure_settings
        names, colours = settings.rename, settings.colours
        return {
            names.get(name, name): replace(
                style, colour=colours.get(name, colours.get(names.get(name, name), style.colour))
            )
            for name, style in styles.items()
        }

    def within(self, environments: Collection[str], /) -> "ResultTables":
        """Returns the results of these environments alone."""
        curves, runs = (
            frame[frame["env"].isin(environments)].reset_index(drop=True)
            for frame in (self.curves, self.runs)
        )
        return replace(self, curves=curves, runs=runs, parent=self.root)

    def tables(self) -> dict[str, pd.DataFrame]:
        """Returns all rows, by a table's name."""
        grids = [self.surfaces[env].table() for env in self.environments if env in self.surfaces]
        frames = {"curves": self.curves, "runs": self.runs}
        frames |= {"surfaces": pd.concat(grids)} if grids else {}
        baselines = [
            {"env": env, "name": name, "value": value}
            for env in self.environments
            for name, value in self.baselines.get(env, {}).items()
        ]
        return frames | ({"baselines": pd.DataFrame(baselines)} if baselines else {})

    @property
    def has_baselines(self) -> bool:
        """Tells whether one of these environments has a baseline."""
        return any(self.baselines.get(env) for env in self.environments)

    def return_label(self, env: str) -> str:
        """Returns what a return of an environment measures, for axes."""
        runs = self.runs[self.runs["env"] == env]
        name = parse_mapping(runs["environment"].iloc[0]).get("name")
        return registry.return_label(name) if isinstance(name, str) else "return"

    def sample_note(self) -> str:
        """Returns 'n = 5 seeds', with the exceptions by name."""
        return drawing.counts_note(self.runs)


def load_results(folder: Path, only: Collection[str] | None = None) -> ResultTables:
    """Loads the results of a folder: of its cells, or else of its tables.

    Args:
      folder: The results folder.
      only: The run_ids to load; None for all.

    Raises:
      UserError: The folder holds neither, or a damaged file.
    """
    frames = tables.load_tables(folder)
    if only is not None:
        frames = tuple(frame[frame["run_id"].isin(only)].reset_index(drop=True) for frame in frames)
    curves, runs = separate_variants(*frames)
    content = manifest.read_sweep_manifest(folder)
    agents = dict(zip(runs["label"], runs["agent"], strict=True))
    styles = drawing.assign_styles(agents, content.styles)
    return ResultTables(
        curves,
        runs,
        styles,
        surfaces.load(folder),
        content.baselines,
        content.styles,
        frozenset(content.optional_figures),
        figure_settings=content.figure_settings,
    )


def separate_variants(
    curves: pd.DataFrame, runs: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Relabels the runs of each (env, label) that stands for more than one variant.

    A variant is everything that defines a run except its seed, as text.
    """
    columns = ["agent", "policy", "environment", *setting_columns(runs)]
    runs = runs.assign(variant=runs[columns].map(_format_value).agg("|".join, axis=1))
    has_variants = runs.groupby(["env", "label"])["variant"].transform("nunique") > 1
    is_duplicate = runs.duplicated(["env", "label", "seed"], keep=False)
    runs, ambiguous = runs.drop(columns="variant"), runs[has_variants | is_duplicate]
    if ambiguous.empty:
        return curves, runs
    labels: dict[str, str] = {}
    for label in sorted(ambiguous["label"].unique()):
        labels |= _variant_labels(ambiguous[ambiguous["label"] == label], label)

    def relabel(frame: pd.DataFrame) -> pd.DataFrame:
        new = frame["run_id"].map(labels)
        return frame.assign(label=new.where(new.notna(), frame["label"]))

    return relabel(curves), relabel(runs)


def setting_columns(runs: pd.DataFrame) -> dict[str, str]:
    """Returns the names of hyperparameters by their columns of the runs table."""
    return {name: name.removeprefix("hyper.") for name in runs if name.startswith("hyper.")}


def _variant_labels(runs: pd.DataFrame, label: str) -> dict[str, str]:
    """Returns labels by run_id, each of which stands for one variant in each environment."""
    suffixes = pd.Series("", index=runs.index)
    for name, texts in _differences(runs):
        suffixes = suffixes + ", " + (f"{name}=" if name else "") + texts
        if not _are_ambiguous(runs, suffixes):
            break
    suffixes = suffixes.str.removeprefix(", ")
    if _are_ambiguous(runs, suffixes):
        # The settings are equal: the code, or an option of the environment, differs.
        suffixes = (suffixes + ", run " + runs["run_id"].str[:8]).str.removeprefix(", ")
    return dict(zip(runs["run_id"], label + " (" + suffixes + ")", strict=True))


def _differences(runs: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    """Yields what differs between runs of one environment: a name, or '', and a text a run.

    The sweep's name comes early where it tells variants apart, and last where two sweeps share one.
    """
    columns: dict[str, pd.Series] = {"": runs["agent"].map(_format_value)}
    sweep = {"sweep": runs["sweep"].map(_format_value)}
    is_shared = bool((runs.groupby(["env", "variant"])["sweep"].nunique() > 1).any())
    columns |= {} if is_shared else sweep
    columns |= _columns_of_json(runs["policy"])
    columns |= {
        name: runs[column].map(_format_value) for column, name in setting_columns(runs).items()
    }
    versions = runs.get("versions", pd.Series("{}", runs.index))
    columns |= {
        f"code of {name}": texts.str[:8]
        for name, texts in _columns_of_json(versions).items()
        if ":" in name  # a plug-in's reference, not a package
    }
    environments = _columns_of_json(runs["environment"])
    columns |= {"data": environments["data"].str[:8]} if "data" in environments else {}
    columns |= sweep
    for name, texts in columns.items():
        if (texts.groupby(runs["env"]).nunique() > 1).any():
            yield name, texts


def _columns_of_json(texts: pd.Series) -> dict[str, pd.Series]:
    """Returns the values of JSON objects as text, by key."""
    mappings = [parse_mapping(text) for text in texts]
    names = sorted({name for mapping in mappings for name in mapping})
    return {
        name: pd.Series([_format_value(mapping.get(name)) for mapping in mappings], texts.index)
        for name in names
    }


def _are_ambiguous(runs: pd.DataFrame, suffixes: pd.Series) -> bool:
    """Tells whether a suffix stands for two variants, or twice for a seed, in an environment."""
    groups = runs.assign(suffix=suffixes).groupby(["env", "suffix"])
    repeats_seed = groups["seed"].agg(lambda seeds: bool(seeds.duplicated().any()))
    return bool((groups["variant"].nunique() > 1).any() or repeats_seed.any())


def _format_value(value: object) -> str:
    if isinstance(value, float):
        return "none" if np.isnan(value) else f"{value:g}"
    return "none" if value is None else str(value)
