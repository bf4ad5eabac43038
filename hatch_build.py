"""Put the template's whole history into the wheel, as a git bundle, so that an installed Triptych needs no network."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_BUNDLE = "generator/template.bundle"
_INFO = "generator/template.json"


class TemplateBundle(BuildHookInterface[Any]):
    """Adds `generator/template.bundle` and `generator/template.json` to the distribution."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make both files from the checkout, or take those of the source distribution.

        Args:
            version: Kind of build; an editable one uses the checkout itself.
            build_data: Where hatchling looks for further files.
        """
        root = Path(self.root)
        if version == "editable" or (root / _BUNDLE).is_file():
            return
        if not (root / ".git").exists():
            raise RuntimeError(
                "A wheel is built from a git clone or a source distribution: the template needs history."
            )
        if _git(root, "status", "--porcelain", "--", "copier.yml", "blueprints"):
            raise RuntimeError("The template has changes that are not committed; commit them before building a wheel.")
        folder = Path(tempfile.mkdtemp(prefix="triptych-bundle-"))
        info = make_bundle(root, folder)
        if info["shallow"]:
            self.app.display_warning(
                "The template's history could not be had from this clone, nor from where it came. What is built "
                "creates repositories, and updates those that the same commit made. Run `git fetch --unshallow` "
                "(or `git fetch --refetch`) and build again."
            )
        (folder / "info").write_text(json.dumps(info) + "\n", encoding="utf-8")
        build_data["force_include"][str(folder / "bundle")] = _BUNDLE
        build_data["force_include"][str(folder / "info")] = _INFO


def make_bundle(root: Path, folder: Path) -> dict[str, Any]:
    """Write `folder`/bundle with the commit that is checked out in `root` and its history; return what to know of it.

    A clone may be shallow, or partial as pip makes it: then the history comes from where the clone came from. Where
    that is out of reach, the bundle begins with the oldest commit that is here whole.
    """
    commit = _git(root, "rev-parse", "HEAD")
    # A repository of its own: a reference that keeps the commit must not appear in the checkout.
    fetches = [
        ("--tags", "--", str(root), "+HEAD:refs/heads/template"),
        ("--tags", "--", _address(root), f"+{commit}:refs/heads/template"),
        ("--no-tags", "--update-shallow", "--", str(root), "+HEAD:refs/heads/template"),
        ("--no-tags", "--depth=1", "--", str(root), "+HEAD:refs/heads/template"),
    ]
    clones = (_fetched(folder / f"clone-{number}", *arguments) for number, arguments in enumerate(fetches))
    clone = next((clone for clone in clones if clone), None)
    if clone is None:
        raise RuntimeError(f"The template cannot be read from {root}; see `git -C {root} fsck`.")
    for tag in _git(root, "tag", "--points-at", commit).split():
        _git(clone, "update-ref", f"refs/tags/{tag}", commit)
    _git(clone, "bundle", "create", "--quiet", str(folder / "bundle"), "refs/heads/template", "--tags")
    shallow = clone / ".git" / "shallow"
    return {
        "commit": commit,
        "version": _git(clone, "-c", "core.abbrev=12", "describe", "--tags", "--always", commit),
        "shallow": shallow.read_text(encoding="ascii").split() if shallow.is_file() else [],
    }


def _address(root: Path) -> str:
    """Return where the clone at `root` came from; a place that is none, where it does not know."""
    try:
        address = _git(root, "remote", "get-url", "origin")
    except subprocess.CalledProcessError:
        address = ".git/nowhere"
    return address if ":" in address else str(root / address)


def _fetched(clone: Path, *arguments: str) -> Path | None:
    """Return a new repository with the template, or None; git only warns where a shallow history is not allowed to."""
    _git(clone.parent, "init", "--quiet", str(clone))
    try:
        _git(clone, "fetch", "--quiet", *arguments)
        _git(clone, "fsck", "--connectivity-only")
        _git(clone, "rev-parse", "--verify", "--quiet", "refs/heads/template")
    except subprocess.CalledProcessError:
        return None
    return clone


def _git(folder: Path, *arguments: str) -> str:
    # Nobody is there to answer when pip builds.
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    done = subprocess.run(["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()
