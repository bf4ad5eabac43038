"""Fixtures that all tests share."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests import platform as platforms
from tests.platform import Platform
from tests.workbench import SPEC, TinyTemplate, Workbench

# A whole run has a third of this at a time, in bytes.
ROOM = 3 * 1024**3
MEMORY = Path("/dev/shm")  # noqa: S108 - a file system, not a file in it


def pytest_configure() -> None:
    """Put what tests write into memory: repositories are small files by the ten thousand, and a disk is slower by half.

    A TMPDIR from outside is left as it is, and without room, or where nothing can be executed, the disk serves.
    """
    # A shell has what it runs in the background ignore SIGINT, and a JVM that is born so never hears it.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if "TMPDIR" not in os.environ and _serves(MEMORY):
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None  # asked for anew


def _serves(folder: Path) -> bool:
    """Tell whether there is room in a folder, and programs in it can be executed."""
    try:
        if shutil.disk_usage(folder).free < ROOM:
            return False
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            subprocess.run([shutil.copy("/bin/true", scratch)], check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@pytest.fixture(scope="session", autouse=True)
def _git(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's git configuration out of the tests: an identity of our own, no hooks, no signing."""
    config = tmp_path_factory.mktemp("git") / "config"
    config.write_text("[user]\n\tname = Test\n\temail = test@acme.example\n[init]\n\tdefaultBranch = main\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", str(config))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        # A test run from a git hook inherits the first ones, and every git command would act on this checkout;
        # one run by make the others, and every make below it would talk of the directories that it enters.
        for variable in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
            patch.delenv(variable, raising=False)
        yield


@pytest.fixture(scope="session")
def rendered(_git: None, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Platform]:
    """Return a function that renders a platform of tests/specs/platforms, once in this worker."""

    @cache
    def render(name: str) -> Platform:
        return platforms.render(name, tmp_path_factory.mktemp(name))

    return render


@pytest.fixture(scope="session")
def example(rendered: Callable[[str], Platform]) -> Platform:
    """The platform with a bit of everything."""
    return rendered("example")


@pytest.fixture(scope="session")
def minimal(rendered: Callable[[str], Platform]) -> Platform:
    """The smallest platform: one service, no teams."""
    return rendered("minimal")


@pytest.fixture(scope="session")
def hostile(rendered: Callable[[str], Platform]) -> Platform:
    """The platform whose free text and names would like to be something else."""
    return rendered("hostile")


@pytest.fixture(
    scope="session",
    params=[*platforms.NAMES, *(pytest.param(name, marks=pytest.mark.exhaustive) for name in platforms.MORE_NAMES)],
)
def platform(request: pytest.FixtureRequest, rendered: Callable[[str], Platform]) -> Platform:
    """Each platform of tests/specs/platforms in turn."""
    return rendered(request.param)


@pytest.fixture
def empty_bench(tmp_path: Path) -> Workbench:
    """A spec of two services and a small template; nothing is generated yet."""
    bench = Workbench(tmp_path / "platform", TinyTemplate.at(tmp_path / "template"))
    bench.folder.mkdir()
    bench.spec.write_text(SPEC)
    return bench


@pytest.fixture
def bench(empty_bench: Workbench) -> Workbench:
    """The same with its three repositories, made from version 1 of the template."""
    empty_bench.apply()
    return empty_bench
