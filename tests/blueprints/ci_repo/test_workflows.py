"""The workflows: clean under the linters of their field, and true to the rules that no linter knows."""

import itertools
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.platform import Platform, answers_of
from tests.tools import run, tool

USES = re.compile(r"uses: (\S+)@([0-9a-f]{40}) # v\d+\.\d+\.\d+$")


def workflows(ci: Path) -> dict[str, Any]:
    """Return each workflow by its file's name; YAML takes the key `on` for true."""
    files = sorted((ci / ".github" / "workflows").glob("*.yml"))
    return {file.name: yaml.safe_load(file.read_text()) for file in files}


def jobs(ci: Path) -> Iterator[tuple[str, str, Any]]:
    for file, workflow in workflows(ci).items():
        for name, job in workflow["jobs"].items():
            yield file, name, job


def test_actionlint_finds_nothing(platform: Platform) -> None:
    run(tool("actionlint"), "-shellcheck", tool("shellcheck"), cwd=platform.ci)


def test_zizmor_finds_nothing(platform: Platform) -> None:
    run(tool("zizmor"), "--offline", "--persona=pedantic", platform.ci)


def test_yamllint_finds_nothing(platform: Platform) -> None:
    run(tool("yamllint"), "--strict", ".", cwd=platform.ci)


def test_shellcheck_finds_nothing(platform: Platform) -> None:
    scripts = [path for path in (platform.ci / "scripts").iterdir() if "bash" in path.read_text().split("\n")[0]]
    assert len(scripts) > 10
    run(tool("shellcheck"), "--enable=check-unassigned-uppercase,deprecate-which,quote-safe-concat", *scripts)


def test_ruff_finds_nothing(rendered: Callable[[str], Platform]) -> None:
    folder = rendered("five-environments").ci / "scripts"
    scripts = [path for path in folder.iterdir() if "bash" not in path.read_text().split("\n")[0]]
    assert folder / "write-preview" in scripts, "every script is there"
    options = ("--isolated", "--no-cache", "--line-length=120", "--target-version=py310")
    run(sys.executable, "-m", "ruff", "check", *options, "--select=E,F,W,I,N,UP,B,C4,SIM,RUF,PTH,D1,RET", *scripts)


def test_a_broken_workflow_would_be_found(ci: Path) -> None:
    path = ci / ".github" / "workflows" / "release.yml"
    path.write_text(path.read_text().replace("needs.plan.outputs.version", "needs.plan.outputs.versions"))
    assert run(tool("actionlint"), cwd=ci, check=False).returncode == 1


def test_each_service_has_a_pipeline(platform: Platform) -> None:
    services = [service["name"] for service in answers_of(platform.name, "ci-repo")["services"]]
    shared = {
        "app-push.yml",
        "base-images.yml",
        "batch.yml",
        "chaos.yml",
        "late-rotation.yml",
        "checks.yml",
        "library.yml",
        "nightly.yml",
        "reconcile.yml",
        "release.yml",
    }
    shared |= {"image.yml", "shared-pipeline.yml"}
    if answers_of(platform.name, "ci-repo")["previews"]:
        shared.add("app-preview.yml")
    if answers_of(platform.name, "ci-repo")["scanning"]["trivy"]:
        shared.add("scan-deployed.yml")
    if answers_of(platform.name, "ci-repo")["scanning"]["sonarqube"]:
        shared.add("quality.yml")
    assert set(workflows(platform.ci)) - shared == {f"{service}-pipeline.yml" for service in services}


def test_pipelines_differ_by_the_services_name_alone(platform: Platform) -> None:
    services = [service["name"] for service in answers_of(platform.name, "ci-repo")["services"]]
    texts = set()
    for service in services:
        text = (platform.ci / ".github" / "workflows" / f"{service}-pipeline.yml").read_text()
        texts.add(re.sub(rf"(?<![\w-]){service}(?![\w]|-(?!pipeline))", "SERVICE", text))
    # The word of a service may be one of the file's own (a service may be called `no` or `yaml`); others are equal.
    assert len(texts) == 1 or platform.name == "hostile"


