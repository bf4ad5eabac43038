"""The pull request from one environment's branch to the next, against a server that stands in for GitHub's API."""

import json
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest
import yaml

from tests.blueprints.app_repo.github import GitHub
from tests.platform import Platform, answers_of
from tests.tools import run

FILES = ("services/orders/app/main.py", "services/orders/Dockerfile", "shared/python/src/x.py", "README.md")
AHEAD = json.dumps({"ahead_by": 3, "files": [{"filename": name} for name in FILES]})
LEVEL = json.dumps({"ahead_by": 0, "files": []})


def propose(app: Platform, github: GitHub, *answers: tuple[int, str], **environment: str) -> CompletedProcess[str]:
    github.answers = list(answers)
    defaults = {
        "BRANCHES": "develop release/next main",
        "GH_TOKEN": "ghs_0123456789abcdef",
        "GITHUB_API_URL": github.url,
        "GITHUB_REF_NAME": "develop",
        "GITHUB_REPOSITORY": "acme/app-repo",
    }
    script = app.app / ".github/scripts/propose-promotion.sh"
    return run(script, env={**defaults, **environment}, check=False)


def test_a_pull_request_brings_a_branch_to_the_next(example: Platform, github: GitHub) -> None:
    result = propose(example, github, (200, AHEAD), (200, "[]"), (201, '{"number": 7}'))
    assert result.returncode == 0, result.stderr
    assert result.stdout == "Opened pull request 7: develop to release/next, 3 commits\n"
    (compare, headers, _), (search, _, _), (path, _, body) = github.requests
    assert compare == "/repos/acme/app-repo/compare/release%2Fnext...develop"
    assert headers["authorization"] == "Bearer ghs_0123456789abcdef"
    assert search == "/repos/acme/app-repo/pulls?state=open&base=release%2Fnext&head=acme:develop"
    assert path == "/repos/acme/app-repo/pulls"
    assert (body["head"], body["base"], body["title"]) == (
        "develop",
        "release/next",
        "Promote develop to release/next",
    )
    touched = [line for line in body["body"].splitlines() if line.startswith("- ")]
    assert touched == ["- `services/orders`", "- `shared/python`", "- `the rest`"]


def test_one_that_is_open_is_renewed(example: Platform, github: GitHub) -> None:
    result = propose(example, github, (200, AHEAD), (200, '[{"number": 7}]'), (200, '{"number": 7}'))
    assert result.stdout == "Renewed pull request 7: develop to release/next, 3 commits\n"
    path, _, body = github.requests[-1]
    assert (path, set(body)) == ("/repos/acme/app-repo/pulls/7", {"title", "body"})


def test_where_the_next_branch_has_it_all_nothing_is_proposed(example: Platform, github: GitHub) -> None:
    result = propose(example, github, (200, LEVEL), GITHUB_REF_NAME="release/next")
    assert (result.returncode, result.stdout) == (0, "main has all that is on release/next.\n")
    assert len(github.requests) == 1


def test_what_nothing_checks_is_said(example: Platform, github: GitHub) -> None:
    result = propose(example, github, (200, AHEAD), (200, "[]"), (201, '{"number": 7}'), UNCHECKED="true")
    assert "::warning::GitHub starts no checks for pull request 7" in result.stdout


@pytest.mark.parametrize("branch", ["main", "feature/login"])
def test_a_branch_that_leads_nowhere_is_refused(example: Platform, github: GitHub, branch: str) -> None:
    result = propose(example, github, GITHUB_REF_NAME=branch)
    assert result.returncode == 1
    assert f"no branch comes after {branch}" in result.stderr
    assert github.requests == []


def test_what_github_refuses_is_said(example: Platform, github: GitHub) -> None:
    refusal = '{"message": "GitHub Actions is not permitted to create or approve pull requests."}'
    result = propose(example, github, (200, AHEAD), (200, "[]"), (403, refusal))
    assert result.returncode == 1
    assert "POST pulls failed (HTTP 403): GitHub Actions is not permitted to create" in result.stderr


def test_each_branch_but_the_last_is_promoted(platform: Platform) -> None:
    environments = answers_of(platform.name, "app-repo")["environments"]
    branches = list(dict.fromkeys(environment["branch"] for environment in environments))
    path = platform.app / ".github/workflows/promotion.yml"
    assert path.exists() == (len(branches) > 1)
    if path.exists():
        workflow = yaml.safe_load(path.read_text())
        assert workflow[True]["push"] == {"branches": branches[:-1]}  # YAML 1.1 takes `on` for true
        assert workflow["jobs"]["propose"]["steps"][-1]["env"]["BRANCHES"] == " ".join(branches)


def test_a_pull_request_to_any_branch_is_checked(rendered: Callable[[str], Platform]) -> None:
    checks = yaml.safe_load((rendered("five-environments").app / ".github/workflows/checks.yml").read_text())
    assert checks[True]["pull_request"] is None
