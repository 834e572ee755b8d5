"""The best settings of a tuning run, put into the text of another sweep file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_es import tables
from rl_es.errors import UserError
from rl_es.files.json_files import mapping
from rl_es.sweep.cells import Cell, cells
from rl_es.sweep.loading import checked, load
from rl_es.sweep.reading import parse
from rl_es.sweep.schema import Sweep
from rl_es.sweep.variants import variants
from rl_es.tuning import editing
from rl_es.tuning.picking import CHOSEN_BY, Pick, pick
from rl_es.tuning.trials import Tuned

Pair = tuple[str, str]  # the labels of an environment and an agent entry
SHOWN = 6  # settings that a note names


@dataclass(frozen=True)
class Fed:
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
    picks: Mapping[Pair, Pick]
    held: Mapping[Pair, Mapping[str, Any]]
    notes: Sequence[str]


def feed(tuned: Tuned, path: Path) -> Fed:
    """The sweep file at `path` with the best settings of a tuning run.

    Raises:
      UserError: the file is no valid sweep, before or with the settings; its seeds are those of
        the tuning; or it has no agent and environment with a trial to pick.
    """
    sweep = load(path)
    if both := sorted({*sweep.seeds} & {*tuned.sweep.seeds}):
        raise UserError(
            f"{path}: seeds: tuning seeds and test seeds must be disjoint; both have {both[0]}"
        )
    notes = list(_alone(tuned, sweep))
    picks: dict[Pair, Pick] = {}
    for pair in _common(tuned, sweep, path):
        found = pick(tuned.trials[pair])
        if isinstance(found, Pick):
            picks[pair] = found
        else:
            notes.append(f"{pair[1]} on {pair[0]}: left as it is: {found}")
    if not picks:
        told = f": {notes[-1]}" if notes else ""
        raise UserError(f"{path}: nothing in it was tuned by '{tuned.sweep.name}'{told}")
    before = path.read_bytes().decode("utf-8-sig")
    try:
        after = _edited(before, sweep, tuned, picks)
        fed = checked(parse(after, str(path)))
    except UserError as error:
        raise UserError(f"cannot put the settings into the sweep: {error}") from None
    old, new = _by_pair(sweep), _by_pair(fed)
    _check(path, old, new, picks)
    notes += _differing(new, picks)
    held = {
        pair: {n: old[pair][0].settings[n] for n in picks[pair].best.settings} for pair in picks
    }
    return Fed(path, before, after, picks, held, notes)


def _common(tuned: Tuned, sweep: Sweep, path: Path) -> Iterator[Pair]:
    """The pairs that both sweeps have."""
    for kind in ("environments", "agents"):
        names = {entry.shown: entry.name for entry in getattr(tuned.sweep, kind)}
        for i, entry in enumerate(getattr(sweep, kind)):
            if (name := names.get(entry.shown, entry.name)) != entry.name:
                raise UserError(
                    f"{path}: {kind}[{i}]: '{entry.shown}' is {entry.name} here, and {name} in "
                    f"the tuning '{tuned.sweep.name}'; give one another label"
                )
    for environment in sweep.environments:
        for agent in sweep.agents:
            if (environment.shown, agent.shown) in tuned.trials:
                yield environment.shown, agent.shown


def _alone(tuned: Tuned, sweep: Sweep) -> Iterator[str]:
    """Notes on what of a sweep was not tuned, and on what was tuned but is not in it."""
    tuned_agents = dict.fromkeys(agent for _, agent in tuned.trials)
    tuned_worlds = dict.fromkeys(env for env, _ in tuned.trials)
    agents = [agent.shown for agent in sweep.agents]
    alone = [agent for agent in agents if agent not in tuned_agents]
    worlds = [e.shown for e in sweep.environments if e.shown not in tuned_worlds]
    if worlds:
        yield f"not tuned, left as they are: environments {', '.join(worlds)}"
    if alone:
        yield f"not tuned, left as they are: agents {', '.join(alone)}"
    if unused := [agent for agent in tuned_agents if agent not in agents]:
        yield f"tuned, but not in this sweep: agents {', '.join(unused)}"


def _edited(text: str, sweep: Sweep, tuned: Tuned, picks: Mapping[Pair, Pick]) -> str:
    for i, environment in enumerate(sweep.environments):
        for agent in sweep.agents:
            if (found := picks.get((environment.shown, agent.shown))) is not None:
                for name, value in found.best.settings.items():
                    place = ("environments", i, "agents", agent.shown, name)
                    text = editing.put(text, place, value)
    own = _record(tuned, picks)
    kept = [
        record.model_dump(mode="json", exclude_none=True)
        for record in sweep.tuning
        if record.name != tuned.sweep.name
    ]
    return editing.put_block(text, "tuning", [*kept, own])


def _record(tuned: Tuned, picks: Mapping[Pair, Pick]) -> dict[str, Any]:
    """The content of a `rl_es.sweep.schema.Tuning`."""
    worlds = {environment.shown: environment for environment in tuned.sweep.environments}
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
    entry = {variant.label: a.shown for a in sweep.agents for variant in variants(a)}
    found: dict[Pair, list[Cell]] = {}
    for cell in cells(sweep):
        if cell.seed == sweep.seeds[0]:
            found.setdefault((cell.env, entry[cell.label]), []).append(cell)
    return found


def _check(
    path: Path,
    old: Mapping[Pair, Sequence[Cell]],
    new: Mapping[Pair, Sequence[Cell]],
    picks: Mapping[Pair, Pick],
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


def _differing(new: Mapping[Pair, Sequence[Cell]], picks: Mapping[Pair, Pick]) -> Iterator[str]:
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
        world = mapping(run.get("environment"))
        for then, now in (
            (mapping(world.get("options")), cell.env_options),
            (mapping(world.get("wrappers")), cell.wrappers.model_dump(mode="json")),
            (mapping(run.get("policy")), cell.policy.model_dump(mode="json")),
        ):
            told += [
                f"{name} {_spelled(then[name])}, here {_spelled(value)}"
                for name, value in now.items()
                if name in then and then[name] != value
            ]
        if told:
            more = f" and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
            yield f"{pair[1]} on {pair[0]}: tuned with {'; '.join(told[:SHOWN])}{more}"


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
