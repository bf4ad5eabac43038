"""Read a YAML file into plain data that remembers where each value stands.

The limits below bound the work that a hostile or broken file can cause.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from generator.errors import InputError, Problem, SpecError

MAX_BYTES = 4 * 1024 * 1024
MAX_VALUES = 500_000
MAX_DEPTH = 40

Path_ = tuple[str | int, ...]

_PLAIN_TAGS = {
    f"tag:yaml.org,2002:{kind}"
    for kind in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq", "merge", "value")
}
_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True)
class Position:
    """A place in a file: line and column, both from 1."""

    line: int
    column: int


@dataclass
class Document:
    """Plain data of a YAML file and the place of each of its keys and values.

    Attributes:
        file: The file it came from.
        data: Dictionaries, lists, and scalars.
        keys: Place of the key, or of the list item, by path.
        values: Place of the value by path; the empty path is the document.
        problems: Faults found while reading that do not hinder further checks.
    """

    file: Path
    data: Any = None
    keys: dict[Path_, Position] = field(default_factory=dict)
    values: dict[Path_, Position] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def problem(self, path: Path_, message: str, *, at_key: bool = False) -> Problem:
        """Return a fault at `path`, or at the nearest place above it that the file has."""
        places = self.keys if at_key else self.values
        place = path
        while place and place not in places:
            place = place[:-1]
        position = places.get(place) or self.values.get(place) or Position(1, 1)
        return Problem(position.line, position.column, dotted(path), message)


def dotted(path: Path_) -> str:
    """Return a path as people write it: `services[3].autoscaling.min`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def read_text(file: Path) -> str:
    """Return the text of a spec file, without a byte order mark.

    Raises:
        InputError: There is no such file, or it is not a file that can be read.
        SpecError: It is too large or not UTF-8.
    """
    try:
        if file.is_dir():
            raise InputError(f"{file} is a directory. Name the spec's file, such as {file / 'services.yaml'}.")
        raw = file.read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"{file} does not exist. Write one with `triptych init`, or name another with --file."
        ) from None
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.") from None
    if len(raw) > MAX_BYTES:
        raise SpecError(file, [Problem(1, 1, "", f"the file has {len(raw)} bytes; at most {MAX_BYTES} are read")])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
        byte = raw[error.start]
        raise SpecError(
            file, [Problem(line, column, "", f"byte 0x{byte:02x} is not UTF-8; save the file as UTF-8")]
        ) from None


def read_document(file: Path) -> Document:
    """Read a YAML 1.2 file.

    Args:
        file: The file to read.

    Returns:
        Its data with places. Duplicate keys and keys that are not text are among its `problems`.

    Raises:
        InputError: The file cannot be read.
        SpecError: The file is not one well-formed YAML document within the limits.
    """
    return parse_document(file, read_text(file))


def parse_document(file: Path, text: str) -> Document:
    """Parse the text of a YAML file; `file` is only named in messages.

    Raises:
        SpecError: As `read_document`.
    """
    yaml = YAML(typ="safe", pure=True)
    try:
        nodes = []
        for node in yaml.compose_all(text):
            nodes.append(node)
            if len(nodes) > 1:
                break
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise SpecError(file, [Problem(line, column, "", _syntax_message(error, text))]) from None
    except ReaderError as error:
        before = text[: error.position]
        name = unicodedata.name(text[error.position], f"U+{ord(text[error.position]):04X}")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise SpecError(
            file, [Problem(line, column, "", f"the character {name} is not allowed in YAML; remove it")]
        ) from None
    except RecursionError:
        raise SpecError(file, [Problem(1, 1, "", f"nested deeper than {MAX_DEPTH} levels")]) from None
    except (YAMLError, ValueError) as error:
        raise SpecError(file, [Problem(1, 1, "", f"not valid YAML: {error}")]) from None
    nodes = [node for node in nodes if node is not None]
    if not nodes:
        raise SpecError(file, [Problem(1, 1, "", "the file is empty; write a first spec with `triptych init`")])
    if len(nodes) > 1:
        mark = nodes[1].start_mark
        raise SpecError(
            file, [Problem(mark.line + 1, mark.column + 1, "", "a second YAML document begins here; a spec has one")]
        )
    builder = _Builder(Document(file), yaml)
    builder.document.data = builder.build(nodes[0], ())
    return builder.document


