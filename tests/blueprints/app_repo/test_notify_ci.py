"""notify-ci.sh against an HTTP server that stands in for GitHub's API."""

from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.blueprints.app_repo.github import GitHub
from tests.platform import Platform
from tests.tools import run

SHA, BEFORE = "1" * 40, "0" * 40
TOKEN = "ghs_0123456789abcdef"  # noqa: S105


def notify(app: Path, *arguments: str, **environment: str) -> CompletedProcess[str]:
    script = app / ".github/scripts/notify-ci.sh"
    defaults = {
        "BEFORE": BEFORE,
        "CI_REPOSITORY": "acme/ci-repo",
        "GH_TOKEN": TOKEN,
        "GITHUB_ACTOR": "octo-cat",
        "GITHUB_REF": "refs/heads/develop",
        "GITHUB_REPOSITORY": "acme/app-repo",
        "GITHUB_SHA": SHA,
    }
    return run(script, *arguments, cwd=app, env={**defaults, **environment}, check=False)


def test_ci_is_told_what_was_pushed(example: Platform, github: GitHub) -> None:
    result = notify(example.app, GITHUB_API_URL=github.url)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"Told acme/ci-repo: acme/app-repo refs/heads/develop is at {SHA}\n"
    ((path, headers, body),) = github.requests
    assert path == "/repos/acme/ci-repo/dispatches"
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert headers["accept"] == "application/vnd.github+json"
    assert body == {
        "event_type": "app-push",
        "client_payload": {
            "repository": "acme/app-repo",
            "ref": "refs/heads/develop",
            "sha": SHA,
            "before": BEFORE,
            "actor": "octo-cat",
        },
    }


PULL_REQUEST = {"PULL_REQUEST": "12", "ACTION": "synchronize", "HEAD_REF": "feature/login", "HEAD_SHA": SHA}


def test_ci_is_told_what_became_of_a_pull_request(example: Platform, github: GitHub) -> None:
    result = notify(
        example.app, "--preview", GITHUB_API_URL=github.url, GITHUB_REF="refs/pull/12/merge", **PULL_REQUEST
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "Told acme/ci-repo: pull request 12 of acme/app-repo: synchronize\n"
    ((_, _, body),) = github.requests
    assert body == {
        "event_type": "app-preview",
        "client_payload": {
            "repository": "acme/app-repo",
            "number": "12",
            "ref": "refs/heads/feature/login",
            "sha": SHA,
            "action": "synchronize",
            "actor": "octo-cat",
        },
    }


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PULL_REQUEST", "0"),
        ("PULL_REQUEST", "12; touch hacked"),
        ("ACTION", "closed\nlabeled"),
        ("HEAD_REF", "$(touch hacked)"),
        ("HEAD_SHA", "HEAD"),
    ],
)
def test_what_is_no_pull_request_is_not_sent(example: Platform, github: GitHub, variable: str, value: str) -> None:
    result = notify(example.app, "--preview", GITHUB_API_URL=github.url, **{**PULL_REQUEST, variable: value})
    assert result.returncode == 1
    assert f"{variable} is not what it should be" in result.stderr
    assert github.requests == []
    assert not (example.app / "hacked").exists()


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "the token may not write contents there (HTTP 401): Bad luck"),
        (403, "the token may not write contents there (HTTP 403): Bad luck"),
        (404, "it does not exist, or the GitHub App is not installed on it (HTTP 404): Bad luck"),
        (422, "acme/ci-repo could not be told (HTTP 422): Bad luck"),
    ],
)
def test_a_refusal_is_explained_and_not_tried_again(example: Platform, github: GitHub, status: int, says: str) -> None:
    github.answers = [(status, '{"message": "Bad luck"}')]
    result = notify(example.app, GITHUB_API_URL=github.url)
    assert result.returncode == 1
    assert result.stderr.startswith("::error::")
    assert says in result.stderr
    assert TOKEN not in result.stdout + result.stderr
    assert len(github.requests) == 1


def test_a_passing_fault_is_tried_again(example: Platform, github: GitHub) -> None:
    github.answers = [(502, "no JSON"), (204, "")]
    assert notify(example.app, GITHUB_API_URL=github.url).returncode == 0
    assert len(github.requests) == 2


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BEFORE", ""),
        ("CI_REPOSITORY", "acme/../other"),
        ("GITHUB_REF", "refs/tags/v1"),
        ("GITHUB_REF", "refs/heads/$(touch hacked)"),
        ("GITHUB_REF", 'refs/heads/a"b'),
        ("GITHUB_REF", "refs/heads/main\nrefs/heads/other"),
        ("GITHUB_SHA", "1" * 39),
        ("GITHUB_SHA", "`touch hacked`"),
        ("GH_TOKEN", ""),
    ],
)
def test_what_is_not_a_push_is_not_sent(example: Platform, github: GitHub, variable: str, value: str) -> None:
    result = notify(example.app, GITHUB_API_URL=github.url, **{variable: value})
    assert result.returncode == 1
    assert variable in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert github.requests == []
    assert not (example.app / "hacked").exists()


@pytest.mark.parametrize("missing", ["DISPATCHER_APP_CLIENT_ID", "DISPATCHER_APP_PRIVATE_KEY"])
def test_a_missing_app_is_said_in_a_sentence(example: Platform, missing: str) -> None:
    given = {"DISPATCHER_APP_CLIENT_ID": "Iv1.abc", "DISPATCHER_APP_PRIVATE_KEY": "-----BEGIN", missing: ""}
    result = notify(example.app, "--check-app", **given)
    assert result.returncode == 1
    assert f"Set the {'secret' if missing.endswith('KEY') else 'variable'} {missing} to" in result.stderr
    assert "acme/app-repo's settings" in result.stderr
    # What the message asks for is what the README explains.
    assert missing in (example.app / "README.md").read_text()


def test_a_configured_app_passes(example: Platform) -> None:
    given = {"DISPATCHER_APP_CLIENT_ID": "Iv1.abc", "DISPATCHER_APP_PRIVATE_KEY": "-----BEGIN"}
    result = notify(example.app, "--check-app", **given)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_an_unknown_option_is_refused(example: Platform) -> None:
    result = notify(example.app, "--now")
    assert result.returncode == 2
    assert "Usage: notify-ci.sh" in result.stderr
