"""Forms for issues and pull requests, as GitHub reads them."""

import yaml

from tests.platform import Platform, answers_of

# https://docs.github.com/communities/using-templates-to-encourage-useful-issues-and-pull-requests/syntax-for-githubs-form-schema
TYPES = {"checkboxes", "dropdown", "input", "markdown", "textarea"}


def test_forms_are_what_github_takes(platform: Platform) -> None:
    folder = platform.app / ".github/ISSUE_TEMPLATE"
    for path in folder.glob("*.yml"):
        form = yaml.safe_load(path.read_text())
        if path.name == "config.yml":
            assert all(set(link) == {"name", "url", "about"} for link in form["contact_links"])
            continue
        assert set(form) <= {"name", "description", "labels", "body"}
        fields = [field for field in form["body"] if field["type"] != "markdown"]
        assert {field["type"] for field in form["body"]} <= TYPES
        assert len({field["id"] for field in fields}) == len({field["attributes"]["label"] for field in fields}) > 0
        for field in fields:
            options = field["attributes"].get("options", [])
            assert (field["type"] == "dropdown") == bool(options)
            assert len(set(options)) == len(options)
            assert all(isinstance(option, str) for option in options)


def test_a_bug_is_one_of_a_service(platform: Platform) -> None:
    form = yaml.safe_load((platform.app / ".github/ISSUE_TEMPLATE/bug.yml").read_text())
    services = [service["name"] for service in answers_of(platform.name, "app-repo")["services"]]
    assert form["body"][0]["attributes"]["options"][:-1] == services


def test_a_pull_request_asks_what_and_why(platform: Platform) -> None:
    for repository in platform.repositories:
        assert "## What changes, and why" in (repository / ".github/pull_request_template.md").read_text()
