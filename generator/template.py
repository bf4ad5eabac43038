"""Find the template: where it comes from, which commit it is, and its history.

Generated repositories record one canonical address and a version, the same on everyone's machine. What stands in for
that address here is a repository on this machine: the checkout that Triptych runs from, the bundle inside the
installed wheel, or a clone of the address that the user names. So nothing needs a network, and the version that a
repository was rendered from is always at hand as the base of a merge.
"""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.version import InvalidVersion, Version

from generator.errors import GitError, InputError, TemplateError
from generator.git import git, is_repository, succeeds

BUNDLE = Path(__file__).parent / "template.bundle"
BUNDLE_INFO = Path(__file__).parent / "template.json"
CHECKOUT = Path(__file__).parent.parent

_TEMPLATE_PATHS = ("copier.yml", "blueprints")


@dataclass(frozen=True)
class Template:
    """One version of the template, with the history before it.

    Attributes:
        url: The address that generated repositories record as `_src_path`.
        commit: Id of the commit to render.
        version: What generated repositories record as `_commit`: a tag, or what `git describe` makes of the commit.
        origin: A repository or bundle on this machine, or an address, that holds the history.
        shallow: Commits at which the history in a bundle begins, where it is not whole.
    """

    url: str
    commit: str
    version: str
    origin: str
    shallow: tuple[str, ...] = ()

    @cached_property
    def _clone(self) -> TemporaryDirectory[str]:
        folder = TemporaryDirectory(prefix="triptych-template-", ignore_cleanup_errors=True)
        try:
            if self.shallow:
                git(None, "init", "--quiet", "--bare", folder.name)
                Path(folder.name, "shallow").write_text("".join(f"{commit}\n" for commit in self.shallow))
                git(Path(folder.name), "fetch", "--quiet", "--", self.origin, "+refs/*:refs/*")
            else:
                git(None, "clone", "--quiet", "--mirror", "--", self.origin, folder.name)
        except GitError as error:
            raise TemplateError(f"The template cannot be read. {error}") from None
        return folder

    @cached_property
    def repository(self) -> Path:
        """Return a repository on this machine that holds the history."""
        origin = Path(self.origin)
        return origin if origin.is_dir() else Path(self._clone.name)

    def resolve(self, version: str) -> str | None:
        """Return the id of the commit that a generated repository recorded as `version`, or None if it is not here."""
        if version == self.version:
            return self.commit
        try:
            return git(self.repository, "rev-parse", "--verify", "--quiet", f"{version}^{{commit}}").strip()
        except GitError:
            return None

    def is_older_than(self, commit: str) -> bool:
        """Tell whether this template is an ancestor of `commit`."""
        return commit != self.commit and succeeds(self.repository, "merge-base", "--is-ancestor", self.commit, commit)


def canonical_url() -> str:
    """Return the template's address: the repository of this project, as its metadata names it."""
    for entry in importlib.metadata.metadata("triptych").get_all("Project-URL") or []:
        label, _, url = entry.partition(", ")
        if label == "Repository":
            return f"{url}.git"
    raise TemplateError("The installation of Triptych is damaged: its metadata names no repository. Reinstall it.")


def find_template(source: str | None = None) -> Template:
    """Find the template to render.

    Args:
        source: A folder with a git repository that stands in for the canonical address, or the address of another
            template; `@` and a tag, branch or commit may follow either. Default: the one that came with Triptych.

    Raises:
        InputError: `source` names no template.
        TemplateError: Triptych's own template cannot be had.
    """
    if source is not None:
        return _named(source)
    if (CHECKOUT / "copier.yml").is_file() and is_repository(CHECKOUT):
        return _checkout(CHECKOUT, None)
    if BUNDLE.is_file():
        info = json.loads(BUNDLE_INFO.read_text(encoding="utf-8"))
        return Template(canonical_url(), info["commit"], info["version"], str(BUNDLE), tuple(info["shallow"]))
    raise TemplateError(
        "This copy of Triptych has no template history, which updates are merged from. "
        "Install it with pip, or run it from a git clone."
    )


def _named(source: str) -> Template:
    if Path(source).expanduser().is_dir():
        location, reference = source, None
    else:
        location, at, reference = source.rpartition("@")
        if not at or "/" in reference or ":" in reference:  # the `@` belongs to the address: git@github.com:acme/x
            location, reference = source, None
    folder = Path(location).expanduser()
    if folder.is_dir():
        if not is_repository(folder):
            raise InputError(f"--template: {folder} is not the top folder of a git repository.")
        return _checkout(folder.resolve(), reference)
    unknown = Template(location, "", "", location)
    try:
        repository = unknown.repository
    except TemplateError as error:
        raise InputError(f"--template: {location} is neither a folder nor a template's address. {error}") from None
    commit = _commit(repository, reference or _newest_tag(repository) or "HEAD", source)
    template = Template(location, commit, _describe(repository, commit), str(repository))
    # The clone lives as long as the template that was asked for.
    template.__dict__["_clone"] = unknown._clone
    return template


def _checkout(folder: Path, reference: str | None) -> Template:
    commit = _commit(folder, reference or "HEAD", str(folder))
    if reference is None and git(folder, "status", "--porcelain", "--", *_TEMPLATE_PATHS):
        commit = _snapshot(folder, commit)
    return Template(canonical_url(), commit, _describe(folder, commit), str(folder))


def _snapshot(folder: Path, parent: str) -> str:
    """Commit what is not committed yet in a checkout, beside its branches, and return the commit's id.

    The same content always makes the same commit. A reference keeps it, since it is the base of the next merge.
    """
    date = git(folder, "show", "--no-patch", "--format=%cI", parent).strip()
    fixed = {
        f"GIT_{role}_{field}": value
        for role in ("AUTHOR", "COMMITTER")
        for field, value in (("NAME", "Triptych"), ("EMAIL", "triptych@triptych.invalid"), ("DATE", date))
    }
    with TemporaryDirectory(prefix="triptych-index-") as temporary:
        variables = fixed | {"GIT_INDEX_FILE": str(Path(temporary) / "index")}
        git(folder, "read-tree", parent, variables=variables)
        git(folder, "add", "--all", "--", *_TEMPLATE_PATHS, variables=variables)
        tree = git(folder, "write-tree", variables=variables).strip()
        commit = git(folder, "commit-tree", tree, "-p", parent, "-m", "Uncommitted template", variables=variables)
    git(folder, "update-ref", f"refs/triptych/snapshots/{commit.strip()}", commit.strip())
    return commit.strip()


def _commit(repository: Path, reference: str, source: str) -> str:
    try:
        return git(repository, "rev-parse", "--verify", "--quiet", f"{reference}^{{commit}}").strip()
    except GitError:
        raise InputError(f"--template: {source} has no commit, tag or branch `{reference}`.") from None


def _describe(repository: Path, commit: str) -> str:
    return git(repository, "describe", "--tags", "--always", commit).strip()


def _newest_tag(repository: Path) -> str | None:
    """Return the tag of the newest release by PEP 440, as Copier would choose it; pre-releases do not count."""
    releases = []
    for tag in git(repository, "tag", "--list").split():
        try:
            version = Version(tag)
        except InvalidVersion:
            continue
        if not version.is_prerelease:
            releases.append((version, tag))
    return max(releases)[1] if releases else None
