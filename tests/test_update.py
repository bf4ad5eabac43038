"""What an update does with a user's work: each test is one sentence of the promise."""

import subprocess
import sys

import pytest

from generator import landing, projection, resolve
from generator.planning import RepositoryPlan
from tests.workbench import LINES, PER_SERVICE, Workbench, git

ABOUT = f"blueprints/app-repo/{PER_SERVICE}/about.txt.jinja"


def test_an_edit_survives_a_template_change_elsewhere_in_the_file(bench: Workbench) -> None:
    about = bench.app / "services/orders/about.txt"
    bench.change_file(about, "line 3\n", "line 3, ours\n")
    bench.template.edit(ABOUT, "line 18\n", "line 18, newer\n")
    bench.template.release("v1.1.0")

    plan = bench.run("plan")
    bench.apply()

    text = about.read_text()
    assert "line 3, ours" in text
    assert "line 18, newer" in text
    assert "merged with edits      services/orders/about.txt" in plan.out
    assert "changed                services/catalog/about.txt" in plan.out


def test_a_line_that_both_sides_changed_is_a_conflict_and_leaves_every_repository_untouched(bench: Workbench) -> None:
    bench.change_file(bench.cd / "services/orders/about.txt", "line 9\n", "line 9, ours\n")
    bench.template.edit(ABOUT, "line 9\n", "line 9, theirs\n")
    bench.template.edit(ABOUT.replace("app-repo", "cd-repo"), "line 9\n", "line 9, theirs\n")
    bench.template.release("v1.1.0")
    before = bench.heads()

    result = bench.run("apply")

    assert result.code == 1
    assert "conflict               services/orders/about.txt" in result.out
    assert "cd-repo/services/orders/about.txt" in result.err
    assert "--keep-conflicts" in result.err
    assert bench.heads() == before


def test_kept_conflicts_are_resolved_as_after_a_git_merge(bench: Workbench) -> None:
    about = bench.app / "services/orders/about.txt"
    bench.change_file(about, "line 9\n", "line 9, ours\n")
    bench.template.edit(ABOUT, "line 9\n", "line 9, theirs\n")
    bench.template.write("blueprints/app-repo/NEWS.md", "News\n")
    bench.template.release("v1.1.0")
    before = bench.heads()

    result = bench.run("apply", "--keep-conflicts")

    assert result.code == 1
    assert "<<<<<<< before updating\nline 9, ours\n" in about.read_text()
    assert git(bench.app, "rev-parse", "HEAD") == before[0]
    status = git(bench.app, "status", "--porcelain").splitlines()
    assert "UU services/orders/about.txt" in status
    assert "A  NEWS.md" in status
    assert bench.run("apply").code == 1, "an unresolved repository is dirty"

    about.write_text("orders\n" + LINES.replace("line 9\n", "line 9, both\n"))
    for repository in bench.repositories:
        git(repository, "add", "--all")
        git(repository, "commit", "--quiet", "--message", "Merge the new template")
    resolved = bench.heads()
    bench.apply()
    assert bench.heads() == resolved, "nothing is left to do"


def test_a_file_that_the_user_deleted_does_not_come_back(bench: Workbench) -> None:
    readme = bench.ci / "README.md"
    readme.unlink()
    bench.commit(readme)
    bench.template.edit("blueprints/ci-repo/README.md.jinja", "line 5\n", "line 5, newer\n")
    bench.template.release("v1.1.0")

    bench.apply()

    assert not readme.exists()


def test_a_change_of_the_template_follows_a_file_that_the_user_renamed(bench: Workbench) -> None:
    mine = bench.app / "services/orders/mine.txt"
    git(bench.app, "mv", "services/orders/about.txt", "services/orders/mine.txt")
    bench.change_file(mine, "line 3\n", "line 3, ours\n")
    bench.template.edit(ABOUT, "line 18\n", "line 18, newer\n")
    bench.template.release("v1.1.0")

    plan = bench.run("plan")
    bench.apply()

    assert "merged with edits      services/orders/mine.txt" in plan.out
    assert mine.read_text() == "orders\n" + LINES.replace("line 3\n", "line 3, ours\n").replace("18\n", "18, newer\n")
    assert not (bench.app / "services/orders/about.txt").exists()
    assert "Plan: nothing changes." in bench.apply().out


