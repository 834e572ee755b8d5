"""Loads a sweep file: reads it, applies the overrides of the command line, and validates it.

An override is `--set PATH=VALUE`. A path names keys joined by dots, and list items by position,
label or name: `defaults.budget.env_steps=1e5`, `agents.eggroll.with.lr=0.1`,
`environments.0.threshold=400`. The value is read as YAML. `budget.env_steps=1e5`, at the top, is
the budget of the whole sweep: it replaces the default and every environment's own budget.
`evaluation` and `policy` likewise set a key for the whole sweep.
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
from rl_es.results.figure_settings import FigureSettings
from rl_es.sweep.cells import check_sweep
from rl_es.sweep.schema import Sweep
from rl_es.sweep.yaml_reader import Document, parse_value, read_yaml

AnyConfig = TypeVar("AnyConfig", bound=Config)

MAX_PATH_PARTS = 200  # names may hold dots

# Keys that may be set for the whole sweep, and the lists whose entries may override them.
SWEEP_WIDE_KEYS: Mapping[str, Sequence[str]] = {
    "budget": ["environments"],
    "evaluation": ["environments"],
    "policy": ["environments", "agents"],
}


def load_sweep(path: Path, assignments: Iterable[str] = ()) -> Sweep:
    """Reads, overrides and validates a sweep file. Loads no jax.

    Args:
      path: the YAML file.
      assignments: `PATH=VALUE` overrides, in order.

    Raises:
      UserError: the first problem, with its path and line.
    """
    document = read_yaml(path)
    override(document, assignments)
    sweep = validate_sweep(document)
    style = sweep.figures.style if isinstance(sweep.figures, FigureSettings) else None
    if style is not None and not Path(style).is_file():
        raise document.error(ConfigError(("figures", "style"), f"no such file '{brief(style)}'"))
    return sweep


def validate_sweep(document: Document) -> Sweep:
    """Returns the sweep of a document.

    Raises:
      UserError: the first problem, with its path and line.
    """
    refuse_other_kind(document, ("workloads", "contestants"), "a speed file; `speed` takes it")
    return validate_document(document, Sweep, check_sweep)


def refuse_other_kind(document: Document, keys: Iterable[str], reason: str) -> None:
    """Refuses a file that has the keys of another kind of file.

    Args:
      document: the file.
      keys: keys that only the other kind has; a file that has all of them is of that kind.
      reason: what the other kind is, and which command takes it.

    Raises:
      UserError: it is of the other kind.
    """
    if isinstance(document.content, dict) and document.content.keys() >= set(keys):
        raise UserError(f"{document.source}: is {reason}")


def validate_document(
    document: Document, model: type[AnyConfig], check: Callable[[AnyConfig], None]
) -> AnyConfig:
    """Returns a document as an instance of `model`; `check` compares its values with each other.

    Raises:
      UserError: the first problem, with its path and line.
    """
    try:
        config = model.model_validate(document.content)
        check(config)
    except pydantic.ValidationError as error:
        raise document.error(explain_validation(error, model)) from None
    except ConfigError as problem:
        raise document.error(problem) from None
    return config


def override(
    document: Document,
    assignments: Iterable[str],
    sweep_wide_keys: Mapping[str, Sequence[str]] = SWEEP_WIDE_KEYS,
) -> None:
    """Applies `PATH=VALUE` assignments to a document, in order.

    Args:
      document: changed in place.
      assignments: as on the command line.
      sweep_wide_keys: keys that may be set for the whole file, with the lists whose entries may
        override them.

    Raises:
      UserError: an assignment has no `=`, its value is not YAML, or its path does not exist.
    """
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        parts = path.strip().split(".")
        if not equals or not all(parts):
            raise UserError(
                f"--set {brief(assignment)}: must be PATH=VALUE, such as budget.env_steps=1e5"
            )
        if len(parts) > MAX_PATH_PARTS:
            raise UserError(f"--set {brief(assignment)}: no path has {len(parts)} parts")
        try:
            value = parse_value(text)
            if value is None and parts != ["description"]:
                raise UserError("has no value (null)")
            if parts[0] in sweep_wide_keys and parts[0] not in document.content:
                _set_sweep_wide(document, parts, value, sweep_wide_keys[parts[0]])
            else:
                _set_value(document, document.content, parts, value, ())
        except UserError as error:
            raise UserError(f"--set {brief(assignment)}: {error}") from None


def _set_sweep_wide(document: Document, parts: list[str], value: Any, lists: Sequence[str]) -> None:
    """Sets a default, and removes what the entries of the lists have in its place."""
    for key in lists:
        entries = document.content.get(key)
        for entry in entries if isinstance(entries, list) else ():
            entry_values = entry.get(parts[0]) if isinstance(entry, dict) else None
            if isinstance(entry_values, dict):
                # A budget is one number, so the whole sweep's replaces any other kind.
                if parts[0] == "budget" or not parts[1:]:
                    entry_values.clear()
                else:
                    entry_values.pop(parts[1], None)
                if not entry_values:
                    del entry[parts[0]]
    _set_value(document, document.content, ["defaults", *parts], value, ())


def _set_value(
    document: Document, container: Any, parts: list[str], value: Any, path: ConfigPath
) -> None:
    """Sets `value` at `parts` below `container`, whose path is `path`; adds missing mappings."""
    if isinstance(container, list):
        index, part_count = _find_item(container, parts)
        if parts[part_count:] and isinstance(container[index], str):
            container[index] = {"name": container[index]}
        key: str | int = index
    elif isinstance(container, dict):
        part_count = _longest_prefix(parts, container) or 1
        key = ".".join(parts[:part_count])
        if path[-1:] == ("budget",):
            container.clear()
    else:
        raise UserError(f"'{format_path(path)}' is a value, nothing lies in it")
    item_path = (*path, key)
    if parts[part_count:]:
        if isinstance(container, dict):
            container.setdefault(key, {})
        _set_value(document, container[key], parts[part_count:], value, item_path)  # type: ignore[index]
    else:
        container[key] = value  # type: ignore[index]
        for inner in [p for p in document.origins if p[: len(item_path)] == item_path]:
            del document.origins[inner]
        document.origins[item_path] = "--set"


def _longest_prefix(parts: list[str], names: Iterable[str]) -> int:
    """Returns how many leading parts make the longest of the names; names may hold dots."""
    names = set(names)
    return next((n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in names), 0)


def _find_item(items: list[Any], parts: list[str]) -> tuple[int, int]:
    """Returns the index of the item that the leading parts name, and the number of these parts.

    Raises:
      UserError: the list has no such item.
    """
    if parts[0].isdecimal():
        index = int(parts[0][:9])
        if index >= len(items):
            raise UserError(f"there is no item {index}; the list has {len(items)}, from 0")
        return index, 1
    for key in ("label", "name"):
        names = [item.get(key) if isinstance(item, dict) else item for item in items]
        part_count = _longest_prefix(parts, [name for name in names if isinstance(name, str)])
        if part_count:
            return names.index(".".join(parts[:part_count])), part_count
    labels = [
        str(item.get("label", item.get("name", ""))) if isinstance(item, dict) else str(item)
        for item in items
    ]
    raise UserError(f"nothing is labelled '{brief(parts[0])}'{did_you_mean(parts[0], labels)}")
