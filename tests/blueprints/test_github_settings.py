"""config/github.json: the rules that GitHub needs, and that they ask for nothing that is not there."""

import json
from pathlib import Path
from typing import Any

import yaml

from tests.platform import Platform, answers_of

# What GitHub's API for rulesets knows: https://docs.github.com/rest/repos/rules
RULES = {"deletion", "non_fast_forward", "required_linear_history", "pull_request", "required_status_checks"}


def settings(repository: Path) -> Any:
    return json.loads((repository / "config/github.json").read_text())


def rule(ruleset: Any, kind: str) -> Any:
    (found,) = (rule for rule in ruleset["rules"] if rule["type"] == kind)
    return found.get("parameters")


def checks_of(repository: Path) -> set[str]:
    """Return the names of the checks that every pull request gets."""
    names = set()
    for path in (repository / ".github/workflows").glob("*.yml"):
        workflow = yaml.safe_load(path.read_text())
        # A filter of paths or branches would leave a required check waiting for ever.
        if "pull_request" in workflow[True] and not workflow[True]["pull_request"]:  # YAML 1.1 takes `on` for true
            names |= {job.get("name", key) for key, job in workflow["jobs"].items() if "if" not in job or key == "gate"}
    return names


def test_rules_are_github_s(platform: Platform) -> None:
    for repository in platform.repositories:
        given = settings(repository)
        assert set(given) == {"repository", "rulesets", "environments"}
        for ruleset in given["rulesets"]:
            assert (ruleset["target"], ruleset["enforcement"]) == ("branch", "active")
            assert {one["type"] for one in ruleset["rules"]} <= RULES
            methods = set(rule(ruleset, "pull_request")["allowed_merge_methods"])
            assert methods <= {"merge", "rebase", "squash"}
            allowed = {m for m in methods if given["repository"][f"allow_{m}_{'commit' if m == 'merge' else 'merge'}"]}
            assert allowed == methods, "a method of a ruleset must be one of the repository's"


def test_nothing_is_lost_or_goes_unseen(platform: Platform) -> None:
    for repository in platform.repositories:
        for ruleset in settings(repository)["rulesets"]:
            assert {"deletion", "non_fast_forward"} <= {one["type"] for one in ruleset["rules"]}
            assert rule(ruleset, "pull_request")["require_code_owner_review"]
            assert rule(ruleset, "pull_request")["required_approving_review_count"] == 1


def test_a_required_check_is_there_on_every_pull_request(platform: Platform) -> None:
    for repository in platform.repositories:
        for ruleset in settings(repository)["rulesets"]:
            required = rule(ruleset, "required_status_checks")["required_status_checks"]
            assert [one["context"] for one in required] == ["gate"]
            assert "gate" in checks_of(repository), repository.name


def test_each_environment_s_branch_has_rules(platform: Platform) -> None:
    environments = answers_of(platform.name, "app-repo")["environments"]
    branches = list(dict.fromkeys(f"refs/heads/{environment['branch']}" for environment in environments))
    rulesets = settings(platform.app)["rulesets"]
    assert [ref for one in rulesets for ref in one["conditions"]["ref_name"]["include"]] == branches
    # A later branch keeps the commits of the one before: only a merge commit does that.
    assert all(rule(one, "pull_request")["allowed_merge_methods"] == ["merge"] for one in rulesets[1:])


def test_nobody_goes_round_the_rules_but_the_robots_that_deploy(platform: Platform) -> None:
    for repository in (platform.app, platform.ci):
        assert [ruleset["bypass_apps"] for ruleset in settings(repository)["rulesets"] if ruleset["bypass_apps"]] == []
