"""Put the template's whole history into the wheel, as a git bundle, so that an installed Triptych needs no network."""

from __future__ import annotations

import json
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
        commit = _git(root, "rev-parse", "HEAD")
        # A clone of its own: a reference that keeps the commit must not appear in the checkout.
        _git(root, "clone", "--quiet", "--bare", ".", str(folder / "clone"))
        _git(folder / "clone", "update-ref", "refs/heads/template", commit)
        _git(folder / "clone", "bundle", "create", "--quiet", str(folder / "bundle"), "refs/heads/template", "--tags")
        described = _git(root, "-c", "core.abbrev=12", "describe", "--tags", "--always", commit)
        (folder / "info").write_text(json.dumps({"commit": commit, "version": described}) + "\n", encoding="utf-8")
        build_data["force_include"][str(folder / "bundle")] = _BUNDLE
        build_data["force_include"][str(folder / "info")] = _INFO


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
