"""Bring a plan into the repositories: all of them, or none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from generator import git, journal
from generator.changes import Kind
from generator.errors import RefusedError, TriptychError, in_words
from generator.planning import Plan, RepositoryPlan

_STAGING = ".triptych-apply-"


@dataclass
class Landed:
    """What an apply did.

    Attributes:
        commits: Commit of each repository that changed, by the repository's name.
        branches: Branches that were made beside, by the repository's name.
        identity: Who the commits are by.
    """

    identity: git.Identity
    commits: dict[str, str] = field(default_factory=dict)
    branches: dict[str, list[str]] = field(default_factory=dict)


@contextmanager
def locked(output: Path) -> Iterator[None]:
    """Keep two applies from working in one folder at the same time; a killed one keeps nobody out.

    Raises:
        RefusedError: Another apply is at work.
    """
    try:
        import fcntl  # noqa: PLC0415 -- Windows has none; there, git's own locks must do
    except ImportError:
        yield
        return
    descriptor = os.open(output, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RefusedError(f"Another `triptych apply` is at work in {output}. Wait until it is done.") from None
        yield
    finally:
        os.close(descriptor)


def finish_interrupted(folders: list[Path], output: Path) -> list[Path]:
    """Finish what a killed apply left behind, and return the repositories that were finished.

    Call it with the lock held.

    Raises:
        RefusedError: Somebody changed files since.
    """
    for folder in folders:
        shutil.rmtree(output / f"{_STAGING}{folder.name}", ignore_errors=True)
    return [folder for folder in folders if (folder / ".git").exists() and journal.finish(folder)]


def land(plan: Plan, output: Path) -> Landed:
    """Commit the plan's results and move every repository to them.

    Args:
        plan: A plan without conflicts.
        output: Folder of the repositories; it exists, and the lock is held.

    Raises:
        TriptychError: A repository could not be moved; those before it were moved back.
    """
    pending = [part for part in plan.repositories if part.action != "unchanged"]
    landed = Landed(git.identity(_existing(pending, output)))
    # Everything that takes long or can fail comes first; what follows only moves finished commits into place.
    commits = [_commit(part, landed.identity) for part in pending]
    done: list[tuple[RepositoryPlan, str]] = []
    try:
        for part, commit in zip(pending, commits, strict=True):
            done.append((part, commit))
            if part.action == "create":
                _create(part, output)
            else:
                _move(part, commit)
            landed.commits[part.repository.name] = commit
            landed.branches[part.repository.name] = _add_branches(part, commit)
    except BaseException as error:
        for part, commit in reversed(done):
            _take_back(part, commit, landed.branches.get(part.repository.name, []))
        if isinstance(error, OSError):
            raise TriptychError(f"{in_words(error)} Every repository is as it was.") from error
        raise
    return landed


def message(part: RepositoryPlan) -> str:
    """Return the message of the commit that lands `part`."""
    if part.action == "create":
        subject = f"Create {part.repository.name} from services.yaml"
    else:
        deeds = [
            f"{verb} {', '.join(names)}" for verb, names in (("add", part.added), ("remove", part.removed)) if names
        ]
        if part.template_before != part.template_after:
            deeds.append(f"update the template to {part.template_after}")
        subject = f"Apply services.yaml: {'; '.join(deeds)}" if deeds else "Apply services.yaml"
        if len(subject) > 72:
            subject = f"Apply services.yaml: {len(part.added)} services added, {len(part.removed)} removed"
    body = [f"{kind.value}: {len(paths)} files" for kind in Kind if (paths := part.of_kind(kind))]
    return "\n".join([subject, "", *body, "", f"Triptych-Template: {part.template_after}", ""])


def _existing(pending: list[RepositoryPlan], output: Path) -> Path:
    """Return a folder whose git settings tell who the user is: an existing repository, if there is one."""
    return next((part.folder for part in pending if part.action == "update"), output)


def _commit(part: RepositoryPlan, identity: git.Identity) -> str:
    if part.scratch is None:
        raise TriptychError(f"{part.repository.name} was planned without a result.")
    return git.commit_all(part.scratch, message(part), identity)


def _create(part: RepositoryPlan, output: Path) -> None:
    """Put a new repository in its place with one rename, so that it is there whole or not at all."""
    if part.scratch is None:
        return
    staged = output / f"{_STAGING}{part.repository.name}"
    shutil.move(part.scratch, staged)
    for branch in part.repository.branches:
        if branch != part.repository.branch:
            git.git(staged, "branch", branch)
    if part.folder.exists():
        part.folder.rmdir()
    staged.rename(part.folder)


def _move(part: RepositoryPlan, commit: str) -> None:
    if git.head(part.folder) != part.before or git.changed_files(part.folder):
        raise RefusedError(f"{part.folder} was changed while the plan was made. Run the command again.")
    git.git(part.folder, "fetch", "--quiet", "--no-tags", "--", str(part.scratch), commit)
    journal.begin(part.folder, part.before, commit)
    git.git(part.folder, "merge", "--quiet", "--ff-only", commit)
    journal.end(part.folder)


def _add_branches(part: RepositoryPlan, commit: str) -> list[str]:
    """Make the branches of environments that have none yet, here or at the repository's remotes."""
    if part.action == "create":
        return []
    listing = git.git(part.folder, "for-each-ref", "--format=%(refname)", "refs/heads/", "refs/remotes/").split()
    # refs/heads/<branch>, or refs/remotes/<remote>/<branch>
    known = {name.split("/", 2 if name.startswith("refs/heads/") else 3)[-1] for name in listing}
    added = [branch for branch in part.repository.branches if branch not in known]
    for branch in added:
        git.git(part.folder, "branch", branch, commit)
    return added


def _take_back(part: RepositoryPlan, commit: str, branches: list[str]) -> None:
    """Put a repository back to where it was before `land`."""
    if part.action == "create":
        staged = part.folder.parent / f"{_STAGING}{part.repository.name}"
        shutil.rmtree(staged, ignore_errors=True)
        if part.folder.is_dir() and git.is_repository(part.folder) and git.head(part.folder) == commit:
            shutil.rmtree(part.folder)
        return
    for branch in branches:
        git.git(part.folder, "branch", "--quiet", "-D", branch)
    if git.head(part.folder) == commit:
        git.git(part.folder, "reset", "--keep", "--quiet", part.before)
    if journal.interrupted(part.folder) and not git.changed_files(part.folder):
        journal.end(part.folder)
