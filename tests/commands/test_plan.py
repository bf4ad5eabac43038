"""`triptych plan` is exactly what `triptych apply` then does."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.workbench import PER_SERVICE, Workbench, git


def _snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _edit_everything(bench: Workbench) -> None:
    """Make a plan that has new, changed, merged and removed files in it."""
    bench.change_file(bench.app / "services/orders/about.txt", "line 3\n", "line 3, ours\n")
    bench.template.edit(f"blueprints/app-repo/{PER_SERVICE}/about.txt.jinja", "line 18\n", "line 18, newer\n")
    bench.template.release("v1.1.0")
    bench.change_spec("{name: catalog, language: python}", "{name: billing, language: python, port: 9000}")


def test_planning_writes_nothing(bench: Workbench) -> None:
    _edit_everything(bench)
    before = _snapshot(bench.folder)

    bench.run("plan", "--diff")

    assert _snapshot(bench.folder) == before


def test_apply_does_what_was_planned(bench: Workbench) -> None:
    _edit_everything(bench)
    before = bench.heads()

    plan: dict[str, Any] = json.loads(bench.run("plan", "--json").out)
    bench.apply()

    assert plan["changes"] is True
    kinds = set()
    for repository, part, commit in zip(bench.repositories, plan["repositories"], before, strict=True):
        done = git(repository, "diff", "--name-only", "--no-renames", commit, "HEAD").splitlines()
        assert [entry["path"] for entry in part["files"]] == sorted(done)
        assert part["servicesAdded"] == ["billing"]
        assert part["servicesRemoved"] == ["catalog"]
        kinds |= {entry["change"] for entry in part["files"]}
    assert kinds == {"new", "changed", "merged with edits", "removed"}


def test_the_diff_is_the_one_that_lands(bench: Workbench) -> None:
    _edit_everything(bench)
    before = bench.heads()

    planned = bench.run("plan", "--diff").out
    bench.apply()

    for repository, commit in zip(bench.repositories, before, strict=True):
        name = repository.name
        landed = git(
            repository, "diff", f"--src-prefix=a/{name}/", f"--dst-prefix=b/{name}/", "--abbrev=12", commit, "HEAD"
        )
        assert landed in planned


@pytest.mark.parametrize("attributes", ["* text=auto", "* text=auto eol=crlf", "* text=auto eol=lf"])
def test_line_ends_are_planned_as_git_commits_them(bench: Workbench, attributes: str) -> None:
    """Git normalizes the line ends of a file by what it has of it already."""
    about = bench.app / "services/orders/about.txt"
    about.write_bytes(about.read_bytes().replace(b"\n", b"\r\n"))
    bench.commit(about)
    bench.add_file(bench.app / ".gitattributes", f"{attributes}\n")
    bench.template.edit("blueprints/app-repo/README.md.jinja", "line 18\n", "line 18, newer\n")
    bench.template.release("v1.1.0")
    before = git(bench.app, "rev-parse", "HEAD")

    planned = json.loads(bench.run("plan", "--json").out)["repositories"][0]["files"]
    bench.apply()

    done = git(bench.app, "diff", "--name-only", "--no-renames", before, "HEAD").splitlines()
    assert [entry["path"] for entry in planned] == sorted(done) == [".copier-answers.yml", "README.md"]
    assert git(bench.app, "diff", "--numstat", before, "HEAD", "--", "README.md") == "1\t1\tREADME.md"
    bench.heads()


@pytest.mark.parametrize("changed", [False, True])
def test_exit_code_tells_scripts_whether_something_would_change(bench: Workbench, changed: bool) -> None:
    if changed:
        bench.change_spec("{name: catalog, language: python}", "{name: billing, language: python}")

    assert bench.run("plan", "--exit-code").code == (3 if changed else 0)
    assert bench.run("plan").code == 0


def test_a_new_platform_is_planned_in_a_few_lines(empty_bench: Workbench) -> None:
    result = empty_bench.run("plan")

    assert result.code == 0
    assert "app-repo: create in" in result.out
    assert "Plan: 12 new." in result.out
    assert not empty_bench.app.exists()