def test_actions_are_pinned_by_commit(platform: Platform) -> None:
    pins: dict[str, set[str]] = {}
    for file in (platform.ci / ".github" / "workflows").glob("*.yml"):
        for line in file.read_text().splitlines():
            if "uses:" in line and "./.github/workflows/" not in line:
                match = USES.search(line)
                assert match, f"{file.name}: {line.strip()}"
                pins.setdefault(match[1], set()).add(match[2])
    assert [action for action, commits in pins.items() if len(commits) > 1] == []


def test_nothing_is_allowed_that_is_not_asked_for(platform: Platform) -> None:
    for file, workflow in workflows(platform.ci).items():
        assert workflow["permissions"] == {}, file
    for file, name, job in jobs(platform.ci):
        assert "permissions" in job, f"{file}: {name}"
        assert "uses" in job or 0 < job["timeout-minutes"] <= 60, f"{file}: {name}"


def test_no_job_that_runs_a_teams_code_can_sign(platform: Platform) -> None:
    pipeline = workflows(platform.ci)["shared-pipeline.yml"]["jobs"]
    signing = [name for name, job in pipeline.items() if "id-token" in job["permissions"]]
    assert signing == ["sign"]
    checked_out = [step.get("with", {}).get("repository") for step in pipeline["sign"]["steps"]]
    assert checked_out.count(None) == len(checked_out), "the job that signs has no team's code"


def test_contracts_and_stores_are_asked_before_an_image_is_made_and_where_nothing_can_be_signed(
    platform: Platform,
) -> None:
    pipeline = workflows(platform.ci)["shared-pipeline.yml"]["jobs"]
    steps = {step.get("name"): step for step in pipeline["test"]["steps"]}
    stores = answers_of(platform.name, "ci-repo")["platform"]["stores"]
    assert steps["Hold contracts"]["run"].endswith("--contracts")
    assert ("Test with stores" in steps) is stores
    assert set(pipeline["test"].get("services", ())) == ({"postgres", "redis"} if stores else set())
    for service in pipeline["test"].get("services", {}).values():
        assert re.fullmatch(r"\S+:\S+@sha256:[0-9a-f]{64}", service["image"])
    assert pipeline["test"]["permissions"] == {"contents": "read"}
    assert "test" in pipeline["image"]["needs"]
    assert not [name for name, step in steps.items() if "continue-on-error" in step]


def test_no_expression_reaches_a_shell(platform: Platform) -> None:
    for file, name, job in jobs(platform.ci):
        for step in job.get("steps", []):
            assert "${{" not in step.get("run", ""), f"{file}: {name}"


def test_checkouts_leave_no_credentials(platform: Platform) -> None:
    for file, name, job in jobs(platform.ci):
        for step in job.get("steps", []):
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, f"{file}: {name}"


def test_on_a_runner_that_lives_on_every_job_begins_in_an_empty_folder(platform: Platform, tmp_path: Path) -> None:
    answers = answers_of(platform.name, "ci-repo")["platform"]
    runners = [answers["runsOn"], *answers.get("labels", {}).values()]
    hosted = all(label.startswith("ubuntu-") for label in runners)
    for repository in (platform.app, platform.ci):
        for file, name, job in jobs(repository):
            if not any(step.get("uses", "").startswith("actions/checkout@") for step in job.get("steps", [])):
                continue
            steps = [step.get("name") for step in job["steps"] if "exit 1" not in step.get("run", "")]
            emptying = "Begin in an empty folder"
            assert (emptying in steps) is not hosted, f"{file}: {name}"
            if hosted:
                continue
            assert steps.index(emptying) <= 1, f"{file}: {name}"
            folder = tmp_path / f"{repository.name}-{file}-{name}"
            (folder / "ci/.git").mkdir(parents=True)
            (folder / ".hidden").write_text("left behind")
            (step,) = [step for step in job["steps"] if step.get("name") == emptying]
            run("bash", "-e", "-c", step["run"], env={"GITHUB_WORKSPACE": str(folder)})
            assert list(folder.iterdir()) == []


