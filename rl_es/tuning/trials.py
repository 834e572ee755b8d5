"""The trials of a tuning run, read from its results folder.

A tuning run is an ordinary sweep whose entries vary settings, by `random` or `grid`: each variant
is a trial, run with every seed. Which settings a label stands for is known from the sweep that the
manifest holds, by the code that made the labels; a guided search leaves a list of its trials.

The best trial: by mean final return over the tuning seeds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from rl_es.errors import ConfigError, UserError
from rl_es.results import tables, text_files
from rl_es.results.text_files import FileModel
from rl_es.sweep.cells import check_cell_count
from rl_es.sweep.schema import Sweep, VariedEntry
from rl_es.sweep.variants import count_variants, expand_variants
from rl_es.tuning.search import TrialRecord, read_trials

LabelledSettings = list[
    tuple[str, Mapping[str, Any]]
]  # labels and varied settings of trials, in order

MANIFEST_KIND = "manifest of a sweep"
ENDED_STATUSES = ("finished", "diverged", "failed")


class _TuningManifest(FileModel):
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
class TuningResults:
    """A tuning run.

    Attributes:
      sweep: what was run.
      search: how settings were drawn.
      trials: by the labels of environment and agent entry.
    """

    sweep: Sweep
    search: Literal["random", "grid", "tpe"]
    trials: Mapping[tuple[str, str], tuple[Trial, ...]]


def read_tuning_results(folder: Path) -> TuningResults:
    """Reads a tuning run.

    Raises:
      UserError: the folder holds no sweep, or one that varies nothing.
    """
    sweep, listed = _sweep(folder / "manifest.json"), read_trials(folder)
    varied = [entry for entry in sweep.agents if entry.varied_settings]
    if not varied:
        raise UserError(f"{folder}: its sweep '{sweep.name}' varies nothing by random or grid")
    curves, runs = tables.load_tables(folder)
    ended = curves[curves["generation"] > 0].groupby("run_id")["return_mean"].mean()
    runs = runs.assign(area=runs["run_id"].map(ended))
    found: dict[tuple[str, str], tuple[Trial, ...]] = {}
    for environment in sweep.environments:
        here = runs[runs["env"] == environment.display_name]
        for entry in varied:
            pair = environment.display_name, entry.display_name
            known = _variants(entry) if listed is None else _listed(entry, pair, listed)
            found[pair] = tuple(_trials(folder, sweep, known, here))
    drawn = any(entry.random for entry in varied)
    search = "tpe" if listed is not None else "random" if drawn else "grid"
    return TuningResults(sweep, search, found)


def _variants(entry: VariedEntry) -> LabelledSettings:
    """The variants of an entry."""
    return [(variant.label, variant.settings) for variant in expand_variants(entry)]


def _listed(
    entry: VariedEntry, pair: tuple[str, str], listed: Sequence[TrialRecord]
) -> LabelledSettings:
    """The trials that a guided search ran; those that it has not reached have no settings."""
    known: LabelledSettings = [
        (ran.label, ran.settings) for ran in listed if (ran.env, ran.agent) == pair
    ]
    return known + [("", {})] * (count_variants(entry) - len(known))


def _sweep(path: Path) -> Sweep:
    """The sweep of a folder, by its manifest.

    Raises:
      UserError: there is none, or no sweep, or one of more trials than a sweep can have.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; name the results folder of a tuning run")
    sweep = text_files.read_json_as(path, _TuningManifest, MANIFEST_KIND)[0].sweep
    try:
        check_cell_count(sweep)
    except ConfigError as problem:
        raise text_files.unreadable(path, MANIFEST_KIND, problem) from None
    return sweep


def _trials(
    folder: Path, sweep: Sweep, known: LabelledSettings, runs: pd.DataFrame
) -> Iterator[Trial]:
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
        ended = own[own["status"].isin(ENDED_STATUSES)]
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


CHOSEN_BY = "mean final return"


@dataclass(frozen=True)
class BestTrial:
    """What was picked of the trials of an agent in an environment.

    Attributes:
      best: the trial.
      second: the runner-up; None where no other trial counts.
      trials: how many there were.
      lost: how many of them do not count, since a run diverged or failed.
    """

    best: Trial
    second: Trial | None
    trials: int
    lost: int


def pick_best_trial(trials: Sequence[Trial]) -> BestTrial | str:
    """The best trial and the next one, or the reason why none can be named.

    A trial counts only if all its runs finished: the mean of those that are left after a divergence
    is no fair sample. Equal means, such as those of a task that many trials solve, are ranked by
    the mean over all evaluations, which favours the faster trial, and then by the trials' order.
    """
    missing = sum(trial.missing > 0 for trial in trials)
    if missing or not trials:
        return f"{missing} of {len(trials)} trials have not ended; run the tuning to its end"
    whole = [trial for trial in trials if not trial.lost]
    if not whole:
        return f"each of {len(trials)} trials lost a run (diverged or failed)"
    ranked = sorted(whole, key=lambda t: (-mean_final_return(t), -float(np.mean(t.area)), t.number))
    # A search may propose the same settings twice: those are one run.
    second = next((trial for trial in ranked if trial.label != ranked[0].label), None)
    return BestTrial(ranked[0], second, len(trials), len(trials) - len(whole))


def mean_final_return(trial: Trial) -> float:
    """The mean final return of a trial's finished runs."""
    return float(np.mean(trial.final))
