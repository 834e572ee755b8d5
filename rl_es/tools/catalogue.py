"""Lists what a sweep file can name: agents, environments, and their settings.

`show_catalogue` prints them. `sweep_schema` is a JSON schema of sweep files, with which an editor
completes keys and underlines mistakes; `reference_markdown` are tables of all keys.

All are made from the classes that check a sweep file (`rl_es.sweep.schema`), and from those of the
registered agents (`Hyperparameters`) and suites (`Options`). Which settings `with`, `grid`,
`random` and `options` may have follows from the entry's name. The schema is of draft 7, which
editors know best. It accepts all that is accepted when the file is read, and some more: it does not
require that labels differ, for instance, or that every run has a budget.
"""

import re
import typing
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from pydantic.fields import FieldInfo
from rich.table import Table
from rich.text import Text

from rl_es import plugins, registry
from rl_es.config import Config, traced_names
from rl_es.errors import UserError, brief, did_you_mean
from rl_es.results.figure_settings import FigureSettings
from rl_es.rollout.config import (
    NETWORKS,
    EvaluationConfig,
    PolicyConfig,
    SurfaceConfig,
    WrapperConfig,
)
from rl_es.sweep.schema import (
    MAX_CELLS,
    MAX_SEED,
    AgentEntry,
    Budget,
    Defaults,
    Distribution,
    EnvironmentEntry,
    RandomSearch,
    Sweep,
    Tuning,
)
from rl_es.terminal import plain_console, plain_table


def show_catalogue(subject: str, long: bool) -> None:
    """Prints all agents, all environments, both, or what has a name; `long`: with every setting.

    Raises:
      UserError: nothing has this name; the message names the nearest.
    """
    console = plain_console()
    for table in _tables(subject, long):
        console.print(table)
        console.print()


def _tables(subject: str, long: bool) -> Iterator[Table]:
    agents, suites = registry.agents.names(), registry.suites.names()
    if subject in ("all", "agents", "environments"):
        if subject != "environments":
            yield from _agents(agents, long)
        if subject != "agents":
            yield from _environments(suites, long)
    elif plugins.is_reference(subject):
        kind = _agents if plugins.is_agent(subject) else _environments
        yield from kind([subject], long)
    elif subject in agents:
        yield from _agents([subject], long)
    else:
        environments = registry.environment_names()
        if subject not in (*suites, *environments):
            names = ["agents", "environments", "all", *agents, *suites, *environments]
            near = did_you_mean(subject, names)
            raise UserError(f"list: nothing is named '{brief(subject)}'{near}")
        of_environment = (s for s in suites if subject in registry.suites.load(s).NAMES)
        suite = subject if subject in suites else next(of_environment)
        yield from _environments([suite], long)
        notes = getattr(registry.suites.load(suite), "NOTES", {})
        notes = {name: note for name, note in notes.items() if subject in (suite, name)}
        if notes:
            table = plain_table(("environment", "note"), title="What to know")
            for name, note in notes.items():
                table.add_row(Text(name), Text(note))
            yield table


def _agents(names: Sequence[str], long: bool) -> Iterator[Table]:
    modules = {name: registry.agents.load(name) for name in names}
    table = plain_table(("agent", "what it is"), title="Agents")
    for name, module in modules.items():
        table.add_row(Text(name), Text(_description(module)))
    table.caption = _installation(modules.values())
    yield table
    for name, module in modules.items() if long else ():
        yield _settings_table(f"Agent {name} (with, grid, random)", module.Hyperparameters)


def _environments(names: Sequence[str], long: bool) -> Iterator[Table]:
    modules = {name: registry.suites.load(name) for name in names}
    table = plain_table(("suite", "what it is", "environments"), title="Environments")
    for name, module in modules.items():
        table.add_row(Text(name), Text(_description(module)), Text(", ".join(module.NAMES)))
    table.caption = _installation(modules.values())
    yield table
    if long:
        for name, module in modules.items():
            if module.Options.model_fields:
                yield _settings_table(f"Suite {name} (options)", module.Options)
        yield _settings_table("Every environment", WrapperConfig)
        yield _settings_table("Policy (policy)", PolicyConfig)
        yield _settings_table("Evaluation (evaluation)", EvaluationConfig)


