"""scripts/release against real git repositories: one commit for a batch, nothing lost, nothing newer overwritten."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.blueprints.cd_repo.support import build, clone, head, log, modules, registry, release, script
from tests.tools import run

PIN = '      pinned:\n        by: "ada"\n        reason: "the next one loses orders"\n        until: "2026-12-01"\n'


def test_a_batch_is_one_commit(cd: Path) -> None:
    before = head(cd)
    result = release(cd, "dev", [build("orders"), build("catalog")], "--deployed-by=robot[bot]")
    assert log(cd, "%H", f"{before}..") == [head(cd)]
    assert f"committed {head(cd)}" in result.stdout
    assert run("git", "status", "--porcelain", cwd=cd).stdout == ""
    for service in ("orders", "catalog"):
        entry = registry(cd)[service]["dev"]
        assert {name: entry[name] for name in build(service) if name != "service"} == {
            name: value for name, value in build(service).items() if name != "service"
        }
        assert entry["deployed_by"] == "robot[bot]"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", entry["deployed_at"])
        assert set(registry(cd)[service]) == {"dev"}
    script(cd, "validate")


def test_the_message_is_read_by_people_and_programs(cd: Path) -> None:
    release(cd, "dev", [build("orders"), build("catalog")], "--deployed-by=ada")
    assert log(cd, "%s", "-1") == ["release(dev): 2 services"]
    assert log(cd, "%(trailers:key=Deployed,valueonly)", "-1") == [
        f"{service} dev {build(service)['committed_at']} {build(service)['digest']}"
        for service in ("catalog", "orders")
    ]
    assert log(cd, "%(trailers:key=Deployed-by,valueonly)", "-1") == ["ada"]
    release(cd, "dev", [build("orders", 2)])
    assert log(cd, "%s", "-1") == [f"release(dev): orders {build('orders', 2)['version']}"]


def test_the_history_of_a_service_is_that_of_its_file(cd: Path) -> None:
    release(cd, "dev", [build("orders")])
    release(cd, "dev", [build("catalog")])
    release(cd, "dev", [build("orders", 2)])
    assert len(log(cd, "%H", "--", "registry/releases/dev/orders.yaml")) == 2


def test_the_same_batch_again_makes_no_commit(cd: Path) -> None:
    release(cd, "dev", [build("orders")])
    before = head(cd)
    result = release(cd, "dev", [build("orders")])
    assert "unchanged: orders" in result.stdout
    assert "nothing to release" in result.stdout
    assert head(cd) == before


def test_an_empty_batch_makes_no_commit(cd: Path) -> None:
    before = head(cd)
    assert release(cd, "dev", []).stdout.strip() == "nothing to release"
    assert head(cd) == before


def test_the_same_image_of_other_sources_is_noted(cd: Path) -> None:
    # Otherwise change detection would find the service changed at every push.
    release(cd, "dev", [build("orders")])
    release(cd, "dev", [{**build("orders"), "source": "f" * 64}])
    assert registry(cd)["orders"]["dev"]["source"] == "f" * 64


def test_an_older_build_never_replaces_a_newer_one(cd: Path) -> None:
    release(cd, "dev", [build("orders", 2)])
    result = release(cd, "dev", [build("orders", 1), build("catalog", 1)])
    assert "skipped: orders" in result.stdout
    assert registry(cd)["orders"]["dev"]["version"] == build("orders", 2)["version"]
    assert registry(cd)["catalog"]["dev"]["version"] == build("catalog", 1)["version"]


def test_times_are_compared_across_zones(cd: Path) -> None:
    release(cd, "dev", [build("orders", 1, committed_at="2026-11-01T10:00:00+02:00")])
    # Half an hour later, though it reads earlier.
    release(cd, "dev", [build("orders", 2, committed_at="2026-11-01T08:30:00Z")])
    assert registry(cd)["orders"]["dev"]["version"] == build("orders", 2)["version"]


def test_a_pin_is_honoured_and_said(cd: Path) -> None:
    release(cd, "dev", [build("orders"), build("catalog")])
    file = cd / "registry/versions.yaml"
    above, orders, below = file.read_text().partition("  orders:\n")
    file.write_text(above + orders + below.replace("      source:", PIN + "      source:"))
    script(cd, "registry", "--check")
    run("git", "commit", "--all", "--quiet", "--message", "pin(orders): dev", cwd=cd)

    result = release(cd, "dev", [build("orders", 2), build("catalog", 2)])
    version = build("orders")["version"]
    assert (
        f"refused: orders is pinned to {version} in dev until 2026-12-01 by ada: the next one loses orders"
        in result.stdout
    )
    assert registry(cd)["orders"]["dev"]["version"] == version
    assert registry(cd)["orders"]["dev"]["pinned"]["by"] == "ada"
    assert registry(cd)["catalog"]["dev"]["version"] == build("catalog", 2)["version"]
    assert "until 2026-12-01 by ada" in script(cd, "status").stdout


def test_a_service_without_a_chart_is_named_after_the_others_are_written(cd: Path) -> None:
    result = release(cd, "dev", [build("orders"), build("odrers")], check=False)
    assert result.returncode == 1
    assert "there is no chart in services/ for odrers" in result.stderr
    assert list(registry(cd)) == ["orders"]


def test_an_unknown_environment_is_refused(cd: Path) -> None:
    result = release(cd, "qa", [build("orders")], check=False)
    assert (result.returncode, result.stderr) == (
        2,
        "error: there is no environment qa; there are dev, staging, prod\n",
    )


@pytest.mark.parametrize(
    ("builds", "complaint"),
    [
        ({}, "must hold a list of builds"),
        (["orders"], "build 1 names no service"),
        ([{"service": "../x"}], "build 1 names no service"),
        ([build("orders"), build("orders", 2)], "orders is there twice"),
        (
            [build("catalog"), {**build("orders"), "version": "20261123.090000-0123456789ab-pr12"}],
            "built for the preview of a pull request: orders",
        ),
        ([{**build("orders"), "digest": "latest"}], "orders: digest is 'latest'"),
        ([{**build("orders"), "version": '1"\n  x: "'}], "orders: version is"),
        ([{**build("orders"), "committed_at": "2026-02-30T00:00:00Z"}], "orders: committed_at is"),
        ([{**build("orders"), "extra": "x"}], "orders: extra is unknown"),
        ([{k: v for k, v in build("orders").items() if k != "source"}], "orders: source is missing"),
        ([{**build("orders"), "version": 1}], "orders: version is 1"),
    ],
)
def test_bad_builds_are_refused_whole(cd: Path, tmp_path: Path, builds: Any, complaint: str) -> None:
    file = tmp_path / "builds.json"
    file.write_text(json.dumps(builds))
    before = head(cd)
    result = script(cd, "release", "--environment=dev", f"--builds={file}", check=False)
    assert result.returncode == 2
    assert complaint in result.stderr
    assert "Traceback" not in result.stderr
    assert head(cd) == before


def test_a_dry_run_changes_nothing(cd: Path) -> None:
    before = head(cd)
    result = release(cd, "dev", [build("orders")], "--dry-run")
    assert "released: orders" in result.stdout
    assert "dry run: nothing is committed" in result.stdout
    assert head(cd) == before
    assert run("git", "status", "--porcelain", cwd=cd).stdout == ""


def test_open_changes_of_the_registry_are_not_swept_along(cd: Path) -> None:
    (cd / "registry/versions.yaml").write_text("services: {}\n")
    result = release(cd, "dev", [build("orders")], check=False)
    assert result.returncode == 1
    assert "not committed" in result.stderr


def test_other_open_changes_stay_out_of_the_commit(cd: Path) -> None:
    (cd / "README.md").write_text("mine\n")
    run("git", "add", "README.md", cwd=cd)
    release(cd, "dev", [build("orders")])
    assert run("git", "status", "--porcelain", cwd=cd).stdout == "M  README.md\n"
    assert "README.md" not in run("git", "show", "--name-only", "--format=", cwd=cd).stdout


def test_a_revert_rolls_back(cd: Path) -> None:
    release(cd, "prod", [build("orders"), build("catalog")])
    release(cd, "prod", [build("orders", 2)])
    release(cd, "dev", [build("catalog", 3)])
    (commit, _) = log(cd, "%H", "--", "registry/releases/prod/orders.yaml")
    run("git", "revert", "--no-edit", commit, cwd=cd)
    assert registry(cd)["orders"]["prod"]["version"] == build("orders")["version"]
    assert registry(cd)["catalog"]["dev"]["version"] == build("catalog", 3)["version"]
    script(cd, "validate")
    image = script(cd, "render", "--environment=prod", "--service=orders").stdout
    assert build("orders")["digest"] in image


def test_a_message_may_be_longer_than_an_argument(tmp_path: Path) -> None:
    # A thousand services in one batch: Linux takes 128 KiB an argument.
    run("git", "init", "--quiet", tmp_path)
    (tmp_path / "a").write_text("a\n")
    lines = [f"Deployed: service-{number} dev {'0' * 100}" for number in range(2000)]
    with modules("git") as (git,):
        git.commit(tmp_path, "\n".join(["release(dev): 2000 services", "", *lines]), [Path("a")], "robot")
    assert log(tmp_path, "%(trailers:key=Deployed,valueonly)", "-1")[:2000] == [
        line.removeprefix("Deployed: ") for line in lines
    ]


# ── pushing ──


def test_a_push_leaves_the_clone_as_it_is(remote: Path) -> None:
    work = clone(remote, "one")
    (work / "README.md").write_text("mine\n")
    before = head(work)
    result = release(work, "dev", [build("orders")], "--push")
    assert (head(work), (work / "README.md").read_text()) == (before, "mine\n")
    assert f"pushed {head(remote)}" in result.stdout
    assert log(remote, "%s", "-1", "main") == [f"release(dev): orders {build('orders')['version']}"]
    assert run("git", "worktree", "list", cwd=work).stdout.count("\n") == 1


def test_a_push_from_a_shallow_clone_that_is_behind(remote: Path) -> None:
    behind = clone(remote, "behind", "--depth=1")
    release(clone(remote, "other"), "dev", [build("catalog")], "--push")
    release(behind, "dev", [build("orders")], "--push")
    assert sorted(registry(clone(remote, "after"))) == ["catalog", "orders"]
    assert log(remote, "%P", "main")[0].count(" ") == 0


def test_an_environment_behind_a_pull_request_takes_no_push(remote: Path) -> None:
    work = clone(remote, "one")
    for environment, mode in (("staging", "pull-request"), ("prod", "approval")):
        result = release(work, environment, [build("orders")], "--push", check=False)
        assert result.returncode == 1
        assert f"{environment} does not deploy automatically (its `deploy` is {mode})" in result.stderr
        assert "open a pull request" in result.stderr
    release(work, "prod", [build("orders")])
    assert "prod" in registry(work)["orders"]


def test_a_rule_that_declines_the_push_is_no_race(remote: Path) -> None:
    hook = remote / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho 'GH013: Repository rule violations found' >&2\nexit 1\n")
    hook.chmod(0o755)
    result = release(clone(remote, "one"), "dev", [build("orders")], "--push", check=False)
    assert result.returncode == 1
    assert "GH013" in result.stderr
    assert "another writer" not in result.stderr


def test_a_race_is_tried_again(remote: Path, tmp_path: Path) -> None:
    # The first push meets a writer that was faster: the hook lets it in between.
    other = clone(remote, "other")
    release(other, "dev", [build("catalog")])
    hook = remote / "hooks/pre-receive"
    hook.write_text(
        "#!/bin/sh\n"
        f"[ -e {tmp_path}/once ] && exit 0\n"
        f"touch {tmp_path}/once\n"
        "unset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_DIR\n"
        f"git -C {other} push --quiet origin main >&2\n"
    )
    hook.chmod(0o755)
    result = release(clone(remote, "one"), "dev", [build("orders")], "--push")
    assert "another writer was first; try 2 of 40" in result.stderr
    assert sorted(registry(clone(remote, "after"))) == ["catalog", "orders"]


def test_git_without_an_identity_commits_for_the_actor(remote: Path) -> None:
    work = clone(remote, "one")
    nobody = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "user.useConfigOnly"}
    actor = {"GIT_CONFIG_VALUE_0": "true", "GITHUB_ACTOR": "robot[bot]"}
    release(work, "dev", [build("orders")], "--push", env={**nobody, **actor})
    assert log(remote, "%an <%ae>", "-1", "main") == ["robot[bot] <robot[bot]@users.noreply.github.com>"]
    assert registry(clone(remote, "after"))["orders"]["dev"]["deployed_by"] == "robot[bot]"
