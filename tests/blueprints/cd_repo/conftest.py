"""A cd-repo after releases."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.blueprints.cd_repo import support
from tests.platform import Platform, copy_of
from tests.tools import run


@pytest.fixture(scope="session")
def released(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cd-repo of each platform in turn, with every service released to every environment. Only to be read."""
    return support.release_everything(platform.cd, tmp_path_factory.mktemp("released"))


@pytest.fixture(scope="session")
def released_example(rendered: Callable[[str], Platform], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cd-repo of `example`, with every service released to every environment. Only to be read."""
    return support.release_everything(rendered("example").cd, tmp_path_factory.mktemp("released"))


@pytest.fixture
def cd(example: Platform, tmp_path: Path) -> Path:
    """A cd-repo of one's own, nothing released yet."""
    return copy_of(example.cd, tmp_path)


@pytest.fixture
def remote(example: Platform, tmp_path: Path) -> Path:
    """The repository on the server, nothing released yet."""
    bare = tmp_path / "server.git"
    run("git", "clone", "--quiet", "--bare", example.cd, bare)
    return bare
