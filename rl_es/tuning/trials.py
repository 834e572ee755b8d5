"""The trials of a tuning run, read from its results folder, and the best of them.

A tuning run is an ordinary sweep whose entries vary settings, by `random` or `grid`. Each variant
is a trial and runs with every seed. A random or grid search needs no list of its trials: the sweep
in the manifest gives the labels and their settings. A guided search writes the list `trials.json`.

The best trial is the one with the highest mean final return over the tuning seeds.
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
from rl_es.sweep.variants import Variant, count_variants, expand_variants

TRIALS_FILE = "trials.json"
TRIALS_KIND = "list of trials"
MANIFEST_KIND = "manifest of a sweep"
ENDED_STATUSES = ("finished", "diverged", "failed")
CHOSEN_BY = "mean final return"


class TrialRecord(FileModel):
    """A trial that a guided search has run.

    Attributes:
      env: label of the environment.
      agent: label of the agent entry.
      label: label of the trial's runs.
      settings: the varied settings.
    """

    env: str
    agent: str
    label: str
    settings: dict[str, Any]


class _TrialsFile(FileModel):
    trials: list[TrialRecord]


class _TuningManifest(FileModel):
    sweep: Sweep


@dataclass(frozen=True)
class Trial:
    """A choice of settings for an agent in an environment, with the results of its runs.

    Attributes:
      number: position in the order of trials, from 0.
      label: label of its runs.
      settings: the varied settings.
      final: final return of each run that finished.
      area: mean of all evaluations but the first, of each run that finished.
      lost_runs: number of runs that diverged or failed.
      missing: number of runs that do not exist or have not ended.
      run: row of one of its runs, for the settings that do not vary; empty if there is no run.
    """

    number: int
    label: str
    settings: Mapping[str, Any]
    final: tuple[float, ...]
    area: tuple[float, ...]
    lost_runs: int
    missing: int
    run: Mapping[str, Any]

    @property
    def mean_final_return(self) -> float:
        """Mean final return of the runs that finished."""
        return float(np.mean(self.final))


@dataclass(frozen=True)
class TuningResults:
    """The results of a tuning run.

    Attributes:
      sweep: the sweep of the run.
      search: how settings were proposed.
      trials: by the labels of environment and agent entry.
    """

    sweep: Sweep
    search: Literal["random", "grid", "tpe"]
    trials: Mapping[tuple[str, str], tuple[Trial, ...]]


@dataclass(frozen=True)
class BestTrial:
    """The best of the trials of an agent in an environment.

    Attributes:
      best: the best trial.
      second: the runner-up; None if no other trial counts.
      trials: number of all trials.
      lost_trials: number of trials that do not count, because a run diverged or failed.
    """

    best: Trial
    second: Trial | None
    trials: int
    lost_trials: int


def pick_best_trial(trials: Sequence[Trial]) -> BestTrial | str:
    """Returns the best trial and the runner-up, or the reason why there is none.

    A trial counts only if all its runs finished: the mean of the runs that remain after a
    divergence is biased. Equal means, such as those of a task that many trials solve, are ranked by
    the mean over all evaluations, which favours the faster trial, and then by the trials' order.
    """
    missing = sum(trial.missing > 0 for trial in trials)
    if missing or not trials:
        return f"{missing} of {len(trials)} trials have not ended; run the tuning to its end"
    complete = [trial for trial in trials if not trial.lost_runs]
    if not complete:
        return f"each of {len(trials)} trials lost a run (diverged or failed)"
    ranking = sorted(
        complete, key=lambda t: (-t.mean_final_return, -float(np.mean(t.area)), t.number)
    )
    # A search may propose the same settings twice: those are one run.
    second = next((trial for trial in ranking if trial.label != ranking[0].label), None)
    return BestTrial(ranking[0], second, len(trials), len(trials) - len(complete))


def write_trials(folder: Path, trials: Sequence[TrialRecord]) -> None:
    """Writes the list of a guided search's trials so far."""
    content = {"search": "tpe", "trials": [trial.model_dump() for trial in trials]}
    text_files.write_json(folder / TRIALS_FILE, content)


