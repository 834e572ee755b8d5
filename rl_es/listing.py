"""Lists what a sweep file can name: agents, environments, and their settings."""

import typing
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from rl_es import plugins, registry
from rl_es.config import Config, traced_names
from rl_es.errors import UserError, brief, did_you_mean
from rl_es.rollout.config import EvaluationConfig, PolicyConfig, WrapperConfig
from rl_es.terminal import plain_console, plain_table


def show(what: str, long: bool) -> None:
    """Prints all agents, all environments, both, or what has a name; `long`: with every setting.

    Raises:
      UserError: nothing has this name; the message names the nearest.
    """
    console = plain_console()
    for piece in _pieces(what, long):
        console.print(piece)
        console.print()


def _pieces(what: str, long: bool) -> Iterator[RenderableType]:
    agents, suites = registry.agents.files(), registry.suites.files()
    if what in ("all", "agents"):
        yield from _agents(agents, long)
    if what in ("all", "environments"):
        yield from _environments(suites, long)
    if what in ("all", "agents", "environments"):
        return
    if plugins.is_reference(what):
        kind = _agents if plugins.is_agent(what) else _environments
        yield from kind([what], long)
    elif what in agents:
        yield from _agents([what], long)
    elif what in suites:
        yield from _environments([what], long)
    else:
        known = ["agents", "environments", "all", *agents, *suites]
        if what in registry.environment_names():
            suite = next(name for name in suites if what in registry.suites.load(name).NAMES)
            yield from _environments([suite], long)
        else:
            near = did_you_mean(what, [*known, *registry.environment_names()])
            raise UserError(f"list: nothing is named '{brief(what)}'{near}")


def _agents(names: Sequence[str], long: bool) -> Iterator[RenderableType]:
    modules = {name: registry.agents.load(name) for name in names}
    table = plain_table(("agent", "what it is"), title="Agents")
    for name, module in modules.items():
        table.add_row(Text(name), Text(_first_line(module.__doc__)))
    yield table
    if long:
        for name, module in modules.items():
            yield _settings(f"Agent {name} (with, grid, random)", module.Hyperparameters)


def _environments(names: Sequence[str], long: bool) -> Iterator[RenderableType]:
    modules = {name: registry.suites.load(name) for name in names}
    table = plain_table(("suite", "what it is", "environments"), title="Environments")
    for name, module in modules.items():
        inside = Text(", ".join(module.NAMES))
        table.add_row(Text(name), Text(_first_line(module.__doc__)), inside)
    yield table
    if long:
        for name, module in modules.items():
            if module.Options.model_fields:
                yield _settings(f"Suite {name} (options)", module.Options)
        yield _settings("Every environment", WrapperConfig)
        yield _settings("Policy (policy)", PolicyConfig)
        yield _settings("Evaluation (evaluation)", EvaluationConfig)


def _settings(title: str, config: type[Config]) -> Table:
    table = plain_table(("setting", "type", "default", "kind", "meaning"), title=title)
    traced = traced_names(config)
    for name, field in config.model_fields.items():
        required = field.is_required()
        table.add_row(
            Text(name),
            Text(" ".join([spelled(field.annotation), *limits(field.metadata)])),
            Text("(required)" if required else shown(field.get_default(call_default_factory=True))),
            "traced" if name in traced else "static",
            Text(field.description or ""),
        )
    return table


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().partition("\n")[0]


def shown(value: Any) -> str:
    """A default for people: `true`, `[64, 64]`, and - for none."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return "-" if value is None else str(value)


def limits(metadata: list[Any]) -> Iterator[str]:
    """The limits of a number: `>= 1`."""
    for limit in metadata:
        for attribute, sign in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<=")):
            if (bound := getattr(limit, attribute, None)) is not None:
                yield f"{sign} {bound:,}" if isinstance(bound, int) else f"{sign} {bound:g}"


def spelled(annotation: Any) -> str:
    """A type for people: `float`, `sgd | adam`, `list of int`."""
    if annotation is type(None):
        return "none"
    if annotation is Any:
        return "any value"
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return {"str": "text", "bool": "true | false"}.get(annotation.__name__, annotation.__name__)
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return " | ".join(map(str, inner))
    if origin is typing.Annotated:
        return spelled(inner[0])
    if origin in (tuple, list):
        return f"list of {spelled(inner[0])}"
    if origin is dict:
        return "mapping"
    return " | ".join(spelled(part) for part in inner if part is not type(None))
