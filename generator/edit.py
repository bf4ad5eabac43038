"""Add services to a spec's text and take them out, touching no other byte of it.

The places come from the parsed file, and the text is cut there, so comments, order, quoting, and line ends stay. YAML
can be spelled in more ways than anybody foresees, so what comes out is read again: it holds what was asked for, or
nothing is returned.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode
from ruamel.yaml.tokens import FlowEntryToken, ScalarToken, Token, ValueToken

from generator.document import parse_document
from generator.errors import InputError, SpecError

# Plain words that some YAML reader takes for a boolean or nothing.
_SPECIAL = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
# JSON leaves these as they are in a text; YAML does not allow them, or folds them.
_NOT_FOR_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True)
class _Item:
    """Where a service stands in the text: `text[start:end]`.

    Attributes:
        start: Where it begins; in a block list, its dash.
        end: Behind the last of it that is no comment.
        comma: The comma behind it in a list between brackets, if there is one.
        node: What the text was read as.
        block: Head of the block of text that it ends with, such as `|+`; empty where it ends with something else.
    """

    start: int
    end: int
    comma: int | None
    node: Node
    block: str = ""

    @property
    def whole(self) -> int:
        """Return the place behind it and its comma."""
        return self.end if self.comma is None else self.comma + 1


def add_service(text: str, service: Mapping[str, Any]) -> str:
    """Return the text of a spec with one more service at the end of its list.

    Args:
        text: Text of a valid spec, or of one whose list of services is still empty.
        service: Keys and values of the service; the values are text, numbers, lists of text, or mappings of these.

    Raises:
        InputError: The list cannot be found, or is spelled in a way that only a person can edit.
    """
    services = _services(text)
    items = _items(text, services) if isinstance(services, SequenceNode) else []
    if not isinstance(services, SequenceNode) or not items:
        edited = _fill(text, services, service)
    elif services.flow_style:
        edited = _add_in_brackets(text, items, services.end_mark.index - 1, service)
    else:
        edited = _add_lines(text, items[-1], service)
    # The line end that a text may lack can be the end of a block of text as well.
    data = _data(text if _ends_line(text, len(text)) else text + _newline(text, len(text)))
    return _checked(edited, data | {"services": [*(data["services"] or []), dict(service)]})


def remove_service(text: str, name: str) -> str:
    """Return the text of a spec without one of its services.

    A comment directly above the service goes with it, unless the service is the first of the list.

    Args:
        text: Text of a valid spec with at least two services.
        name: Name of the service.

    Raises:
        InputError: There is no such service, or it is the only one, or the list is spelled in a way that only a person
            can edit.
    """
    services, data = _services(text), _data(text)
    if not isinstance(services, SequenceNode):
        raise InputError("The spec has no list of services.")
    names = [str(service["name"]) for service in data["services"]]
    if name not in names:
        raise InputError(f"There is no service `{name}`; there are {', '.join(f'`{other}`' for other in names)}.")
    if len(names) == 1:
        raise InputError(f"`{name}` is the only service, and a platform has at least one. Add another first.")
    number = names.index(name)
    cut = _cut_from_brackets if services.flow_style else _cut_lines
    edited = cut(text, _items(text, services), number)
    rest = [service for index, service in enumerate(data["services"]) if index != number]
    return _checked(edited, data | {"services": rest})


def _services(text: str) -> Node:
    root = YAML(typ="safe", pure=True).compose(text)
    for key, value in root.value if isinstance(root, MappingNode) else []:
        # An alias leads to an earlier place, which somebody else uses as well.
        if key.value == "services" and value.start_mark.index >= key.end_mark.index:
            services: Node = value
            return services
    raise InputError("The spec has no list of services of its own.")


def _items(text: str, services: SequenceNode) -> list[_Item]:
    """Return the place of each service, by the tokens between the list's beginning and its end."""
    nodes = services.value
    bounds = [*(node.start_mark.index for node in nodes), services.end_mark.index]
    tokens: list[list[Token]] = [[] for _ in bounds]
    for token in _tokens(text):
        if token.start_mark.index < services.end_mark.index:
            tokens[bisect_right(bounds, token.start_mark.index)].append(token)
    items = []
    # What stands before a service ends with its dash, what stands behind its beginning with the dash of the next one.
    for node, before, own in zip(nodes, tokens, tokens[1:], strict=False):
        if services.flow_style:
            end = node.end_mark.index
            comma = next((t for t in own if isinstance(t, FlowEntryToken) and t.start_mark.index >= end), None)
            items.append(_Item(node.start_mark.index, end, comma.start_mark.index if comma else None, node))
        else:
            last = own[-2 if node is not nodes[-1] else -1]
            block = _block_head(text, last)
            items.append(_Item(before[-1].start_mark.index, _end(text, last, block), None, node, block))
    return items


