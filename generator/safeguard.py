"""Look after Copier: no edit of a user's may be gone after an update.

Copier carries edits over as a text patch. What is no text (an image, a file that `.gitattributes` calls binary) is not
in that patch, and the new render would silently take its place.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from generator import git
from generator.git import Entry, Tree

# State that robots write: `_skip_if_exists` of copier.yml keeps Copier from rendering over it, this from removing it.
STATE = ("registry/versions.yaml", "registry/releases/", "umbrella-chart/")


def restore_edits(scratch: Path, work: Path, *, head: Tree, base: Tree, new: Tree) -> set[str]:
    """Bring back in `scratch` what an update lost.

    Args:
        scratch: The repository that was updated; HEAD is what the user had.
        work: A folder for temporary files.
        head: The files that the user had.
        base: The old render.
        new: The new render.

    Returns:
        Files that both sides changed and that cannot be merged: as the user had them, and unmerged in the index.
    """
    result = git.tree_to_commit(scratch, work / "updated.index")
    lost = [
        path
        for path in head
        if result.get(path) != head[path]
        and (base.get(path) == new.get(path) or (path.startswith(STATE) and head[path] != base.get(path)))
    ]
    torn = [
        path
        for path in head.keys() & new.keys()
        if not path.startswith(STATE)
        and len({head[path], base.get(path), new[path]}) == 3
        and result.get(path) in (head[path], new[path])
        and (
            path not in base
            or _merged(scratch, work, [head[path], base[path], new[path]]) != content(scratch, result[path][1])
        )
    ]
    # Copier drops the bytes of a text that are not UTF-8.
    for path in sorted(head.keys() & base.keys() & new.keys() & result.keys()):
        apart = len({head[path], base[path], new[path], result[path]}) == 4
        if apart and not path.startswith(STATE) and not _is_utf8(content(scratch, head[path][1])):
            merged = _merged(scratch, work, [head[path], base[path], new[path]])
            if merged is None:
                torn.append(path)
            else:
                (scratch / path).write_bytes(merged)
    # Copier leaves links where they are when the template no longer has them.
    for path in base.keys() - new.keys():
        if path in result and (head.get(path) == base[path] or result[path][0] == git.LINK):
            (scratch / path).unlink()
    if lost or torn:
        paths = "\0".join([*lost, *torn])
        options = ("--force", "HEAD", "--pathspec-from-file=-", "--pathspec-file-nul")
        git.git(scratch, "--literal-pathspecs", "checkout", *options, stdin=paths)
    for path in torn:
        unmerge(scratch, path, {stage: tree[path] for stage, tree in enumerate((base, head, new), 1) if path in tree})
    return set(torn)


def unmerge(scratch: Path, path: str, entries: Mapping[int, Entry]) -> None:
    """Say in the index that the merge of a file is not settled.

    Args:
        scratch: The repository.
        path: The file.
        entries: What it is by stage: 1 for what both sides began with, 2 for the user's, 3 for the template's.
    """
    nothing = "0" * len(next(iter(entries.values()))[1])
    stages = [f"0 {nothing}\t{path}\0"]
    stages += [f"{mode} {blob} {stage}\t{path}\0" for stage, (mode, blob) in entries.items()]
    git.git(scratch, "update-index", "-z", "--index-info", stdin="".join(stages))


def content(scratch: Path, blob: str) -> bytes:
    """Return what a repository has under an id."""
    command = ["git", "cat-file", "blob", blob]
    return subprocess.run(command, cwd=scratch, stdout=subprocess.PIPE, env=git.environment(), check=True).stdout


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _merged(scratch: Path, work: Path, entries: list[Entry]) -> bytes | None:
    """Return what the user's text, the old and the new one merge into, if they do."""
    if any(mode == git.LINK for mode, _ in entries):
        return None
    files = [work / f"merge-{number}" for number in range(3)]
    for file, (_, blob) in zip(files, entries, strict=True):
        file.write_bytes(content(scratch, blob))
    command = ["git", "merge-file", "-p", "--quiet", *map(str, files)]
    merged = subprocess.run(command, cwd=work, capture_output=True, env=git.environment(), check=False)
    return merged.stdout if merged.returncode == 0 else None
