"""Workflows and the rest that GitHub reads: linted. test_*_workflow.py execute them."""

from pathlib import Path

from tests.platform import Platform
from tests.tools import run, tool


def test_yamllint_finds_nothing(released: Path) -> None:
    run(tool("yamllint"), "--strict", ".", cwd=released)


def test_actionlint_finds_nothing(platform: Platform) -> None:
    run(tool("actionlint"), cwd=platform.cd)


def test_zizmor_finds_nothing(platform: Platform) -> None:
    run(tool("zizmor"), "--offline", "--persona=pedantic", "--quiet", ".", cwd=platform.cd)


def test_shellcheck_finds_nothing(example: Platform) -> None:
    run(tool("shellcheck"), *sorted((example.cd / "scripts").glob("*.sh")))