def test_what_both_sides_changed_in_a_renamed_file_is_a_conflict(bench: Workbench) -> None:
    mine = bench.app / "services/orders/mine.txt"
    git(bench.app, "mv", "services/orders/about.txt", "services/orders/mine.txt")
    bench.change_file(mine, "line 9\n", "line 9, ours\n")
    bench.template.edit(ABOUT, "line 9\n", "line 9, theirs\n")
    bench.template.release("v1.1.0")
    before = bench.heads()

    refused = bench.run("apply")
    assert refused.code == 1
    assert "conflict               services/orders/mine.txt" in refused.out
    assert bench.heads() == before
    bench.run("apply", "--keep-conflicts")

    assert (
        "<<<<<<< before updating\nline 9, ours\n=======\nline 9, theirs\n>>>>>>> after updating\n" in mine.read_text()
    )
    assert "UU services/orders/mine.txt" in git(bench.app, "status", "--porcelain").splitlines()


def test_a_file_that_the_user_added_to_a_service_stays_as_it_is(bench: Workbench) -> None:
    notes = bench.app / "services/orders/NOTES.md"
    bench.add_file(notes, "ours\n")
    bench.template.edit(ABOUT, "line 18\n", "line 18, newer\n")
    bench.template.release("v1.1.0")

    bench.apply()

    assert notes.read_text() == "ours\n"
    assert "line 18, newer" in (bench.app / "services/orders/about.txt").read_text()


def test_a_service_that_is_added_changes_nothing_of_the_others(bench: Workbench) -> None:
    bench.change_spec("services:\n", "services:\n  - {name: billing, language: python}\n")

    bench.apply()

    for repository in bench.repositories:
        changed = git(repository, "show", "--format=", "--name-status", "HEAD").splitlines()
        assert sorted(changed) == ["A\tservices/billing/about.txt", "M\t.copier-answers.yml"]
    assert git(bench.app, "log", "-1", "--format=%s") == "Apply services.yaml: add billing"


def test_a_service_that_leaves_the_spec_takes_its_unedited_files_with_it(bench: Workbench) -> None:
    bench.change_spec("  - {name: catalog, language: python}\n", "")

    result = bench.apply()

    assert "removed                services/catalog/about.txt" in result.out
    for repository in bench.repositories:
        assert not (repository / "services/catalog").exists()
        assert (repository / "services/orders/about.txt").exists()


@pytest.mark.parametrize("change", ["edit", "gain"])
def test_a_service_that_leaves_the_spec_keeps_edited_and_gained_files_until_pruned(
    bench: Workbench, change: str
) -> None:
    file = bench.app / "services/catalog/about.txt"
    if change == "edit":
        bench.change_file(file, "line 3\n", "line 3, ours\n")
    else:
        file = file.with_name("extra.txt")
        bench.add_file(file, "ours\n")
    bench.change_spec("  - {name: catalog, language: python}\n", "")
    before = bench.heads()

    refused = bench.run("apply")

    assert refused.code == 1
    assert f"app-repo/services/catalog/{file.name}" in refused.err
    assert "--prune" in refused.err
    assert bench.heads() == before
    assert f"removed though edited  services/catalog/{file.name}" in bench.run("plan").out

    bench.apply("--prune")
    assert not (bench.app / "services/catalog").exists()


