"""What the tests of app-repo share: repositories in which `make setup` has run, and GitHub's stand-in."""

import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.blueprints.app_repo import github as fake
from tests.blueprints.app_repo.languages import programs
from tests.platform import Platform, copy_of
from tests.tools import run


@pytest.fixture(scope="session")
def workshop(rendered: Callable[[str], Platform], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's app-repo, set up."""
    return _set_up(rendered, "example", tmp_path_factory)


@pytest.fixture(scope="session")
def languages(rendered: Callable[[str], Platform], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app-repo with a service of each language, set up."""
    return _set_up(rendered, "languages", tmp_path_factory)


def _set_up(rendered: Callable[[str], Platform], name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository in which `make setup` has run; made once for all workers, so read it only."""
    base = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        base = base.parent  # the folder of this run; each worker has one of its own below
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        repository = base / f"workshop-{name}" / "app-repo"
        done = repository.parent / "set-up"
        if not done.exists():
            repository.parent.mkdir(exist_ok=True)
            copy_of(rendered(name).app, repository.parent)
            run("make", "setup", *programs(), cwd=repository)
            done.touch()
    return repository


@pytest.fixture
def bench(workshop: Path, tmp_path: Path) -> Path:
    """A copy of the workshop for a test that edits services; .venv is the workshop's."""
    repository = tmp_path / "app-repo"
    repository.mkdir()
    for path in workshop.iterdir():
        if path.name == ".venv":
            (repository / ".venv").symlink_to(path)
        elif path.is_dir():
            copy_of(path, repository)
        else:
            (repository / path.name).write_bytes(path.read_bytes())
            os.utime(repository / path.name, (path.stat().st_mtime, path.stat().st_mtime))
    return repository


@pytest.fixture
def github() -> Iterator[fake.GitHub]:
    """A server that stands in for GitHub's API."""
    with fake.running() as github:
        yield github
