"""A sweep file, and what the command line sets, to a checked `Sweep`.

Command-line overrides of a sweep file: `--set PATH=VALUE`.

A path names keys joined by dots, list items by position, label or name:
`defaults.budget.env_steps=1e5`, `agents.eggroll.with.lr=0.1`, `environments.0.threshold=400`.
The value is read as YAML. `budget.env_steps=1e5`, at the top, is the budget of the whole sweep:
it takes the place of the default and of every environment's own; `evaluation` and `policy`
likewise set a key everywhere that an environment or agent could.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from rl_es.config import Config
from rl_es.errors import (
    ConfigError,
    ConfigPath,
    UserError,
    brief,
    did_you_mean,
    explain_validation,
    format_path,
)
from rl_es.sweep.cells import check_sweep
from rl_es.sweep.schema import Sweep
from rl_es.sweep.yaml_reader import Document, parse_value, read_yaml

MAX_PARTS = 200  # of a path; names may hold dots

# What may be set for the whole sweep, and the lists whose entries may state it too.
SWEEP_WIDE: Mapping[str, Sequence[str]] = {
    "budget": ["environments"],
    "evaluation": ["environments"],
    "policy": ["environments", "agents"],
}


def override(
    document: Document,
    assignments: Iterable[str],
    everywhere: Mapping[str, Sequence[str]] = SWEEP_WIDE,
) -> None:
    """Applies `PATH=VALUE` assignments, in order, to a document.

    Args:
      document: changed in place.
      assignments: as the command line gives them.
      everywhere: keys that may be set for the whole file, and the lists whose entries have them.

    Raises:
      UserError: an assignment has no `=`, its value is not YAML, or its path leads nowhere.
    """
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        parts = path.strip().split(".")
        if not equals or not all(parts):
            raise UserError(
                f"--set {brief(assignment)}: must be PATH=VALUE, such as budget.env_steps=1e5"
            )
        if len(parts) > MAX_PARTS:
            raise UserError(f"--set {brief(assignment)}: no path has {len(parts)} parts")
        try:
            value = parse_value(text)
            if value is None and parts != ["description"]:
                raise UserError("has no value (null)")
            if parts[0] in everywhere and parts[0] not in document.content:
                _set_everywhere(document, parts, value, everywhere[parts[0]])
            else:
                _set(document, document.content, parts, value, ())
        except UserError as error:
            raise UserError(f"--set {brief(assignment)}: {error}") from None


def _set_everywhere(
    document: Document, parts: list[str], value: Any, tables: Sequence[str]
) -> None:
    for table in tables:
        entries = document.content.get(table)
        for entry in entries if isinstance(entries, list) else ():
            own = entry.get(parts[0]) if isinstance(entry, dict) else None
            if isinstance(own, dict):
                # A budget is one number, so the whole sweep's replaces any other kind.
                if parts[0] == "budget" or not parts[1:]:
                    own.clear()
                else:
                    own.pop(parts[1], None)
                if not own:
                    del entry[parts[0]]
    _set(document, document.content, ["defaults", *parts], value, ())


def _set(document: Document, holder: Any, parts: list[str], value: Any, place: ConfigPath) -> None:
    """Sets `value` at `parts` under `holder`, which stands at `place`; makes missing mappings."""
    if isinstance(holder, list):
        index, used = _item(holder, parts)
        if parts[used:] and isinstance(holder[index], str):
            holder[index] = {"name": holder[index]}
        key: str | int = index
    elif isinstance(holder, dict):
        used = _longest(parts, holder) or 1
        key = ".".join(parts[:used])
        if len(place) and place[-1] == "budget":
            holder.clear()
    else:
        raise UserError(f"'{format_path(place)}' is a value, nothing lies in it")
    here = (*place, key)
    if parts[used:]:
        if isinstance(holder, dict):
            holder.setdefault(key, {})
        _set(document, holder[key], parts[used:], value, here)  # type: ignore[index]
    else:
        holder[key] = value  # type: ignore[index]
        for noted in [noted for noted in document.origins if noted[: len(here)] == here]:
            del document.origins[noted]
        document.origins[here] = "--set"


def _longest(parts: list[str], names: Iterable[str]) -> int:
    """How many leading parts make the longest of the names, since names may hold dots."""
    names = set(names)
    return next((n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in names), 0)


def _item(items: list[Any], parts: list[str]) -> tuple[int, int]:
    """The position of the item that the leading parts name, and how many parts name it."""
    if parts[0].isdecimal():
        index = int(parts[0][:9])
        if index >= len(items):
            raise UserError(f"there is no item {index}; the list has {len(items)}, from 0")
        return index, 1
    for keys in ("label", "name"):
        names = [item.get(keys) if isinstance(item, dict) else item for item in items]
        used = _longest(parts, [name for name in names if isinstance(name, str)])
        if used:
            return names.index(".".join(parts[:used])), used
    known = [
        str(item.get("label", item.get("name", ""))) if isinstance(item, dict) else str(item)
        for item in items
    ]
    raise UserError(f"nothing is labelled '{brief(parts[0])}'{did_you_mean(parts[0], known)}")


AnyConfig = TypeVar("AnyConfig", bound=Config)


def load_sweep(path: Path, assignments: Iterable[str] = ()) -> Sweep:
    """Reads, overrides and checks a sweep file. Loads no jax.

    Args:
      path: the YAML file.
      assignments: `PATH=VALUE` overrides, in order.

    Raises:
      UserError: anything wrong in it: the first problem, with its place and line.
    """
    document = read_yaml(path)
    override(document, assignments)
    return validate_sweep(document)


def validate_sweep(document: Document) -> Sweep:
    """The sweep of a document.

    Raises:
      UserError: the first problem, with its place and line.
    """
    return validate_document(document, Sweep, check_sweep)


def validate_document(
    document: Document, model: type[AnyConfig], check: Callable[[AnyConfig], None]
) -> AnyConfig:
    """What a document says, by its class and by `check`, which sees how the values fit together.

    Raises:
      UserError: the first problem, with its place and line.
    """
    try:
        content = model.model_validate(document.content)
        check(content)
    except pydantic.ValidationError as error:
        raise document.error(explain_validation(error, model)) from None
    except ConfigError as problem:
        raise document.error(problem) from None
    return content
