"""An apply that is killed: every repository stays whole, and the next run completes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from generator import git, journal
from tests.workbench import Workbench
from tests.workbench import git as run_git

# Kills the process at the n-th git command that it starts, before or after it ran.
KILLER = """
import os, signal, sys
from generator import git
from generator.main import main
run, left = git.subprocess.run, int(sys.argv.pop(1))
def killing(*arguments, **options):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return run(*arguments, **options)
git.subprocess.run = killing
sys.argv[0] = "triptych"
main()
"""


def _killed(bench: Workbench, at: int) -> int:
    command = ["apply", "--file", str(bench.spec), "--template", str(bench.template.folder)]
    return subprocess.run(
        [sys.executable, "-c", KILLER, str(at), *command], capture_output=True, check=False, env=dict(os.environ)
    ).returncode


@pytest.mark.slow
@pytest.mark.parametrize("step", [19, pytest.param(5, marks=pytest.mark.exhaustive)])
def test_killed_at_any_git_command_each_repository_is_whole_and_the_next_run_completes(
    bench: Workbench, step: int
) -> None:
    bench.change_spec("services:\n", "services:\n  - {name: billing, language: python}\n")
    before = bench.heads()
    ended = False
    for at in range(1, 400, step):
        code = _killed(bench, at)
        for repository, commit in zip(bench.repositories, before, strict=True):
            run_git(repository, "fsck", "--no-dangling")
            assert run_git(repository, "rev-list", "--count", f"{commit}..HEAD") in {"0", "1"}
        bench.apply()
        assert all((repository / "services/billing/about.txt").is_file() for repository in bench.repositories)
        bench.heads()
        for repository, commit in zip(bench.repositories, before, strict=True):
            run_git(repository, "reset", "--hard", "--quiet", commit)
        if code != -signal.SIGKILL:
            ended = True
            break
    assert ended, "the last run was not killed, so every place was tried"


def _half_moved(bench: Workbench) -> Path:
    """Leave app-repo as a kill in the middle of a checkout would: some files new, one half written."""
    bench.template.edit("blueprints/app-repo/README.md.jinja", "line 2\n", "line 2, newer\n")
    bench.template.write("blueprints/app-repo/new.txt", "a new file\n")
    bench.template.release("v1.1.0")
    before = git.head(bench.app)
    bench.apply()
    after = git.head(bench.app)
    text = (bench.app / "README.md").read_text()
    run_git(bench.app, "reset", "--hard", "--quiet", before)
    (bench.app / "README.md").write_text(text)
    (bench.app / "new.txt").write_text("a new")
    journal.begin(bench.app, before, after)
    return bench.app


def test_a_checkout_that_was_cut_off_is_finished(bench: Workbench) -> None:
    app = _half_moved(bench)
    assert "Run `triptych apply` to finish" in bench.run("plan").err

    result = bench.apply()

    assert "Finished the interrupted apply" in result.err
    assert (app / "new.txt").read_text() == "a new file\n"
    assert "line 2, newer" in (app / "README.md").read_text()
    bench.heads()


def test_what_the_user_changed_after_the_kill_is_not_touched(bench: Workbench) -> None:
    app = _half_moved(bench)
    (app / "README.md").write_text("written after the kill\n")

    result = bench.run("apply")

    assert result.code == 1
    assert "README.md" in result.err
    assert (app / "README.md").read_text() == "written after the kill\n"