def test_what_a_job_makes_is_in_a_folder_that_the_runner_empties(platform: Platform) -> None:
    folder = platform.ci / ".github/workflows"
    pipeline = (folder / "shared-pipeline.yml").read_text() + (folder / "image.yml").read_text()
    assert not re.search(r"(--image|--output|--sbom) (?!\"\$RUNNER_TEMP/)", pipeline)
    assert "github.workspace" not in pipeline


def test_no_running_deployment_is_cancelled(platform: Platform) -> None:
    for file, workflow in workflows(platform.ci).items():
        assert workflow.get("concurrency", {}).get("cancel-in-progress", False) is False, file
    assert "concurrency" not in workflows(platform.ci)["release.yml"]


def test_nothing_that_a_pull_request_left_in_a_cache_is_read(platform: Platform) -> None:
    previews = answers_of(platform.name, "ci-repo")["previews"]
    for file, name, job in jobs(platform.ci):
        for step in job.get("steps", []):
            action, given = step.get("uses", "").partition("@")[0], step.get("with", {})
            assert not action.startswith("actions/cache"), f"{file}: {name}"
            if action.startswith("aquasecurity/trivy-action"):
                assert (given.get("cache") == "false") is previews, f"{file}: {name}"
            if action == "actions/setup-go":
                assert given["cache"] is False, f"{file}: {name}"
            if action == "actions/setup-node":
                assert given["package-manager-cache"] is False, f"{file}: {name}"
            if action in ("actions/setup-python", "actions/setup-java"):
                assert "cache" not in given, f"{file}: {name}"


def test_a_pull_request_passes_when_every_check_did(platform: Platform) -> None:
    checks = workflows(platform.ci)["checks.yml"]["jobs"]
    gate = checks.pop("gate")
    assert set(gate["needs"]) == set(checks)
    (step,) = gate["steps"]
    for results in itertools.product(("success", "failure", "cancelled", "skipped"), repeat=2):
        needs = {name: {"result": result} for name, result in zip(checks, results, strict=True)}
        done = run("bash", "-e", "-c", step["run"], env={"NEEDS": json.dumps(needs)}, check=False)
        assert (done.returncode == 0) is (set(results) == {"success"})


def test_files_that_cannot_be_read_are_all_named(ci: Path) -> None:
    assert run(ci / "scripts/check-files").stdout == "All files can be read.\n"
    (ci / "scripts/test-service.sh").write_text("#!/usr/bin/env bash\nif true; then\n")
    (ci / "scripts/config").write_text("#!/usr/bin/env python3\nif True\n")
    (ci / "config/graph.json").write_text("{")
    (ci / "config/vulnerability-exceptions.txt").write_text("CVE-2026-1\n")
    done = run(ci / "scripts/check-files", check=False)
    assert done.returncode == 1
    for file in ("test-service.sh", "/config", "graph.json", "vulnerability-exceptions.txt"):
        assert f"{file} has the fault above" in done.stderr


def test_good_builds_are_registered_when_others_failed(platform: Platform) -> None:
    # act skips a job after a failed call of a workflow (nektos/act#1793), so the condition is read, not run.
    release = workflows(platform.ci)["release.yml"]["jobs"]
    assert release["register"]["if"].strip("${} ").split(" && ")[:2] == [
        "!cancelled()",
        "needs.plan.result == 'success'",
    ]
    assert release["build"]["strategy"]["fail-fast"] is False
    assert workflows(platform.ci)["batch.yml"]["jobs"]["service"]["strategy"]["fail-fast"] is False
    assert release["register"]["steps"][-1]["if"] == "steps.collect.outputs.missing != ''"


