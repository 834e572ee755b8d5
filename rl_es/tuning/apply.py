"""Edits a sweep file: puts the best settings of a tuning run into its text, and shows the diff."""

import difflib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from rl_es.errors import ConfigPath, UserError
from rl_es.results import tables
from rl_es.results.text_files import parse_mapping
from rl_es.sweep.cells import Cell, expand_cells
from rl_es.sweep.loading import load_sweep, validate_sweep
from rl_es.sweep.schema import Sweep
from rl_es.sweep.variants import expand_variants
from rl_es.sweep.yaml_reader import parse_yaml
from rl_es.terminal import plain_console, plain_table
from rl_es.tuning.trials import CHOSEN_BY, BestTrial, Trial, TuningResults, pick_best_trial
from rl_es.tuning.yaml_editor import set_list, set_value

Pair = tuple[str, str]  # the labels of an environment and an agent entry

MAX_DIFFERENCES = 6  # settings that a note names
COLUMNS = ("environment", "agent", "trials", "chosen", "return", "runner-up", "return", "before")
NUMERIC_COLUMNS = (2, 4, 6)


@dataclass(frozen=True)
class EditedSweep:
    """A sweep file with tuned settings, not yet written.

    Attributes:
      path: path of the file.
      before: text of the file.
      after: text with the tuned settings.
      picks: best trial of each pair.
      old_settings: the file's own values of the tuned settings, by pair.
      notes: on what stays as it is, and on differences between tuning and sweep.
    """

    path: Path
    before: str
    after: str
    picks: Mapping[Pair, BestTrial]
    old_settings: Mapping[Pair, Mapping[str, Any]]
    notes: Sequence[str]


def edit_sweep(results: TuningResults, path: Path) -> EditedSweep:
    """Puts the best settings of a tuning run into the sweep file at `path`.

    Raises:
      UserError: the file is no valid sweep, before or after the edit; it shares seeds with the
        tuning; or no agent and environment of it has a trial to pick.
    """
    sweep = load_sweep(path)
    if common_seeds := sorted({*sweep.seeds} & {*results.sweep.seeds}):
        raise UserError(
            f"{path}: seeds: tuning seeds and test seeds must be disjoint; both have "
            f"{common_seeds[0]}"
        )
    notes = list(_untuned_notes(results, sweep))
    picks: dict[Pair, BestTrial] = {}
    for pair in _common_pairs(results, sweep, path):
        pick = pick_best_trial(results.trials[pair])
        if isinstance(pick, BestTrial):
            picks[pair] = pick
        else:
            notes.append(f"{pair[1]} on {pair[0]}: left as it is: {pick}")
    if not picks:
        reason = f": {notes[-1]}" if notes else ""
        raise UserError(f"{path}: nothing in it was tuned by '{results.sweep.name}'{reason}")
    before = path.read_bytes().decode("utf-8-sig")
    try:
        after = _edit_text(before, sweep, results, picks)
        new_sweep = validate_sweep(parse_yaml(after, str(path)))
    except UserError as error:
        raise UserError(f"cannot put the settings into the sweep: {error}") from None
    old_cells, new_cells = _cells_by_pair(sweep), _cells_by_pair(new_sweep)
    _check_edit(path, old_cells, new_cells, picks)
    notes += _difference_notes(new_cells, picks)
    old_settings = {
        pair: {name: old_cells[pair][0].settings[name] for name in pick.best.settings}
        for pair, pick in picks.items()
    }
    return EditedSweep(path, before, after, picks, old_settings, notes)


def _common_pairs(results: TuningResults, sweep: Sweep, path: Path) -> Iterator[Pair]:
    """Yields the pairs that both sweeps have; refuses a label that names two things."""
    for kind in ("environments", "agents"):
        names = {entry.display_name: entry.name for entry in getattr(results.sweep, kind)}
        for i, entry in enumerate(getattr(sweep, kind)):
            if (name := names.get(entry.display_name, entry.name)) != entry.name:
                raise UserError(
                    f"{path}: {kind}[{i}]: '{entry.display_name}' is {entry.name} here, and "
                    f"{name} in the tuning '{results.sweep.name}'; give one another label"
                )
    for environment in sweep.environments:
        for agent in sweep.agents:
            if (environment.display_name, agent.display_name) in results.trials:
                yield environment.display_name, agent.display_name


