"""`triptych plan`: say what an apply would do."""

from __future__ import annotations

from pathlib import Path

from generator import git, output, report
from generator.notes import notes
from generator.planning import Plan, planned
from generator.projection import repositories
from generator.spec import load_spec
from generator.template import find_template

CHANGES_FOUND = 3


def run(  # noqa: PLR0913 -- one argument an option of the command line
    file: Path, folder: Path, template: str | None, *, diff: bool, as_json: bool, exit_code: bool
) -> int:
    """Write the plan to standard output and return the exit code."""
    spec = load_spec(file)
    output.notes(notes(spec))
    with (
        output.progress() as progress,
        planned(repositories(spec), folder, find_template(template), progress=progress) as plan,
    ):
        patches = _patches(plan) if diff else []
        progress("")
    if as_json:
        output.raw(report.plan_as_json(plan) + "\n")
    else:
        report.show_plan(plan)
        for patch in patches:
            output.patch(patch)
    output.notes(plan.leftovers)
    return CHANGES_FOUND if exit_code and plan.changes_something else 0


def _patches(plan: Plan) -> list[str]:
    """Return the changes of each repository as git shows them."""
    patches = []
    for part in plan.repositories:
        if part.scratch is None:
            continue
        git.git(part.scratch, "add", "--all", "--force")
        name = part.repository.name
        prefixes = (f"--src-prefix=a/{name}/", f"--dst-prefix=b/{name}/")
        patches.append(git.git(part.scratch, "diff", "--cached", "--no-color", "--no-ext-diff", *prefixes).rstrip("\n"))
    return [patch for patch in patches if patch]