def _description(module: Any) -> str:
    """Returns what an agent or a suite is, and whether its library is missing."""
    mark = "" if registry.missing_extra(module) is None else "(not installed) "
    return f"{mark}{_first_line(module)}"


def _installation(modules: Iterable[Any]) -> str | None:
    """Returns the caption that says how to install what is missing; None where nothing is."""
    extras = dict.fromkeys(filter(None, map(registry.missing_extra, modules)))
    return f"to install: {registry.install_command(*extras)}" if extras else None


def _settings_table(title: str, config: type[Config]) -> Table:
    table = plain_table(("setting", "type", "default", "kind", "meaning"), title=title)
    for name, field in config.model_fields.items():
        default = "(required)"
        if not field.is_required():
            default = display_value(field.get_default(call_default_factory=True))
        texts = name, field_type(field), default, _kind(config, name), field.description or ""
        table.add_row(*map(Text, texts))
    return table


def _kind(config: type[Config], name: str) -> str:
    return "traced" if name in traced_names(config) else "static"


def _first_line(subject: Any) -> str:
    """Returns the first line of the docstring of a module or class."""
    return (subject.__doc__ or "").strip().partition("\n")[0]


def display_value(value: Any) -> str:
    """Returns a default for people: `true`, `[64, 64]`, and - for none."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(display_value, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return "-" if value is None else str(value)


def field_type(field: FieldInfo) -> str:
    """Returns a field's type for people, with the limits of a number: `int >= 1`."""
    words = [type_text(field.annotation)]
    for limit in field.metadata:
        for attribute, sign in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<=")):
            if (bound := getattr(limit, attribute, None)) is not None:
                words.append(f"{sign} {bound:,}" if isinstance(bound, int) else f"{sign} {bound:g}")
    return " ".join(words)


def type_text(annotation: Any) -> str:
    """Returns a type for people: `float`, `sgd | adam`, `list of int`."""
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
        return type_text(inner[0])
    if origin in (tuple, list):
        return f"list of {type_text(inner[0])}"
    if origin is dict:
        return "mapping"
    return " | ".join(type_text(part) for part in inner if part is not type(None))


Schema = dict[str, Any]


def sweep_schema() -> Schema:
    """Returns the schema of a sweep file, as JSON."""
    schema = _plain(Sweep.model_json_schema())
    parts = schema["$defs"]
    for name in ("Budget", "Distribution"):
        parts[name] |= {"minProperties": 1, "maxProperties": 1}
    _add_names(parts)
    _settings_by_agent(parts)
    parts["EnvironmentEntry"]["allOf"] = [
        _where(suite.NAMES, {"options": _closed_object(_settings_schema(suite.Options))})
        for suite in map(registry.suites.load, registry.suites.names())
    ]
    names_by_key = {"agents": registry.agents.names(), "environments": registry.environment_names()}
    for key, names in names_by_key.items():
        entries = schema["properties"][key]
        entries["items"] = {"anyOf": [{"enum": names}, entries["items"]]}
    schema["properties"]["seeds"] |= _seeds()
    parts["Tuning"]["properties"]["seeds"] |= _seeds()
    return {"$schema": "http://json-schema.org/draft-07/schema#", **schema}


def _settings_by_agent(parts: Schema) -> None:
    """Adds each agent's settings, and which entries may have them."""
    random, entries, forms_by_key = parts["RandomSearch"], [], {}
    for name in registry.agents.names():
        settings = _settings_schema(registry.agents.load(name).Hyperparameters)
        part = f"Settings_{name.replace('/', '_')}"
        parts[part] = _closed_object(settings, f"Settings of {name}.")
        choices = {key: {"$ref": f"#/$defs/{part}/properties/{key}"} for key in settings}
        distributions = {key: {"$ref": "#/$defs/Distribution"} for key in settings}
        varying = {
            "with": {"$ref": f"#/$defs/{part}"},
            "grid": _closed_object({key: _list_of(ref) for key, ref in choices.items()}),
            "random": _closed_object(random["properties"] | distributions)
            | {"required": random["required"]},
        }
        entries.append(_where([name], varying))
        for key, value in settings.items():
            forms = forms_by_key.setdefault(key, {})
            forms[repr({part: value[part] for part in value if part != "default"})] = choices[key]
    parts["AgentEntry"]["allOf"] = entries
    any_form = {key: {"anyOf": list(forms.values())} for key, forms in forms_by_key.items()}
    parts["Settings"] = _closed_object(any_form, "Settings that some agent has.")
    parts["Defaults"]["properties"]["agent"] |= {"$ref": "#/$defs/Settings"}
    overrides = parts["EnvironmentEntry"]["properties"]["agents"]
    overrides["additionalProperties"] = {"$ref": "#/$defs/Settings"}


