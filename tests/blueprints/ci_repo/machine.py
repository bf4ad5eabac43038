"""A machine that builds images and keeps them: git, buildah without a daemon, and an image registry on loopback."""

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.tools import run, system_tool


def commit(repository: Path, message: str, when: str = "2026-11-23T10:15:00+02:00") -> str:
    """Commit everything and return the commit."""
    dates = {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
    run("git", "add", "--all", cwd=repository)
    run("git", "commit", "--quiet", "--allow-empty", "--message", message, cwd=repository, env=dates)
    return run("git", "rev-parse", "HEAD", cwd=repository).stdout.strip()


def builder(folder: Path) -> dict[str, str]:
    """Return the environment in which buildah works without a daemon, with a storage below `folder`."""
    system_tool("buildah", package="buildah")
    storage = folder / "storage.conf"
    storage.write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n', encoding="utf-8"
    )
    return {"BUILDAH_ISOLATION": "chroot", "CONTAINERS_STORAGE_CONF": str(storage)}


@contextmanager
def registry(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Run an image registry on loopback: its address, and the environment in which tools speak plain HTTP to it."""
    system_tool("skopeo", package="skopeo")
    program = system_tool("docker-registry", package="docker-registry")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    config = folder / "registry.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nhttp: {{addr: '{address}'}}\n"
        f"storage: {{filesystem: {{rootdirectory: '{folder}/images'}}}}\n"
    )
    home = folder / "home"
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
            _wait_for(f"http://{address}/v2/")
            yield address, {"HOME": str(home)}
        finally:
            process.terminate()


def _wait_for(url: str) -> None:
    """Wait until a server answers, ten seconds at most."""
    for _ in range(100):
        try:
            with urllib.request.urlopen(url, timeout=1):  # noqa: S310 (an address of this test)
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"no answer from {url}")
