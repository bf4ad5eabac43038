"""validate.yml, executed: what a pull request must pass, and what its reader sees."""

import itertools
from pathlib import Path

import pytest
import yaml

from tests.blueprints.cd_repo.github import GitHub
from tests.blueprints.cd_repo.support import build, release
from tests.platform import Platform
from tests.tools import ROOT, run

ALWAYS = dict.fromkeys(("Changes", "Charts", "Manifests", "Difference", "gate"), "succeeded")


@pytest.fixture
def github(example: Platform, tmp_path: Path) -> GitHub:
    """A server on which everything runs in dev."""
    github = GitHub.at(tmp_path, example.cd)
    release(github.work, "dev", [build("orders"), build("catalog")], env=github.env)
    github.push()
    return github


def commit(github: GitHub, path: str, text: str) -> None:
    file = github.work / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    github.git("add", "--all")
    github.git("commit", "--quiet", "--message", "Change something")


@pytest.mark.slow
def test_a_change_of_values_is_checked_and_shown(github: GitHub) -> None:
    commit(github, "services/orders/custom/dev.yaml", "autoscaling: {max: 17}\n")
    done = github.pull_request("validate.yml")
    assert done.succeeded, done.output
    assert done.jobs == {**ALWAYS, "Comment": "succeeded"}
    (comment,) = github.state["comments"]
    assert "<code>dev: orders</code> +1 −1" in comment["body"]
    assert "+  maxReplicas: 17" in comment["body"]

    # A further commit renews the comment.
    commit(github, "services/orders/custom/dev.yaml", "autoscaling: {max: 18}\n")
    assert github.pull_request("validate.yml").succeeded
    (comment,) = github.state["comments"]
    assert "+  maxReplicas: 18" in comment["body"]


@pytest.mark.slow
def test_a_release_that_is_not_signed_does_not_pass(github: GitHub) -> None:
    release(github.work, "prod", [build("orders")], env=github.env)
    done = github.pull_request("validate.yml", fork=True)
    assert not done.succeeded
    assert done.jobs["Signatures"] == done.jobs["gate"] == "failed"
    assert "not to be trusted: orders" in done.output
    # What comes from a fork has nothing to write with.
    assert "Comment" not in done.jobs
    # Approvers are asked all the same; one that is signed is on its way to prod in test_delivery_workflows.py.
    assert done.jobs["Approval"] == "succeeded"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "text", "job", "message"),
    [
        ("services/orders/custom/dev.yaml", "port: eighty\n", "Charts", "failed: orders in dev"),
        ("services/orders/custom/dev.yaml", "env: {A: b,  C: d}\n", "Manifests", "too many spaces after comma"),
        ("registry/versions.yaml", "services: {}\n", "Charts", "failed: registry --check"),
    ],
)
def test_a_fault_fails_its_job_and_the_gate(github: GitHub, path: str, text: str, job: str, message: str) -> None:
    commit(github, path, text)
    done = github.pull_request("validate.yml")
    assert not done.succeeded
    assert message in done.output
    assert done.jobs[job] == done.jobs["gate"] == "failed"


def gate(cd: Path, **env: str) -> bool:
    """Run the gate's own step."""
    workflow = yaml.safe_load((cd / ".github/workflows/validate.yml").read_text())
    (step,) = workflow["jobs"]["gate"]["steps"]
    assert set(env) == set(step["env"])
    # The shell of `run` on GitHub.
    return (
        run("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"], env=env, check=False).returncode == 0
    )


def test_the_gate_takes_no_skipped_job_for_a_passed_one(example: Platform) -> None:
    results = ("success", "failure", "cancelled", "skipped")
    plain = {"CHANGES": "success", "CHARTS": "success", "MANIFESTS": "success"}
    nothing = {"RELEASES": "0", "APPROVALS": "[]", "SIGNATURES": "skipped", "APPROVAL": "skipped"}
    for event in ("pull_request", "push", "merge_group"):
        assert gate(example.cd, **plain, **nothing, EVENT=event)
        for job, result in itertools.product(plain, results[1:]):
            assert not gate(example.cd, **{**plain, job: result}, **nothing, EVENT=event), (job, result)
        assert not gate(example.cd, **plain, **{**nothing, "RELEASES": "", "APPROVALS": ""}, EVENT="pull_request")
        moved = {"RELEASES": "2", "APPROVALS": '["prod"]', "EVENT": event}
        for signatures, approval in itertools.product(results, results):
            merged = event != "pull_request" and approval == "skipped"
            passes = signatures == "success" and (approval == "success" or merged)
            assert gate(example.cd, **plain, **moved, SIGNATURES=signatures, APPROVAL=approval) == passes


def test_the_gate_needs_every_job_that_judges(platform: Platform) -> None:
    jobs = yaml.safe_load((platform.cd / ".github/workflows/validate.yml").read_text())["jobs"]
    assert set(jobs["gate"]["needs"]) == set(jobs) - {"gate", "difference", "comment"}
    # Without it the check would be skipped when a job fails, and GitHub takes a skipped check for a passed one.
    assert jobs["gate"]["if"] == "always()"


def test_only_the_job_that_runs_nothing_of_a_pull_request_may_write(platform: Platform) -> None:
    jobs = yaml.safe_load((platform.cd / ".github/workflows/validate.yml").read_text())["jobs"]
    writing = [name for name, job in jobs.items() if "write" in job["permissions"].values()]
    assert writing == ["comment"]
    (checkout,) = [step for step in jobs["comment"]["steps"] if step.get("uses", "").startswith("actions/checkout@")]
    assert checkout["with"]["ref"] == "${{ github.event.pull_request.base.sha }}"


def test_pull_requests_are_checked_with_what_is_tested_here(example: Platform) -> None:
    def versions(file: Path) -> set[str]:
        return {line.split(" ")[0] for line in file.read_text().splitlines() if "==" in line}

    locked = versions(example.cd / "scripts/requirements.txt")
    assert locked
    assert locked <= versions(ROOT / "tests/requirements-tools.txt"), "run `make blueprints-lock`"
