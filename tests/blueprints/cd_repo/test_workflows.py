"""Workflows and the rest that GitHub reads: linted, and executed with act."""

import json
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml

from tests.blueprints.cd_repo.support import PATH, build, release
from tests.platform import Platform, answers_of
from tests.tools import run, tool


def test_yamllint_finds_nothing(released: Path) -> None:
    run(tool("yamllint"), "--strict", ".", cwd=released)


def test_actionlint_finds_nothing(platform: Platform) -> None:
    run(tool("actionlint"), cwd=platform.cd)


def test_zizmor_finds_nothing(platform: Platform) -> None:
    run(tool("zizmor"), "--offline", "--persona=pedantic", "--quiet", ".", cwd=platform.cd)


def test_code_owners_are_the_teams_and_the_approvers(platform: Platform) -> None:
    answers = answers_of(platform.name, "cd-repo")
    lines = (platform.cd / ".github/CODEOWNERS").read_text().splitlines()
    owners = dict(line.split(maxsplit=1) for line in lines if not line.startswith("#"))
    expected = {"*": answers["platform"]["owner"]} if answers["platform"]["owner"] else {}
    expected |= {f"/services/{one['name']}/": one["owner"] for one in answers["services"] if one["owner"]}
    expected |= {
        f"/registry/releases/{one['name']}/": " ".join(one["approvers"])
        for one in answers["environments"]
        if one["approvers"]
    }
    assert owners == expected


def validate(repository: Path, tmp_path: Path) -> CompletedProcess[str]:
    """Run validate.yml the way GitHub does, with the helm of this machine."""
    workflow = yaml.safe_load((repository / ".github/workflows/validate.yml").read_text())
    job = workflow["jobs"]["validate"]
    (setup,) = (step["uses"] for step in job["steps"] if step.get("uses", "").startswith("azure/setup-helm@"))
    stand_in = tmp_path / "setup-helm"
    stand_in.mkdir()
    step = {"shell": "bash", "run": 'helm version --short | grep --fixed-strings "${{ inputs.version }}"'}
    action = {"name": "helm", "inputs": {"version": {}}, "runs": {"using": "composite", "steps": [step]}}
    (stand_in / "action.yml").write_text(yaml.safe_dump(action))
    (tmp_path / "event.json").write_text(json.dumps({"pull_request": {"number": 1}}))
    return run(
        *(tool("act"), "pull_request", "--eventpath", tmp_path / "event.json"),
        *("--workflows", ".github/workflows/validate.yml", "--platform", f"{job['runs-on']}=-self-hosted"),
        *(
            "--local-repository",
            f"{setup}={stand_in}",
            "--use-new-action-cache",
            "--action-cache-path",
            tmp_path / "cache",
        ),
        *("--artifact-server-addr", "127.0.0.1", "--cache-server-addr", "127.0.0.1"),
        cwd=repository,
        env={**PATH, "XDG_CACHE_HOME": str(tmp_path / "xdg"), "XDG_CONFIG_HOME": str(tmp_path / "xdg")},
        check=False,
    )


@pytest.mark.slow
def test_the_workflow_passes(cd: Path, tmp_path: Path) -> None:
    release(cd, "dev", [build("orders")])
    result = validate(cd, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "checks, 0 failed" in result.stdout
    assert "Job succeeded" in result.stdout


@pytest.mark.slow
def test_the_workflow_fails_with_a_broken_chart(cd: Path, tmp_path: Path) -> None:
    (cd / "services/orders/values.yaml").write_text("port: eighty\n")
    run("git", "commit", "--all", "--quiet", "--message", "Break it", cwd=cd)
    result = validate(cd, tmp_path)
    assert result.returncode != 0
    assert "failed: orders in dev" in result.stdout


def test_the_gate_needs_every_job(example: Platform) -> None:
    jobs = yaml.safe_load((example.cd / ".github/workflows/validate.yml").read_text())["jobs"]
    assert {jobs["gate"]["needs"]} == set(jobs) - {"gate"}
    # Without it the check would be skipped when a job fails, and GitHub takes a skipped check for a passed one.
    assert jobs["gate"]["if"] == "always()"
