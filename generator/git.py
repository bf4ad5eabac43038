"""Run git. All of the project's git commands go through here.

Settings of the user's machine must not change what is generated, so `SETTINGS` overrides the ones that would,
for Triptych's own git processes and for those that Copier starts.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from generator.errors import GitError

Entry = tuple[str, str]
"""Mode and blob id of a file."""

Tree = dict[str, Entry]
"""Each file by its path."""

# How many fields `git status --porcelain=v2` writes before a path, by the kind of the entry.
_FIELDS_BEFORE_PATH = {"1": 8, "u": 10, "?": 1}

# The modes of a symbolic link, and of a submodule, which is no file.
LINK = "120000"
_SUBMODULE = "160000"

SETTINGS = {
    "advice.detachedHead": "false",
    "apply.ignoreWhitespace": "no",
    "apply.whitespace": "nowarn",
    "clone.rejectShallow": "false",
    "commit.gpgSign": "false",
    "core.abbrev": "12",
    "core.attributesFile": os.devnull,
    "core.autocrlf": "false",
    "core.excludesFile": os.devnull,
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.safecrlf": "false",
    "diff.context": "3",
    "diff.interHunkContext": "0",
    "diff.mnemonicPrefix": "false",
    "diff.noprefix": "false",
    "diff.orderFile": os.devnull,
    "gc.auto": "0",
    "i18n.commitEncoding": "UTF-8",
    "init.defaultBranch": "main",
    "init.templateDir": "",
    "log.showSignature": "false",
    "maintenance.auto": "false",
    "merge.conflictStyle": "merge",
    "merge.verifySignatures": "false",
    "protocol.file.allow": "always",
    "safe.bareRepository": "all",
    "status.showUntrackedFiles": "normal",
}

# Of git's environment variables, those that say how to reach and who commits. The others, which a hook or a script
# around Triptych may have set, are about another repository (GIT_DIR) or another form of output (GIT_EXTERNAL_DIFF).
_KEPT = re.compile(
    r"GIT_(CONFIG_.*|ALLOW_PROTOCOL|ASKPASS|SSH.*|SSL_.*|HTTP_.*|PROXY_.*|CURL_.*|TRACE.*|EXEC_PATH|(AUTHOR|COMMITTER)_.*)"
)


@dataclass(frozen=True)
class Identity:
    """Who a commit is by.

    Attributes:
        name: Name of the author.
        email: Address of the author.
        known: Whether the machine has an identity; if not, this is the neutral one.
        signs: Whether the user signs their commits.
    """

    name: str
    email: str
    known: bool = True
    signs: bool = False


@dataclass(frozen=True)
class Status:
    """What `git status` says of a work tree.

    Attributes:
        commit: Id of the commit that is checked out; None before the first.
        branch: The branch that is checked out; None where HEAD is detached.
        changed: The files that are changed or untracked, ignored ones left out.
    """

    commit: str | None
    branch: str | None
    changed: list[str]


NEUTRAL = Identity("Triptych", "triptych@triptych.invalid", known=False)


def settings_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that give git `settings`, after those already there."""
    count = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
    variables = {"GIT_CONFIG_COUNT": str(count + len(settings))}
    for number, (key, value) in enumerate(settings.items(), start=count):
        variables[f"GIT_CONFIG_KEY_{number}"] = key
        variables[f"GIT_CONFIG_VALUE_{number}"] = value
    return variables


def environment(settings: Mapping[str, str] = SETTINGS) -> dict[str, str]:
    """Return the environment of a git process: the machine's, without redirections, with `settings`."""
    machine = {key: value for key, value in os.environ.items() if not key.startswith("GIT_") or _KEPT.fullmatch(key)}
    if "GIT_ALLOW_PROTOCOL" in machine:
        machine["GIT_ALLOW_PROTOCOL"] += ":file"
    fixed = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_ATTR_NOSYSTEM": "1"}
    return machine | settings_environment(settings) | fixed


def git(
    folder: Path | None,
    *arguments: str,
    stdin: str | None = None,
    variables: Mapping[str, str] | None = None,
    settings: Mapping[str, str] = SETTINGS,
) -> str:
    """Run git in `folder` and return what it prints.

    Args:
        folder: Where to run; None for anywhere.
        arguments: The subcommand and its arguments.
        stdin: Text for its standard input.
        variables: Further environment variables.
        settings: Git settings that override the machine's.

    Raises:
        GitError: git is missing or fails; the text is what git said.
    """
    try:
        process = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=environment(settings) | dict(variables or {}),
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )
    except FileNotFoundError:
        raise GitError("git is not installed, or not on PATH. Install git 2.30 or newer.") from None
    if process.returncode:
        said = process.stderr.strip() or process.stdout.strip() or f"exit code {process.returncode}"
        raise GitError(f"git {arguments[0]} failed in {folder or 'no folder'}: {said}")
    return process.stdout


def succeeds(folder: Path, *arguments: str) -> bool:
    """Tell whether a git command ends well."""
    try:
        git(folder, *arguments)
    except GitError:
        return False
    return True


def is_repository(folder: Path) -> bool:
    """Tell whether `folder` is the top of a git repository with a work tree."""
    if not folder.is_dir():
        return False
    try:
        top = git(folder, "rev-parse", "--show-toplevel").strip()
    except GitError:
        return False
    return Path(top).resolve() == folder.resolve()


def git_folder(folder: Path) -> Path:
    """Return where the repository at `folder` keeps its own files."""
    if (folder / ".git").is_dir():
        return folder / ".git"
    return folder / git(folder, "rev-parse", "--git-dir").strip()


def head(folder: Path) -> str:
    """Return the id of the commit that is checked out."""
    return git(folder, "rev-parse", "HEAD").strip()


