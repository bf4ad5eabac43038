"""The project as its users and contributors meet it: the two commands, and what the documents promise."""

import re
import subprocess
import sys

import pytest

from tests.tools import ROOT, run


def _targets() -> list[str]:
    return re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_make_help_lists_every_target() -> None:
    listed = run("make", "help", cwd=ROOT).stdout

    assert {target for target in _targets() if not re.search(rf"^  {target} ", listed, re.MULTILINE)} == set()


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_documents_name_only_targets_and_files_that_exist(document: str) -> None:
    text = (ROOT / document).read_text()

    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= set(_targets())
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / link).exists(), f"{document} leads to {link}, which is not there"


def test_the_readme_says_the_bounds_that_the_code_has() -> None:
    from generator import document  # noqa: PLC0415

    text = " ".join((ROOT / "README.md").read_text().split())

    assert f"at most {document.MAX_BYTES // 1024 // 1024} MiB" in text
    assert f"at most {document.MAX_VALUES:,} values" in text
    assert f"{document.MAX_DEPTH} levels" in text


@pytest.mark.parametrize("command", ["init", "validate", "plan", "apply", "add", "remove", "schema"])
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "generator.main", command, "--help"], capture_output=True, text=True, check=True
    )

    assert f"Example: triptych {command}" in process.stdout


def test_nothing_of_the_machine_is_committed() -> None:
    """No index of packages but the public ones, and no path of the machine that it was made on."""
    tracked = run(
        "git", "grep", "-nIE", "--index-url|--find-links|https?://[^ ]*/(simple|pypi)/", cwd=ROOT, check=False
    )

    lines = [line for line in tracked.stdout.splitlines() if not line.startswith("tests/")]
    assert lines == []
    assert run("git", "grep", "-lF", str(ROOT), cwd=ROOT, check=False).stdout == ""


def test_help_loads_nothing_that_it_does_not_need() -> None:
    """Copier and pydantic take half a second, which shells that complete a command line have not."""
    code = "import sys, generator.main; print(*sorted(sys.modules))"

    loaded = run(sys.executable, "-c", code, cwd=ROOT).stdout.split()

    assert "generator.output" in loaded
    assert {"copier", "pydantic", "ruamel.yaml", "generator.planning"} & set(loaded) == set()


def test_a_library_chart_that_was_released_changes_under_a_higher_version() -> None:
    chart = "blueprints/ci-repo/helm-templates/base"
    tags = run("git", "tag", "--list", "v*", "--merged", "HEAD", "--sort=-v:refname", cwd=ROOT).stdout.split()
    if not tags:
        pytest.skip("there is no release at hand to compare with")
    if run("git", "diff", "--quiet", tags[0], "HEAD", "--", chart, cwd=ROOT, check=False).returncode == 0:
        return

    texts = (run("git", "show", f"{commit}:{chart}/Chart.yaml", cwd=ROOT).stdout for commit in (tags[0], "HEAD"))
    released, present = (re.findall(r"^version: (\d+)\.(\d+)\.(\d+)$", text, re.MULTILINE)[0] for text in texts)

    assert tuple(map(int, present)) > tuple(map(int, released)), f"{chart} differs from {tags[0]}: raise its version"
