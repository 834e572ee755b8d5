"""Sets values in the text of a sweep file, whose other bytes stay as they are."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from rl_es.errors import UserError
from rl_es.places import Place, spelled

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./=+-]*( [A-Za-z0-9_./=+-]+)*")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "inf", "infinity", "nan"}


def put(text: str, place: Place, value: Any) -> str:
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
                return put(_splice(text, _start(item), _end(item), named), place, value)
            node = item
        elif isinstance(node, yaml.MappingNode):
            found = next((child for key, child in node.value if key.value == part), None)
            if found is None:
                return _insert(text, node, [str(key) for key in place[depth:]], value)
            node = found
        else:
            raise UserError(f"{spelled(place[:depth])}: is a value, nothing can be put into it")
    return _splice(text, _start(node), _end(node), flow(value))


def put_block(text: str, key: str, items: Sequence[Mapping[str, Any]]) -> str:
    """The text with a list of mappings under a key at the top; an earlier value is replaced."""
    lines = [f"{key}:"]
    for item in items:
        for i, (name, value) in enumerate(item.items()):
            lines.append(f"  {'  ' if i else '- '}{flow(name)}: {flow(value)}")
    node = _top(text)
    if node.flow_style:
        raise UserError("is one mapping in braces; write its keys on lines of their own")
    block = "\n".join(lines)
    for name, child in node.value:
        if name.value == key:
            return _splice(text, _start(name), _line_end(text, _end(child)), block)
    return text.rstrip("\n") + f"\n{block}\n"


def flow(value: Any) -> str:
    """A value on one line, as a sweep file spells it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(str(k))}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value)


def _insert(text: str, node: yaml.MappingNode, keys: Sequence[str], value: Any) -> str:
    """The text with nested new keys at the end of a mapping."""
    if node.flow_style:
        for key in reversed(keys):
            value = {key: value}
        inside = flow(value)[1:-1]
        if not node.value:
            return _splice(text, _end(node) - 1, _end(node) - 1, inside)
        at = _end(node.value[-1][1])
        return _splice(text, at, at, f", {inside}")
    margin = node.start_mark.column
    *above, key = keys
    lines = [f"{' ' * (margin + 2 * i)}{flow(name)}:" for i, name in enumerate(above)]
    if above:  # the innermost mapping in braces
        lines[-1] += f" {flow({key: value})}"
    else:
        lines = [f"{' ' * margin}{flow(key)}: {flow(value)}"]
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