def _untuned_notes(results: TuningResults, sweep: Sweep) -> Iterator[str]:
    """Yields notes on what of a sweep was not tuned, and on tuned agents that it lacks."""
    tuned_envs = {env for env, _ in results.trials}
    tuned_agents = dict.fromkeys(agent for _, agent in results.trials)
    envs = [environment.display_name for environment in sweep.environments]
    agents = [agent.display_name for agent in sweep.agents]
    if names := [env for env in envs if env not in tuned_envs]:
        yield f"not tuned, left as they are: environments {', '.join(names)}"
    if names := [agent for agent in agents if agent not in tuned_agents]:
        yield f"not tuned, left as they are: agents {', '.join(names)}"
    if absent := [agent for agent in tuned_agents if agent not in agents]:
        yield f"tuned, but not in this sweep: agents {', '.join(absent)}"


def _edit_text(
    text: str, sweep: Sweep, results: TuningResults, picks: Mapping[Pair, BestTrial]
) -> str:
    """Returns the sweep's text with the picked settings and the record of the tuning."""
    for i, environment in enumerate(sweep.environments):
        for agent in sweep.agents:
            pick = picks.get((environment.display_name, agent.display_name))
            for name, value in pick.best.settings.items() if pick else ():
                path: ConfigPath = ("environments", i, "agents", agent.display_name, name)
                text = set_value(text, path, value)
    records = [
        record.model_dump(mode="json", exclude_none=True)
        for record in sweep.tuning
        if record.name != results.sweep.name
    ]
    return set_list(text, "tuning", [*records, _tuning_record(results, picks)])


def _tuning_record(results: TuningResults, picks: Mapping[Pair, BestTrial]) -> dict[str, Any]:
    """Returns the content of a `rl_es.sweep.schema.Tuning`."""
    environments = {entry.display_name: entry for entry in results.sweep.environments}
    budgets = {env: environments[env].budget or results.sweep.defaults.budget for env, _ in picks}
    return {
        "name": results.sweep.name,
        "search": results.search,
        "trials": {agent: pick.trials for (_, agent), pick in picks.items()},
        "seeds": list(results.sweep.seeds),
        "budget": {
            env: budget.model_dump(exclude_none=True) for env, budget in budgets.items() if budget
        },
        "chosen_by": CHOSEN_BY,
    }


def _cells_by_pair(sweep: Sweep) -> dict[Pair, list[Cell]]:
    """Returns the cells of the first seed, by environment and agent entry."""
    entry_labels = {
        variant.label: agent.display_name
        for agent in sweep.agents
        for variant in expand_variants(agent)
    }
    cells: dict[Pair, list[Cell]] = {}
    for cell in expand_cells(sweep):
        if cell.seed == sweep.seeds[0]:
            cells.setdefault((cell.env, entry_labels[cell.label]), []).append(cell)
    return cells


def _check_edit(
    path: Path,
    old_cells: Mapping[Pair, Sequence[Cell]],
    new_cells: Mapping[Pair, Sequence[Cell]],
    picks: Mapping[Pair, BestTrial],
) -> None:
    """Refuses an edit that changes anything but the picked settings, or not all of these."""
    for pair, cells in old_cells.items():
        best_settings = picks[pair].best.settings if pair in picks else {}
        new_settings = [{**cell.settings, **best_settings} for cell in cells]
        if [cell.settings for cell in new_cells[pair]] != new_settings:
            raise UserError(
                f"{path}: the settings of '{pair[1]}' on '{pair[0]}' cannot be put in alone (is "
                "a part of the file shared by an alias?); write that part out"
            )


