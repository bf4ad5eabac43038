"""`triptych apply`: bring the repositories in step with the spec and the template."""

from __future__ import annotations

from pathlib import Path

from generator import output, report
from generator.changes import Kind
from generator.conflicts import leave_conflicts
from generator.errors import InputError, RefusedError
from generator.landing import Landed, finish_interrupted, land, locked
from generator.notes import notes
from generator.planning import Plan, planned
from generator.projection import Repository, repositories
from generator.spec import load_spec
from generator.template import find_template


def run(file: Path, folder: Path, template: str | None, *, prune: bool, keep_conflicts: bool) -> int:
    """Plan, show the plan, and land it.

    Raises:
        RefusedError: There are conflicts, or files would be lost; every repository is as it was.
    """
    spec = load_spec(file)
    output.notes(notes(spec))
    wanted = repositories(spec)
    source = find_template(template)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {error.strerror}. Choose another --output.") from None
    with locked(folder):
        for finished in finish_interrupted([folder / repository.name for repository in wanted], folder):
            output.note(f"Finished the interrupted apply in {finished}.")
        with output.progress() as progress, planned(wanted, folder, source, progress=progress) as plan:
            progress("")
            refusal = _refusal(plan, prune=prune, keep_conflicts=keep_conflicts)
            landed = None
            if refusal is None and plan.of_kind(Kind.CONFLICT):
                leave_conflicts(plan)
            elif refusal is None and plan.changes_something:
                progress("committing")
                landed = land(plan, folder)
    report.show_plan(plan)
    if refusal:
        raise RefusedError(refusal)
    if plan.of_kind(Kind.CONFLICT):
        raise RefusedError(
            "Nothing is committed. Resolve the conflicts between the markers, then `git add` and `git commit` in each "
            "repository: " + ", ".join(part.repository.name for part in plan.repositories if part.action == "update")
        )
    if landed:
        _report(landed, wanted, folder)
    output.notes(plan.leftovers)
    return 0


def _refusal(plan: Plan, *, prune: bool, keep_conflicts: bool) -> str | None:
    """Return why the plan may not be landed, if so."""
    edited = plan.of_kind(Kind.REMOVED_EDITED)
    if edited and not prune:
        return (
            "These files are no longer generated, but you edited or added them:"
            + _listed(edited)
            + "\nMove what you need elsewhere, or let them go with `triptych apply --prune`. Nothing was changed."
        )
    conflicts = plan.of_kind(Kind.CONFLICT)
    if conflicts and not keep_conflicts:
        return (
            "You and the new render changed these files in ways that do not merge:"
            + _listed(conflicts)
            + "\nRun `triptych apply --keep-conflicts` to settle them in your work tree: text has both versions "
            "between markers then, and what is no text is as you have it. Nothing was changed."
        )
    return None


def _listed(paths: list[str]) -> str:
    return "".join(f"\n  {path}" for path in paths)


def _report(landed: Landed, wanted: list[Repository], folder: Path) -> None:
    for repository in wanted:
        if repository.name in landed.commits:
            output.line(f"{repository.name}: {landed.commits[repository.name][:12]} on {repository.branch}")
            for branch in landed.branches[repository.name]:
                output.line(f"{repository.name}: new branch {branch}")
    if not landed.identity.known:
        output.note(
            f"git knows no name and address of yours here, so the commits are by {landed.identity.name}. "
            "Set them with `git config --global user.name …` and `user.email …`."
        )
    output.line(f"Done: {folder.resolve()}")
