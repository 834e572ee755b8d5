"""The best settings of a tuning run, put into the text of another sweep file.

Sets values in the text of a sweep file, whose other bytes stay as they are.

What a tuning run picked, in the terminal.
"""

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.table import Table
from rich.text import Text

from rl_es.errors import ConfigPath, UserError, format_path
from rl_es.results import tables
from rl_es.results.text_files import parse_mapping
from rl_es.sweep.cells import Cell, expand_cells
from rl_es.sweep.loading import load_sweep, validate_sweep
from rl_es.sweep.schema import Sweep
from rl_es.sweep.variants import expand_variants
from rl_es.sweep.yaml_reader import parse_yaml
from rl_es.terminal import plain_console, plain_table
from rl_es.tuning.trials import (
    CHOSEN_BY,
    BestTrial,
    TuningResults,
    mean_final_return,
    pick_best_trial,
)

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./=+-]*( [A-Za-z0-9_./=+-]+)*")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "inf", "infinity", "nan"}


def set_value(text: str, place: ConfigPath, value: Any) -> str:
    """The text with `value` at `place`; keys on the way to it are added where they are missing.

    A value that is replaced must be a plain one or one in braces, not a block.

    Args:
      text: a valid sweep file.
      place: keys and list positions; the last is a key. An item of a list that is a plain name
        becomes a mapping with that `name`.
      value: text, number, switch, list or mapping.

    Raises:
      UserError: the place leads through something that is no mapping and no list.
    """
    node = _top(text)
    for depth, part in enumerate(place):
        last = depth == len(place) - 1
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            item = node.value[part]
            if not last and isinstance(item, yaml.ScalarNode):
                named = f"name: {text[_start(item) : _end(item)]}"
                named = f"{{{named}}}" if node.flow_style else named
                return set_value(_splice(text, _start(item), _end(item), named), place, value)
            node = item
        elif isinstance(node, yaml.MappingNode):
            found = next((child for key, child in node.value if key.value == part), None)
            if found is None:
                return _insert(text, node, [str(key) for key in place[depth:]], value)
            node = found
        else:
            raise UserError(f"{format_path(place[:depth])}: is a value, nothing can be put into it")
    return _splice(text, _start(node), _end(node), format_flow(value))


def set_list(text: str, key: str, items: Sequence[Mapping[str, Any]]) -> str:
    """The text with a list of mappings under a key at the top; an earlier value is replaced."""
    lines = [f"{key}:"]
    for item in items:
        for i, (name, value) in enumerate(item.items()):
            lines.append(f"  {'  ' if i else '- '}{format_flow(name)}: {format_flow(value)}")
    node = _top(text)
    if node.flow_style:
        raise UserError("is one mapping in braces; write its keys on lines of their own")
    block = "\n".join(lines)
    for name, child in node.value:
        if name.value == key:
            return _splice(text, _start(name), _line_end(text, _end(child)), block)
    return text.rstrip("\n") + f"\n{block}\n"


