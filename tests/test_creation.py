"""The first apply: what is there afterwards, and what stops it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from generator import landing
from generator.planning import RepositoryPlan
from tests.workbench import SPEC, Workbench, git, triptych


def test_three_repositories_with_one_commit_each(empty_bench: Workbench) -> None:
    result = empty_bench.apply()

    for repository in empty_bench.repositories:
        assert git(repository, "rev-list", "--count", "--all") == "1"
        assert git(repository, "status", "--porcelain", "--ignored") == ""
        assert git(repository, "log", "-1", "--format=%an <%ae>") == "Test <test@acme.example>"
    assert (empty_bench.app / "services/orders/about.txt").is_file()
    assert "app-repo: create" in result.out
    assert sorted(path.name for path in empty_bench.folder.iterdir()) == [
        "app-repo",
        "cd-repo",
        "ci-repo",
        "services.yaml",
    ]


def test_app_repo_has_the_branches_of_the_environments(bench: Workbench) -> None:
    assert git(bench.app, "branch", "--format=%(refname:short)").split() == ["develop", "main", "staging"]
    assert git(bench.app, "branch", "--show-current") == "develop"
    assert git(bench.ci, "branch", "--format=%(refname:short)").split() == ["main"]
    assert git(bench.cd, "branch", "--format=%(refname:short)").split() == ["main"]


def test_a_platform_of_one_environment_is_trunk_based(empty_bench: Workbench) -> None:
    empty_bench.change_spec("services:", "environments: [{name: prod}]\nservices:")

    empty_bench.apply()

    assert git(empty_bench.app, "branch", "--format=%(refname:short)") == "main"


def test_an_environment_that_is_added_later_gets_its_branch(bench: Workbench) -> None:
    bench.change_spec(
        "services:", "environments: [{name: dev}, {name: staging}, {name: preprod}, {name: prod}]\nservices:"
    )

    result = bench.apply()

    assert "app-repo: new branch preprod" in result.out
    assert git(bench.app, "rev-parse", "preprod") == git(bench.app, "rev-parse", "develop")
    assert git(bench.app, "rev-parse", "staging") != git(bench.app, "rev-parse", "develop")


def test_the_repositories_have_the_names_of_the_spec(empty_bench: Workbench) -> None:
    empty_bench.change_spec("organization: acme", "organization: acme, appRepo: shop, ciRepo: build, cdRepo: deploy")

    empty_bench.apply("--output", empty_bench.folder / "out")

    assert sorted(path.name for path in (empty_bench.folder / "out").iterdir()) == ["build", "deploy", "shop"]


def test_a_repository_that_only_got_another_name_is_not_made_twice(bench: Workbench) -> None:
    bench.change_spec("organization: acme", "organization: acme, appRepo: shop")

    result = bench.run("apply")

    assert result.code == 1
    assert f"mv {bench.app} {bench.folder / 'shop'}" in result.err

    bench.app.rename(bench.folder / "shop")
    bench.apply()
    assert not bench.app.exists()


def test_a_second_apply_changes_nothing(bench: Workbench) -> None:
    before = bench.heads()

    result = bench.apply()

    assert bench.heads() == before
    assert result.out.splitlines()[-2:] == ["Plan: nothing changes.", f"Done: {bench.folder}"] or (
        result.out.splitlines()[-1] == "Plan: nothing changes."
    )


def test_when_the_last_repository_cannot_be_made_none_is(
    empty_bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = landing._create

    def fails_last(part: RepositoryPlan, output: Path) -> None:
        if part.repository.name == "cd-repo":
            raise OSError("the disk is full")
        create(part, output)

    monkeypatch.setattr(landing, "_create", fails_last)
    result = empty_bench.run("apply")

    assert result.code == 1
    assert "the disk is full" in result.err
    assert [path.name for path in empty_bench.folder.iterdir()] == ["services.yaml"]


@pytest.mark.parametrize(
    ("in_the_way", "code", "message"),
    [
        ("file", 2, "it is a file"),
        ("folder", 2, "not empty and not a git repository"),
        ("repository", 1, "did not make it"),
    ],
)
def test_what_is_in_the_way_is_left_alone(empty_bench: Workbench, in_the_way: str, code: int, message: str) -> None:
    if in_the_way == "file":
        empty_bench.cd.write_text("mine\n")
    else:
        empty_bench.cd.mkdir()
        (empty_bench.cd / "mine.txt").write_text("mine\n")
    if in_the_way == "repository":
        git(empty_bench.cd, "init", "--quiet")
        git(empty_bench.cd, "add", "--all")
        git(empty_bench.cd, "commit", "--quiet", "--message", "Mine")

    result = empty_bench.run("apply")

    assert result.code == code
    assert message in result.err
    assert not empty_bench.app.exists()


def test_another_branch_checked_out_is_refused(bench: Workbench) -> None:
    git(bench.cd, "switch", "--quiet", "--create", "topic")
    bench.change_spec("services:\n", "services:\n  - {name: billing, language: python}\n")

    result = bench.run("apply")

    assert result.code == 1
    assert "the branch `topic` checked out" in result.err
    assert f"git -C {bench.cd} switch main" in result.err


def test_a_machine_without_an_identity_commits_under_a_neutral_one(
    empty_bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)

    result = empty_bench.apply()

    assert git(empty_bench.app, "log", "-1", "--format=%an <%ae>") == "Triptych <triptych@triptych.invalid>"
    assert "git config --global user.name" in result.err


def test_the_users_git_settings_do_not_change_what_is_made(
    empty_bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ignore = tmp_path / "ignore"
    ignore.write_text("*.txt\n")
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "pre-commit").chmod(0o755)
    config = tmp_path / "config"
    config.write_text(
        f"[user]\nname = Me\nemail = me@acme.example\n[core]\nexcludesFile = {ignore}\nhooksPath = {hooks}\n"
        "autocrlf = true\n[diff]\nnoprefix = true\n[commit]\ngpgSign = true\n[apply]\nwhitespace = fix\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))

    empty_bench.apply()
    monkeypatch.delenv("GIT_DIR")

    assert "services/orders/about.txt" in git(empty_bench.app, "ls-files")
    assert b"\r" not in (empty_bench.app / "README.md").read_bytes()


def test_an_ignored_file_that_the_template_now_has_is_not_written_over(bench: Workbench) -> None:
    bench.add_file(bench.app / ".gitignore", "local.env\n")
    (bench.app / "local.env").write_text("mine\n")
    bench.template.write("blueprints/app-repo/local.env", "theirs\n")
    bench.template.release("v1.1.0")

    result = bench.run("apply")

    assert result.code == 1
    assert "local.env is in the way" in result.err
    assert (bench.app / "local.env").read_text() == "mine\n"


def test_two_applies_at_a_time_do_not_mix(bench: Workbench) -> None:
    with landing.locked(bench.folder):
        result = bench.run("apply")

    assert result.code == 1
    assert "Another `triptych apply` is at work" in result.err


def test_the_record_says_the_same_on_every_machine(bench: Workbench) -> None:
    answers = (bench.cd / ".copier-answers.yml").read_text()

    assert "_commit: v1.0.0\n" in answers
    assert "_src_path: https://github.com/triptych-platform/triptych.git\n" in answers
    assert str(bench.folder.parent) not in answers


def test_the_command_is_quiet_and_plain_when_piped(empty_bench: Workbench) -> None:
    command = ["apply", "-f", str(empty_bench.spec), "--template", str(empty_bench.template.folder)]
    process = subprocess.run(
        [sys.executable, "-m", "generator.main", *command], capture_output=True, text=True, check=True
    )

    assert process.stderr == ""
    assert "\x1b" not in process.stdout


def test_a_fault_of_ours_shows_no_traceback(empty_bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landing, "_commit", lambda *_: 1 / 0)

    result = empty_bench.run("apply")

    assert result.code == 1
    assert "Traceback" not in result.err
    log = Path(result.err.split("The details are in ")[1].strip().rstrip("."))
    assert "ZeroDivisionError" in log.read_text()
    log.unlink()


def test_a_template_that_does_not_render_is_told_with_its_place(empty_bench: Workbench) -> None:
    empty_bench.template.write("blueprints/cd-repo/broken.txt.jinja", "first\n[[ platform.nothing.there ]]\n")
    empty_bench.template.release("v1.1.0")

    result = empty_bench.run("apply")

    assert result.code == 1
    assert "The template does not render" in result.err
    assert not empty_bench.app.exists()


def test_a_template_of_another_address_is_told(bench: Workbench, tmp_path: Path) -> None:
    result = triptych("apply", "-f", bench.spec, "--template", tmp_path / "nowhere")

    assert result.code == 2
    assert "neither a folder nor a template's address" in result.err


def test_specs_are_found_beside_the_repositories(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bench.folder)

    assert triptych("plan", "--template", bench.template.folder).out.endswith("Plan: nothing changes.\n")
    assert bench.spec.read_text() == SPEC
