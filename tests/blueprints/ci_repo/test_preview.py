"""A pull request with the label `preview`: what is accepted, what is built for it, and what cd-repo is told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import platform as platforms
from tests.blueprints.ci_repo.github import GitHub, Run
from tests.blueprints.ci_repo.machine import commit
from tests.blueprints.ci_repo.test_accept_push import COMMIT
from tests.blueprints.ci_repo.test_detect_changes import Pipeline, pipeline
from tests.blueprints.ci_repo.toolbox import Toolbox
from tests.platform import Platform
from tests.tools import run

__all__ = ["pipeline"]


@pytest.fixture(scope="module")
def example(_git: None, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """The example with previews."""
    folder = tmp_path_factory.mktemp("previews")
    return platforms.render_spec(platforms.with_features("example", "previews: true", folder), folder / "out")


PAYLOAD = {
    "repository": "acme/app-repo",
    "number": "12",
    "ref": "refs/heads/feature/login",
    "sha": COMMIT,
    "action": "labeled",
    "actor": "octo-cat",
}


def accept(scripts: Path, **payload: str) -> tuple[int, str]:
    """Return the exit code and the step's outputs."""
    values = {**PAYLOAD, **payload}
    values["commit"] = values.pop("sha")
    outputs = scripts / "outputs"
    options = [f"--{name}={value}" for name, value in values.items()]
    env = {"GITHUB_OUTPUT": str(outputs)}
    done = run(scripts / "accept-preview", *options, env=env, cwd=scripts, check=False)
    return done.returncode, outputs.read_text() if outputs.exists() else ""


@pytest.mark.parametrize(
    ("action", "command"),
    [
        ("labeled", "write"),
        ("synchronize", "write"),
        ("reopened", "write"),
        ("closed", "remove"),
        ("unlabeled", "remove"),
    ],
)
def test_a_preview_follows_its_pull_request(scripts: Path, action: str, command: str) -> None:
    assert accept(scripts, action=action) == (
        0,
        f"command={command}\nnumber=12\nref=refs/heads/feature/login\ncommit={COMMIT}\nactor=octo-cat\n",
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("repository", "mallory/app-repo"),
        ("ref", "$(touch pwned)"),
        ("ref", "refs/pull/12/head\ncommand=write"),
        ("sha", "HEAD"),
        ("actor", "octo\ncommand=write"),
        ("number", ""),
        ("number", "0"),
        ("number", "12/../../environments"),
        ("number", "1234567"),
        ("number", "12\ncommand=write"),
        ("action", "opened"),
        ("action", "closed; touch pwned"),
    ],
)
def test_a_hostile_payload_is_refused(scripts: Path, field: str, value: str) -> None:
    assert accept(scripts, **{field: value}) == (1, "")
    assert not (scripts / "pwned").exists()


def branch(pipeline: Pipeline) -> None:
    """Let a pull request begin from what develop of app-repo is now."""
    pipeline.git("update-ref", "refs/remotes/origin/develop", "HEAD")


def test_what_the_pull_request_changes_is_built_and_nothing_else(pipeline: Pipeline) -> None:
    branch(pipeline)
    assert pipeline.affected("--pull-request=12") == [], "though nothing was ever released"
    head = pipeline.edit("services/orders/hello")
    plan = pipeline.plan("--pull-request=12")
    assert (sorted(plan["services"]), plan["version"]) == (["orders"], f"20261123.090200-{head[:12]}-pr12")


def test_what_others_merge_meanwhile_is_no_part_of_it(pipeline: Pipeline) -> None:
    before = pipeline.git("rev-parse", "HEAD")
    pipeline.edit("services/catalog/hello")
    branch(pipeline)
    pipeline.build()
    pipeline.git("checkout", "--quiet", "-b", "feature", before)
    pipeline.edit("services/orders/hello")
    assert pipeline.affected("--pull-request=12") == ["orders"]


def test_a_newer_release_does_not_keep_a_pull_request_from_being_built(pipeline: Pipeline) -> None:
    branch(pipeline)
    pipeline.edit("services/orders/hello", "of the pull request")
    pipeline.git("checkout", "--quiet", "-b", "feature")
    pipeline.git("checkout", "--quiet", "develop")
    pipeline.edit("services/orders/hello", "of another")
    pipeline.build()
    pipeline.git("checkout", "--quiet", "feature")
    assert pipeline.affected("--pull-request=12") == ["orders"]


@pytest.mark.parametrize("number", ["0", "x", "12 13", "-1"])
def test_a_version_names_a_pull_request_by_its_number(scripts: Path, source: Path, number: str) -> None:
    command = (scripts / "image-version.sh", "--source", source, "--pull-request")
    assert run(*command, "12").stdout.endswith("-pr12\n")
    assert "-pr" not in run(*command, "").stdout
    assert run(*command, number, check=False).returncode == 1


