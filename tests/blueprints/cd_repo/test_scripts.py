"""What holds for all of cd-repo's scripts: they need Python alone, and behave alike on the command line."""

import ast
import sys
from pathlib import Path

import pytest

from tests.blueprints.cd_repo.support import build, release, script
from tests.platform import Platform
from tests.tools import run

WRITERS = ("release", "promote", "rollback", "pin", "unpin")


def python_files(repository: Path) -> list[Path]:
    scripts = repository / "scripts"
    commands = [path for path in scripts.iterdir() if path.is_file() and "python" in path.read_text().split("\n")[0]]
    return [*commands, *(scripts / "lib").glob("*.py")]


def test_nothing_but_python_is_imported(example: Platform) -> None:
    # What must be installed first can be missing at three in the morning. Pull requests alone run check-manifests, with
    # what scripts/requirements.txt pins.
    allowed = sys.stdlib_module_names | {"lib"}
    found = set()
    for path in python_files(example.cd):
        if path.name == "check-manifests":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            found |= {(path.name, name) for name in names if name.split(".")[0] not in allowed}
    assert found == set()


def test_ruff_finds_nothing(example: Platform) -> None:
    options = ("--isolated", "--no-cache", "--target-version=py310", "--ignore=RUF001,N818")
    selected = "--select=E4,E7,E9,F,W,I,N,UP,B,C4,SIM,RUF,PTH,D1,RET"
    run(sys.executable, "-m", "ruff", "check", *options, "--line-length=120", selected, *python_files(example.cd))


@pytest.mark.parametrize("name", WRITERS)
def test_writers_have_the_same_options(example: Platform, name: str) -> None:
    text = script(example.cd, name, "--help").stdout
    for option in ("--dry-run", "--push", "--by", "--json", "--remote", "--branch"):
        assert option in text
    assert f"  {name} --" in text or f"Example: {name} --" in text, "an example"


@pytest.mark.parametrize(
    "command",
    [
        ["promote", "--to=staging", "--train"],
        ["rollback", "--environment=dev", "--service=orders", "--reason=slow"],
        ["pin", "--environment=dev", "--service=orders", "--reason=slow", "--until=3d"],
        ["unpin", "--environment=dev", "--service=orders"],
        ["status"],
        ["history"],
    ],
    ids=lambda command: command[0],
)
def test_a_broken_registry_is_a_sentence(cd: Path, command: list[str]) -> None:
    release(cd, "dev", [build("orders")])
    file = cd / "registry/versions.yaml"
    file.write_text(file.read_text().replace("digest:", "digst:"))
    run("git", "commit", "--all", "--quiet", "--message", "Break it", cwd=cd)
    result = script(cd, *command, check=False)
    assert "Traceback" not in result.stderr
    if command[0] != "history":  # which reads what was, in git
        assert result.returncode == 1
        assert "registry/versions.yaml: orders.dev: digest is missing" in result.stderr