def _difference_notes(
    cells: Mapping[Pair, Sequence[Cell]], picks: Mapping[Pair, BestTrial]
) -> Iterator[str]:
    """Yields notes on values, other than the tuned settings, that differ from the tuning run's."""
    for (env, agent), pick in picks.items():
        if differences := list(_differences(pick.best, cells[env, agent])):
            details = "; ".join(differences[:MAX_DIFFERENCES])
            rest = len(differences) - MAX_DIFFERENCES
            more = f" and {rest} more" if rest > 0 else ""
            yield f"{agent} on {env}: tuned with {details}{more}"


def _differences(trial: Trial, cells: Sequence[Cell]) -> Iterator[str]:
    """Yields the differences in other settings, the environment and the policy."""
    columns = [tables.hyper_columns(cell.settings) for cell in cells]
    for column in columns[0]:
        name, tuning_value = column.removeprefix("hyper."), trial.run.get(column)
        values = dict.fromkeys(settings[column] for settings in columns)
        if name in trial.settings or all(_is_same(tuning_value, value) for value in values):
            continue
        spellings = ", ".join(map(_format_value, values))
        yield f"{name} {_format_value(tuning_value)}, here {spellings}"
    cell, environment = cells[0], parse_mapping(trial.run.get("environment"))
    for tuning_values, values in (
        (parse_mapping(environment.get("options")), cell.env_options),
        (parse_mapping(environment.get("wrappers")), cell.wrappers.model_dump(mode="json")),
        (parse_mapping(trial.run.get("policy")), cell.policy.model_dump(mode="json")),
    ):
        for name, value in values.items():
            if name in tuning_values and tuning_values[name] != value:
                yield f"{name} {_format_value(tuning_values[name])}, here {_format_value(value)}"


def _is_same(table_value: Any, setting: Any) -> bool:
    """Returns whether a table's value, which may be text or missing, equals a setting."""
    if isinstance(table_value, str) or isinstance(setting, str):
        return _format_value(table_value) == _format_value(setting)
    both_missing = _is_missing(table_value) and _is_missing(setting)
    return both_missing or bool(table_value == setting)


def _is_missing(value: Any) -> bool:
    return value is None or value != value


def _format_value(value: Any) -> str:
    if _is_missing(value):
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def show_edits(edits: Iterable[EditedSweep], is_written: bool) -> None:
    """Prints the picks and notes of every file, and the lines that were or would be changed."""
    console = plain_console()
    for edit in edits:
        console.print(Text(str(edit.path), style="bold"))
        console.print(_table(edit))
        for note in edit.notes:
            console.print(Text(note))
        if is_written:
            console.print(Text("written" if edit.after != edit.before else "was so already"))
        else:
            texts = edit.before.splitlines(), edit.after.splitlines()
            diff = difflib.unified_diff(*texts, n=1, lineterm="")
            for line in itertools.islice(diff, 2, None):  # without the names of the files
                console.print(Text(line, style={"+": "green", "-": "red"}.get(line[:1], "dim")))
        console.print()
    console.print(
        Text(
            "return: mean final return over the tuning seeds; ties go to the higher mean of all "
            "evaluations. before: what the sweep had.",
            style="dim",
        )
    )
    if not is_written:
        console.print(Text("Nothing was written: --write does.", style="bold"))


def _table(edit: EditedSweep) -> Table:
    table = plain_table(COLUMNS, NUMERIC_COLUMNS)
    for (env, agent), pick in edit.picks.items():
        loss = f", {pick.lost_trials} lost" if pick.lost_trials else ""
        trials = [
            (_format_settings(trial.settings), f"{trial.mean_final_return:.5g}")
            if trial
            else ("-", "-")
            for trial in (pick.best, pick.second)
        ]
        before = _format_settings(edit.old_settings[env, agent])
        table.add_row(env, agent, f"{pick.trials}{loss}", *trials[0], *trials[1], before)
    return table


def _format_settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {f'{value:.3g}' if isinstance(value, float) else value}"
        for name, value in settings.items()
    )