def test_a_template_file_is_added_moved_and_deleted(bench: Workbench) -> None:
    template = bench.template
    template.write("blueprints/app-repo/old.txt", "the text\nof a file\nthat moves\n")
    template.write("blueprints/app-repo/doomed.txt", "goes\n")
    template.release("v1.1.0")
    bench.apply()
    assert (bench.app / "old.txt").exists()

    (template.folder / "blueprints/app-repo/new").mkdir()
    git(template.folder, "mv", "blueprints/app-repo/old.txt", "blueprints/app-repo/new/place.txt")
    git(template.folder, "rm", "--quiet", "blueprints/app-repo/doomed.txt")
    template.release("v1.2.0")
    bench.apply()

    assert (bench.app / "new/place.txt").read_text() == "the text\nof a file\nthat moves\n"
    assert not (bench.app / "old.txt").exists()
    assert not (bench.app / "doomed.txt").exists()


def test_a_template_file_that_the_user_edited_is_not_deleted_without_asking(bench: Workbench) -> None:
    bench.change_file(bench.app / "README.md", "line 3\n", "line 3, ours\n")
    git(bench.template.folder, "rm", "--quiet", "blueprints/app-repo/README.md.jinja")
    bench.template.release("v1.1.0")

    refused = bench.run("apply")

    assert refused.code == 1
    assert "app-repo/README.md" in refused.err
    assert "line 3, ours" in (bench.app / "README.md").read_text()


