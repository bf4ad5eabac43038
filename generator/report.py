"""Show a plan: what an apply does to each file, for people and for scripts."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import click

from generator import output
from generator.changes import AnswerChange, Kind
from generator.planning import Plan, RepositoryPlan

_COLOURS = {
    Kind.NEW: "green",
    Kind.CHANGED: "cyan",
    Kind.MERGED: "yellow",
    Kind.CONFLICT: "red",
    Kind.REMOVED: "magenta",
    Kind.REMOVED_EDITED: "red",
}
_WIDTH = max(len(kind) for kind in Kind)
# A folder with more files than this, to all of which the same happens, is told in one line.
_FOLDED = 4
_ANSWERS_SHOWN = 20


def show_plan(plan: Plan) -> None:
    """Write what an apply does, repository by repository."""
    for part in plan.repositories:
        _show_repository(part)
    counts = [f"{len(paths)} {kind.value}" for kind in Kind if (paths := plan.of_kind(kind))]
    output.line(f"Plan: {', '.join(counts)}." if counts else "Plan: nothing changes.")


def plan_as_json(plan: Plan) -> str:
    """Return a plan as JSON, for scripts."""
    return json.dumps(
        {
            "changes": plan.changes_something,
            "repositories": [_as_data(p) for p in plan.repositories],
            "leftovers": plan.leftovers,
        },
        indent=2,
    )


def _show_repository(part: RepositoryPlan) -> None:
    name = click.style(part.repository.name, bold=True)
    if part.action == "unchanged":
        output.line(": nothing changes", label=name)
        return
    if part.action == "create":
        output.line(f": create in {part.folder}", label=name)
    else:
        template = ""
        if part.template_before != part.template_after:
            template = f", template {part.template_before} → {part.template_after}"
        output.line(f": update{template}", label=name)
    for kind in Kind:
        for path in _folded(part.of_kind(kind), fold=kind in {Kind.NEW, Kind.REMOVED}):
            output.line(path, label=f"  {click.style(f'{kind.value:{_WIDTH}}', fg=_COLOURS[kind])}  ")
    _show_answers(part.answers)


def _show_answers(answers: list[AnswerChange]) -> None:
    for change in answers[:_ANSWERS_SHOWN]:
        if change.is_new:
            output.line(f"  {'new default':{_WIDTH}}  {change.path} = {_short(change.after)}")
        else:
            output.line(f"  {'answer':{_WIDTH}}  {change.path}: {_short(change.before)} → {_short(change.after)}")
    if len(answers) > _ANSWERS_SHOWN:
        output.line(f"  {'answer':{_WIDTH}}  and {len(answers) - _ANSWERS_SHOWN} more (`triptych plan --json` has all)")


def _short(value: Any) -> str:
    if value is None:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _folded(paths: Iterable[str], *, fold: bool) -> list[str]:
    """Return paths with each folder of many files in one line; a service's folder counts for itself."""
    groups: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        folders = path.split("/")[:-1]
        folder = "/".join(folders[: 2 if folders[:1] == ["services"] else 1])
        groups[folder if fold and folder else path].append(path)
    lines = []
    for folder, members in groups.items():
        lines += [f"{folder}/ ({len(members)} files)"] if len(members) > _FOLDED else members
    return sorted(lines)


def _as_data(part: RepositoryPlan) -> dict[str, Any]:
    return {
        "name": part.repository.name,
        "folder": str(part.folder),
        "action": part.action,
        "template": {"before": part.template_before or None, "after": part.template_after},
        "servicesAdded": part.added,
        "servicesRemoved": part.removed,
        "files": [{"path": change.path, "change": change.kind.value} for change in part.changes],
        "answers": [
            {"path": change.path, "before": change.before, "after": change.after, "new": change.is_new}
            for change in part.answers
        ],
    }