def _syntax_message(error: MarkedYAMLError, text: str) -> str:
    problem = " ".join(str(part) for part in (error.context, error.problem) if part)
    mark = error.problem_mark
    line = text.split("\n")[mark.line] if mark and mark.line < text.count("\n") + 1 else ""
    if "\t" in line[: mark.column + 1 if mark else 0]:
        return "a tab stands where YAML wants spaces; indent with spaces"
    return f"not valid YAML: {problem}"


class _Builder:
    """Turns composed nodes into plain data, keeping places and bounding the work."""

    def __init__(self, document: Document, yaml: YAML) -> None:
        self.document = document
        self._scalar = yaml.constructor
        self._count = 0
        self._open: set[int] = set()

    def build(self, node: Node, path: Path_) -> Any:
        """Return the data of `node`, which stands at `path`."""
        position = _position(node)
        self.document.values[path] = position
        self._count += 1
        if self._count > MAX_VALUES:
            self._fail(node, path, f"more than {MAX_VALUES:,} values once aliases are expanded; use fewer aliases")
        if len(path) > MAX_DEPTH:
            self._fail(node, path, f"nested deeper than {MAX_DEPTH} levels")
        if id(node) in self._open:
            self._fail(node, path, "an alias contains itself")
        tag = str(node.tag)
        if tag not in _PLAIN_TAGS:
            self._fail(node, path, f"the tag {tag} is not allowed; write a plain value")
        self._open.add(id(node))
        try:
            if isinstance(node, MappingNode):
                return self._mapping(node, path)
            if isinstance(node, SequenceNode):
                return self._sequence(node, path)
            assert isinstance(node, ScalarNode)  # noqa: S101 -- YAML has no fourth kind of node
            return self._value(node, path)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: MappingNode, path: Path_) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if str(key_node.tag) == _MERGE:
                merged = self._merge(value_node, path) | merged
                continue
            key = key_node.value if isinstance(key_node, ScalarNode) else None
            position = _position(key_node)
            if key is None or str(key_node.tag) not in {"tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp"}:
                shown = f"`{key}`" if key is not None else "a list or mapping"
                hint = f'; quote it: "{key}"' if key is not None else ""
                self._note(position, path, f"found {shown} as a key; a key is text{hint}")
                continue
            if key in own:
                first = self.document.keys[(*path, key)]
                self._note(
                    position, (*path, key), f"the key stands twice; first in line {first.line}. Keep one of them"
                )
                continue
            self.document.keys[(*path, key)] = position
            own[key] = self.build(value_node, (*path, key))
        return {key: value for key, value in merged.items() if key not in own} | own

    def _merge(self, node: Node, path: Path_) -> dict[str, Any]:
        sources = node.value if isinstance(node, SequenceNode) else [node]
        result: dict[str, Any] = {}
        kept = self.document.values[path]
        for source in sources:
            if not isinstance(source, MappingNode):
                self._fail(node, path, "`<<` merges mappings only")
            # The first source wins; places of overridden values are overwritten by the key's own value later.
            result = self.build(source, path) | result
        self.document.values[path] = kept
        return result

    def _sequence(self, node: SequenceNode, path: Path_) -> list[Any]:
        items = []
        for index, item in enumerate(node.value):
            self.document.keys[(*path, index)] = _position(item)
            items.append(self.build(item, (*path, index)))
        return items

    def _value(self, node: ScalarNode, path: Path_) -> Any:
        tag = str(node.tag).rpartition(":")[2]
        if tag in {"str", "timestamp", "value", "merge"}:
            return node.value
        try:
            return self._scalar.construct_object(node)
        except (ValueError, MarkedYAMLError):
            self._fail(node, path, f"`{node.value}` is not a valid {tag}")

    def _note(self, position: Position, path: Path_, message: str) -> None:
        self.document.problems.append(Problem(position.line, position.column, dotted(path), message))

    def _fail(self, node: Node, path: Path_, message: str) -> Any:
        position = _position(node)
        raise SpecError(self.document.file, [Problem(position.line, position.column, dotted(path), message)])


def _position(node: Node) -> Position:
    return Position(node.start_mark.line + 1, node.start_mark.column + 1)
