"""Remember that a repository is being moved from one commit to another, so that a killed apply can be finished."""

from __future__ import annotations

import json
from pathlib import Path

from generator import git
from generator.errors import RefusedError

_NAME = "triptych-apply.json"


def interrupted(folder: Path) -> bool:
    """Tell whether an apply was killed while it moved the repository at `folder`."""
    return (git.git_folder(folder) / _NAME).is_file()


def begin(folder: Path, before: str, after: str) -> None:
    """Note that the work tree of `folder` is about to go from commit `before` to commit `after`."""
    file = git.git_folder(folder) / _NAME
    draft = file.with_suffix(".new")
    try:
        draft.write_text(json.dumps({"before": before, "after": after}), encoding="utf-8")
        draft.replace(file)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def end(folder: Path) -> None:
    """Note that the work tree is where it should be."""
    (git.git_folder(folder) / _NAME).unlink(missing_ok=True)


def finish(folder: Path) -> bool:
    """Finish an apply that was killed in `folder`, and tell whether there was one.

    Raises:
        RefusedError: Somebody changed files since; they are named, and nothing is touched.
    """
    if not interrupted(folder):
        return False
    note = json.loads((git.git_folder(folder) / _NAME).read_text(encoding="utf-8"))
    before, after = git.tree(folder, note["before"]), git.tree(folder, note["after"])
    foreign = [path for path in git.changed_files(folder) if not _is_ours(folder, path, before, after)]
    if git.head(folder) not in note.values() or foreign:
        named = "".join(f"\n  {path}" for path in foreign[:10])
        raise RefusedError(
            f"An apply was interrupted in {folder}, and it was changed since:{named}\n"
            f"Move these changes away, then run `triptych apply` again. "
            f"The commit that was about to be checked out is {note['after'][:12]}."
        )
    git.git(folder, "reset", "--hard", "--quiet", note["after"])
    end(folder)
    return True


def _is_ours(folder: Path, path: str, before: git.Tree, after: git.Tree) -> bool:
    """Tell whether a file holds what one of the two commits holds, or the beginning of what was being written."""
    file = folder / path
    if not file.is_symlink() and not file.exists():
        return path in before or path in after
    if file.is_symlink():
        return path in after or path in before
    content = file.read_bytes()
    for tree in (before, after):
        if path in tree:
            blob = git.git(folder, "cat-file", "blob", tree[path][1]).encode("utf-8", "surrogateescape")
            if blob == content or (tree is after and blob.startswith(content)):
                return True
    return False
