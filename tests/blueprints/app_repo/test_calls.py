"""One behaviour for every language: calls of another service, which a server of ours stands in for."""

import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.blueprints.app_repo.languages import LANGUAGES, Language, having
from tests.blueprints.app_repo.process import Service, started
from tests.tools import run

pytestmark = pytest.mark.slow

SOURCES = {".py", ".go", ".ts", ".java", ".json"}
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


class Other(http.server.ThreadingHTTPServer):
    """The service that is called."""

    daemon_threads = True

    def __init__(self) -> None:
        self.status = 200
        self.body = {"service": "other", "version": "4.5.6", "colour": "red"}
        self.delay = 0.0
        self.asked: list[tuple[str, str]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, *_: object) -> None:
        """Say nothing of callers that have gone."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Other

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("traceparent", "")))
        time.sleep(self.server.delay)
        content = json.dumps(self.server.body).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module", params=having("calls"))
def language(request: pytest.FixtureRequest) -> Language:
    return LANGUAGES[request.param]


@pytest.fixture(scope="module")
def folder(languages: Path, language: Language) -> Path:
    return languages / "services" / language.service


@pytest.fixture(scope="module")
def command(languages: Path, language: Language) -> tuple[str, ...]:
    return language.build(languages, language.service)


@pytest.fixture
def other() -> Iterator[Other]:
    with Other() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def service(language: Language, folder: Path, command: tuple[str, ...], other: Other) -> Iterator[Service]:
    """A service that calls `other`."""
    url = f"http://127.0.0.1:{other.server_port}/"
    with started(*command, cwd=folder, **{f"{language.calls.upper()}_URL": url}) as service:
        yield service


def measured(service: Service, **labels: str) -> float:
    """How many attempts were measured with these labels."""
    for line in service.get("/metrics")[1].splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith("http_client_request_duration_seconds_count") and all(
            f'{label}="{wanted}"' in name for label, wanted in labels.items()
        ):
            return float(value)
    return 0


def test_it_says_how_those_are_whom_it_calls(service: Service, language: Language, other: Other) -> None:
    status, body = service.get("/dependencies", traceparent=TRACEPARENT)
    assert (status, json.loads(body)) == (200, {language.calls: {"status": "ok", "version": "4.5.6"}})
    ((path, traceparent),) = other.asked
    assert path == "/"
    # Whoever is called is in the same trace.
    assert traceparent.split("-")[1] == TRACE_ID
    labels = {"http_request_method": "GET", "peer_service": language.calls}
    assert measured(service, **labels, http_response_status_code="200") == 1
    assert service.stop()[0] == 0


def test_who_does_not_answer_as_is_needed_is_unavailable(service: Service, language: Language, other: Other) -> None:
    unavailable = (200, {language.calls: {"status": "unavailable"}})
    other.status = 500
    status, body = service.get("/dependencies")
    assert (status, json.loads(body)) == unavailable
    other.status, other.body = 200, {"service": "other"}
    status, body = service.get("/dependencies")
    assert (status, json.loads(body)) == unavailable
    assert len(other.asked) == 2
    assert service.get("/readyz")[0] == 200
    warnings = [line for line in service.stop()[1] if line["level"] == "warning"]
    assert [line["peer"] for line in warnings] == [language.calls] * 2
    assert all(str(line["message"]).startswith(f"{language.calls} cannot be used: ") for line in warnings)


def test_nobody_waits_for_one_that_is_slow(service: Service, language: Language, other: Other) -> None:
    other.delay = 3
    began = time.monotonic()
    status, body = service.get("/dependencies")
    assert (status, json.loads(body)) == (200, {language.calls: {"status": "unavailable"}})
    assert 0.9 < time.monotonic() - began < 2.5
    assert measured(service, peer_service=language.calls, error_type="timeout") == 1


def test_it_starts_and_is_ready_without_them(language: Language, folder: Path, command: tuple[str, ...]) -> None:
    with started(*command, cwd=folder, **{f"{language.calls.upper()}_URL": "http://127.0.0.1:1"}) as service:
        status, body = service.get("/dependencies")
        assert (status, json.loads(body)) == (200, {language.calls: {"status": "unavailable"}})
        assert measured(service, peer_service=language.calls, error_type="connection") == 1
        assert service.get("/readyz")[0] == 200
        assert "/dependencies" in json.loads(service.get("/openapi.json")[1])["paths"]


def test_a_wrong_address_is_refused_at_the_start(language: Language, folder: Path, command: tuple[str, ...]) -> None:
    variable = f"{language.calls.upper()}_URL"
    result = run(*command, cwd=folder, env={variable: "ftp://user:hunter2@host"}, check=False)
    assert result.returncode == 2
    assert result.stderr.splitlines()[1].startswith(f"  {variable}: ")
    assert "hunter2" not in result.stderr


def test_who_calls_nobody_has_none_of_it(languages: Path, language: Language) -> None:
    """The language's service that has stores, and no dependencies."""
    files = run("git", "ls-files", f"services/{language.stores}", cwd=languages).stdout.splitlines()
    texts = [(languages / file).read_text() for file in files if Path(file).suffix in SOURCES]
    assert texts
    assert not any("/dependencies" in text or "peers" in text for text in texts)
