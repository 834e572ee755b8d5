"""The keys of a sweep file as tables in Markdown, made from the classes that check it."""

import typing
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic.fields import FieldInfo

from rl_es import registry
from rl_es.config import Config, traced_names
from rl_es.listing import limits, shown, spelled
from rl_es.rollout.config import EvaluationConfig, PolicyConfig, SurfaceConfig
from rl_es.sweep.entries import Distribution, RandomSearch
from rl_es.sweep.schema import AgentEntry, Budget, Defaults, EnvironmentEntry, Sweep, Tuning

# The parts of a sweep file, with the headings that they have here.
PARTS: dict[type[Config], str] = {
    Sweep: "The file",
    Defaults: "defaults",
    Budget: "budget",
    EvaluationConfig: "evaluation",
    PolicyConfig: "policy",
    EnvironmentEntry: "An environment",
    SurfaceConfig: "surface",
    AgentEntry: "An agent",
    RandomSearch: "random",
    Distribution: "A random setting",
    Tuning: "tuning",
}
# How lists are written that have shorter forms, too.
_FORMS = {"seeds": "count, list or {first, count}", "points": "int or a pair of int"}


def markdown() -> str:
    """Every key of a sweep file, every agent's settings and every suite's options."""
    lines: list[str] = []
    for config, title in PARTS.items():
        summary = (config.__doc__ or "").strip().partition("\n")[0]
        lines += [f"### {title}", "", summary, "", *_keys(config), ""]
    lines += ["### Settings of agents", "", *_settings_of_agents(), ""]
    lines += ["### Options of suites", "", *_options_of_suites(), ""]
    return "\n".join(lines)


def _keys(config: type[Config]) -> Iterator[str]:
    rows = [_row(name, field) for name, field in config.model_fields.items()]
    return _table(("key", "value", "default", "meaning"), rows)


def _row(name: str, field: FieldInfo) -> tuple[str, str, str, str]:
    """A key, the values that it takes, its default, and what it means."""
    default = "required"
    if not field.is_required():
        default = _default(field.get_default(call_default_factory=True))
    return f"`{field.alias or name}`", _type(name, field), default, field.description or ""


def _settings_of_agents() -> Iterator[str]:
    """One row per setting that means the same in each of its agents."""
    agents: dict[tuple[str, ...], list[str]] = {}
    for agent in registry.agents.files():
        config = registry.agents.load(agent).Hyperparameters
        traced = traced_names(config)
        for name, field in config.model_fields.items():
            *value, meaning = _row(name, field)
            row = (*value, "traced" if name in traced else "static", meaning)
            agents.setdefault(row, []).append(f"`{agent}`")
    rows = [(*row, ", ".join(those)) for row, those in agents.items()]
    heads = ("setting", "value", "default", "kind", "meaning", "agents")
    return _table(heads, sorted(rows, key=lambda row: row[0].strip("`")))


def _options_of_suites() -> Iterator[str]:
    rows = [
        (f"`{suite}`", *_row(name, field))
        for suite in registry.suites.files()
        for name, field in registry.suites.load(suite).Options.model_fields.items()
    ]
    return _table(("suite", "option", "value", "default", "meaning"), rows)


def _type(name: str, field: FieldInfo) -> str:
    """The values that a key takes, with a link where they are mappings of their own."""
    form = _FORMS.get(name) if typing.get_origin(field.annotation) is tuple else None
    told = form or " ".join([spelled(field.annotation), *limits(field.metadata)])
    for config in set(_configs(field.annotation)) & set(PARTS):
        anchor = PARTS[config].lower().replace(" ", "-")
        told = told.replace(config.__name__, f"[{PARTS[config]}](#{anchor})")
    return told


def _configs(annotation: Any) -> Iterator[type[Config]]:
    if isinstance(annotation, type) and issubclass(annotation, Config):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _configs(part)


def _default(value: Any) -> str:
    empty = value is None or isinstance(value, Config) or value in ((), {})
    return "" if empty else f"`{shown(value)}`"


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield _line(heads)
    yield _line("---" for _ in heads)
    yield from map(_line, rows)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
