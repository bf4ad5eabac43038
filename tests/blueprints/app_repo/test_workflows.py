"""The workflows: linted, and executed by act on this machine."""

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml

from tests.blueprints.app_repo.github import GitHub
from tests.platform import Platform, answers_of, copy_of, render_spec, with_features
from tests.tools import run, tool

# Stand-ins for actions: one that gives a token which says what was asked for, and one that does nothing.
APP_ACTION = """
name: Give a token
inputs: {client-id: {}, private-key: {}, owner: {}, repositories: {}, permission-contents: {}}
outputs: {token: {value: "${{ steps.token.outputs.token }}"}}
runs:
  using: composite
  steps:
    - id: token
      shell: bash
      run: echo "token=$OWNER-$REPOSITORIES-contents-$CONTENTS" >> "$GITHUB_OUTPUT"
      env:
        OWNER: ${{ inputs.owner }}
        REPOSITORIES: ${{ inputs.repositories }}
        CONTENTS: ${{ inputs.permission-contents }}
"""
# act itself brings what a workflow checks out, where that names no branch.
CHECKOUT = """
name: Check out
runs:
  using: composite
  steps: [{run: 'git clone --quiet "$APP" clone && cp -R clone/. . && rm -r clone', shell: bash}]
"""
# What `docker` is asked to build.
DOCKER = """#!/bin/sh
[ "$1" = build ] || exit 0
echo "docker $*" >> "$MAKE_LOG"
"""
DO_NOTHING = """
name: Do nothing
runs: {using: composite, steps: [{run: "true", shell: bash}]}
"""
# Stands at the boundary: what `make lint test` does is tested by itself, here it is who calls it, and what comes of it.
MAKE = """#!/bin/sh
echo "make $*" >> "$MAKE_LOG"
case "$*" in *"$MAKE_FAILS_ON"*) exit 1 ;; esac
"""

Act = Callable[..., CompletedProcess[str]]


def workflows(app: Path) -> list[Path]:
    return sorted((app / ".github/workflows").iterdir())


def test_actionlint_finds_nothing(platform: Platform) -> None:
    assert run(tool("actionlint"), "-shellcheck", tool("shellcheck"), cwd=platform.app).stdout == ""


def test_zizmor_finds_nothing(platform: Platform) -> None:
    run(tool("zizmor"), "--offline", "--persona", "pedantic", platform.app)


def test_shellcheck_finds_nothing(example: Platform) -> None:
    run(tool("shellcheck"), *sorted((example.app / ".github/scripts").glob("*.sh")))


def test_ruff_finds_nothing(example: Platform) -> None:
    scripts = [path for path in (example.app / ".github/scripts").iterdir() if path.suffix != ".sh"]
    assert len(scripts) == 3
    options = ("--isolated", "--no-cache", "--line-length=120", "--target-version=py310")
    run(sys.executable, "-m", "ruff", "check", *options, "--select=E,F,W,I,N,UP,B,C4,SIM,RUF,PTH,D1,RET", *scripts)


def test_yamllint_finds_nothing(platform: Platform) -> None:
    run(tool("yamllint"), "--strict", ".", cwd=platform.app)


def test_a_push_to_an_environment_s_branch_is_told(platform: Platform) -> None:
    workflow = yaml.safe_load((platform.app / ".github/workflows/notify-ci.yml").read_text())
    branches = [environment["branch"] for environment in answers_of(platform.name, "app-repo")["environments"]]
    assert workflow[True] == {"push": {"branches": branches}}  # YAML 1.1 takes `on` for true


def test_no_expression_reaches_a_shell(example: Platform) -> None:
    for path in workflows(example.app):
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            assert not [step["run"] for step in job["steps"] if "${{" in step.get("run", "")]


def test_every_action_is_pinned_by_commit(example: Platform) -> None:
    for path in workflows(example.app):
        for use in re.findall(r"uses: (.*)", path.read_text()):
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use)


