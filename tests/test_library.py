"""The library chart of ci-repo and its copy in cd-repo: never out of step."""

import json

import pytest

from tests.workbench import LINES, Workbench, git

BASE = "blueprints/ci-repo/helm-templates/base"


def chart(version: str) -> str:
    return f"apiVersion: v2\nname: base\ntype: library\nversion: {version}\n"


def give_library(bench: Workbench, version: str, pod: str = LINES) -> None:
    """Let the template have a library chart of one file, and release it."""
    bench.template.write(f"{BASE}/Chart.yaml", chart(version))
    bench.template.write(f"{BASE}/service.schema.json", "{}\n")
    bench.template.write(f"{BASE}/templates/_pod.yaml", pod)
    bench.template.release(f"v1.1.{len(git(bench.template.folder, 'tag').split())}")


def change_library(bench: Workbench, version: str, old: str, new: str) -> None:
    """Change the library in ci-repo and commit, as a team does."""
    bench.change_file(bench.ci / "helm-templates/base/templates/_pod.yaml", old, new)
    file = bench.ci / "helm-templates/base/Chart.yaml"
    file.write_text(chart(version))
    bench.commit(file)


def pod(bench: Workbench, service: str) -> str:
    """Return the template of a pod that a service is rendered with."""
    return (bench.cd / "services" / service / "charts/base/templates/_pod.yaml").read_text()


def versions(bench: Workbench) -> list[str]:
    return sorted(path.name for path in (bench.cd / "library").glob("base-*") if path.is_dir())


@pytest.fixture
def bench(bench: Workbench) -> Workbench:
    """A platform whose library chart is at 1.0.0."""
    give_library(bench, "1.0.0")
    bench.apply()
    return bench


def test_each_service_leads_to_the_copy_that_the_lock_describes(bench: Workbench) -> None:
    assert git(bench.ci, "rev-parse", "HEAD:helm-templates/base") == git(
        bench.cd, "rev-parse", "HEAD:library/base-1.0.0"
    )
    assert pod(bench, "orders") == LINES
    assert (bench.cd / "services/orders/values.schema.json").read_text() == "{}\n"
    lock = json.loads((bench.cd / "library/base-1.0.0.lock.json").read_text())
    assert (lock["version"], list(lock["files"])) == (
        "1.0.0",
        ["Chart.yaml", "service.schema.json", "templates/_pod.yaml"],
    )


def test_a_second_apply_changes_nothing(bench: Workbench) -> None:
    before = bench.heads()
    bench.apply()
    assert bench.heads() == before


def test_a_change_in_ci_repo_reaches_cd_repo_and_nothing_else_moves(bench: Workbench) -> None:
    change_library(bench, "1.1.0", "line 3\n", "line 3, ours\n")

    planned = json.loads(bench.run("plan", "--json").out)["repositories"]
    result = bench.apply()

    assert {part["name"]: [file["path"] for file in part["files"]] for part in planned} == {
        "app-repo": [],
        "ci-repo": [],
        "cd-repo": [
            "library/base",
            *(f"library/base-1.0.0{end}" for end in (".lock.json",)),
            "library/base-1.0.0/Chart.yaml",
            "library/base-1.0.0/service.schema.json",
            "library/base-1.0.0/templates/_pod.yaml",
            "library/base-1.1.0.lock.json",
            "library/base-1.1.0/Chart.yaml",
            "library/base-1.1.0/service.schema.json",
            "library/base-1.1.0/templates/_pod.yaml",
        ],
    }
    assert "ci-repo: nothing changes" in result.out
    assert "line 3, ours" in pod(bench, "orders")
    assert versions(bench) == ["base-1.1.0"]


def test_what_team_and_template_changed_arrives_merged(bench: Workbench) -> None:
    bench.change_file(bench.ci / "helm-templates/base/templates/_pod.yaml", "line 3\n", "line 3, ours\n")
    give_library(bench, "1.1.0", LINES.replace("line 17\n", "line 17, theirs\n"))

    bench.apply()

    merged = pod(bench, "orders")
    assert "line 3, ours" in merged
    assert "line 17, theirs" in merged
    assert git(bench.ci, "rev-parse", "HEAD:helm-templates/base") == git(
        bench.cd, "rev-parse", "HEAD:library/base-1.1.0"
    )


