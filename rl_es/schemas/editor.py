"""A JSON schema of sweep files, with which an editor completes keys and underlines mistakes.

It is made from the classes that check a sweep file (`rl_es.sweep.schema`), and from those of the
registered agents (`Hyperparameters`) and suites (`Options`): which settings `with`, `grid`,
`random` and `options` may have follows from the entry's name. It accepts all that is accepted when
the file is read, and some more: it does not require that labels differ, for instance, or that every
run has a budget.

It is of draft 7, which editors know best.
"""

from collections.abc import Iterable
from typing import Any

from rl_es import registry
from rl_es.config import Config, traced_names
from rl_es.rollout.config import NETWORKS
from rl_es.sweep.fields import MAX_CELLS, MAX_SEED
from rl_es.sweep.schema import Sweep

Schema = dict[str, Any]


def sweep() -> Schema:
    """The schema of a sweep file, as JSON."""
    schema = _plain(Sweep.model_json_schema())
    parts = schema["$defs"]
    for name in ("Budget", "Distribution"):
        parts[name] |= {"minProperties": 1, "maxProperties": 1}
    _name_what_is_known(parts)
    _settings_by_agent(parts)
    parts["EnvironmentEntry"]["allOf"] = [
        _where(suite.NAMES, {"options": _closed(_settings(suite.Options))})
        for suite in map(registry.suites.load, registry.suites.files())
    ]
    known = {"agents": registry.agents.files(), "environments": registry.environment_names()}
    for key, names in known.items():
        entries = schema["properties"][key]
        entries["items"] = {"anyOf": [{"enum": names}, entries["items"]]}
    schema["properties"]["seeds"] |= _seeds()
    parts["Tuning"]["properties"]["seeds"] |= _seeds()
    return {"$schema": "http://json-schema.org/draft-07/schema#", **schema}


def _settings_by_agent(parts: Schema) -> None:
    """Adds each agent's settings, and which entries may have them."""
    random, entries, every = parts["RandomSearch"], [], {}
    for name in registry.agents.files():
        settings = _settings(registry.agents.load(name).Hyperparameters)
        parts[f"Settings_{name}"] = _closed(settings, f"Settings of {name}.")
        one = {key: {"$ref": f"#/$defs/Settings_{name}/properties/{key}"} for key in settings}
        drawn = {key: {"$ref": "#/$defs/Distribution"} for key in settings}
        varying = {
            "with": {"$ref": f"#/$defs/Settings_{name}"},
            "grid": _closed({key: _list_of(ref) for key, ref in one.items()}),
            "random": _closed(random["properties"] | drawn) | {"required": random["required"]},
        }
        entries.append(_where([name], varying))
        for key, value in settings.items():
            forms = every.setdefault(key, {})
            forms[repr({part: value[part] for part in value if part != "default"})] = one[key]
    parts["AgentEntry"]["allOf"] = entries
    anyone = {key: {"anyOf": list(forms.values())} for key, forms in every.items()}
    parts["Settings"] = _closed(anyone, "Settings that some agent has.")
    parts["Defaults"]["properties"]["agent"] |= {"$ref": "#/$defs/Settings"}
    own = parts["EnvironmentEntry"]["properties"]["agents"]
    own["additionalProperties"] = {"$ref": "#/$defs/Settings"}


def _name_what_is_known(parts: Schema) -> None:
    """Adds the names that the classes look up, and the second forms that they take."""
    parts["AgentEntry"]["properties"]["name"]["enum"] = registry.agents.files()
    parts["EnvironmentEntry"]["properties"]["name"]["enum"] = registry.environment_names()
    network = parts["PolicyConfig"]["properties"]["network"]
    del network["type"]
    network["anyOf"] = [{"enum": list(NETWORKS)}, {"type": "string", "pattern": ":"}]
    points = parts["SurfaceConfig"]["properties"]["points"]
    both = {key: points.pop(key) for key in ("type", "items", "minItems", "maxItems")}
    points["anyOf"] = [both["items"], both]


def _seeds() -> Schema:
    """The three forms of `seeds`."""
    seed = {"type": "integer", "minimum": 0, "maximum": MAX_SEED}
    count = {"type": "integer", "minimum": 1, "maximum": MAX_CELLS}
    first = _closed({"first": seed, "count": count}) | {"required": ["first", "count"]}
    listed = _list_of(seed) | {"uniqueItems": True}
    return {"type": ["integer", "array", "object"], "anyOf": [count, listed, first]}


def _settings(config: type[Config]) -> Schema:
    """The properties of a configuration class; traced ones say so."""
    properties = _plain(config.model_json_schema()).get("properties", {})
    for name in traced_names(config):
        del properties[name]["traced"]
        properties[name]["description"] += " (traced)"
    return properties


def _list_of(form: Schema) -> Schema:
    return {"type": "array", "items": form, "minItems": 1}


def _closed(properties: Schema, description: str | None = None) -> Schema:
    said = {} if description is None else {"description": description}
    return {**said, "type": "object", "properties": properties, "additionalProperties": False}


def _where(names: Iterable[str], properties: Schema) -> Schema:
    """The properties of an entry with one of these names."""
    named = {"properties": {"name": {"enum": list(names)}}}
    return {"if": named, "then": {"properties": properties}}


def _plain(schema: Any) -> Any:
    """A schema made by pydantic, without null, and in the keywords of draft 7."""
    if isinstance(schema, list):
        return [_plain(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {
        key: _plain(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
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
