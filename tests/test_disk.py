"""Folders that cannot be used and disks that are full: a clear message, and nothing is half written."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from tests.test_update import ABOUT
from tests.workbench import SPEC, Workbench, git, triptych


@pytest.mark.parametrize("command", ["plan", "apply"])
@pytest.mark.parametrize("where", ["services.yaml", "services.yaml/below", "x" * 300, "/sys/triptych"])
def test_an_output_folder_that_cannot_be_made_is_told(empty_bench: Workbench, command: str, where: str) -> None:
    result = empty_bench.run(command, "--output", empty_bench.folder / where)

    if where.startswith("/sys") and command == "plan":
        return  # only trying tells
    assert result.code == 2, result.err
    assert "triptych-" not in result.err, "it is no fault of ours"
    assert [path.name for path in empty_bench.folder.iterdir()] == ["services.yaml"]


@pytest.mark.parametrize("command", ["plan", "apply", "validate", "add", "remove", "init"])
def test_a_spec_that_cannot_be_there_is_told(tmp_path: Path, command: str) -> None:
    (tmp_path / "file").write_text("")
    name = ["--name", "a", "--organization", "a", "--service", "a"] if command == "init" else []
    service = ["orders"] if command in {"add", "remove"} else []
    for where in ("file/services.yaml", f"{'x' * 300}.yaml"):
        result = triptych(command, *service, "--file", tmp_path / where, *name)

        assert result.code == 2, result.err
        assert "triptych-" not in result.err, "it is no fault of ours"


def _full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/somewhere")


def test_a_disk_that_is_full_when_the_journal_is_written(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.change_spec("catalog", "billing")
    before = bench.heads()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", _full)
        result = bench.run("apply")

    assert result.code == 1
    assert "/somewhere: No space left on device. Every repository is as it was." in result.err
    assert bench.heads() == before
    assert not list((bench.app / ".git").glob("triptych*"))
    bench.apply()


def test_a_disk_that_is_full_when_conflicts_are_left(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.change_file(bench.app / "services/orders/about.txt", "line 9\n", "line 9, ours\n")
    bench.template.edit(ABOUT, "line 9\n", "line 9, theirs\n")
    bench.template.write("blueprints/app-repo/NEWS.md", "News\n")
    bench.template.release("v1.1.0")
    before = bench.heads()
    copy, left = shutil.copy2, 2

    def fills_up(source: Path, target: Path, **options: bool) -> None:
        nonlocal left
        left -= 1
        (copy if left > 0 else _full)(source, target, **options)

    monkeypatch.setattr(shutil, "copy2", fills_up)
    result = bench.run("apply", "--keep-conflicts")

    assert result.code == 1
    assert "error: /somewhere: No space left on device." in result.err
    assert bench.heads() == before
    assert not (bench.app / "NEWS.md").exists()


def test_a_spec_is_kept_when_its_edit_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = tmp_path / "services.yaml"
    spec.write_text(SPEC)
    monkeypatch.setattr(Path, "replace", _full)

    result = triptych("add", "billing", "--file", spec)

    assert result.code == 1
    assert "No space left on device" in result.err
    assert spec.read_text() == SPEC
    assert [path.name for path in tmp_path.iterdir()] == ["services.yaml"]


def test_a_repository_without_write_permission_is_told(bench: Workbench) -> None:
    """git itself is asked: a lock that somebody left keeps it from writing, whoever the user is."""
    bench.change_spec("catalog", "billing")
    before = git(bench.app, "rev-parse", "HEAD")
    (bench.cd / ".git/index.lock").write_text("")

    result = bench.run("apply")

    assert result.code == 1
    assert "index.lock" in result.err
    assert git(bench.app, "rev-parse", "HEAD") == before
