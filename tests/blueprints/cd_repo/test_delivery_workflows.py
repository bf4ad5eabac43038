"""The workflows that deliver, executed: from a release to the next environment, or back; by hand; pins; the page."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.blueprints.cd_repo.github import GitHub, Run
from tests.blueprints.cd_repo.services import Cluster, serving
from tests.blueprints.cd_repo.support import build, release
from tests.blueprints.cd_repo.test_deliver import configure, impatient_and_without_routes, versions, waiting
from tests.platform import Platform

WRITERS = {"deployed.yml", "pin.yml", "promote.yml", "release.yml", "rollback.yml"}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """The cluster that every workflow reaches: its kubectl is the one on PATH."""
    with serving(tmp_path / "tools" / "bin", "orders", "catalog") as cluster:
        yield cluster


@pytest.fixture
def github(example: Platform, tmp_path: Path, cluster: Cluster) -> GitHub:
    """A server on which nothing is released yet; one cluster has all environments."""
    github = GitHub.at(tmp_path, example.cd)
    assert cluster.path in github.env["PATH"].split(":"), "workflows reach the cluster"
    impatient_and_without_routes(github)
    return github


def released(github: GitHub, environment: str, *builds: dict[str, str]) -> Run:
    """Release builds as ci-repo does, and deliver the event of the push."""
    github.pull()
    before = github.git("rev-parse", "HEAD")
    release(github.work, environment, builds, env=github.env)
    after = github.push()
    return github.act("push", "deployed.yml", {"ref": "refs/heads/main", "before": before, "after": after})


def by_hand(github: GitHub, workflow: str, **inputs: Any) -> Run:
    github.pull()
    # GitHub's own page sends all inputs, the empty ones too, and every one as text.
    text = {
        name.replace("_", "-"): str(value).lower() if isinstance(value, bool) else value
        for name, value in inputs.items()
    }
    return github.act("workflow_dispatch", workflow, {"ref": "refs/heads/main", "inputs": text})


@pytest.mark.slow
def test_a_release_that_works_is_proposed_to_the_next_environment(github: GitHub, cluster: Cluster) -> None:
    github.images.push("orders")
    cluster.run("orders", build("orders")["version"])
    done = released(github, "dev", build("orders"))
    assert done.succeeded, done.output
    assert done.jobs == {"Changes": "succeeded", "Check": "succeeded"}
    assert f"passed: orders {build('orders')['version']} in dev" in done.output
    (pull,) = github.state["pulls"]
    assert (pull["headRefName"], pull["title"]) == (
        "promote/staging",
        f"promote(staging): orders {build('orders')['version']}",
    )
    assert waiting(github, "promote/staging") == {"orders": "staging"}


@pytest.mark.slow
def test_a_release_that_fails_goes_back_and_the_others_go_on(github: GitHub, cluster: Cluster) -> None:
    configure(github, "staging", deploy="automatic")
    release(github.work, "dev", [build("orders"), build("catalog")], env=github.env)
    github.push()
    for service in ("orders", "catalog"):
        github.images.push(service, 2)
    cluster.run("orders", build("orders", 2)["version"]).status = 500
    cluster.run("catalog", build("catalog", 2)["version"])
    done = released(github, "dev", build("orders", 2), build("catalog", 2))
    assert not done.succeeded, "the run says that a deployment failed"
    assert versions(github, "dev") == {"orders": build("orders")["version"], "catalog": build("catalog", 2)["version"]}
    assert versions(github, "staging") == {"catalog": build("catalog", 2)["version"]}
    assert github.subjects()[:2] == [
        f"promote(staging): catalog {build('catalog', 2)['version']}",
        f"rollback(dev): orders {build('orders')['version']}",
    ]
    assert "answers 500" in github.git("log", "-1", "--skip=1", "--format=%B")


@pytest.mark.slow
def test_what_nobody_can_ask_stays_where_it_is(github: GitHub, cluster: Cluster) -> None:
    cluster.kubectl.may_forward(False)
    github.images.push("orders")
    release(github.work, "dev", [build("orders", 0)], env=github.env)
    github.push()
    done = released(github, "dev", build("orders"))
    assert done.succeeded, done.output
    assert "Nobody could ask services of dev from here" in done.output
    assert versions(github, "dev") == {"orders": build("orders")["version"]}
    assert github.state["pulls"] == []


@pytest.mark.slow
def test_the_last_environment_has_nothing_behind_it(github: GitHub, cluster: Cluster) -> None:
    cluster.run("orders", build("orders")["version"])
    done = released(github, "prod", build("orders"))
    assert done.succeeded, done.output
    assert github.state["pulls"] == []


@pytest.mark.slow
def test_a_pin_deploys_nothing(github: GitHub) -> None:
    release(github.work, "dev", [build("orders")], env=github.env)
    before = github.push()
    done = by_hand(
        github, "pin.yml", action="pin", environment="dev", services="orders", reason="it's $(id) fine", until="2d"
    )
    assert done.succeeded, done.output
    pin = github.registry()["orders"]["dev"]["pinned"]
    assert pin["reason"] == "it's $(id) fine"
    after = github.git("rev-parse", "HEAD")
    done = github.act("push", "deployed.yml", {"ref": "refs/heads/main", "before": before, "after": after})
    assert done.jobs == {"Changes": "succeeded"}
    done = by_hand(github, "pin.yml", action="unpin", environment="dev", services="orders", reason="over", until="7d")
    assert done.succeeded, done.output
    assert "pinned" not in github.registry()["orders"]["dev"]


@pytest.mark.slow
def test_promotion_by_hand_and_by_the_clock(github: GitHub, cluster: Cluster) -> None:
    release(github.work, "staging", [build("orders"), build("catalog")], env=github.env)
    github.push()
    for service in ("orders", "catalog"):
        github.images.push(service)
        cluster.run(service, build(service)["version"])
    done = by_hand(github, "promote.yml", to="prod", services="orders", ignore_soak=False, ignore_windows=False)
    assert done.succeeded, done.output
    (pull,) = github.state["pulls"]
    assert (pull["headRefName"], pull["auto"]) == ("promote/prod", ["--auto", "--rebase"])
    assert waiting(github, "promote/prod") == {"orders": "prod"}
    clock = github.act("schedule", "promote.yml", {"schedule": "17 * * * *"})
    assert clock.succeeded, clock.output
    assert waiting(github, "promote/prod") == {"orders": "prod", "catalog": "prod"}
    assert len(github.state["pulls"]) == 1


@pytest.mark.slow
def test_builds_by_hand_are_verified(github: GitHub) -> None:
    builds = json.dumps([build("orders")])
    done = by_hand(github, "release.yml", environment="dev", builds=builds)
    assert not done.succeeded
    assert github.registry() == {}
    github.images.push("orders")
    done = by_hand(github, "release.yml", environment="dev", builds=builds)
    assert done.succeeded, done.output
    assert versions(github, "dev") == {"orders": build("orders")["version"]}
    done = by_hand(github, "release.yml", environment="dev", builds="'; touch pwned; [")
    assert not done.succeeded
    assert not list(github.folder.rglob("pwned"))


@pytest.mark.slow
def test_rolling_back_by_hand(github: GitHub) -> None:
    for number in (1, 2, 3):
        release(github.work, "prod", [build("orders", number)], env=github.env)
    github.push()
    nothing = {"service": "", "version": "", "commit": "", "until": "", "over_pin": False}
    done = by_hand(
        github,
        "rollback.yml",
        environment="prod",
        reason="3 is slow",
        **{**nothing, "service": "orders", "until": "3d"},
    )
    assert done.succeeded, done.output
    entry = github.registry()["orders"]["prod"]
    assert (entry["version"], entry["pinned"]["reason"]) == (build("orders", 2)["version"], "3 is slow")
    first = {**nothing, "service": "orders", "version": build("orders")["version"]}
    done = by_hand(github, "rollback.yml", environment="prod", reason="2 is slow, too", **first)
    assert not done.succeeded
    assert "--over-pin goes over it" in done.output
    done = by_hand(github, "rollback.yml", environment="prod", reason="2 is slow, too", **{**first, "over_pin": True})
    assert done.succeeded, done.output
    entry = github.registry()["orders"]["prod"]
    assert entry["version"] == build("orders")["version"]
    assert "pinned" not in entry


@pytest.mark.slow
def test_one_issue_reminds_of_pins_that_are_over(github: GitHub) -> None:
    release(github.work, "prod", [build("orders")], env=github.env)
    github.push()
    pinned = by_hand(github, "pin.yml", action="pin", environment="prod", services="orders", reason="wait", until="2d")
    assert pinned.succeeded, pinned.output
    assert github.act("schedule", "pin.yml", {}).jobs == {"Remind": "succeeded"}
    assert github.state["issues"] == []
    github.pull()
    run_out = github.work / "registry/versions.yaml"
    text = run_out.read_text()
    until = github.registry()["orders"]["prod"]["pinned"]["until"]
    run_out.write_text(text.replace(until, "2026-01-01"))
    github.git("commit", "--all", "--quiet", "--message", "Let time go by")
    github.push()
    for _ in range(2):
        assert github.act("schedule", "pin.yml", {}).succeeded
    (issue,) = github.state["issues"]
    assert f"    orders {build('orders')['version']} in prod until 2026-01-01" in issue["body"]
    run_out.write_text(text)
    github.git("commit", "--all", "--quiet", "--message", "Pin anew")
    github.push()
    assert github.act("schedule", "pin.yml", {}).succeeded
    (issue,) = github.state["issues"]
    assert issue["state"] == "closed"


@pytest.mark.slow
def test_one_issue_says_what_services_should_ask_for(github: GitHub, cluster: Cluster, tmp_path: Path) -> None:
    kubectl, seen = Path(cluster.path) / "kubectl", tmp_path / "seen.json"
    kubectl.write_text(f'#!/bin/sh\n[ "$1" != config ] || exit 1\ncat {seen}\n')
    seen.write_text((Path(__file__).parent / "vpa.json").read_text())
    for _ in range(2):
        done = github.act("schedule", "recommendations.yml", {})
        assert done.succeeded, done.output
    (issue,) = github.state["issues"]
    assert "python3 scripts/recommendations --environment prod\n\n    services:\n      - name: catalog" in issue["body"]
    seen.unlink()
    done = github.act("schedule", "recommendations.yml", {})
    assert done.succeeded, done.output
    assert "Nobody could ask the clusters of dev staging prod from here" in done.output
    assert github.state["issues"] == [issue], "what cannot be asked changes nothing"
    seen.write_text('{"items": []}')
    assert github.act("schedule", "recommendations.yml", {}).succeeded
    (issue,) = github.state["issues"]
    assert issue["state"] == "closed"


@pytest.mark.slow
def test_the_page_is_kept_and_published_where_a_branch_is_named(github: GitHub) -> None:
    release(github.work, "dev", [build("orders")], env=github.env)
    github.push()
    done = github.act("push", "status.yml", {"ref": "refs/heads/main"})
    assert done.succeeded, done.output
    assert done.jobs == {"Page": "succeeded"}
    page = (github.folder / "artifacts/status/status.html").read_text()
    assert build("orders")["version"] in page
    github.variables["STATUS_BRANCH"] = "pages"
    done = github.act("push", "status.yml", {"ref": "refs/heads/main"})
    assert done.succeeded, done.output
    github.git("fetch", "--quiet", "origin", "pages")
    assert build("orders")["version"] in github.git("show", "FETCH_HEAD:index.html")
    github.variables["STATUS_BRANCH"] = "main"
    assert not github.act("push", "status.yml", {"ref": "refs/heads/main"}).succeeded


def merged(github: GitHub, branch: str) -> Run:
    """Check the pull request of a branch, merge it as GitHub does by a rebase, and deliver the event of the push."""
    github.pull()
    before = github.git("rev-parse", "HEAD")
    github.git("fetch", "--quiet", "origin", branch)
    github.git("checkout", "--quiet", "-B", "main", "FETCH_HEAD")
    checked = github.pull_request("validate.yml")
    assert checked.succeeded, checked.output
    assert checked.jobs["Signatures"] == checked.jobs["gate"] == "succeeded"
    assert ("Approval" in checked.jobs) == (branch == "promote/prod")
    github.git("checkout", "--quiet", "main")
    after = github.push()
    return github.act("push", "deployed.yml", {"ref": "refs/heads/main", "before": before, "after": after})


@pytest.mark.exhaustive
def test_a_version_on_its_way_to_prod_and_back(github: GitHub, cluster: Cluster) -> None:
    old, new = build("orders")["version"], build("orders", 2)["version"]
    for environment in ("dev", "staging", "prod"):
        release(github.work, environment, [build("orders")], env=github.env)
    github.push()
    github.images.push("orders", 2)
    cluster.run("orders", new)
    assert released(github, "dev", build("orders", 2)).succeeded
    assert merged(github, "promote/staging").succeeded
    assert merged(github, "promote/prod").succeeded
    assert {versions(github, name)["orders"] for name in ("dev", "staging", "prod")} == {new}

    nothing = {"service": "orders", "version": "", "commit": "", "until": "3d", "over_pin": False}
    assert by_hand(github, "rollback.yml", environment="prod", reason="2 loses orders", **nothing).succeeded
    assert versions(github, "prod") == {"orders": old}
    refused = by_hand(github, "promote.yml", to="prod", services="orders", ignore_soak=False, ignore_windows=False)
    assert not refused.succeeded
    assert f"nothing is promoted: orders is pinned to {old} in prod" in refused.output
    clock = github.act("schedule", "promote.yml", {"schedule": "17 * * * *"})
    assert clock.succeeded, clock.output
    assert "refused: orders is pinned" in clock.output
    assert versions(github, "prod") == {"orders": old}
    assert [subject.split(":")[0] for subject in github.subjects()[:4]] == [
        "rollback(prod)",
        "promote(prod)",
        "promote(staging)",
        "release(dev)",
    ]


# What act cannot show.


def workflows(platform: Platform) -> dict[str, Any]:
    return {file.name: yaml.safe_load(file.read_text()) for file in (platform.cd / ".github/workflows").glob("*.yml")}


def test_no_deployment_is_dropped_while_it_waits(platform: Platform) -> None:
    for name, workflow in workflows(platform).items():
        if name in WRITERS:
            assert workflow["concurrency"] == {"group": "${{ github.run_id }}"}, name
            assert not any("concurrency" in job for job in workflow["jobs"].values())


def test_what_may_write_to_main_is_kept_in_an_environment(platform: Platform) -> None:
    for name, workflow in workflows(platform).items():
        for job in workflow["jobs"].values():
            secrets = {"secrets.DEPLOYER_APP_PRIVATE_KEY", "secrets.SMOKE_KUBECONFIG"}
            if any(secret in str(job) for secret in secrets):
                assert job["environment"] == "delivery", name


def test_nothing_is_allowed_that_is_not_asked_for(platform: Platform) -> None:
    for name, workflow in workflows(platform).items():
        assert workflow["permissions"] == {}, name
        for job in workflow["jobs"].values():
            assert "permissions" in job, name
            assert 0 < job["timeout-minutes"] <= 60, name
            for step in job["steps"]:
                assert "${{" not in step.get("run", ""), "no expression reaches a shell"
                if step.get("uses", "").startswith("actions/checkout@"):
                    assert step["with"]["persist-credentials"] is False


def test_only_what_has_a_next_environment_is_promoted(platform: Platform) -> None:
    names = [e["name"] for e in json.loads((platform.cd / "config/platform.json").read_text())["environments"]]
    assert ("promote.yml" in workflows(platform)) == (len(names) > 1)
    if len(names) > 1:
        assert workflows(platform)["promote.yml"][True]["workflow_dispatch"]["inputs"]["to"]["options"] == names[1:]


def test_every_setting_is_named_in_the_readme(platform: Platform) -> None:
    readme = (platform.cd / "README.md").read_text()
    for file in (platform.cd / ".github/workflows").glob("*.yml"):
        for name in re.findall(r"\b(?:secrets|vars)\.(\w+)", file.read_text()):
            assert f"`{name}`" in readme, f"{file.name}: {name}"
