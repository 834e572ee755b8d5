"""What a report is made from: a folder's tables, its surfaces, and what its sweep asked for.

Keeps apart what must not be averaged: runs that share a label but not their settings.

A folder may hold cells of two sweeps, or of one sweep whose file was changed in between. Where one
label then stands for several variants, each gets its own by what tells it from the others in an
environment: the sweep's name, parts of the policy, settings, the code of a plug-in.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from rl_es.analysis.drawing import captions, palette
from rl_es.analysis.drawing.palette import Style
from rl_es.results import manifest, surfaces, tables
from rl_es.results.surfaces import Surface
from rl_es.results.text_files import parse_mapping

_OF_VARIANT = ("agent", "policy")


def separate_variants(
    curves: pd.DataFrame, runs: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables with labels changed where an (env, label) stands for more than one variant."""
    runs = runs.assign(variant=_variants(runs))
    mixed = runs.groupby(["env", "label"])["variant"].transform("nunique") > 1
    repeated = mixed | runs.duplicated(["env", "label", "seed"], keep=False)
    runs, confused = runs.drop(columns="variant"), runs[repeated]
    if confused.empty:
        return curves, runs
    renamed: dict[str, str] = {}
    for label in sorted(confused["label"].unique()):
        renamed |= _names(confused[confused["label"] == label], label)

    def relabel(frame: pd.DataFrame) -> pd.DataFrame:
        new = frame["run_id"].map(renamed)
        return frame.assign(label=new.where(new.notna(), frame["label"]))

    return relabel(curves), relabel(runs)


def _variants(runs: pd.DataFrame) -> pd.Series:
    """Everything that defines a run except its seed, as text."""
    columns = [*_OF_VARIANT, "environment", *(name for name in runs if name.startswith("hyper."))]
    return runs[columns].map(_text).agg("|".join, axis=1)


def _names(runs: pd.DataFrame, label: str) -> dict[str, str]:
    """By run_id, a label that stands for one variant in each environment."""
    told = pd.Series("", index=runs.index)
    for name, text in _differing(runs):
        told = told + ", " + (f"{name}=" if name else "") + text
        if not _repeats(runs, told):
            break
    told = told.str.removeprefix(", ")
    if _repeats(runs, told):  # the same settings twice: other code, or another environment's option
        told = (told + ", run " + runs["run_id"].str[:8]).str.removeprefix(", ")
    return dict(zip(runs["run_id"], label + " (" + told + ")", strict=True))


def _differing(runs: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    """What differs between runs of one environment: its name, if it needs one, and the texts."""
    parts: dict[str, pd.Series] = {"": runs["agent"].map(_text), "sweep": runs["sweep"].map(_text)}
    parts |= _keys(runs["policy"])
    parts |= {
        name.removeprefix("hyper."): runs[name].map(_text)
        for name in runs
        if name.startswith("hyper.")
    }
    parts |= {
        f"code of {name}": text.str[:8]
        for name, text in _keys(runs.get("versions", pd.Series("{}", runs.index))).items()
        if ":" in name  # a plug-in's reference, not a package
    }
    for name, text in parts.items():
        if (text.groupby(runs["env"]).nunique() > 1).any():
            yield name, text


def _keys(texts: pd.Series) -> dict[str, pd.Series]:
    """The values of JSON objects, by key."""
    objects = [parse_mapping(text) for text in texts]
    names = sorted({name for one in objects for name in one})
    return {
        name: pd.Series([_text(one.get(name)) for one in objects], texts.index) for name in names
    }


def _repeats(runs: pd.DataFrame, told: pd.Series) -> bool:
    told = runs.assign(told=told).groupby(["env", "told"])
    return bool((told["variant"].nunique() > 1).any() or told["seed"].agg(_repeat).any())


def _repeat(seeds: pd.Series) -> bool:
    return bool(seeds.duplicated().any())


def _text(value: object) -> str:
    if isinstance(value, float):
        return "none" if np.isnan(value) else f"{value:g}"
    return "none" if value is None else str(value)


@dataclass(frozen=True)
class ResultTables:
    """The results of a folder, or of some of its environments.

    Attributes:
      curves: a row per run and evaluation.
      runs: a row per run.
      styles: of all labels of the folder, in the order of legends.
      surfaces: by environment, of those that have one.
      asked: names of the optional figures that the sweep asks for.
      part_of: the results of the whole folder, if these are only of some of its environments.
    """

    curves: pd.DataFrame
    runs: pd.DataFrame
    styles: Mapping[str, Style]
    surfaces: Mapping[str, Surface] = field(default_factory=dict)
    asked: frozenset[str] = frozenset()
    part_of: "ResultTables | None" = None

    @property
    def whole(self) -> "ResultTables":
        """The results of all environments of the folder."""
        return self.part_of or self

    @property
    def environments(self) -> list[str]:
        """The environments' labels, in natural order."""
        return sorted(self.runs["env"].unique(), key=palette.natural_order)

    @property
    def shown(self) -> dict[str, Style]:
        """The styles of the labels that have a run here, in the order of legends."""
        return palette.style_among(self.styles, self.runs["label"])

    def within(self, environments: Collection[str], /) -> "ResultTables":
        """The results of these environments alone."""
        curves, runs = (
            frame[frame["env"].isin(environments)].reset_index(drop=True)
            for frame in (self.curves, self.runs)
        )
        return replace(self, curves=curves, runs=runs, part_of=self.whole)

    def tables(self) -> dict[str, pd.DataFrame]:
        """All rows, by a table's name."""
        grids = [self.surfaces[env].table() for env in self.environments if env in self.surfaces]
        found = {"curves": self.curves, "runs": self.runs}
        return {**found, "surfaces": pd.concat(grids)} if grids else found

    def counted(self) -> str:
        """'n = 5 seeds', with the exceptions by name."""
        return captions.counts_note(self.runs)


def load(folder: Path, only: Collection[str] | None = None) -> ResultTables:
    """The results of a folder: of its cells, or else of its tables.

    Args:
      folder: of the results.
      only: run_id of the runs that are wanted; None: all.

    Raises:
      UserError: it holds neither, or a damaged file.
    """
    found = tables.load_tables(folder)
    if only is not None:
        found = tuple(one[one["run_id"].isin(only)].reset_index(drop=True) for one in found)
    curves, runs = separate_variants(*found)
    styles = palette.styles(dict(zip(runs["label"], runs["agent"], strict=True)))
    asked = frozenset(manifest.read_sweep_manifest(folder).sweep.get("figures", ()))
    return ResultTables(curves, runs, styles, surfaces.load(folder), asked)