def test_the_token_is_for_the_ci_repository_alone(platform: Platform) -> None:
    names = answers_of(platform.name, "app-repo")["platform"]
    workflow = yaml.safe_load((platform.app / ".github/workflows/notify-ci.yml").read_text())
    assert workflow["permissions"] == {}
    (step,) = [s for s in workflow["jobs"]["notify"]["steps"] if "create-github-app-token" in s.get("uses", "")]
    assert (step["with"]["owner"], step["with"]["repositories"]) == (names["organization"], names["ciRepo"])
    permissions = {key: value for key, value in step["with"].items() if key.startswith("permission")}
    assert permissions == {"permission-contents": "write"}


@pytest.fixture
def act(rendered: Callable[[str], Platform], tmp_path: Path) -> Act:
    """Run a workflow of the example on this machine, with stand-ins for actions and for make."""
    return runner(copy_of(rendered("example").app, tmp_path), tmp_path)


@pytest.fixture(scope="module")
def example_with_previews(_git: None, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    folder = tmp_path_factory.mktemp("previews")
    return render_spec(with_features("example", "previews: true", folder), folder / "out")


@pytest.fixture
def act_with_previews(example_with_previews: Platform, tmp_path: Path) -> Act:
    """Do so with the example that has previews."""
    return runner(copy_of(example_with_previews.app, tmp_path), tmp_path)


def runner(app: Path, tmp_path: Path) -> Act:
    """Return what runs a workflow of this app-repo."""
    pins = dict(re.findall(r"uses: actions/([\w-]+)@(\w+)", "".join(path.read_text() for path in workflows(app))))
    actions = {
        "checkout": CHECKOUT,
        "create-github-app-token": APP_ACTION,
        "setup-python": DO_NOTHING,
        "cache": DO_NOTHING,
    }
    for name, text in actions.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "action.yml").write_text(text)
    make = tmp_path / "bin" / "make"
    make.parent.mkdir()
    make.write_text(MAKE)
    make.chmod(0o755)
    (make.parent / "docker").write_text(DOCKER)
    (make.parent / "docker").chmod(0o755)

    def act(
        event: str, workflow: str, *options: str, payload: dict[str, object], **environment: str
    ) -> CompletedProcess[str]:
        event_file = tmp_path / "event.json"
        event_file.write_text(json.dumps(payload))
        stand_ins = [f"--local-repository=actions/{name}@{pins[name]}={tmp_path / name}" for name in actions]
        return run(
            *(tool("act"), event, f"--workflows=.github/workflows/{workflow}", f"--eventpath={event_file}"),
            *("--platform=ubuntu-24.04=-self-hosted", f"--action-cache-path={tmp_path / 'act'}"),
            f"--env=APP={app}",
            *(*stand_ins, *options, *(f"--env={name}={value}" for name, value in environment.items())),
            cwd=app,
            env={"PATH": f"{make.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)},
            check=False,
        )

    return act


PUSH = {
    "ref": "refs/heads/develop",
    "before": "0" * 40,
    "after": "1" * 40,
    "repository": {"full_name": "acme/app-repo"},
}


@pytest.mark.slow
def test_notify_sends_the_event(act: Act, github: GitHub) -> None:
    result = act(
        *("push", "notify-ci.yml", "--actor", "octo-cat", "--var", "DISPATCHER_APP_CLIENT_ID=Iv1.0123456789"),
        *("--secret", "DISPATCHER_APP_PRIVATE_KEY=-----BEGIN PRIVATE KEY-----"),
        payload=PUSH,
        GITHUB_API_URL=github.url,
        GITHUB_REPOSITORY="acme/app-repo",
    )
    assert result.returncode == 0, result.stdout + result.stderr
    ((path, headers, body),) = github.requests
    assert path == "/repos/acme/ci-repo/dispatches"
    assert headers["authorization"] == "Bearer acme-ci-repo-contents-write"
    assert body["event_type"] == "app-push"
    assert body["client_payload"]["ref"] == "refs/heads/develop"
    assert body["client_payload"]["before"] == "0" * 40


@pytest.mark.slow
def test_notify_without_the_app_says_what_to_set(act: Act, github: GitHub) -> None:
    result = act("push", "notify-ci.yml", payload=PUSH, GITHUB_API_URL=github.url, GITHUB_REPOSITORY="acme/app-repo")
    assert result.returncode != 0
    assert "Set the variable DISPATCHER_APP_CLIENT_ID to the client id of the GitHub App" in result.stdout
    assert github.requests == []


@pytest.mark.slow
def test_a_push_proposes_its_promotion(act: Act, github: GitHub) -> None:
    ahead = json.dumps({"ahead_by": 1, "files": [{"filename": "services/orders/app/main.py"}]})
    github.answers = [(200, ahead), (200, "[]"), (201, '{"number": 7}')]
    result = act(
        *("push", "promotion.yml", "--var", "PROPOSER_APP_CLIENT_ID=Iv1.0123456789"),
        *("--secret", "PROPOSER_APP_PRIVATE_KEY=-----BEGIN PRIVATE KEY-----"),
        payload=PUSH,
        GITHUB_API_URL=github.url,
        GITHUB_REPOSITORY="acme/app-repo",
    )
    assert result.returncode == 0, result.stdout + result.stderr
    path, headers, body = github.requests[-1]
    assert path == "/repos/acme/app-repo/pulls"
    assert headers["authorization"] == "Bearer acme-app-repo-contents-read"
    assert (body["head"], body["base"]) == ("develop", "staging")
    assert "::warning::" not in result.stdout


@pytest.mark.slow
def test_a_promotion_without_the_app_says_that_nothing_checks_it(act: Act, github: GitHub) -> None:
    ahead = json.dumps({"ahead_by": 1, "files": [{"filename": "README.md"}]})
    github.answers = [(200, ahead), (200, "[]"), (201, '{"number": 7}')]
    result = act(
        *("push", "promotion.yml", "--secret", "GITHUB_TOKEN=built-in"),
        payload=PUSH,
        GITHUB_API_URL=github.url,
        GITHUB_REPOSITORY="acme/app-repo",
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert github.requests[-1][1]["authorization"] == "Bearer built-in"
    assert "GitHub starts no checks for pull request 7" in result.stdout


def pull_request(action: str, *labels: str, label: str = "", head: str = "acme/app-repo") -> dict[str, object]:
    """Return what GitHub says of a pull request: what happened, its labels, and the label that came or went."""
    pull = {
        "head": {"ref": "feature/login", "sha": "1" * 40, "repo": {"full_name": head}},
        "base": {"ref": "develop"},
        "labels": [{"name": name} for name in labels],
    }
    event: dict[str, object] = {"action": action, "number": 12, "pull_request": pull}
    return {**event, "repository": {"full_name": "acme/app-repo"}, **({"label": {"name": label}} if label else {})}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("event", "told"),
    [
        (pull_request("labeled", "preview", label="preview"), True),
        (pull_request("unlabeled", label="preview"), True),
        (pull_request("synchronize", "bug", "preview"), True),
        (pull_request("closed", "preview"), True),
        (pull_request("labeled", "preview", "bug", label="bug"), False),
        (pull_request("synchronize", "bug"), False),
        (pull_request("closed"), False),
        (pull_request("labeled", "preview", label="preview", head="mallory/app-repo"), False),
    ],
    ids=lambda value: value["action"] if isinstance(value, dict) else None,
)
def test_what_becomes_of_a_preview_is_told(
    act_with_previews: Act, github: GitHub, event: dict[str, object], told: bool
) -> None:
    result = act_with_previews(
        *("pull_request", "preview.yml", "--actor", "octo-cat", "--var", "DISPATCHER_APP_CLIENT_ID=Iv1.0123456789"),
        *("--secret", "DISPATCHER_APP_PRIVATE_KEY=-----BEGIN PRIVATE KEY-----"),
        payload=event,
        GITHUB_API_URL=github.url,
        GITHUB_REPOSITORY="acme/app-repo",
    )
    assert result.returncode == 0, result.stdout + result.stderr
    bodies = [body for _, _, body in github.requests]
    assert [body["event_type"] for body in bodies] == ["app-preview"] * told
    assert [body["client_payload"]["action"] for body in bodies] == [event["action"]] * told


def test_a_preview_holds_up_no_pull_request(rendered: Callable[[str], Platform]) -> None:
    folder = rendered("five-environments").app / ".github/workflows"
    assert "preview" not in (folder / "checks.yml").read_text()
    preview = yaml.safe_load((folder / "preview.yml").read_text())
    assert (list(preview[True]), list(preview["jobs"])) == (["pull_request"], ["notify"])
    # A run that has nothing to tell must not take the place of one that waits.
    assert "concurrency" not in preview


def checks(
    act: Act, tmp_path: Path, fails_on: str = "nothing", base: str = ""
) -> tuple[CompletedProcess[str], list[str]]:
    log = tmp_path / "make.log"
    log.touch()
    payload = {"pull_request": {"number": 1, "head": {"ref": "topic"}, "base": {"ref": "develop", "sha": base}}}
    result = act("pull_request", "checks.yml", payload=payload, MAKE_LOG=str(log), MAKE_FAILS_ON=fails_on)
    return result, sorted(log.read_text().splitlines())


@pytest.mark.slow
def test_a_pull_request_tests_the_library_and_each_service(act: Act, tmp_path: Path) -> None:
    result, calls = checks(act, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    images = [f"docker build --file services/{name}/Dockerfile --tag check-{name} ." for name in ("catalog", "orders")]
    assert calls == [
        *images,
        *("make lint test contract svc=catalog", "make lint test contract svc=orders", "make lint-shared test-shared"),
    ]
    assert re.search(r"\[Checks/gate\s*\].*Job succeeded", result.stdout)


@pytest.mark.slow
def test_a_pull_request_builds_what_it_changes_and_tests_its_neighbours(act: Act, tmp_path: Path) -> None:
    app = tmp_path / "app-repo"
    base = run("git", "rev-parse", "HEAD", cwd=app).stdout.strip()
    (app / "services/catalog/README.md").write_text("$(touch pwned)\n")
    (app / "services/catalog/$(touch pwned)").write_text("hostile")
    run("git", "add", "--all", cwd=app)
    run("git", "commit", "--quiet", "--message=$(touch pwned) `touch pwned`", cwd=app)
    result, calls = checks(act, tmp_path, base=base)
    assert result.returncode == 0, result.stdout + result.stderr
    assert calls == [
        "docker build --file services/catalog/Dockerfile --tag check-catalog .",
        *("make lint test contract svc=catalog", "make lint test contract svc=orders", "make lint-shared test-shared"),
    ]
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.slow
@pytest.mark.parametrize("fails_on", ["svc=orders", "test-shared"])
def test_one_failure_closes_the_gate(act: Act, tmp_path: Path, fails_on: str) -> None:
    result, calls = checks(act, tmp_path, fails_on)
    assert result.returncode != 0
    assert len(calls) == 5
    assert re.search(r"\[Checks/gate\s*\].*Job failed", result.stdout)


@pytest.mark.slow
def test_without_services_the_gate_is_open(act: Act, tmp_path: Path) -> None:
    for path in (tmp_path / "app-repo/services").glob("*/service.toml"):
        path.unlink()
    run("git", "commit", "--quiet", "--all", "--message=Remove them", cwd=tmp_path / "app-repo")
    result, calls = checks(act, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert calls == ["make lint-shared test-shared"]
    assert re.search(r"\[Checks/gate\s*\].*Job succeeded", result.stdout)


def test_what_a_pull_request_keeps_is_read_by_nothing_that_is_delivered(platform: Platform) -> None:
    caching = {path.name for path in workflows(platform.app) if "actions/cache@" in path.read_text()}
    languages = set(answers_of(platform.name, "app-repo")["platform"]["languages"]) - {"other"}
    assert caching == ({"checks.yml"} if languages else set())
    events = yaml.safe_load((platform.app / ".github/workflows/checks.yml").read_text())[True]  # YAML 1.1: `on` is true
    assert set(events) == {"merge_group", "pull_request"}, "a run of a branch would keep it for all pull requests"
