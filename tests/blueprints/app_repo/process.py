"""A service in a process of its own."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Service:
    """A service that runs in a process of its own."""

    process: subprocess.Popen[str]
    port: int

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def stop(self) -> tuple[int, list[dict[str, object]]]:
        """Send SIGTERM as Kubernetes does; return the exit code and what was logged."""
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=10)
        assert err == ""
        return self.process.returncode, [json.loads(line) for line in out.splitlines()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def started(*command: str, cwd: Path, until: str = "/readyz", **environment: str) -> Iterator[Service]:
    """Start a service, and wait until it answers 200 to `until`."""
    port = free_port()
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, "HOST": "127.0.0.1", "PORT": str(port), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    service = Service(process, port)
    try:
        for _ in range(200):
            try:
                if service.get(until)[0] == 200:
                    break
            except OSError:
                assert process.poll() is None, process.communicate()
                time.sleep(0.05)
        yield service
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
