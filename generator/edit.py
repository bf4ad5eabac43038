"""Add services to a spec's text and take them out, touching no other line of it.

The places come from the parsed file, and the text is cut there, so comments, order, quoting, and line ends stay.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from generator.errors import InputError

# Plain words that some YAML reader takes for a boolean or nothing.
_SPECIAL = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


def add_service(text: str, service: Mapping[str, Any]) -> str:
    """Return the text of a spec with one more service at the end of its list.

    Args:
        text: Text of a valid spec.
        service: Keys and values of the service; the values are text, numbers, lists of text, or mappings of these.
    """
    services = _services(text)
    if services.flow_style:
        before = text[: services.end_mark.index - 1].rstrip()
        return before + (" " if before.endswith(",") else ", ") + flow(service) + text[len(before) :]
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines(keepends=True)
    last = _last_line(services, lines)
    if not lines[last].endswith(("\n", "\r")):
        lines[last] += newline
    indent = " " * services.start_mark.column
    item = services.value[-1]
    rows = [flow(service)] if isinstance(item, MappingNode) and item.flow_style else _block(service)
    block = [f"{indent}{'- ' if number == 0 else '  '}{row}{newline}" for number, row in enumerate(rows)]
    return "".join([*lines[: last + 1], *block, *lines[last + 1 :]])


def remove_service(text: str, name: str) -> str:
    """Return the text of a spec without one of its services.

    A comment directly above the service goes with it, unless the service is the first of the list.

    Args:
        text: Text of a valid spec with at least two services.
        name: Name of the service.

    Raises:
        InputError: There is no such service, or it is the only one.
    """
    services = _services(text)
    names = [_name(item) for item in services.value]
    if name not in names:
        raise InputError(f"There is no service `{name}`; there are {', '.join(f'`{other}`' for other in names)}.")
    if len(names) == 1:
        raise InputError(f"`{name}` is the only service, and a platform has at least one. Add another first.")
    number = names.index(name)
    if services.flow_style:
        if number + 1 < len(names):
            start, end = services.value[number].start_mark.index, services.value[number + 1].start_mark.index
        else:
            start, end = services.value[number - 1].end_mark.index, services.value[number].end_mark.index
        return text[:start] + text[end:]
    lines = text.splitlines(keepends=True)
    item = services.value[number]
    first, last = item.start_mark.line, _last_line(item, lines)
    while number > 0 and lines[first - 1].strip().startswith("#"):
        first -= 1
    # A blank line between this service and the next one would be left double.
    if last + 1 < len(lines) and not lines[last + 1].strip() and not lines[first - 1].strip():
        last += 1
    return "".join([*lines[:first], *lines[last + 1 :]])


def _services(text: str) -> SequenceNode:
    root = YAML(typ="rt", pure=True).compose(text)
    for key, value in root.value:
        if key.value == "services" and isinstance(value, SequenceNode):
            return value
    raise InputError("The spec has no list of services of its own.")


def _name(item: Node) -> str:
    return next((str(value.value) for key, value in item.value if key.value == "name"), "")


def _last_line(node: Node, lines: list[str]) -> int:
    """Return the number, from 0, of the last line on which something of `node` stands."""
    last = max(_end_line(leaf) for leaf in _leaves(node))
    while not lines[last].strip():
        last -= 1
    return last


def _end_line(leaf: Node) -> int:
    # A block of text ends at the beginning of a line after it.
    return int(leaf.end_mark.line) - (1 if leaf.end_mark.column == 0 else 0)


def _leaves(node: Node) -> Iterator[Node]:
    if not isinstance(node, (MappingNode, SequenceNode)) or node.flow_style or not node.value:
        # A value that is left out has no place of its own; the key before it is a leaf too.
        if node.start_mark.index < node.end_mark.index:
            yield node
        return
    for child in node.value:
        for part in child if isinstance(child, tuple) else (child,):
            if part.start_mark.index >= node.start_mark.index:  # an alias leads to an earlier place
                yield from _leaves(part)


def flow(value: Any) -> str:
    """Return text, a number, a list or a mapping as YAML on one line; text that YAML would read otherwise is quoted."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, str) and value not in _SPECIAL and value.replace("-", "").isalnum() and value[0].isalpha():
        return value
    return json.dumps(value, ensure_ascii=False)


def _block(service: Mapping[str, Any]) -> list[str]:
    return [f"{key}: {flow(value)}" for key, value in service.items()]
