"""Bring ci-repo's library chart into cd-repo: a copy that is derived, never rendered.

The library is what ci-repo's `helm-templates/base` is after the merge, a team's changes included, so cd-repo's copy
cannot come from the template. Every version in use lies in `library/base-<version>/` beside a lock with the hash of
each file; `library/base` leads to the one that services follow, and a service that stays on another one leads there by
itself.

cd-repo's own `scripts/vendor` does the same for a pull request that comes without Triptych.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from generator import git
from generator.errors import GitError, InputError, RefusedError
from generator.git import Tree

SOURCE = "helm-templates/base"
FOLDER = "library"
# The version that services follow.
ALIAS = f"{FOLDER}/base"
# What a service's folder has of the library: the way up to the top, and the way down from the chart.
LINKS = {"charts/base": ("../../..", ""), "values.schema.json": ("../..", "/service.schema.json")}

_LOCK = re.compile(rf"{ALIAS}-[^/]+\.lock\.json")
_LINK = re.compile(rf"{ALIAS}|services/[^/]+/({'|'.join(map(re.escape, LINKS))})")
_VERSION = re.compile(r'^version: *"?([^"\s]+)"?$', re.MULTILINE)
# https://semver.org: the numbers, then a pre-release; what follows `+` has no precedence.
_SEMVER = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+.*)?")


def in_step(source: Path, target: Path) -> bool:
    """Tell whether cd-repo at `target` has committed the library that ci-repo at `source` has committed."""
    version = _version(source / SOURCE)
    if version is None:
        return True
    chart = f"{ALIAS}-{version}"
    return _leads(target / ALIAS, PurePosixPath(chart).name) and _tree_id(source, SOURCE) == _tree_id(target, chart)


def derived(scratch: Path, head: Tree) -> Tree:
    """Return the files of a cd-repo that `vendor` made and nobody changed.

    Args:
        scratch: The repository, with `head` checked out.
        head: Its files.
    """
    made = {path: entry for path, entry in head.items() if entry[0] == git.LINK and _LINK.fullmatch(path)}
    for lock in filter(_LOCK.fullmatch, head):
        made[lock] = head[lock]
        for name, expected in _locked(scratch / lock).items():
            path = f"{lock.removesuffix('.lock.json')}/{name}"
            if path in head and head[path][0] != git.LINK and _sha256((scratch / path).read_bytes()) == expected:
                made[path] = head[path]
    return made


def vendor(source: Path, target: Path, services: Mapping[str, str | None], edited: Iterable[str] = ()) -> None:
    """Bring `library/` and the services' links in the work tree of cd-repo at `target` to what they should be.

    Args:
        source: ci-repo as it is, or will be.
        target: cd-repo in a scratch copy, with its history.
        services: Each service, with the version of the library that it stays on, or None where it follows.
        edited: Files of cd-repo that somebody changed; such a file below `library/` is not written over.

    Raises:
        InputError: A service stays on a version that cd-repo never had.
        RefusedError: cd-repo has a newer library than ci-repo, or an edit in the library that would be lost.
    """
    version = _version(source / SOURCE)
    if version is None:
        return
    _refuse_older(version, target)
    files = _files(source)
    stays = {name: wanted for name, wanted in services.items() if wanted is not None}
    used = {version, *stays.values()}
    _refuse_edited(target, files, version, used, edited)
    if (target / ALIAS).is_dir() and not (target / ALIAS).is_symlink():
        raise RefusedError(f"{ALIAS} of cd-repo is a folder, and has to be a link to the version in use. Move it.")
    _write(target / f"{ALIAS}-{version}", version, files)
    _point(target / ALIAS, f"base-{version}")
    for name, wanted in stays.items():
        if not (target / f"{ALIAS}-{wanted}").is_dir():
            _bring_back(target, name, wanted)
    for unused in _versions(target) - used:
        shutil.rmtree(target / f"{ALIAS}-{unused}")
        (target / f"{ALIAS}-{unused}.lock.json").unlink(missing_ok=True)
    _relink(target, {name: f"{ALIAS}-{stays[name]}" if name in stays else ALIAS for name in services})


def _refuse_older(version: str, target: Path) -> None:
    present = _version(target / ALIAS)
    if present is not None and _precedence(version) < _precedence(present):
        raise RefusedError(
            f"cd-repo has version {present} of the library chart, and ci-repo the older {version}. "
            "Pull ci-repo. To go back to an older library, give it a higher version in ci-repo."
        )


def _refuse_edited(
    target: Path, files: Mapping[str, bytes], version: str, used: set[str], edited: Iterable[str]
) -> None:
    lost = []
    for path in edited:
        if path.startswith(f"{ALIAS}-{version}/"):
            kept = files.get(path.removeprefix(f"{ALIAS}-{version}/")) == (target / path).read_bytes()
        else:
            kept = not path.startswith(f"{ALIAS}-") or any(path.startswith(f"{ALIAS}-{other}/") for other in used)
        if not kept:
            lost.append(path)
    if lost:
        listed = "".join(f"\n  {path}" for path in sorted(lost))
        raise RefusedError(
            f"cd-repo's copy of the library chart was edited:{listed}\n"
            f"The library is changed in ci-repo, in {SOURCE}, with a higher version. Move the edits there, and take "
            "them back here."
        )


def _files(source: Path) -> dict[str, bytes]:
    """Return the chart's files as git knows them, without those that git ignores."""
    listed = git.git(source, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", SOURCE)
    return {
        PurePosixPath(path).relative_to(SOURCE).as_posix(): (source / path).read_bytes()
        for path in sorted(set(listed.split("\0")))
        if path and (source / path).is_file()
    }


def _write(chart: Path, version: str, files: Mapping[str, bytes]) -> None:
    if chart.is_dir():
        shutil.rmtree(chart)
    for path, content in files.items():
        (chart / path).parent.mkdir(parents=True, exist_ok=True)
        (chart / path).write_bytes(content)
    lock = {"chart": "base", "version": version, "files": {path: _sha256(content) for path, content in files.items()}}
    chart.with_name(f"{chart.name}.lock.json").write_bytes((json.dumps(lock, indent=2) + "\n").encode())


def _relink(target: Path, charts: Mapping[str, str]) -> None:
    """Let each service use its chart; a service that is gone leaves no link behind."""
    for name, chart in charts.items():
        for link, (up, down) in LINKS.items():
            _point(target / "services" / name / link, f"{up}/{chart}{down}")
    for folder in (target / "services").glob("*"):
        for link in LINKS:
            if folder.name not in charts and (folder / link).is_symlink():
                (folder / link).unlink()


def _bring_back(target: Path, service: str, version: str) -> None:
    """Take a version that a service stays on out of cd-repo's history."""
    chart, lock = f"{ALIAS}-{version}", f"{ALIAS}-{version}.lock.json"
    commit = ""
    if git.succeeds(target, "rev-parse", "--verify", "--quiet", "HEAD"):
        commit = git.git(
            target, "log", "-1", "--no-show-signature", "--format=%H", "--diff-filter=AM", "--", lock
        ).strip()
    if not commit:
        known = ", ".join(sorted(_versions(target), key=_precedence))
        raise InputError(
            f"The spec keeps `{service}` on version {version} of the library chart (`chart.base`), which cd-repo never "
            f"had. It has {known}."
        )
    git.git(target, "restore", f"--source={commit}", "--worktree", "--", chart, lock)


def _versions(target: Path) -> set[str]:
    return {path.name.removeprefix("base-") for path in (target / FOLDER).glob("base-*") if path.is_dir()}


def _version(chart: Path) -> str | None:
    try:
        match = _VERSION.search((chart / "Chart.yaml").read_text(encoding="utf-8"))
    except OSError:
        return None
    return match[1] if match else None


def _precedence(version: str) -> tuple[Any, ...]:
    """Return what versions are compared by: https://semver.org/#spec-item-11."""
    match = _SEMVER.fullmatch(version)
    if match is None:
        return ()
    *numbers, pre = match.groups()
    parts = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre.split(".")] if pre else []
    return (*map(int, numbers), not pre, *parts)


def _locked(lock: Path) -> dict[str, Any]:
    """Return the hash of each file that a lock names; nothing where it is not readable any more."""
    try:
        return dict(json.loads(lock.read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _point(link: Path, destination: str) -> None:
    if _leads(link, destination):
        return
    link.unlink(missing_ok=True)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(destination)


def _leads(link: Path, destination: str) -> bool:
    return link.is_symlink() and link.readlink() == Path(destination)


def _tree_id(repository: Path, path: str) -> str | None:
    try:
        return git.git(repository, "rev-parse", "--verify", "--quiet", f"HEAD:{path}").strip()
    except GitError:
        return None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
