"""The trials of a tuning run, read from its results folder.

A tuning run is an ordinary sweep whose entries vary settings, by `random` or `grid`: each variant
is a trial, run with every seed. Which settings a label stands for is known from the sweep that the
manifest holds, by the code that made the labels; a guided search leaves a list of its trials.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from rl_es import tables
from rl_es.errors import UserError
from rl_es.files import json_files
from rl_es.files.json_files import Stated
from rl_es.places import Problem
from rl_es.sweep.cells import check_size
from rl_es.sweep.entries import Variation
from rl_es.sweep.schema import Sweep
from rl_es.sweep.variants import count, variants
from rl_es.tuning import record
from rl_es.tuning.record import Ran

Known = list[tuple[str, Mapping[str, Any]]]  # labels and varied settings of trials, in order

WHAT = "manifest of a sweep"
ENDED = ("finished", "diverged", "failed")


class _Manifest(Stated):
    sweep: Sweep


@dataclass(frozen=True)
class Trial:
    """One choice of settings for an agent in an environment.

    Attributes:
      number: its place in the order of trials, from 0.
      label: of its runs.
      settings: the varied ones.
      final: final return of each run that finished.
      area: mean of all evaluations of a run but the one at its start, of each that finished.
      lost: runs that diverged or failed.
      missing: runs that do not exist or have not ended.
      run: the row of one of its runs, for its other settings; empty if there is no run.
    """

    number: int
    label: str
    settings: Mapping[str, Any]
    final: tuple[float, ...]
    area: tuple[float, ...]
    lost: int
    missing: int
    run: Mapping[str, Any]


@dataclass(frozen=True)
class Tuned:
    """A tuning run.

    Attributes:
      sweep: what was run.
      search: how settings were drawn.
      trials: by the labels of environment and agent entry.
    """

    sweep: Sweep
    search: Literal["random", "grid", "tpe"]
    trials: Mapping[tuple[str, str], tuple[Trial, ...]]


def read(folder: Path) -> Tuned:
    """Reads a tuning run.

    Raises:
      UserError: the folder holds no sweep, or one that varies nothing.
    """
    sweep, listed = _sweep(folder / "manifest.json"), record.read(folder)
    varied = [entry for entry in sweep.agents if entry.varied]
    if not varied:
        raise UserError(f"{folder}: its sweep '{sweep.name}' varies nothing by random or grid")
    curves, runs = tables.load(folder)
    ended = curves[curves["generation"] > 0].groupby("run_id")["return_mean"].mean()
    runs = runs.assign(area=runs["run_id"].map(ended))
    found: dict[tuple[str, str], tuple[Trial, ...]] = {}
    for environment in sweep.environments:
        here = runs[runs["env"] == environment.shown]
        for entry in varied:
            pair = environment.shown, entry.shown
            known = _variants(entry) if listed is None else _listed(entry, pair, listed)
            found[pair] = tuple(_trials(folder, sweep, known, here))
    drawn = any(entry.random for entry in varied)
    search = "tpe" if listed is not None else "random" if drawn else "grid"
    return Tuned(sweep, search, found)


def _variants(entry: Variation) -> Known:
    """The variants of an entry."""
    return [(variant.label, variant.settings) for variant in variants(entry)]


def _listed(entry: Variation, pair: tuple[str, str], listed: Sequence[Ran]) -> Known:
    """The trials that a guided search ran; those that it has not reached have no settings."""
    known: Known = [(ran.label, ran.settings) for ran in listed if (ran.env, ran.agent) == pair]
    return known + [("", {})] * (count(entry) - len(known))


def _sweep(path: Path) -> Sweep:
    """The sweep of a folder, by its manifest.

    Raises:
      UserError: there is none, or no sweep, or one of more trials than a sweep can have.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; name the results folder of a tuning run")
    sweep = json_files.read_as(path, _Manifest, WHAT)[0].sweep
    try:
        check_size(sweep)
    except Problem as problem:
        raise json_files.unreadable(path, WHAT, problem) from None
    return sweep


def _trials(folder: Path, sweep: Sweep, known: Known, runs: pd.DataFrame) -> Iterator[Trial]:
    """The trials of one environment and agent entry."""
    rows = runs[runs["seed"].isin(sweep.seeds)]
    rows = rows.assign(words=rows["label"].map(_words))
    told = {_words(label) for label, _ in known}
    twice = rows[rows.duplicated(["words", "seed"]) & rows["words"].isin(told)]
    if len(twice):
        raise UserError(
            f"{folder}: label '{twice['label'].iloc[0]}' stands for runs of several settings, as "
            "of a sweep file that was changed; run the tuning into a folder of its own"
        )
    of = {words: own for words, own in rows.groupby("words")}
    for number, (label, settings) in enumerate(known):
        own = of.get(_words(label), rows[:0])
        ended = own[own["status"].isin(ENDED)]
        good = ended[(ended["status"] == "finished") & ended["final_return"].notna()]
        yield Trial(
            number,
            label,
            settings,
            final=tuple(map(float, good["final_return"])),
            area=tuple(map(float, good["area"])),
            lost=len(ended) - len(good),
            missing=len(sweep.seeds) - len(ended),
            run=own.iloc[0].to_dict() if len(own) else {},
        )


def _words(label: str) -> str:
    """A label with its settings sorted: a manifest does not keep the order of the file."""
    return " ".join(sorted(label.split(" ")))
