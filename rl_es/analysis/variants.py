"""Keeps apart what must not be averaged: runs that share a label but not their settings.

A folder may hold cells of two sweeps, or of one sweep whose file was changed in between. Where one
label then stands for several variants, each gets its own by what tells it from the others: the
sweep's name, else the settings that differ.
"""

import numpy as np
import pandas as pd

_OF_VARIANT = ("agent", "policy")


def apart(curves: pd.DataFrame, runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
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
    settings = [name for name in runs if name.startswith("hyper.")]
    told = pd.Series("", index=runs.index)
    for column in (*_OF_VARIANT[:1], "sweep", *_OF_VARIANT[1:], *settings):
        text = runs[column].map(_text)
        if text.nunique() > 1:
            name = "" if column in _OF_VARIANT else column.removeprefix("hyper.") + "="
            told = told + ", " + name + text
            if not _repeats(runs, told):
                break
    told = told.str.removeprefix(", ")
    if _repeats(runs, told):  # the same settings twice: other code, or another environment's option
        told = (told + ", run " + runs["run_id"].str[:8]).str.removeprefix(", ")
    return dict(zip(runs["run_id"], label + " (" + told + ")", strict=True))


def _repeats(runs: pd.DataFrame, told: pd.Series) -> bool:
    told = runs.assign(told=told).groupby(["env", "told"])
    return bool((told["variant"].nunique() > 1).any() or told["seed"].agg(_repeat).any())


def _repeat(seeds: pd.Series) -> bool:
    return bool(seeds.duplicated().any())


def _text(value: object) -> str:
    if isinstance(value, float):
        return "none" if np.isnan(value) else f"{value:g}"
    return "none" if value is None else str(value)
