"""The small load test of app-repo: what is quick and whole passes, what is slow, broken, or not there does not."""

import http.server
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.platform import Platform
from tests.tools import run


@contextmanager
def answering(status: int, seconds: float) -> Iterator[str]:
    """Yield the address of a server that answers everything alike."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            time.sleep(seconds)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@pytest.fixture
def script(minimal: Platform) -> Path:
    return minimal.app / "scripts/load-smoke"


@pytest.mark.parametrize(
    ("status", "seconds", "complaint"),
    [
        (200, 0.0, ""),
        (404, 0.0, ""),
        (500, 0.0, "100.00 % of the requests failed; allowed: 0 %"),
        (200, 0.2, "ms; allowed: 100 ms"),
    ],
)
def test_what_fails_or_is_slow_does_not_pass(script: Path, status: int, seconds: float, complaint: str) -> None:
    with answering(status, seconds) as url:
        result = run(script, "--url", url, "--seconds=0.5", "--p95=100", check=False)
    assert result.returncode == (1 if complaint else 0)
    assert complaint in result.stderr
    assert "p95" in result.stdout


def test_an_address_where_nobody_answers_does_not_pass(script: Path) -> None:
    result = run(script, "--url=http://127.0.0.1:1", "--seconds=0.3", check=False)
    assert (result.returncode, "100.00 % of the requests failed" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "name a service"),
        (("--url=ftp://x",), "no address"),
        (("orders", "--clients=0"), "--clients"),
        (("orders", "--seconds=0"), "--seconds"),
    ],
)
def test_a_wrong_command_line_is_told(script: Path, arguments: tuple[str, ...], complaint: str) -> None:
    result = run(script, *arguments, check=False)
    assert result.returncode == 2
    assert complaint in result.stderr


def test_a_service_that_is_none_was_never_ready(script: Path) -> None:
    result = run(script, "no-such-service", check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert "there is no service no-such-service" in result.stderr
    assert "before it was ready" in result.stderr


def test_ruff_finds_nothing(script: Path) -> None:
    options = ("--isolated", "--line-length=120", "--select=E,F,W,I,N,UP,B,C4,SIM,RUF,PTH,D1,RET")
    run(sys.executable, "-m", "ruff", "check", *options, script)
