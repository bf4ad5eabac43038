"""PostgreSQL and Redis in processes of their own on loopback, which tests may take away and bring back."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.blueprints.app_repo.process import free_port
from tests.tools import run, system_tool


@dataclass
class Server:
    """A server at one address, running or not."""

    command: list[str]
    port: int
    url: str
    # For one that is no store: where it runs, and with what in its environment.
    cwd: Path | None = None
    environment: Mapping[str, str] | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        self._process = subprocess.Popen(
            self.command,
            cwd=self.cwd,
            env={**os.environ, **(self.environment or {})},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(self._answers)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        """End it at once, clients or not."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=20)
            self._process = None


@contextmanager
def _folder() -> Iterator[Path]:
    # Where a user without rights can reach it, whatever TMPDIR says.
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="triptych-stores-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgres() -> Iterator[Server]:
    """An empty database, not started yet; it runs as nobody where the tests run as root."""
    # Debian keeps the programs off PATH.
    beside = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    initdb = shutil.which("initdb", path=str(beside[-1])) if beside else None
    initdb = initdb or system_tool("initdb", package="postgresql")
    as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
    with _folder() as folder:
        if as_nobody:
            shutil.chown(folder, "nobody")
        data = str(folder / "data")
        run(*as_nobody, initdb, "--pgdata", data, "--username", "app", "--auth", "trust", "--no-sync", cwd="/")
        port = free_port()
        options = ["listen_addresses=127.0.0.1", f"port={port}", "fsync=off", "unix_socket_directories="]
        command = [*as_nobody, str(Path(initdb).with_name("postgres")), "-D", data]
        server = Server(
            command + [part for option in options for part in ("-c", option)],
            port,
            f"postgresql://app@127.0.0.1:{port}/postgres",
        )
        yield from _while_used(server)


@contextmanager
def redis() -> Iterator[Server]:
    """An empty cache, not started yet."""
    program = system_tool("redis-server", package="redis-server")
    with _folder() as folder:
        port = free_port()
        command = [program, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", ""]
        yield from _while_used(Server(command, port, f"redis://127.0.0.1:{port}/0"))


def _while_used(server: Server) -> Iterator[Server]:
    try:
        yield server
    finally:
        server.stop()


def eventually(holds: Callable[[], bool], seconds: float = 15) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.1)