def test_only_the_image_registry_in_use_gets_a_permission_or_a_password(platform: Platform) -> None:
    github = answers_of(platform.name, "ci-repo")["platform"]["imageRegistry"].startswith("ghcr.io/")
    for file in (platform.ci / ".github" / "workflows").glob("*.yml"):
        text = file.read_text()
        assert github or "packages:" not in text
        assert not (github and "secrets.REGISTRY_PASSWORD" in text)


@pytest.mark.parametrize(
    ("switch", "step"),
    [
        ("trivy", "ci/scripts/scan-vulnerabilities.sh"),
        ("snyk", "ci/scripts/scan-dependencies.sh"),
        ("sonarqube", "ci/scripts/scan-quality.sh"),
        ("codeScanning", "github/codeql-action/upload-sarif"),
    ],
)
def test_a_scanner_is_there_when_it_is_on(platform: Platform, switch: str, step: str) -> None:
    files = (platform.ci / ".github" / "workflows").glob("*.yml")
    text = "".join(file.read_text() for file in files if file.name in ("image.yml", "quality.yml"))
    assert (step in text) == answers_of(platform.name, "ci-repo")["scanning"][switch]


def test_only_code_scanning_may_write_security_events(platform: Platform) -> None:
    on = answers_of(platform.name, "ci-repo")["scanning"]["codeScanning"]
    may = [f"{file}: {name}" for file, name, job in jobs(platform.ci) if "security-events" in job["permissions"]]
    assert bool(may) is on
    own = [one for one in may if one.startswith(("image.yml", "shared-pipeline.yml"))]
    assert own == (["image.yml: image", "shared-pipeline.yml: image"] if on else [])


def test_sonarqube_waits_for_its_quality_gate_and_no_image_is_made_without(platform: Platform) -> None:
    pipeline = workflows(platform.ci)["shared-pipeline.yml"]["jobs"]
    if answers_of(platform.name, "ci-repo")["scanning"]["sonarqube"]:
        assert pipeline["quality"]["uses"] == "./.github/workflows/quality.yml"
        quality = workflows(platform.ci)["quality.yml"]["jobs"]["quality"]
        (step,) = [step for step in quality["steps"] if step.get("run", "").startswith("ci/scripts/scan-quality.sh ")]
        assert "SONAR_TOKEN" in step["env"]
        assert not [step for step in quality["steps"] if "continue-on-error" in step]
        assert pipeline["image"]["needs"] == ["test", "quality"]
    else:
        assert "quality" not in pipeline


def test_gates_stand_before_the_push(platform: Platform) -> None:
    steps = [step["name"] for step in workflows(platform.ci)["image.yml"]["jobs"]["image"]["steps"]]
    gates = [step for step in steps if step.startswith("Scan ")]
    assert all(steps.index(gate) < steps.index("Push") for gate in gates)


def test_every_secret_that_is_used_is_passed_down_and_named_in_the_readme(platform: Platform) -> None:
    readme = (platform.ci / "README.md").read_text()
    for file, workflow in workflows(platform.ci).items():
        text = (platform.ci / ".github" / "workflows" / file).read_text()
        used = set(re.findall(r"\b(?:secrets|vars)\.([A-Z]\w*)", text))
        assert all(f"`{name}`" in readme for name in used), file
        if declared := workflow[True].get("workflow_call", {}).get("secrets"):
            assert set(re.findall(r"secrets\.(\w+)", text)) == set(declared), file


def test_code_owners_are_the_platforms(platform: Platform) -> None:
    owner = answers_of(platform.name, "ci-repo")["platform"]["owner"]
    rules = [line for line in (platform.ci / ".github" / "CODEOWNERS").read_text().splitlines() if line[:1] != "#"]
    assert rules == ([f"* {owner}"] if owner else [])
