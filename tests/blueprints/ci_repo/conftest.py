"""Fixtures of the tests of ci-repo: fake tools, a clone of app-repo to build, an image registry."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.blueprints.ci_repo.toolbox import Toolbox
from tests.platform import Platform, copy_of
from tests.tools import run, system_tool

MAKEFILE = """\
lint test:
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


def commit(repository: Path, message: str, when: str = "2026-11-23T10:15:00+02:00") -> str:
    """Commit everything and return the commit."""
    dates = {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
    run("git", "add", "--all", cwd=repository)
    run("git", "commit", "--quiet", "--allow-empty", "--message", message, cwd=repository, env=dates)
    return run("git", "rev-parse", "HEAD", cwd=repository).stdout.strip()


@pytest.fixture
def builder(tmp_path: Path) -> dict[str, str]:
    """The environment in which buildah works without a daemon, in a storage of its own."""
    system_tool("buildah", package="buildah")
    storage = tmp_path / "storage.conf"
    storage.write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{tmp_path}/graph"\nrunroot = "{tmp_path}/run"\n', encoding="utf-8"
    )
    return {"BUILDAH_ISOLATION": "chroot", "CONTAINERS_STORAGE_CONF": str(storage)}


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """An image registry on loopback: its address, and the environment in which tools speak plain HTTP to it."""
    system_tool("skopeo", package="skopeo")
    program = system_tool("docker-registry", package="docker-registry")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    config = tmp_path / "registry.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nhttp: {{addr: '{address}'}}\n"
        f"storage: {{filesystem: {{rootdirectory: '{tmp_path}/images'}}}}\n"
    )
    home = tmp_path / "home"
    # Where skopeo, buildah and docker all look for a user's configuration.
    registries = home / ".config" / "containers" / "registries.conf"
    registries.parent.mkdir(parents=True)
    registries.write_text(f'[[registry]]\nlocation = "{address}"\ninsecure = true\n')
    with subprocess.Popen(
        [program, "serve", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
    ) as process:
        try:
            wait_for(f"http://{address}/v2/")
            yield address, {"HOME": str(home)}
        finally:
            process.terminate()


def wait_for(url: str) -> None:
    """Wait until a server answers, ten seconds at most."""
    for _ in range(100):
        try:
            with urllib.request.urlopen(url, timeout=1):  # noqa: S310 (an address of this test)
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"no answer from {url}")