def _add_names(parts: Schema) -> None:
    """Adds the names that the classes look up, and the second forms that they take."""
    parts["AgentEntry"]["properties"]["name"]["enum"] = registry.agents.names()
    parts["EnvironmentEntry"]["properties"]["name"]["enum"] = registry.environment_names()
    network = parts["PolicyConfig"]["properties"]["network"]
    del network["type"]
    network["anyOf"] = [{"enum": list(NETWORKS)}, {"type": "string", "pattern": ":"}]
    points = parts["SurfaceConfig"]["properties"]["points"]
    list_keys = {key: points.pop(key) for key in ("type", "items", "minItems", "maxItems")}
    points["anyOf"] = [list_keys["items"], list_keys]


def _seeds() -> Schema:
    """Returns the schema of the three forms of `seeds`."""
    seed = {"type": "integer", "minimum": 0, "maximum": MAX_SEED}
    count = {"type": "integer", "minimum": 1, "maximum": MAX_CELLS}
    first = _closed_object({"first": seed, "count": count}) | {"required": ["first", "count"]}
    seed_list = _list_of(seed) | {"uniqueItems": True}
    return {"type": ["integer", "array", "object"], "anyOf": [count, seed_list, first]}


def _settings_schema(config: type[Config]) -> Schema:
    """Returns the properties of a configuration class; traced ones say so."""
    properties = _plain(config.model_json_schema()).get("properties", {})
    for name in traced_names(config):
        del properties[name]["traced"]
        properties[name]["description"] += " (traced)"
    return properties


def _list_of(form: Schema) -> Schema:
    return {"type": "array", "items": form, "minItems": 1}


def _closed_object(properties: Schema, description: str | None = None) -> Schema:
    texts = {} if description is None else {"description": description}
    return {**texts, "type": "object", "properties": properties, "additionalProperties": False}


def _where(names: Iterable[str], properties: Schema) -> Schema:
    """Returns the properties of an entry with one of these names."""
    condition = {"properties": {"name": {"enum": list(names)}}}
    return {"if": condition, "then": {"properties": properties}}