def status(folder: Path) -> Status:
    """Return what is checked out in a work tree, and what is not committed there."""
    # The user's own ignore rules count here: what they ignore is not a change of theirs.
    settings = {key: value for key, value in SETTINGS.items() if key not in {"core.excludesFile", "core.autocrlf"}}
    options = ("--porcelain=v2", "--branch", "-z", "--no-renames", "--untracked-files=all")
    entries = git(folder, "status", *options, settings=settings).split("\0")
    about = {key: value for entry in entries if entry[:1] == "#" for _, key, value in [entry.split(" ", 2)]}
    return Status(
        commit=None if about["branch.oid"] == "(initial)" else about["branch.oid"],
        branch=None if about["branch.head"] == "(detached)" else about["branch.head"],
        changed=[
            entry.split(" ", _FIELDS_BEFORE_PATH[entry[0]])[-1] for entry in entries if entry[:1] in _FIELDS_BEFORE_PATH
        ],
    )


def changed_files(folder: Path) -> list[str]:
    """Return the files in the work tree that are changed or untracked, ignored ones left out."""
    return status(folder).changed


def tree(folder: Path, commit: str = "HEAD") -> Tree:
    """Return the files of a commit."""
    return dict(_entries(git(folder, "ls-tree", "-r", "-z", commit), kind_at=1, id_at=2))


def staged(folder: Path) -> Tree:
    """Return the files in the index of `folder`, which has no merge to settle."""
    return dict(_entries(git(folder, "ls-files", "--stage", "-z"), kind_at=None, id_at=1))


def tree_to_commit(repository: Path, index: Path) -> Tree:
    """Return the files that `commit_all` would commit, without staging them.

    Git normalizes line ends by what its index holds already, so this begins with a copy of that.

    Args:
        repository: A repository with its own folder in it.
        index: A file, not there yet, for git to work with.
    """
    shutil.copyfile(git_folder(repository) / "index", index)
    variables = {"GIT_INDEX_FILE": str(index)}
    git(repository, "add", "--all", "--force", variables=variables)
    return dict(_entries(git(repository, "ls-files", "--stage", "-z", variables=variables), kind_at=None, id_at=1))


def tree_of_folder(repository: Path, folder: Path, index: Path) -> Tree:
    """Return the files of `folder`, with ids as `repository` would store them.

    Args:
        repository: The repository that stores the contents.
        folder: The folder to read, plain or the repository's own; ignore rules are not applied.
        index: A file, not there yet, for git to work with.
    """
    if folder == repository:
        # With the times of the repository's own index, git need not read what did not change since.
        shutil.copy2(git_folder(repository) / "index", index)
    variables = {"GIT_INDEX_FILE": str(index)}
    own = str(git_folder(repository).resolve())
    git(folder, f"--git-dir={own}", "--work-tree=.", "add", "--all", "--force", ".", variables=variables)
    listing = git(folder, f"--git-dir={own}", "ls-files", "--stage", "-z", variables=variables)
    return dict(_entries(listing, kind_at=None, id_at=1))


def unmerged_files(folder: Path) -> list[str]:
    """Return the files whose merge is not settled in the index."""
    listing = git(folder, "ls-files", "--unmerged", "-z")
    return sorted({entry.partition("\t")[2] for entry in listing.split("\0") if entry})


def commit_all(folder: Path, message: str, identity: Identity) -> str:
    """Commit everything in `folder`, ignored files as well, and return the commit's id."""
    git(folder, "add", "--all", "--force")
    settings = SETTINGS | {"commit.gpgSign": str(identity.signs).lower()}
    git(
        folder,
        "commit",
        "--quiet",
        "--no-verify",
        "--cleanup=whitespace",
        "--allow-empty",
        "--file=-",
        stdin=message,
        variables={
            "GIT_AUTHOR_NAME": identity.name,
            "GIT_AUTHOR_EMAIL": identity.email,
            "GIT_COMMITTER_NAME": identity.name,
            "GIT_COMMITTER_EMAIL": identity.email,
        },
        settings=settings,
    )
    return head(folder)


def identity(folder: Path) -> Identity:
    """Return the user's identity as git in `folder` would use it, or the neutral one where there is none."""

    try:
        listing = git(folder, "config", "-z", "--get-regexp", r"^((author|user)\.(name|email)|user\.signingkey)$")
    except GitError:  # there is none of them
        listing = ""
    # The last one wins, as it does for git.
    known = {key: value for entry in listing.split("\0") for key, _, value in [entry.partition("\n")]}
    name = os.environ.get("GIT_AUTHOR_NAME") or known.get("author.name") or known.get("user.name")
    email = (
        os.environ.get("GIT_AUTHOR_EMAIL")
        or known.get("author.email")
        or known.get("user.email")
        or os.environ.get("EMAIL", "")
    )
    signs = "user.signingkey" in known and _true(folder, "commit.gpgSign")
    return Identity(name, email, signs=signs) if name and email else NEUTRAL


def _true(folder: Path, key: str) -> bool:
    settings = {name: value for name, value in SETTINGS.items() if name != key}
    try:
        return git(folder, "config", "--type=bool", "--get", key, settings=settings).strip() == "true"
    except GitError:
        return False


def _entries(listing: str, *, kind_at: int | None, id_at: int) -> Iterator[tuple[str, tuple[str, str]]]:
    for entry in listing.split("\0"):
        if entry:
            meta, _, path = entry.partition("\t")
            fields = meta.split()
            is_file = fields[0] != _SUBMODULE if kind_at is None else fields[kind_at] == "blob"
            if is_file:
                yield path, (fields[0], fields[id_at])