def test_a_newer_template_may_ask_a_new_question_and_the_plan_says_so(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = projection._app
    monkeypatch.setattr(projection, "_app", lambda spec: project(spec) | {"scanning": {"depth": 3}})
    bench.template.edit("copier.yml", "blueprint == 'ci-repo'", "blueprint != 'cd-repo'")
    bench.template.edit("blueprints/app-repo/README.md.jinja", "line 2\n", "depth [[ scanning.depth ]]\n")
    bench.template.release("v1.1.0")

    plan = bench.run("plan")
    bench.apply()

    assert 'new default            scanning = {"depth": 3}' in plan.out
    assert "depth 3" in (bench.app / "README.md").read_text()


def test_a_changed_default_reaches_files_and_is_told(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.template.write("blueprints/cd-repo/limits.txt.jinja", "[[ defaults.autoscaling.max ]]\n")
    bench.template.release("v1.1.0")
    bench.apply()
    monkeypatch.setattr(resolve, "AUTOSCALING", resolve.AUTOSCALING.model_copy(update={"max": 12}))

    result = bench.apply()

    assert "answer                 defaults.autoscaling.max: 10 → 12" in result.out
    assert (bench.cd / "limits.txt").read_text() == "12\n"
    assert "app-repo: nothing changes" in result.out


def test_version_after_version_with_edits_in_between(bench: Workbench) -> None:
    about = bench.app / "services/orders/about.txt"
    for version, (theirs, ours) in {"v2.0.0": (18, 3), "v3.0.0": (15, 6), "v4.0.0": (12, 9)}.items():
        bench.change_file(about, f"line {ours}\n", f"line {ours}, ours\n")
        bench.template.edit(ABOUT, f"line {theirs}\n", f"line {theirs}, {version}\n")
        bench.template.release(version)
        bench.apply()
        assert f"_commit: {version}" in (bench.app / ".copier-answers.yml").read_text()

    lines = about.read_text().splitlines()
    assert [lines[number] for number in (3, 6, 9)] == ["line 3, ours", "line 6, ours", "line 9, ours"]
    assert [lines[number] for number in (18, 15, 12)] == ["line 18, v2.0.0", "line 15, v3.0.0", "line 12, v4.0.0"]


def test_the_same_update_twice_equals_once(bench: Workbench) -> None:
    bench.change_file(bench.app / "services/orders/about.txt", "line 3\n", "line 3, ours\n")
    bench.template.edit(ABOUT, "line 18\n", "line 18, newer\n")
    bench.template.release("v1.1.0")
    bench.apply()
    once = bench.heads()

    result = bench.apply()

    assert bench.heads() == once
    assert "Plan: nothing changes." in result.out


def test_an_older_template_is_refused(bench: Workbench) -> None:
    bench.template.release("v2.0.0")
    bench.apply()

    result = bench.run("apply", "--template", f"{bench.template.folder}@v1.0.0")

    assert result.code == 1
    assert "newest Triptych" in result.err


def test_when_the_second_repository_fails_the_first_goes_back(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.change_spec("services:\n", "services:\n  - {name: billing, language: python}\n")
    before = bench.heads()
    move = landing._move
    moved: list[str] = []

    def fails_second(part: RepositoryPlan, commit: str) -> None:
        if moved:
            raise OSError("the disk is full")
        move(part, commit)
        moved.append(part.repository.name)

    monkeypatch.setattr(landing, "_move", fails_second)
    result = bench.run("apply")

    assert moved == ["app-repo"]
    assert result.code == 1
    assert "the disk is full" in result.err
    assert bench.heads() == before

    monkeypatch.undo()
    bench.apply()
    assert (bench.cd / "services/billing").is_dir()


def test_a_dirty_repository_is_refused(bench: Workbench) -> None:
    (bench.ci / "README.md").write_text("not committed\n")
    bench.change_spec("services:\n", "services:\n  - {name: billing, language: python}\n")

    result = bench.run("apply")

    assert result.code == 1
    assert "README.md" in result.err
    assert "Commit or stash" in result.err
    assert not (bench.app / "services/billing").exists()


def test_the_state_that_robots_write_is_never_rendered_over(bench: Workbench) -> None:
    bench.template.write("blueprints/cd-repo/registry/versions.yaml", "services: {}\n")
    bench.template.release("v1.1.0")
    bench.apply()
    versions = bench.cd / "registry/versions.yaml"
    bench.change_file(versions, "services: {}\n", "services:\n  orders: {}\n")
    release = bench.cd / "registry/releases/dev/orders.yaml"
    bench.add_file(release, "tag: 1\n")
    bench.template.edit("blueprints/cd-repo/registry/versions.yaml", "services: {}", "services: []")
    bench.template.edit("blueprints/cd-repo/README.md.jinja", "line 2\n", "line 2, newer\n")
    bench.template.release("v1.2.0")

    result = bench.apply()

    assert versions.read_text() == "services:\n  orders: {}\n"
    assert release.read_text() == "tag: 1\n"
    assert "registry" not in result.out


def test_a_plain_copier_update_works_in_each_repository(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand, without `triptych`: git finds the template at its address."""
    bench.change_spec("{name: orders, language: python}", "{name: orders, language: python, description: '[[ 7*7 ]]'}")
    bench.apply()
    bench.change_file(bench.app / "services/orders/about.txt", "line 3\n", "line 3, ours\n")
    for blueprint in ("app-repo", "ci-repo", "cd-repo"):
        bench.template.edit(f"blueprints/{blueprint}/README.md.jinja", "line 2\n", "line 2, newer\n")
    bench.template.release("v1.1.0")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{bench.template.folder}.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://github.com/triptych-platform/triptych.git")
    monkeypatch.setenv("COPIER_CACHE_DIR", str(bench.folder.parent / "cache"))

    for repository in bench.repositories:
        subprocess.run(
            [sys.executable, "-m", "copier", "update"], cwd=repository, check=True, stdin=subprocess.DEVNULL,
            capture_output=True,
        )  # fmt: skip
        assert "line 2, newer" in (repository / "README.md").read_text()
        git(repository, "add", "--all")
        git(repository, "commit", "--quiet", "--message", "Update by hand")
    assert "line 3, ours" in (bench.app / "services/orders/about.txt").read_text()

    assert "[[ 7*7 ]]" in (bench.app / ".copier-answers.yml").read_text(), "a recorded answer is no template"

    by_hand = bench.heads()
    bench.apply()
    assert bench.heads() == by_hand, "triptych finds nothing more to do"