def test_there_is_nothing_of_it_by_default(rendered: Callable[[str], Platform]) -> None:
    plain = rendered("example")
    for repository in (plain.app, plain.ci):
        assert not list(repository.rglob("*preview*"))
        for workflow in (repository / ".github/workflows").iterdir():
            assert "pull-request:" not in workflow.read_text(), workflow.name


def test_what_nobody_reviewed_leaves_nothing_for_a_release(example: Platform) -> None:
    folder = example.ci / ".github/workflows"
    files = [yaml.safe_load((folder / name).read_text()) for name in ("shared-pipeline.yml", "image.yml")]
    steps = {step["name"]: step for file in files for job in file["jobs"].values() for step in job.get("steps", [])}
    assert steps["Let the next run find it by what it was built from"]["if"] == "inputs.pull-request == ''"
    assert "inputs.pull-request && 'previewcache' || 'buildcache'" in steps["Build"]["env"]["CACHE"]
    release = yaml.safe_load((example.ci / ".github/workflows/app-preview.yml").read_text())["jobs"]["release"]
    assert release["with"]["deploy"] is False


def push(github: GitHub, name: str) -> str:
    """Push the branch of a pull request and return its commit."""
    run("git", "push", "--quiet", "--force", github.folder / "acme/app-repo", f"HEAD:{name}", cwd=github.source)
    return run("git", "rev-parse", "HEAD", cwd=github.source).stdout.strip()


def app_preview(github: GitHub, sha: str, **payload: str) -> Run:
    """Deliver the event that app-repo sends of a pull request."""
    event = {"action": "app-preview", "client_payload": {**PAYLOAD, "sha": sha, **payload}}
    return github.act("repository_dispatch", "app-preview.yml", event, {})


def previews(github: GitHub) -> dict[str, Any]:
    """Return what cd-repo says of the preview: the values of each service."""
    listed = run("git", "ls-tree", "-r", "--name-only", "main", "registry/previews/", cwd=github.cd).stdout.split()
    return {Path(p).stem: yaml.safe_load(run("git", "show", f"main:{p}", cwd=github.cd).stdout) for p in listed}


@pytest.mark.exhaustive
def test_a_pull_request_runs_while_it_is_open(github: GitHub, tools: Toolbox) -> None:
    released = github.app_push(github.push())
    assert released.succeeded, released.output
    environments = run("git", "rev-parse", "main:registry/versions.yaml", "main:umbrella-chart", cwd=github.cd).stdout
    tags = {service: github.tags(service) for service in ("catalog", "orders")}
    (github.source / "services/orders/hello").write_text("good morning\n")
    commit(github.source, "Say good morning", when="2026-11-23T11:00:00+02:00")
    sha = push(github, "feature/login")

    done = app_preview(github, sha)

    assert done.succeeded, done.output
    assert done.jobs == {"Accept", "Plan", "Write", "orders/Test", "orders/Image", "orders/Sign"}
    assert github.commits()[0] == "preview(12): write"
    running = previews(github)
    assert set(running) == {"orders", "catalog"}, "what changed, and what that calls"
    version = f"20261123.090000-{sha[:12]}-pr12"
    assert running["orders"]["image"]["tag"] == version
    assert running["catalog"]["image"]["digest"] == github.digest("catalog")
    signed = [call[-1] for call in tools.calls if call[:2] == ["cosign", "sign"]]
    assert signed[-1].endswith(f"/orders@{running['orders']['image']['digest']}")
    # Nothing of it is in an environment, and no release finds its image.
    places = ("main:registry/versions.yaml", "main:umbrella-chart")
    assert run("git", "rev-parse", *places, cwd=github.cd).stdout == environments
    assert github.tags("orders") == sorted([*tags["orders"], version])
    assert github.tags("catalog") == tags["catalog"]

    closed = app_preview(github, sha, action="closed")
    assert closed.succeeded, closed.output
    assert closed.jobs == {"Accept", "Remove"}
    assert github.commits()[0] == "preview(12): remove"
    assert previews(github) == {}

    # The commit of a fork is served under the name of app-repo, but lies on none of its branches.
    (github.source / "services/orders/hello").write_text("mallory\n")
    foreign = commit(github.source, "Say something else", when="2026-11-23T12:00:00+02:00")
    run("git", "push", "--quiet", github.folder / "acme/app-repo", "HEAD:refs/pull/13/head", cwd=github.source)
    refused = app_preview(github, foreign)
    assert not refused.succeeded
    assert f"{foreign} is not on the branch that was checked out" in refused.output
    assert previews(github) == {}
