"""Workflows and the rest that GitHub reads: linted. test_*_workflow.py execute them."""

from pathlib import Path

from tests.platform import Platform, answers_of
from tests.tools import run, tool


def test_yamllint_finds_nothing(released: Path) -> None:
    run(tool("yamllint"), "--strict", ".", cwd=released)


def test_actionlint_finds_nothing(platform: Platform) -> None:
    run(tool("actionlint"), cwd=platform.cd)


def test_zizmor_finds_nothing(platform: Platform) -> None:
    run(tool("zizmor"), "--offline", "--persona=pedantic", "--quiet", ".", cwd=platform.cd)


def test_shellcheck_finds_nothing(example: Platform) -> None:
    run(tool("shellcheck"), *sorted((example.cd / "scripts").glob("*.sh")))


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