def _tokens(text: str) -> list[Token]:
    """Return what YAML is made of; beginnings and ends that have no character of their own are left out."""
    return [token for token in YAML(typ="safe", pure=True).scan(text) if token.start_mark.index < token.end_mark.index]


def _block_head(text: str, token: Token) -> str:
    if not isinstance(token, ScalarToken) or token.style not in {"|", ">"}:
        return ""
    start = token.start_mark.index
    return text[start : _line_end(text, start)].rstrip()


def _end(text: str, token: Token, block: str) -> int:
    """Return where a token ends: a block of text without the empty lines behind it, unless it keeps them."""
    end = int(token.end_mark.index)
    if block:
        while "+" not in block and text[:end].endswith(("\n\n", "\n\r\n", "\r\r")):
            end = _line_start(text, end - 1)
        # The last line end belongs to the line.
        end = len(text[:end].removesuffix("\n").removesuffix("\r"))
    return end


def _fill(text: str, services: Node, service: Mapping[str, Any]) -> str:
    """Put the first service into a list that is empty or not written yet."""
    if isinstance(services, SequenceNode):
        opening = text.index("[", services.start_mark.index) + 1
        return text[:opening] + flow(service) + text[opening:]
    behind = services.start_mark.index
    colon = [token for token in _tokens(text) if isinstance(token, ValueToken) and token.end_mark.index <= behind][-1]
    return _insert_lines(text, colon.end_mark.index, _block(service, "  "))


def _add_in_brackets(text: str, items: list[_Item], closing: int, service: Mapping[str, Any]) -> str:
    last = items[-1]
    quoted = isinstance(last.node, MappingNode) and all(key.style == '"' for key, _ in last.node.value)
    added = json.dumps(service, ensure_ascii=False) if quoted else flow(service)
    if last.comma is not None:
        added += ","
    start = _line_start(text, last.start)
    indent = text[start : last.start]
    if not indent.isspace():
        return _with(text, last.whole, f"{',' if last.comma is None else ''} {added}")
    newline = _newline(text, last.start)
    if _line_end(text, last.whole) > closing:
        return _with(text, last.whole, f"{',' if last.comma is None else ''}{newline}{indent}{added}")
    edited = _with(text, _line_end(text, last.whole), f"{indent}{added}{newline}")
    return _with(edited, last.end, ",") if last.comma is None else edited


def _add_lines(text: str, last: _Item, service: Mapping[str, Any]) -> str:
    indent = " " * (last.start - _line_start(text, last.start))
    inline = isinstance(last.node, MappingNode) and last.node.flow_style
    rows = [f"{indent}- {flow(service)}"] if inline else _block(service, indent)
    return _insert_lines(text, _last_line(text, last), rows)


def _insert_lines(text: str, place: int, rows: list[str]) -> str:
    """Insert whole lines behind the one that `place` is in; a text without a last line end still has none then."""
    newline = _newline(text, place)
    end = _line_end(text, place)
    if _ends_line(text, end):
        return _with(text, end, "".join(row + newline for row in rows))
    return _with(text, end, "".join(newline + row for row in rows))


