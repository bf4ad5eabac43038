"""Write to the terminal: plain text where it is piped, colours and progress where somebody is watching."""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console

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
# Control characters except line ends and tabs, those that change the direction of writing, and halves of characters.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_WIDTH = max(len(kind) for kind in Kind)
# A folder with more files than this, to all of which the same happens, is told in one line.
_FOLDED = 4
_ANSWERS_SHOWN = 20


def line(text: str = "", *, label: str = "") -> None:
    """Write one line to standard output.

    Args:
        text: What a terminal may not take for commands is written as an escape.
        label: Styled text to go before it.
    """
    click.echo(label + visible(text), file=sys.stdout)


def raw(text: str) -> None:
    """Write text for programs to standard output, as it is."""
    click.echo(text, nl=False, color=True, file=sys.stdout)


def patch(text: str) -> None:
    """Write changed lines to standard output: as they are for programs, harmless for a terminal."""
    raw((visible(text) if sys.stdout.isatty() else text) + "\n")


def note(text: str) -> None:
    """Write one line to standard error, for what is not the result."""
    click.echo(visible(text), file=sys.stderr)


def notes(texts: Iterable[str]) -> None:
    """Write notes to standard error."""
    for text in texts:
        click.echo(click.style("note: ", fg="yellow", bold=True) + visible(text), file=sys.stderr)


def error(text: str) -> None:
    """Write a failure to standard error."""
    click.echo(click.style("error: ", fg="red", bold=True) + visible(text), file=sys.stderr)


def visible(text: str) -> str:
    """Return text with the characters that would steer a terminal, or turn the text around, as escapes."""
    return _STEERING.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Show what is being done on a terminal; say nothing where standard error is piped."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("reading") as status:
        yield status.update


def show_plan(plan: Plan) -> None:
    """Write what an apply does, repository by repository."""
    for part in plan.repositories:
        _show_repository(part)
    counts = [f"{len(paths)} {kind.value}" for kind in Kind if (paths := plan.of_kind(kind))]
    line(f"Plan: {', '.join(counts)}." if counts else "Plan: nothing changes.")


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
        line(": nothing changes", label=name)
        return
    if part.action == "create":
        line(f": create in {part.folder}", label=name)
    else:
        template = ""
        if part.template_before != part.template_after:
            template = f", template {part.template_before} → {part.template_after}"
        line(f": update{template}", label=name)
    for kind in Kind:
        for path in _folded(part.of_kind(kind), fold=kind in {Kind.NEW, Kind.REMOVED}):
            line(path, label=f"  {click.style(f'{kind.value:{_WIDTH}}', fg=_COLOURS[kind])}  ")
    _show_answers(part.answers)


def _show_answers(answers: list[AnswerChange]) -> None:
    for change in answers[:_ANSWERS_SHOWN]:
        if change.is_new:
            line(f"  {'new default':{_WIDTH}}  {change.path} = {_short(change.after)}")
        else:
            line(f"  {'answer':{_WIDTH}}  {change.path}: {_short(change.before)} → {_short(change.after)}")
    if len(answers) > _ANSWERS_SHOWN:
        line(f"  {'answer':{_WIDTH}}  and {len(answers) - _ANSWERS_SHOWN} more (`triptych plan --json` has all)")


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
