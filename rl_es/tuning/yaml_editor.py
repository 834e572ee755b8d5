"""Edits values in the text of a sweep file; every other byte of the text stays as it is.

The text is composed into nodes, whose positions say where the new text goes. ruamel.yaml was tried
instead: it writes the whole document anew, so an edit of one value also changes the spacing, the
quotes and the indentation of lines that a person wrote differently from its own layout.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from rl_es.errors import ConfigPath, UserError, format_path

_PLAIN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9_./=+-]*( [A-Za-z0-9_./=+-]+)*")
_RESERVED_WORDS = {
    "true", "false", "null", "yes", "no", "on", "off", "inf", "infinity", "nan"
}  # fmt: skip


def set_value(text: str, path: ConfigPath, value: Any) -> str:
    """Returns the text with `value` at `path`; missing keys of the path are added.

    An old value must be plain or in braces, not a block.

    Args:
      text: a valid sweep file.
      path: keys and list positions; the last is a key. A list item that is a plain name becomes a
        mapping with that `name`.
      value: text, number, switch, list or mapping.

    Raises:
      UserError: the path leads through something that is neither a mapping nor a list.
    """
    node = _root(text)
    for depth, part in enumerate(path):
        is_last = depth == len(path) - 1
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            item = node.value[part]
            if not is_last and isinstance(item, yaml.ScalarNode):
                mapping = f"name: {text[_start(item) : _end(item)]}"
                mapping = f"{{{mapping}}}" if node.flow_style else mapping
                return set_value(_splice(text, _start(item), _end(item), mapping), path, value)
            node = item
        elif isinstance(node, yaml.MappingNode):
            child = next((child for key, child in node.value if key.value == part), None)
            if child is None:
                return _insert(text, node, [str(key) for key in path[depth:]], value)
            node = child
        else:
            raise UserError(f"{format_path(path[:depth])}: is a value, nothing can be put into it")
    return _splice(text, _start(node), _end(node), format_flow(value))


def set_list(text: str, key: str, items: Sequence[Mapping[str, Any]]) -> str:
    """Returns the text with a list of mappings at a top-level key, in place of an old value.

    Raises:
      UserError: the document is one mapping in braces.
    """
    lines = [f"{key}:"]
    for item in items:
        for i, (name, value) in enumerate(item.items()):
            lines.append(f"  {'  ' if i else '- '}{format_flow(name)}: {format_flow(value)}")
    root = _root(text)
    if root.flow_style:
        raise UserError("is one mapping in braces; write its keys on lines of their own")
    block = "\n".join(lines)
    for name, child in root.value:
        if name.value == key:
            return _splice(text, _start(name), _line_end(text, _end(child)), block)
    return text.rstrip("\n") + f"\n{block}\n"


def format_flow(value: Any) -> str:
    """Returns a value as YAML on one line."""
    if isinstance(value, Mapping):
        items = (f"{format_flow(str(key))}: {format_flow(inner)}" for key, inner in value.items())
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(format_flow, value)) + "]"
    is_plain = isinstance(value, str) and _PLAIN_TEXT.fullmatch(value)
    if is_plain and value.lower() not in _RESERVED_WORDS:
        return value
    return json.dumps(value)


def _insert(text: str, node: yaml.MappingNode, keys: Sequence[str], value: Any) -> str:
    """Returns the text with nested new keys at the end of a mapping."""
    if node.flow_style:
        for key in reversed(keys):
            value = {key: value}
        items = format_flow(value)[1:-1]
        if not node.value:
            return _splice(text, _end(node) - 1, _end(node) - 1, items)
        position = _end(node.value[-1][1])
        return _splice(text, position, position, f", {items}")
    margin = node.start_mark.column
    *parents, key = keys
    lines = [f"{' ' * (margin + 2 * i)}{format_flow(name)}:" for i, name in enumerate(parents)]
    if parents:  # the innermost mapping in braces
        lines[-1] += f" {format_flow({key: value})}"
    else:
        lines = [f"{' ' * margin}{format_flow(key)}: {format_flow(value)}"]
    position = _line_end(text, _end(node))
    return _splice(text, position, position, "\n" + "\n".join(lines))


def _root(text: str) -> yaml.MappingNode:
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(node, yaml.MappingNode)
    return node


def _start(node: yaml.Node) -> int:
    return node.start_mark.index


def _end(node: yaml.Node) -> int:
    """Returns the end of a node's text; that of a block is at its last value, before a comment."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(node, yaml.MappingNode) else last)
    return node.end_mark.index


def _line_end(text: str, position: int) -> int:
    """Returns the end of the line of a value's end, which for lines of text is marked below it."""
    end = text.find("\n", len(text[:position].rstrip()))
    return len(text) if end < 0 else end


def _splice(text: str, start: int, end: int, new: str) -> str:
    return text[:start] + new + text[end:]