def format_flow(value: Any) -> str:
    """A value on one line, as a sweep file spells it."""
    if isinstance(value, Mapping):
        return (
            "{"
            + ", ".join(f"{format_flow(str(k))}: {format_flow(v)}" for k, v in value.items())
            + "}"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(format_flow, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value)


def _insert(text: str, node: yaml.MappingNode, keys: Sequence[str], value: Any) -> str:
    """The text with nested new keys at the end of a mapping."""
    if node.flow_style:
        for key in reversed(keys):
            value = {key: value}
        inside = format_flow(value)[1:-1]
        if not node.value:
            return _splice(text, _end(node) - 1, _end(node) - 1, inside)
        at = _end(node.value[-1][1])
        return _splice(text, at, at, f", {inside}")
    margin = node.start_mark.column
    *above, key = keys
    lines = [f"{' ' * (margin + 2 * i)}{format_flow(name)}:" for i, name in enumerate(above)]
    if above:  # the innermost mapping in braces
        lines[-1] += f" {format_flow({key: value})}"
    else:
        lines = [f"{' ' * margin}{format_flow(key)}: {format_flow(value)}"]
    at = _line_end(text, _end(node))
    return _splice(text, at, at, "\n" + "\n".join(lines))


def _top(text: str) -> yaml.MappingNode:
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(node, yaml.MappingNode)
    return node


def _start(node: yaml.Node) -> int:
    return node.start_mark.index


def _end(node: yaml.Node) -> int:
    """Where a node's own text ends: that of a block at its last value, before any comment."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(node, yaml.MappingNode) else last)
    return node.end_mark.index


def _line_end(text: str, at: int) -> int:
    found = text.find("\n", at)
    return len(text) if found < 0 else found


def _splice(text: str, start: int, end: int, new: str) -> str:
    return text[:start] + new + text[end:]


Pair = tuple[str, str]  # the labels of an environment and an agent entry
MAX_DIFFERENCES = 6  # settings that a note names


@dataclass(frozen=True)
class EditedSweep:
    """A sweep file with tuned settings, not yet written.

    Attributes:
      path: of the file.
      before: its text.
      after: the text with the settings.
      picks: what was picked.
      held: by pair, the values that the file had of the picked settings.
      notes: on what was left alone, and on what differs between tuning and sweep.
    """

    path: Path
    before: str
    after: str
    picks: Mapping[Pair, BestTrial]
    held: Mapping[Pair, Mapping[str, Any]]
    notes: Sequence[str]


def edit_sweep(tuned: TuningResults, path: Path) -> EditedSweep:
    """The sweep file at `path` with the best settings of a tuning run.

    Raises:
      UserError: the file is no valid sweep, before or with the settings; its seeds are those of
        the tuning; or it has no agent and environment with a trial to pick.
    """
    sweep = load_sweep(path)
    if both := sorted({*sweep.seeds} & {*tuned.sweep.seeds}):
        raise UserError(
            f"{path}: seeds: tuning seeds and test seeds must be disjoint; both have {both[0]}"
        )
    notes = list(_alone(tuned, sweep))
    picks: dict[Pair, BestTrial] = {}
    for pair in _common(tuned, sweep, path):
        found = pick_best_trial(tuned.trials[pair])
        if isinstance(found, BestTrial):
            picks[pair] = found
        else:
            notes.append(f"{pair[1]} on {pair[0]}: left as it is: {found}")
    if not picks:
        told = f": {notes[-1]}" if notes else ""
        raise UserError(f"{path}: nothing in it was tuned by '{tuned.sweep.name}'{told}")
    before = path.read_bytes().decode("utf-8-sig")
    try:
        after = _edited(before, sweep, tuned, picks)
        fed = validate_sweep(parse_yaml(after, str(path)))
    except UserError as error:
        raise UserError(f"cannot put the settings into the sweep: {error}") from None
    old, new = _by_pair(sweep), _by_pair(fed)
    _check(path, old, new, picks)
    notes += _differing(new, picks)
    held = {
        pair: {n: old[pair][0].settings[n] for n in picks[pair].best.settings} for pair in picks
    }
    return EditedSweep(path, before, after, picks, held, notes)


def _common(tuned: TuningResults, sweep: Sweep, path: Path) -> Iterator[Pair]:
    """The pairs that both sweeps have."""
    for kind in ("environments", "agents"):
        names = {entry.display_name: entry.name for entry in getattr(tuned.sweep, kind)}
        for i, entry in enumerate(getattr(sweep, kind)):
            if (name := names.get(entry.display_name, entry.name)) != entry.name:
                raise UserError(
                    f"{path}: {kind}[{i}]: '{entry.display_name}' is {entry.name} here, and "
                    f"{name} in the tuning '{tuned.sweep.name}'; give one another label"
                )
    for environment in sweep.environments:
        for agent in sweep.agents:
            if (environment.display_name, agent.display_name) in tuned.trials:
                yield environment.display_name, agent.display_name


def _alone(tuned: TuningResults, sweep: Sweep) -> Iterator[str]:
    """Notes on what of a sweep was not tuned, and on what was tuned but is not in it."""
    tuned_agents = dict.fromkeys(agent for _, agent in tuned.trials)
    tuned_worlds = dict.fromkeys(env for env, _ in tuned.trials)
    agents = [agent.display_name for agent in sweep.agents]
    alone = [agent for agent in agents if agent not in tuned_agents]
    worlds = [e.display_name for e in sweep.environments if e.display_name not in tuned_worlds]
    if worlds:
        yield f"not tuned, left as they are: environments {', '.join(worlds)}"
    if alone:
        yield f"not tuned, left as they are: agents {', '.join(alone)}"
    if unused := [agent for agent in tuned_agents if agent not in agents]:
        yield f"tuned, but not in this sweep: agents {', '.join(unused)}"


def _edited(text: str, sweep: Sweep, tuned: TuningResults, picks: Mapping[Pair, BestTrial]) -> str:
    for i, environment in enumerate(sweep.environments):
        for agent in sweep.agents:
            if (found := picks.get((environment.display_name, agent.display_name))) is not None:
                for name, value in found.best.settings.items():
                    place = ("environments", i, "agents", agent.display_name, name)
                    text = set_value(text, place, value)
    own = _record(tuned, picks)
    kept = [
        record.model_dump(mode="json", exclude_none=True)
        for record in sweep.tuning
        if record.name != tuned.sweep.name
    ]
    return set_list(text, "tuning", [*kept, own])


def _record(tuned: TuningResults, picks: Mapping[Pair, BestTrial]) -> dict[str, Any]:
    """The content of a `rl_es.sweep.schema.Tuning`."""
    worlds = {environment.display_name: environment for environment in tuned.sweep.environments}
    budgets = {env: worlds[env].budget or tuned.sweep.defaults.budget for env, _ in picks}
    return {
        "name": tuned.sweep.name,
        "search": tuned.search,
        "trials": {agent: found.trials for (_, agent), found in picks.items()},
        "seeds": list(tuned.sweep.seeds),
        "budget": {
            env: budget.model_dump(exclude_none=True) for env, budget in budgets.items() if budget
        },
        "chosen_by": CHOSEN_BY,
    }


def _by_pair(sweep: Sweep) -> dict[Pair, list[Cell]]:
    """The cells of one seed, by environment and agent entry."""
    entry = {variant.label: a.display_name for a in sweep.agents for variant in expand_variants(a)}
    found: dict[Pair, list[Cell]] = {}
    for cell in expand_cells(sweep):
        if cell.seed == sweep.seeds[0]:
            found.setdefault((cell.env, entry[cell.label]), []).append(cell)
    return found


def _check(
    path: Path,
    old: Mapping[Pair, Sequence[Cell]],
    new: Mapping[Pair, Sequence[Cell]],
    picks: Mapping[Pair, BestTrial],
) -> None:
    """Refuses a text whose settings are not those that were picked, with all others as before."""
    for pair, before in old.items():
        chosen = picks[pair].best.settings if pair in picks else {}
        expected = [{**cell.settings, **chosen} for cell in before]
        if [cell.settings for cell in new[pair]] != expected:
            raise UserError(
                f"{path}: the settings of '{pair[1]}' on '{pair[0]}' cannot be put in alone (is "
                "a part of the file shared by an alias?); write that part out"
            )


def _differing(
    new: Mapping[Pair, Sequence[Cell]], picks: Mapping[Pair, BestTrial]
) -> Iterator[str]:
    """Notes on settings, other than the tuned ones, in which the sweep and its tuning differ."""
    for pair, found in picks.items():
        run, cell = found.best.run, new[pair][0]
        told = []
        columns_of = [tables.hyper_columns(one.settings) for one in new[pair]]
        for column in columns_of[0]:
            name, then = column.removeprefix("hyper."), run.get(column)
            values = dict.fromkeys(settings[column] for settings in columns_of)
            if name not in found.best.settings and not all(_same(then, one) for one in values):
                told.append(f"{name} {_spelled(then)}, here {', '.join(map(_spelled, values))}")
        world = parse_mapping(run.get("environment"))
        for then, now in (
            (parse_mapping(world.get("options")), cell.env_options),
            (parse_mapping(world.get("wrappers")), cell.wrappers.model_dump(mode="json")),
            (parse_mapping(run.get("policy")), cell.policy.model_dump(mode="json")),
        ):
            told += [
                f"{name} {_spelled(then[name])}, here {_spelled(value)}"
                for name, value in now.items()
                if name in then and then[name] != value
            ]
        if told:
            more = f" and {len(told) - MAX_DIFFERENCES} more" if len(told) > MAX_DIFFERENCES else ""
            yield f"{pair[1]} on {pair[0]}: tuned with {'; '.join(told[:MAX_DIFFERENCES])}{more}"


def _same(one: Any, other: Any) -> bool:
    """Whether a table's value, which may be text or missing, is equal to a setting's."""
    if isinstance(one, str) or isinstance(other, str):
        return _spelled(one) == _spelled(other)
    return (_absent(one) and _absent(other)) or bool(one == other)


def _absent(value: Any) -> bool:
    return value is None or value != value


def _spelled(value: Any) -> str:
    if _absent(value):
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


COLUMNS = ("environment", "agent", "trials", "chosen", "return", "runner-up", "return", "before")
NUMERIC_COLUMNS = (2, 4, 6)


def show_edits(fed: Sequence[EditedSweep], written: bool) -> None:
    """Prints the picks of every file, notes, and what is or would be written."""
    console = plain_console()
    for one in fed:
        console.print(Text(str(one.path), style="bold"))
        console.print(_table(one))
        for note in one.notes:
            console.print(Text(note))
        if written:
            console.print(Text("written" if one.after != one.before else "was so already"))
        else:
            for line in _changes(one):
                console.print(Text(line, style={"+": "green", "-": "red"}.get(line[:1], "dim")))
        console.print()
    console.print(
        Text(
            "return: mean final return over the tuning seeds; ties go to the higher mean of all "
            "evaluations. before: what the sweep had.",
            style="dim",
        )
    )
    if not written:
        console.print(Text("Nothing was written: --write does.", style="bold"))


def _table(fed: EditedSweep) -> Table:
    table = plain_table(COLUMNS, NUMERIC_COLUMNS)
    for (env, agent), pick in fed.picks.items():
        lost = f", {pick.lost} lost" if pick.lost else ""
        second = pick.second
        table.add_row(
            env,
            agent,
            f"{pick.trials}{lost}",
            _settings(pick.best.settings),
            f"{mean_final_return(pick.best):.5g}",
            _settings(second.settings) if second else "-",
            f"{mean_final_return(second):.5g}" if second else "-",
            _settings(fed.held[env, agent]),
        )
    return table


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_value(value)}" for name, value in settings.items())


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _changes(fed: EditedSweep) -> Iterator[str]:
    """The lines that change, without difflib's heads of files."""
    before, after = fed.before.splitlines(), fed.after.splitlines()
    yield from list(difflib.unified_diff(before, after, n=1, lineterm=""))[2:]
