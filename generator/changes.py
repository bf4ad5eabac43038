"""Say of each file what an update does to it, and of each answer how it changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from generator.git import Tree
from generator.projection import Answers


class Kind(StrEnum):
    """What happens to a file."""

    NEW = "new"
    CHANGED = "changed"
    MERGED = "merged with edits"
    CONFLICT = "conflict"
    REMOVED = "removed"
    REMOVED_EDITED = "removed though edited"


@dataclass(frozen=True, order=True)
class Change:
    """A file and what happens to it."""

    path: str
    kind: Kind


@dataclass(frozen=True)
class AnswerChange:
    """An answer that the spec, or a newer Triptych, changes.

    Attributes:
        path: Its place, such as `services[orders].port`.
        before: Its value until now; None where `is_new`.
        after: Its value from now on; None where it is gone.
        is_new: Whether the answer was not there before: a key that gets its default for the first time.
    """

    path: str
    before: Any
    after: Any
    is_new: bool = False


def file_changes(
    *, head: Tree, base: Tree, result: Tree, conflicts: Iterable[str], doomed: Iterable[str]
) -> list[Change]:
    """Compare the repository before and after an update.

    Args:
        head: The repository as it is.
        base: The pristine render that it was made from, or last updated to.
        result: The repository after the merge.
        conflicts: Files whose merge is not settled.
        doomed: Files that the user added to a folder which goes as a whole.

    Returns:
        Every file that changes, sorted by path.
    """
    unsettled, added = set(conflicts), set(doomed)
    changes = [Change(path, Kind.CONFLICT) for path in unsettled]
    for path in (head.keys() | result.keys()) - unsettled:
        if path in added or (path not in result and head[path] != base.get(path)):
            changes.append(Change(path, Kind.REMOVED_EDITED))
        elif path not in result:
            changes.append(Change(path, Kind.REMOVED))
        elif path not in head:
            changes.append(Change(path, Kind.NEW))
        elif head[path] != result[path]:
            changes.append(Change(path, Kind.CHANGED if head[path] == base.get(path) else Kind.MERGED))
    return sorted(changes)


def answer_changes(before: Answers, after: Answers) -> list[AnswerChange]:
    """Return the answers in which `after` differs; services and environments that come or go are not taken apart."""
    return list(_answer_changes("", before, after))


def names_in(answers: Answers, section: str) -> set[str]:
    """Return the names of the items in a section of the answers."""
    return {item["name"] for item in answers.get(section) or [] if isinstance(item, dict) and "name" in item}


def _answer_changes(path: str, before: Any, after: Any, *, stated: bool = False) -> Iterator[AnswerChange]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            place = f"{path}.{key}" if path else str(key)
            if key not in before:
                yield AnswerChange(place, None, after[key], is_new=not stated)
            else:
                # Chart values hold only what the spec states, so a new one there is no new default.
                yield from _answer_changes(place, before[key], after.get(key), stated=stated or key == "values")
    elif _is_named(before) and _is_named(after):
        old, new = ({item["name"]: item for item in items} for items in (before, after))
        for name in sorted(old.keys() & new.keys()):
            yield from _answer_changes(f"{path}[{name}]", old[name], new[name], stated=stated)
    elif before != after:
        yield AnswerChange(path, before, after)


def _is_named(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(i, dict) and "name" in i for i in value)
