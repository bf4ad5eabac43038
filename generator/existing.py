"""A repository that is there already: whether an apply may touch it, and what it was rendered from."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Any

import yaml

from generator import git, records
from generator.errors import GitError, InputError, RefusedError
from generator.journal import interrupted
from generator.projection import Repository
from generator.rendering import ANSWERS_FILE
from generator.template import Template

# What git leaves in its folder while it waits for the user: what is under way, how to go on, and how to give up.
_UNDER_WAY = {
    "MERGE_HEAD": ("merge", "merge --continue", "merge --abort"),
    "rebase-merge": ("rebase", "rebase --continue", "rebase --abort"),
    "rebase-apply/applying": ("git am", "am --continue", "am --abort"),
    "rebase-apply": ("rebase", "rebase --continue", "rebase --abort"),
    "CHERRY_PICK_HEAD": ("cherry-pick", "cherry-pick --continue", "cherry-pick --abort"),
    "REVERT_HEAD": ("revert", "revert --continue", "revert --abort"),
    "BISECT_LOG": ("bisect", None, "bisect reset"),
}


def commit_to_update(repository: Repository, folder: Path) -> str:
    """Return the commit that is checked out in `folder`, on top of which an apply may commit.

    Raises:
        InputError: The folder holds something else.
        RefusedError: The repository has to be brought into another state first.
    """
    if not git.is_repository(folder):
        raise _no_repository(folder)
    if interrupted(folder):
        raise RefusedError(f"An apply was interrupted in {folder}. Run `triptych apply` to finish it.")
    _refuse_under_way(folder)
    status = git.status(folder)
    if status.commit is None:
        raise RefusedError(f"{folder} is a git repository without a commit. Move it away; `triptych apply` creates it.")
    if status.branch != repository.branch:
        raise RefusedError(_on_another_branch(repository, folder, status.branch))
    if status.changed:
        listed = "".join(f"\n  {path}" for path in status.changed[:10])
        more = f"\n  and {len(status.changed) - 10} more" if len(status.changed) > 10 else ""
        raise RefusedError(f"{folder} has changes that are not committed. Commit or stash them first:{listed}{more}")
    return status.commit


def read_answers(folder: Path) -> dict[str, Any]:
    """Return what Copier recorded in a generated repository.

    Raises:
        RefusedError: There is no record, or it cannot be read.
    """
    file = folder / ANSWERS_FILE
    try:
        answers = records.parse(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        deleted = git.git(folder, "rev-list", "-1", "HEAD", "--", ANSWERS_FILE).strip()
        if deleted:
            raise RefusedError(
                f"{folder} has lost its {ANSWERS_FILE}, the record of what it was made from, in the commit "
                f"{deleted[:12]}. Bring it back with `git -C {quote(str(folder))} checkout {deleted[:12]}~ -- "
                f"{ANSWERS_FILE}`, and commit it."
            ) from None
        raise RefusedError(
            f"{folder} is a git repository, but Triptych did not make it: it has no {ANSWERS_FILE}. "
            "Move it away, or choose another name in the spec."
        ) from None
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise RefusedError(
            f"{file} cannot be read: {error}. Restore it with `git checkout -- {ANSWERS_FILE}`."
        ) from None
    if not isinstance(answers, dict) or not {"_commit", "_src_path"} <= answers.keys():
        raise RefusedError(f"{file} names no template. Restore it from the repository's history.")
    return answers


def refuse_renamed(repository: Repository, output: Path, template: Template) -> None:
    """Refuse to create a second repository where the first only got another name in the spec."""
    if not output.is_dir():
        return
    for folder in sorted(output.iterdir()):
        if (folder / ANSWERS_FILE).is_file() and (folder / ".git").exists():
            recorded = read_answers(folder)
            platform = (recorded.get("platform") or {}).get("name")
            if (
                recorded.get("blueprint") == repository.blueprint
                and recorded["_src_path"] == template.url
                and platform == repository.answers["platform"]["name"]
            ):
                raise RefusedError(
                    f"The spec names {repository.name}, but {folder} is that repository of platform {platform}. "
                    f"Rename the folder: `mv {quote(str(folder))} {quote(str(output / repository.name))}`."
                )


def _no_repository(folder: Path) -> InputError | RefusedError:
    place = quote(str(folder))
    if (folder / "HEAD").is_file() and (folder / "objects").is_dir():
        return RefusedError(
            f"{folder} is a bare repository, which has no files to update. Put a clone in its place: "
            f"`mv {place} {place}.git` and `git clone {place}.git {place}`."
        )
    if (folder / ".git").exists():
        return RefusedError(f"{folder} has a .git that git cannot use. {_what_git_says(folder)}")
    if (folder / ANSWERS_FILE).is_file():
        return RefusedError(
            f"{folder} is a generated repository without its .git, so nobody can tell what you changed. Put a clone in "
            f"its place: `mv {place} {place}.old` and `git clone <address> {place}`."
        )
    return InputError(
        f"{folder} is in the way: it is not empty and not a git repository. Move it, or choose another --output."
    )


def _what_git_says(folder: Path) -> str:
    try:
        git.git(folder, "status")
    except GitError as error:
        return str(error)
    return "Is it the .git of another folder?"


def _refuse_under_way(folder: Path) -> None:
    own = git.git_folder(folder)
    for file, (what, go_on, give_up) in _UNDER_WAY.items():
        if (own / file).exists():
            command = f"git -C {quote(str(folder))}"
            finish = f"Finish it with `{command} {go_on}`, or take it back" if go_on else "End it"
            raise RefusedError(f"A {what} is under way in {folder}. {finish} with `{command} {give_up}`.")


def _on_another_branch(repository: Repository, folder: Path, current: str | None) -> str:
    """Say how to get from the branch `current` to the one that Triptych commits to."""
    wanted = repository.branch
    where = f"the branch `{current}`" if current else "no branch"
    found = f"{folder} has {where} checked out; Triptych commits to `{wanted}`"
    switch = f"git -C {quote(str(folder))} switch"
    references = ("refs/heads/", "refs/remotes/*/")
    known = git.git(folder, "for-each-ref", "--format=%(refname)", *(f"{place}{wanted}" for place in references))
    remotes = [name.removeprefix("refs/remotes/") for name in known.split() if name.startswith("refs/remotes/")]
    if not known.strip():
        return f"{found}, and there is no such branch. Fetch it, or make it with `{switch} --create {wanted}`."
    if f"refs/heads/{wanted}" not in known.split() and len(remotes) > 1:
        return f"{found}. Run `{switch} --track {remotes[0]}`."
    return f"{found}. Run `{switch} {wanted}`."
