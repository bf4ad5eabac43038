"""Fixtures of the tests of ci-repo: fake tools, a clone of app-repo to build, an image registry."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.blueprints.ci_repo import machine
from tests.blueprints.ci_repo.github import GitHub
from tests.blueprints.ci_repo.machine import commit
from tests.blueprints.ci_repo.toolbox import Toolbox
from tests.platform import Platform, copy_of
from tests.tools import run

MAKEFILE = """\
lint test integration:
\t@echo "$@ $(svc)"

contract:
\t@! grep --quiet BROKEN contracts/*$(svc)*.json || { echo "a contract of $(svc) is broken"; exit 1; }
\t@echo "$@ $(svc)"
"""


@pytest.fixture(scope="session", autouse=True)
def _python() -> Iterator[None]:
    """Run the scripts with the Python of the tests; a version manager's shim takes longer to start than they do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        yield


@pytest.fixture
def ci(example: Platform, tmp_path: Path) -> Path:
    """A ci-repo to change."""
    return copy_of(example.ci, tmp_path)


@pytest.fixture
def scripts(ci: Path) -> Path:
    return ci / "scripts"


@pytest.fixture
def tools(tmp_path: Path) -> Toolbox:
    return Toolbox(tmp_path / "tools")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An app-repo with the two services of the example, whose images are a file each."""
    repository = tmp_path / "app"
    for service in ("catalog", "orders"):
        folder = repository / "services" / service
        folder.mkdir(parents=True)
        (folder / "hello").write_text(f"{service}\n")
        (folder / "Dockerfile").write_text(
            f"FROM scratch\nARG VERSION\nARG REVISION\nCOPY services/{service}/hello /hello\n"
            'LABEL built.version="$VERSION" built.revision="$REVISION"\n'
        )
    (repository / "shared" / "python").mkdir(parents=True)
    (repository / "shared" / "python" / "kit.py").write_text("pass\n")
    (repository / "Makefile").write_text(MAKEFILE)
    run("git", "init", "--quiet", "--initial-branch=develop", repository)
    commit(repository, "Begin")
    return repository


@pytest.fixture
def builder(tmp_path: Path) -> dict[str, str]:
    """The environment in which buildah works without a daemon, in a storage of its own."""
    return machine.builder(tmp_path)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """An image registry on loopback: its address, and the environment in which tools speak plain HTTP to it."""
    with machine.registry(tmp_path) as served:
        yield served


@pytest.fixture
def pushing(builder: dict[str, str], registry: tuple[str, dict[str, str]]) -> tuple[str, dict[str, str]]:
    """The registry's address, and the environment in which images are built and pushed there."""
    address, env = registry
    return address, {**builder, **env}


@pytest.fixture
def github(example: Platform, ci: Path, source: Path, tools: Toolbox, pushing: tuple[str, dict[str, str]]) -> GitHub:
    """The example's repositories on a server, with the small services of `source`."""
    return GitHub.at(source.parent / "server", Platform(example.name, source, ci, example.cd), tools, *pushing)
