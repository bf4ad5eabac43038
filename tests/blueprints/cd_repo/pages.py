"""Pages for people: the commands and manifests in them."""

import re
import shlex
from functools import cache
from pathlib import Path

import yaml

from tests.blueprints.cd_repo.support import Object, script

PROGRAMS = {"argocd", "kubectl", "mkdir", "python3"}
VERBS = {"cluster", "config", "create", "delete", "exec", "get", "logs"}


def commands_of(text: str) -> list[str]:
    """Return the lines of the blocks of shell in a page."""
    return [line.strip() for block in _blocks(text, "sh") for line in block.splitlines() if line.strip()]


def manifests_of(text: str) -> list[Object]:
    """Return the objects of the blocks of YAML in a page."""
    return [document for block in _blocks(text, "yaml") for document in yaml.safe_load_all(block)]


def assert_known(commands: list[str], repository: Path) -> None:
    """Look whether each command is one: a script that is there with options that it has, or a program and its verb."""
    for line in commands:
        words = shlex.split(re.split(" > ", line)[0])
        assert words[0] in PROGRAMS, line
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        if words[0] == "python3":
            assert options <= _options(repository, words[1]), line
        elif words[0] in {"kubectl", "argocd"}:
            skipped = {at + 1 for at, word in enumerate(words) if word == "--namespace"}
            verb = next(word for at, word in enumerate(words[1:], 1) if at not in skipped and not word.startswith("--"))
            assert verb in VERBS, line


@cache
def _options(repository: Path, file: str) -> set[str]:
    assert (repository / file).is_file(), file
    return set(re.findall(r"--[a-z-]+", script(repository, Path(file).name, "--help").stdout))


def _blocks(text: str, language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", text, flags=re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]