def test_a_conflict_in_the_library_waits_for_its_resolution(bench: Workbench) -> None:
    bench.change_file(bench.ci / "helm-templates/base/templates/_pod.yaml", "line 3\n", "line 3, ours\n")
    give_library(bench, "1.1.0", LINES.replace("line 3\n", "line 3, theirs\n"))
    before = bench.heads()

    refused = bench.run("apply")
    assert refused.code == 1
    assert "ci-repo/helm-templates/base/templates/_pod.yaml" in refused.err
    assert bench.heads() == before

    bench.run("apply", "--keep-conflicts")
    (bench.ci / "helm-templates/base/templates/_pod.yaml").write_text(LINES.replace("line 3\n", "line 3, settled\n"))
    for repository in bench.repositories:
        git(repository, "add", "--all")
        git(repository, "commit", "--quiet", "--allow-empty", "--message", "Settle")
    bench.apply()

    assert "line 3, settled" in pod(bench, "orders")


def test_services_move_to_a_newer_library_one_by_one(bench: Workbench) -> None:
    bench.change_spec("services:\n", "defaults: {chart: {base: 1.0.0}}\nservices:\n")
    bench.change_spec("{name: catalog, ", "{name: catalog, chart: {base: latest}, ")
    give_library(bench, "2.0.0", LINES.replace("line 3\n", "line 3 of 2.0.0\n"))
    bench.apply()

    assert versions(bench) == ["base-1.0.0", "base-2.0.0"]
    assert "line 3 of 2.0.0" not in pod(bench, "orders")
    assert "line 3 of 2.0.0" in pod(bench, "catalog")

    bench.change_spec("defaults: {chart: {base: 1.0.0}}\n", "")
    bench.apply()

    assert versions(bench) == ["base-2.0.0"]
    assert "line 3 of 2.0.0" in pod(bench, "orders")


def test_a_version_that_was_given_up_comes_back_from_the_history(bench: Workbench) -> None:
    give_library(bench, "2.0.0", LINES.replace("line 3\n", "line 3 of 2.0.0\n"))
    bench.apply()
    bench.change_spec("{name: orders, ", "{name: orders, chart: {base: 1.0.0}, ")

    bench.apply()

    assert versions(bench) == ["base-1.0.0", "base-2.0.0"]
    assert pod(bench, "orders") == LINES
    assert (bench.cd / "library/base-1.0.0.lock.json").is_file()


def test_a_version_that_never_was_is_refused(bench: Workbench) -> None:
    before = bench.heads()
    bench.change_spec("{name: orders, ", "{name: orders, chart: {base: 1.2.0}, ")

    result = bench.run("apply")

    assert result.code == 2
    assert "keeps `orders` on version 1.2.0 of the library chart" in result.err
    assert "It has 1.0.0." in result.err
    assert bench.heads() == before


def test_an_edit_of_the_copy_is_named_and_kept(bench: Workbench) -> None:
    copy = bench.cd / "library/base-1.0.0/templates/_pod.yaml"
    bench.change_file(copy, "line 9\n", "line 9, edited in the wrong place\n")
    change_library(bench, "1.1.0", "line 3\n", "line 3, ours\n")
    before = bench.heads()

    result = bench.run("apply")

    assert result.code == 1
    assert "library/base-1.0.0/templates/_pod.yaml" in result.err
    assert "The library is changed in ci-repo, in helm-templates/base" in result.err
    assert bench.heads() == before


def test_an_older_ci_repo_does_not_take_the_library_back(bench: Workbench) -> None:
    older = git(bench.ci, "rev-parse", "HEAD")
    change_library(bench, "1.10.0", "line 3\n", "line 3, ours\n")
    bench.apply()
    git(bench.ci, "reset", "--quiet", "--hard", older)

    result = bench.run("apply")

    assert result.code == 1
    assert "cd-repo has version 1.10.0 of the library chart, and ci-repo the older 1.0.0. Pull ci-repo." in result.err


def test_a_service_that_goes_takes_its_links_with_it(bench: Workbench) -> None:
    bench.change_spec("  - {name: catalog, language: python}\n", "")

    bench.apply()

    assert not (bench.cd / "services/catalog").exists()


def test_what_git_ignores_in_ci_repo_stays_there(bench: Workbench) -> None:
    bench.add_file(bench.ci / ".gitignore", "*.tgz\n")
    (bench.ci / "helm-templates/base/base-1.0.0.tgz").write_text("packed")
    change_library(bench, "1.1.0", "line 3\n", "line 3, ours\n")

    bench.apply()

    assert not list((bench.cd / "library").rglob("*.tgz"))
