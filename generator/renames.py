"""Follow files that the user renamed: what the template changes in them arrives where they are now.

Copier knows a file by its path alone. It takes a renamed one for deleted, and drops what the template changed in it.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from generator import git
from generator.git import Entry, Tree
from generator.safeguard import STATE, content, unmerge

# As `git merge` has it: half of the lines are the same.
ALIKE = "--find-renames=50%"
NO_TEXT = 128
# What Copier calls the sides.
SIDES = ("before updating", "last update", "after updating")


def follow_renames(scratch: Path, work: Path, *, head: Tree, base: Tree, new: Tree) -> None:
    """Merge into renamed files of `scratch` what the template changed in them.

    Where both sides changed the same lines, both are in the file between markers, and it is unmerged in the index.

    Args:
        scratch: The repository that was updated; HEAD is what the user had.
        work: A folder with `base.index`, git's index of the old render.
        head: The files that the user had.
        base: The old render.
        new: The new render.
    """
    changed = {path for path in (base.keys() & new.keys()) - head.keys() if base[path] != new[path]}
    for path, place in _renamed(scratch, work / "base.index") if changed else ():
        if path not in changed or place in new or path.startswith(STATE):
            continue
        entries = [head[place], base[path], new[path]]
        if any(mode == git.LINK for mode, _ in entries):
            continue
        merged, settled = _merged(scratch, work, entries)
        (scratch / place).write_bytes(merged)
        if not settled:
            unmerge(scratch, place, {1: base[path], 2: head[place], 3: new[path]})


def _renamed(scratch: Path, index: Path) -> list[tuple[str, str]]:
    """Return what the user renamed, as the name in the old render and the one in HEAD."""
    tree = git.git(scratch, "write-tree", variables={"GIT_INDEX_FILE": str(index)}).strip()
    options = ("-r", "-z", ALIKE, "--diff-filter=R", "--name-status")
    fields = git.git(scratch, "diff-tree", *options, tree, "HEAD").split("\0")
    return list(zip(fields[1::3], fields[2::3], strict=True))


def _merged(scratch: Path, work: Path, entries: list[Entry]) -> tuple[bytes, bool]:
    """Return what the user's text, the old and the new one merge into, and whether that is settled."""
    files = [work / f"renamed-{number}" for number in range(len(entries))]
    for file, (_, blob) in zip(files, entries, strict=True):
        file.write_bytes(content(scratch, blob))
    names = [option for side in SIDES for option in ("-L", side)]
    command = ["git", "merge-file", "-p", "--quiet", *names, *map(str, files)]
    merged = subprocess.run(command, cwd=work, capture_output=True, env=git.environment(), check=False)
    # It gives the number of conflicts, and something above where it cannot merge, such as what is no text.
    return (merged.stdout if merged.returncode < NO_TEXT else files[0].read_bytes()), merged.returncode == 0
