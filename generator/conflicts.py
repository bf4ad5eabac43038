"""Leave an unsettled merge in the user's work trees, as git itself would after `git merge`."""

from __future__ import annotations

import shutil

from generator import git
from generator.changes import Kind
from generator.planning import Plan, RepositoryPlan


def leave_conflicts(plan: Plan) -> None:
    """Put the planned updates into the work trees without committing anything.

    Settled files are staged; the others hold both versions between markers and are unmerged in the index.
    Repositories that do not exist yet wait until the conflicts are resolved.
    """
    updates = [part for part in plan.repositories if part.action == "update"]
    try:
        for part in updates:
            _leave(part)
    except BaseException:
        for part in updates:
            _take_back(part)
        raise


def _leave(part: RepositoryPlan) -> None:
    if part.scratch is None:
        return
    conflicts = set(part.of_kind(Kind.CONFLICT))
    settled = [change.path for change in part.changes if change.path not in conflicts]
    if settled:
        listed = "\0".join(settled)
        git.git(
            part.scratch, "add", "--all", "--force", "--pathspec-from-file=-", "--pathspec-file-nul", stdin=listed,
            variables={"GIT_LITERAL_PATHSPECS": "1"},
        )  # fmt: skip
    _bring_objects(part)
    for change in part.changes:
        source, target = part.scratch / change.path, part.folder / change.path
        if source.is_symlink() or source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
        else:
            target.unlink(missing_ok=True)
    shutil.copyfile(git.git_folder(part.scratch) / "index", git.git_folder(part.folder) / "index")
    git.succeeds(part.folder, "update-index", "-q", "--refresh")


def _bring_objects(part: RepositoryPlan) -> None:
    """Fetch every blob that the scratch index names, by way of a commit that holds them all."""
    if part.scratch is None:
        return
    blobs = {entry.split()[1] for entry in git.git(part.scratch, "ls-files", "--stage", "-z").split("\0") if entry}
    listing = "".join(f"100644 blob {blob}\t{blob}\n" for blob in sorted(blobs))
    tree = git.git(part.scratch, "mktree", stdin=listing).strip()
    variables = {f"GIT_{role}_{key}": "triptych" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
    commit = git.git(part.scratch, "commit-tree", tree, "-m", "Blobs of a merge", variables=variables).strip()
    git.git(part.folder, "fetch", "--quiet", "--no-tags", "--", str(part.scratch), commit)


def _take_back(part: RepositoryPlan) -> None:
    """Put a work tree back to its last commit, which it was at."""
    for path in part.of_kind(Kind.NEW):
        (part.folder / path).unlink(missing_ok=True)
    git.git(part.folder, "reset", "--hard", "--quiet", part.before)
