"""Repositories that are in no state to be updated: said in a sentence with the command that helps; nothing changes."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.workbench import Workbench, git, triptych


def _refused(bench: Workbench) -> str:
    """Return what `plan` and `apply` say, which must be the same, and prove that no repository changed."""
    bench.change_spec("services:\n", "services:\n  - {name: billing, language: python}\n")
    before = [_state(repository) for repository in bench.repositories]

    plan, apply = bench.run("plan"), bench.run("apply")

    assert (plan.code, apply.code) == (1, 1)
    assert plan.err == apply.err
    assert [_state(repository) for repository in bench.repositories] == before
    return apply.err


def _state(repository: Path) -> list[tuple[Path, bytes]]:
    # Git refreshes its index when it is asked for changes.
    files = (path for path in repository.rglob("*") if path.is_file() and path.name != "index")
    return sorted((path, path.read_bytes()) for path in files)


def _command_of(message: str, number: int = 0) -> list[str]:
    """Return a command that a message suggests."""
    return message.split("`")[1::2][number].split()


def _two_lines_of_work(repository: Path) -> None:
    """Leave a branch `topic` whose commit conflicts with the newest one."""
    git(repository, "branch", "topic")
    (repository / "README.md").write_text("ours\n")
    git(repository, "commit", "--quiet", "--all", "--message", "Ours")
    git(repository, "switch", "--quiet", "topic")
    (repository / "README.md").write_text("theirs\n")
    git(repository, "commit", "--quiet", "--all", "--message", "Theirs")
    git(repository, "switch", "--quiet", "main")


@pytest.mark.parametrize("operation", ["merge", "rebase", "cherry-pick"])
def test_what_git_has_under_way_is_finished_or_taken_back_first(bench: Workbench, operation: str) -> None:
    _two_lines_of_work(bench.ci)
    assert subprocess.run(["git", operation, "topic"], cwd=bench.ci, capture_output=True, check=False).returncode

    said = _refused(bench)

    assert f"A {operation} is under way in {bench.ci}." in said
    assert f"`git -C {bench.ci} {operation} --continue`" in said
    subprocess.run(_command_of(said, 1), check=True, capture_output=True)
    bench.apply()


def test_a_revert_is_finished_or_taken_back_first(bench: Workbench) -> None:
    _two_lines_of_work(bench.ci)
    git(bench.ci, "revert", "--no-edit", "--no-commit", "HEAD")

    said = _refused(bench)

    assert f"A revert is under way in {bench.ci}." in said
    subprocess.run(_command_of(said, 1), check=True, capture_output=True)
    bench.apply()


def test_a_bisection_is_ended_first(bench: Workbench) -> None:
    git(bench.ci, "bisect", "start")

    said = _refused(bench)

    assert f"A bisect is under way in {bench.ci}." in said
    subprocess.run(_command_of(said), check=True, capture_output=True)
    bench.apply()


def test_with_no_branch_checked_out_the_right_one_is_named(bench: Workbench) -> None:
    git(bench.app, "switch", "--quiet", "--detach")

    said = _refused(bench)

    assert "has no branch checked out; Triptych commits to `develop`" in said
    subprocess.run(_command_of(said, 1), check=True, capture_output=True)
    bench.apply()


def test_with_another_branch_checked_out_the_right_one_is_named(bench: Workbench) -> None:
    git(bench.cd, "switch", "--quiet", "--create", "topic")

    said = _refused(bench)

    assert "has the branch `topic` checked out; Triptych commits to `main`" in said
    subprocess.run(_command_of(said, 2), check=True, capture_output=True)
    bench.apply()


def test_a_branch_that_is_nowhere_is_made_and_not_switched_to(bench: Workbench) -> None:
    git(bench.cd, "branch", "--move", "trunk")

    said = _refused(bench)

    assert "Triptych commits to `main`, and there is no such branch" in said
    subprocess.run(_command_of(said, 2), check=True, capture_output=True)
    bench.apply()


def test_a_branch_that_only_a_remote_has_is_switched_to(bench: Workbench, tmp_path: Path) -> None:
    git(bench.app, "clone", "--quiet", "--bare", ".", str(tmp_path / "origin.git"))
    shutil.rmtree(bench.app)
    git(bench.folder, "clone", "--quiet", "--branch=main", str(tmp_path / "origin.git"), "app-repo")

    said = _refused(bench)

    subprocess.run(_command_of(said, 2), check=True, capture_output=True)
    bench.apply()


def test_a_branch_that_several_remotes_have_is_taken_from_one(bench: Workbench) -> None:
    for remote in ("origin", "fork"):
        git(bench.app, "remote", "add", remote, ".")
        git(bench.app, "fetch", "--quiet", remote)
    git(bench.app, "switch", "--quiet", "main")
    git(bench.app, "branch", "--quiet", "-D", "develop")

    said = _refused(bench)

    subprocess.run(_command_of(said, 2), check=True, capture_output=True)
    bench.apply()


def test_a_bare_repository_is_told_from_a_clone(bench: Workbench, tmp_path: Path) -> None:
    git(bench.ci, "clone", "--quiet", "--bare", ".", str(tmp_path / "bare"))
    shutil.rmtree(bench.ci)
    (tmp_path / "bare").rename(bench.ci)

    said = _refused(bench)

    assert f"{bench.ci} is a bare repository" in said
    for number in (0, 1):
        subprocess.run(_command_of(said, number), check=True, capture_output=True)
    bench.apply()


def test_a_repository_that_lost_its_history_is_no_place_to_write(bench: Workbench) -> None:
    shutil.rmtree(bench.ci / ".git")

    said = _refused(bench)

    assert f"{bench.ci} is a generated repository without its .git" in said
    assert "git clone" in said


def test_a_repository_that_git_cannot_use_is_told_in_gits_words(bench: Workbench) -> None:
    (bench.ci / ".git/HEAD").write_text("nonsense\n")

    said = _refused(bench)

    assert f"{bench.ci} has a .git that git cannot use" in said
    assert "not a git repository" in said


def test_a_repository_without_a_commit_is_left_alone(bench: Workbench) -> None:
    shutil.rmtree(bench.ci)
    git(bench.folder, "init", "--quiet", "ci-repo")
    (bench.ci / "mine.txt").write_text("mine\n")

    said = _refused(bench)

    assert "without a commit. Move it away" in said


def test_a_shallow_clone_is_updated_like_any_other(bench: Workbench, tmp_path: Path) -> None:
    """As pipelines check repositories out."""
    for repository, branch in zip(bench.repositories, ("develop", "main", "main"), strict=True):
        bench.add_file(repository / "NOTES.md", "ours\n")
        git(
            bench.folder,
            "clone",
            "--quiet",
            "--depth=1",
            f"--branch={branch}",
            f"file://{repository}",
            str(tmp_path / "x"),
        )
        shutil.rmtree(repository)
        (tmp_path / "x").rename(repository)
    bench.change_spec("services:\n", "services:\n  - {name: billing, language: python}\n")

    bench.apply()

    assert (bench.cd / "services/billing/about.txt").is_file()
    assert triptych("plan", "--file", bench.spec, "--template", bench.template.folder, "--exit-code").code == 0
