"""Keeps apart what must not be averaged: runs that share a label but not their settings.

A folder may hold cells of two sweeps, or of one sweep whose file was changed in between. Where one
label then stands for several variants, each gets its own by what tells it from the others: the
sweep's name, else the settings that differ.
"""

import numpy as np
import pandas as pd

_OF_VARIANT = ("agent", "sweep", "policy")


def apart(curves: pd.DataFrame, runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables with labels changed where (env, label, seed) would name more than one run."""
    repeated = runs[runs.duplicated(["env", "label", "seed"], keep=False)]
    if repeated.empty:
        return curves, runs
    renamed: dict[str, str] = {}
    for label in sorted(repeated["label"].unique()):
        renamed |= _names(runs[runs["label"] == label], label)

    def relabel(frame: pd.DataFrame) -> pd.DataFrame:
        new = frame["run_id"].map(renamed)
        return frame.assign(label=new.where(new.notna(), frame["label"]))

    return relabel(curves), relabel(runs)


def _names(runs: pd.DataFrame, label: str) -> dict[str, str]:
    """run_id -> a label that is unique among the runs of one seed and environment."""
    settings = [name for name in runs if name.startswith("hyper.")]
    told = pd.Series("", index=runs.index)
    for column in (*_OF_VARIANT, *settings):
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
    return bool(runs.assign(told=told).duplicated(["env", "seed", "told"]).any())


def _text(value: object) -> str:
    if isinstance(value, float):
        return "none" if np.isnan(value) else f"{value:g}"
    return "none" if value is None else str(value)