def read_trials(folder: Path) -> list[TrialRecord] | None:
    """Reads the list of a guided search's trials; None if the folder has no such search.

    Raises:
      UserError: the file is damaged.
    """
    path = folder / TRIALS_FILE
    if not path.exists():
        return None
    return text_files.read_json_as(path, _TrialsFile, TRIALS_KIND)[0].trials


def read_tuning_results(folder: Path) -> TuningResults:
    """Reads a tuning run.

    Raises:
      UserError: the folder holds no sweep, or one that varies nothing.
    """
    sweep, records = _read_sweep(folder / "manifest.json"), read_trials(folder)
    entries = [entry for entry in sweep.agents if entry.varied_settings]
    if not entries:
        raise UserError(f"{folder}: its sweep '{sweep.name}' varies nothing by random or grid")
    curves, runs = tables.load_tables(folder)
    areas = curves[curves["generation"] > 0].groupby("run_id")["return_mean"].mean()
    runs = runs.assign(area=runs["run_id"].map(areas))
    trials: dict[tuple[str, str], tuple[Trial, ...]] = {}
    for environment in sweep.environments:
        env = environment.display_name
        env_runs = runs[runs["env"] == env]
        for entry in entries:
            variants: list[Variant | TrialRecord] = (
                [*expand_variants(entry)]
                if records is None
                else [*_recorded_trials(entry, env, records)]
            )
            pair_trials = _trials(folder, sweep, variants, env_runs)
            trials[env, entry.display_name] = tuple(pair_trials)
    is_random = any(entry.random for entry in entries)
    search = "tpe" if records is not None else "random" if is_random else "grid"
    return TuningResults(sweep, search, trials)


def _read_sweep(path: Path) -> Sweep:
    """Reads the sweep in a manifest; refuses one without a sweep, or with too many trials."""
    if not path.exists():
        raise UserError(f"{path}: no such file; name the results folder of a tuning run")
    sweep = text_files.read_json_as(path, _TuningManifest, MANIFEST_KIND)[0].sweep
    try:
        check_cell_count(sweep)
    except ConfigError as problem:
        raise text_files.unreadable(path, MANIFEST_KIND, problem) from None
    return sweep


def _recorded_trials(
    entry: VariedEntry, env: str, records: Sequence[TrialRecord]
) -> list[TrialRecord]:
    """Returns the trials of a guided search; those that it has not reached have no settings."""
    agent = entry.display_name
    trials = [record for record in records if (record.env, record.agent) == (env, agent)]
    placeholder = TrialRecord(env=env, agent=agent, label="", settings={})
    return trials + [placeholder] * (count_variants(entry) - len(trials))


def _trials(
    folder: Path, sweep: Sweep, variants: Sequence[Variant | TrialRecord], runs: pd.DataFrame
) -> Iterator[Trial]:
    """Yields the trials of an agent entry, from the runs of one environment."""
    rows = runs[runs["seed"].isin(sweep.seeds)]
    rows = rows.assign(label_key=rows["label"].map(_label_key))
    label_keys = {_label_key(variant.label) for variant in variants}
    is_repeated = rows.duplicated(["label_key", "seed"]) & rows["label_key"].isin(label_keys)
    duplicates = rows[is_repeated]
    if len(duplicates):
        raise UserError(
            f"{folder}: label '{duplicates['label'].iloc[0]}' stands for runs of several settings, "
            "as of a sweep file that was changed; run the tuning into a folder of its own"
        )
    rows_by_key = dict(iter(rows.groupby("label_key")))
    for number, variant in enumerate(variants):
        trial_rows = rows_by_key.get(_label_key(variant.label), rows[:0])
        ended_rows = trial_rows[trial_rows["status"].isin(ENDED_STATUSES)]
        finished_rows = ended_rows[
            (ended_rows["status"] == "finished") & ended_rows["final_return"].notna()
        ]
        yield Trial(
            number,
            variant.label,
            variant.settings,
            final=tuple(map(float, finished_rows["final_return"])),
            area=tuple(map(float, finished_rows["area"])),
            lost_runs=len(ended_rows) - len(finished_rows),
            missing=len(sweep.seeds) - len(ended_rows),
            run=trial_rows.iloc[0].to_dict() if len(trial_rows) else {},
        )


def _label_key(label: str) -> str:
    """Returns a label with its settings sorted: a manifest does not keep the order of the file."""
    return " ".join(sorted(label.split(" ")))