def _plain(schema: Any) -> Any:
    """Returns a schema made by pydantic, without null, and in the keywords of draft 7."""
    if isinstance(schema, list):
        return [_plain(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {
        key: _plain(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
        and not (key == "implied" and not isinstance(value, dict))
        and not (key == "default" and (value is None or value == [] or isinstance(value, dict)))
    }
    if "prefixItems" in plain:  # pairs, whose parts are alike
        plain["items"] = plain.pop("prefixItems")[0]
    if plain.get("type") == "array" and "minLength" in plain:
        plain["minItems"] = plain.pop("minLength")
    forms = [form for form in plain.get("anyOf", ()) if form != {"type": "null"}]
    if len(forms) == 1:
        del plain["anyOf"]
        plain = forms[0] | plain
    return plain


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
    FigureSettings: "figures",
    Tuning: "tuning",
}
# How lists are written that have shorter forms, too.
_FORMS = {"seeds": "count, list or {first, count}", "points": "int or a pair of int"}


def reference_markdown() -> str:
    """Returns tables of every key of a sweep file, agent's setting and suite's option."""
    lines: list[str] = []
    for config, title in PARTS.items():
        rows = [_row(name, field) for name, field in config.model_fields.items()]
        table = _table(("key", "value", "default", "meaning"), rows)
        lines += [f"### {title}", "", _first_line(config), "", *table, ""]
    names = [name for name in registry.agents.names() if "/" not in name]
    lines += ["### Settings of agents", "", *_settings_of_agents(names), ""]
    lines += ["Those of families, such as `evosax/SNES`, are in [Agents](agents.md).", ""]
    lines += ["### Options of suites", "", *_options_of_suites(), ""]
    return "\n".join(lines)


def _row(name: str, field: FieldInfo) -> tuple[str, str, str, str]:
    """Returns a key, the values that it takes, its default, and what it means."""
    default = "required"
    if not field.is_required():
        value = field.get_default(call_default_factory=True)
        is_empty = value is None or isinstance(value, Config) or value in ((), {})
        default = "" if is_empty else f"`{display_value(value)}`"
    return f"`{field.alias or name}`", _linked_type(name, field), default, field.description or ""


def _settings_of_agents(names: Iterable[str]) -> Iterator[str]:
    """Yields a table with one row per setting that means the same in each of its agents."""
    agents: dict[tuple[str, ...], list[str]] = {}
    for agent in names:
        config = registry.agents.load(agent).Hyperparameters
        for name, field in config.model_fields.items():
            *value, meaning = _row(name, field)
            row = (*value, _kind(config, name), meaning)
            agents.setdefault(row, []).append(f"`{agent.rpartition('/')[2]}`")
    rows = [(*row, ", ".join(users)) for row, users in agents.items()]
    heads = ("setting", "value", "default", "kind", "meaning", "agents")
    return _table(heads, sorted(rows, key=lambda row: row[0].strip("`")))


def agents_markdown() -> str:
    """Returns tables of all agents: what each is, its source, what is evaluated, when to use it."""
    families: dict[str, list[str]] = {}
    for name in registry.agents.names():
        families.setdefault(name.rpartition("/")[0], []).append(name)
    lines: list[str] = []
    for family, names in sorted(families.items()):
        heads = ("agent", "what it is", "source", "evaluated and saved", "when to use it")
        rows = [_agent_row(name, registry.agents.load(name)) for name in names]
        lines += [f"## {family or 'Of this suite'}", "", *_table(heads, rows), ""]
        if family:
            lines += ["### What to know", "", *_notes_of_family(names), ""]
            lines += ["### Settings", "", *_settings_of_agents(names), ""]
    return "\n".join(lines)


def _agent_row(name: str, module: Any) -> tuple[str, ...]:
    """Returns an agent's row; of a family the name stands without the family's."""
    is_learner = hasattr(module, "make_learner")
    usual = "the policy that is trained" if is_learner else "the centre of the population"
    links = re.findall(r"https?://[^\s,;)]*[^\s,;).]", module.__doc__ or "")
    sources = ", ".join(f"[{_link_text(link)}]({link})" for link in dict.fromkeys(links))
    evaluated, use = getattr(module, "EVALUATED", usual), getattr(module, "USE", "")
    return f"`{name}`", _first_line(module).rstrip("."), sources, evaluated, use


def _link_text(link: str) -> str:
    """Returns a short text for a link to a paper: `arXiv 1703.03864`."""
    address = link.split("://")[1]
    for start, text in (("arxiv.org/abs/", "arXiv "), ("doi.org/", "doi ")):
        if address.startswith(start):
            return text + address.removeprefix(start)
    return address.partition("/")[0]


def _notes_of_family(names: Iterable[str]) -> Iterator[str]:
    """Yields a list of what its agents' descriptions say beside their source."""
    for name in names:
        if note := getattr(registry.agents.load(name), "NOTE", ""):
            yield f"- `{name}`: {note}"


def _options_of_suites() -> Iterator[str]:
    rows = [
        (f"`{suite}`", *_row(name, field))
        for suite in registry.suites.names()
        for name, field in registry.suites.load(suite).Options.model_fields.items()
    ]
    return _table(("suite", "option", "value", "default", "meaning"), rows)


def _linked_type(name: str, field: FieldInfo) -> str:
    """Returns the values that a key takes, with links to the parts that are mappings."""
    form = _FORMS.get(name) if typing.get_origin(field.annotation) is tuple else None
    text = form or field_type(field)
    for config, title in PARTS.items():
        link = f"[{title}](#{title.lower().replace(' ', '-')})"
        text = re.sub(rf"\b{config.__name__}\b", link, text)
    return text


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for row in (heads, ("---",) * len(heads), *rows):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