def _cut_from_brackets(text: str, items: list[_Item], number: int) -> str:
    item = items[number]
    before = items[number - 1] if number > 0 else None
    last = number == len(items) - 1
    # Without a comma behind it, the last one takes the comma before it along.
    dangling = before.comma if before and last and item.comma is None else None
    start, end = _line_start(text, item.start), _line_end(text, item.whole)
    rest = text[item.whole : end].strip()
    if not text[start : item.start].strip() and (not rest or rest.startswith("#")) and _ends_line(text, end):
        if before:
            start = _comment_above(text, start, _line_end(text, before.whole))
    elif before and not text[before.whole : item.start].strip():
        return text[: before.whole if dangling is None else dangling] + text[item.whole :]
    else:
        start, end = item.start, item.whole
        while text[end : end + 1] == " ":
            end += 1
    edited = text[:start] + text[end:]
    return edited if dangling is None else edited[:dangling] + edited[dangling + 1 :]


def _cut_lines(text: str, items: list[_Item], number: int) -> str:
    item = items[number]
    start, end = _line_start(text, item.start), _line_end(text, _last_line(text, item))
    if number > 0:
        start = _comment_above(text, start, _line_end(text, _last_line(text, items[number - 1])))
    # A blank line between this service and the next one would be left double, or become text of the one before.
    block = items[number - 1].block if number > 0 else ""
    doubled = not text[_line_start(text, start - 1) : start].strip()
    while ("+" in block or doubled) and end < (following := _line_end(text, end)) and not text[end:following].strip():
        end, doubled = following, False
    while end == len(text) and "+" not in block and not text[(above := _line_start(text, start - 1)) : start].strip():
        start = above
    if not _ends_line(text, end) and not block:
        start = len(text[:start].removesuffix("\n").removesuffix("\r"))
    return text[:start] + text[end:]


def _last_line(text: str, item: _Item) -> int:
    """Return a place in the last line of a service; comments behind it that are indented like its keys belong to it."""
    column = item.start - _line_start(text, item.start)
    place = item.end
    start = _line_end(text, place)
    while start < len(text):
        row = text[start : _line_end(text, start)]
        if row.strip():
            if not row.lstrip(" ").startswith("#") or len(row) - len(row.lstrip(" ")) <= column:
                break
            place = start
        start += len(row)
    return place


def _comment_above(text: str, start: int, limit: int) -> int:
    """Return where the comment begins that stands directly above the line at `start`, not before `limit`."""
    while limit < start:
        above = _line_start(text, start - 1)
        if not text[above:start].lstrip().startswith("#"):
            break
        start = above
    return start


def _line_start(text: str, place: int) -> int:
    """Return where the line begins that the character at `place` is in."""
    if text[place : place + 1] == "\n" and text[place - 1 : place] == "\r":
        place -= 1
    return max(text.rfind("\n", 0, place), text.rfind("\r", 0, place)) + 1


def _line_end(text: str, place: int) -> int:
    """Return the place behind the line, and its line end, that `place` is in."""
    match = _LINE_END.search(text, place)
    return match.end() if match else len(text)


def _ends_line(text: str, place: int) -> bool:
    return text[:place].endswith(("\n", "\r"))


def _newline(text: str, place: int) -> str:
    """Return how the line ends that `place` is in, or else the first one of the text."""
    match = _LINE_END.search(text, place) or _LINE_END.search(text)
    return match[0] if match else "\n"


def _with(text: str, place: int, added: str) -> str:
    return text[:place] + added + text[place:]


def _checked(edited: str, expected: Any) -> str:
    """Return what was edited if it says what is expected."""
    try:
        if _data(edited) == expected:
            return edited
    except SpecError:
        pass
    raise InputError(
        "The list of services is spelled in a way that cannot be edited without changing more of it "
        "(an anchor that is used elsewhere, for example). Edit it by hand; nothing was written."
    )


def _data(text: str) -> Any:
    return parse_document(Path("services.yaml"), text).data


def flow(value: Any) -> str:
    """Return text, a number, a list or a mapping as YAML on one line; text that YAML would read otherwise is quoted."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, str) and value.lower() not in _SPECIAL and re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", value):
        return value
    return _NOT_FOR_YAML.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=False))


def _block(service: Mapping[str, Any], indent: str) -> list[str]:
    rows = [f"{key}: {flow(value)}" for key, value in service.items()]
    return [f"{indent}{'  ' if number else '- '}{row}" for number, row in enumerate(rows)]
