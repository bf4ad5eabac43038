"""One behaviour for every language: the same requests, answers, metric names, and log fields, asked over HTTP."""

import gzip
import http.client
import http.server
import json
import re
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.blueprints.app_repo.languages import LANGUAGES, Language
from tests.blueprints.app_repo.process import Service, free_port, started
from tests.blueprints.cd_repo import promql
from tests.tools import run

pytestmark = pytest.mark.slow

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
PROBLEM = "application/problem+json"

Start = Callable[..., AbstractContextManager[Service]]


@dataclass
class Answer:
    """What a service said."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def problem(self) -> dict[str, Any]:
        """The problem details, once they are in order."""
        assert self.headers["content-type"].partition(";")[0] == PROBLEM
        found: dict[str, Any] = self.json
        assert (found["type"], found["status"]) == ("about:blank", self.status)
        assert found["title"]
        assert found["detail"]
        return found


@pytest.fixture(scope="module", params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> Language:
    return LANGUAGES[request.param]


@pytest.fixture(scope="module")
def folder(languages: Path, language: Language) -> Path:
    return languages / "services" / language.service


@pytest.fixture(scope="module")
def command(languages: Path, language: Language) -> tuple[str, ...]:
    return language.build(languages, language.service)


@pytest.fixture(scope="module")
def start(folder: Path, command: tuple[str, ...]) -> Start:
    """Starts the service with more environment variables."""

    def start(**environment: str) -> AbstractContextManager[Service]:
        return started(*command, cwd=folder, **environment)

    return start


@pytest.fixture(scope="module")
def service(start: Start) -> Iterator[Service]:
    """A service that the tests share: it has been asked before."""
    with start(SERVICE_VERSION="1.2.3", SERVICE_REVISION="abc", LOG_LEVEL="error") as service:
        yield service


@pytest.fixture
def fresh(start: Start) -> Iterator[Service]:
    """A service that nobody has asked for anything yet, for a test that counts, reads the log, or ends it."""
    with start(SERVICE_VERSION="1.2.3", SERVICE_REVISION="abc") as service:
        yield service


def ask(service: Service, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    """Send a request; a body that is not bytes, nor an iterator of them, is sent as JSON."""
    if body is not None and not isinstance(body, bytes) and not isinstance(body, Iterator):
        body = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **headers}
    with closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)) as connection:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


def create(service: Service, name: str = "lamp") -> dict[str, Any]:
    answer = ask(service, "POST", "/items", {"name": name})
    assert answer.status == 201, answer
    item: dict[str, Any] = answer.json
    return item


def samples(service: Service, name: str, **labels: str) -> list[float]:
    """The values of one metric with at least these labels."""
    found = []
    for line in ask(service, "GET", "/metrics").body.decode().splitlines():
        match = re.fullmatch(rf"{name}(?:{{(.*)}})? (\S+)", line)
        if match and all(f'{label}="{value}"' in (match[1] or "") for label, value in labels.items()):
            found.append(float(match[2]))
    return found


def body_of(request: http.server.BaseHTTPRequestHandler) -> bytes:
    """What was sent to a server of ours, in one piece or in chunks."""
    if (length := request.headers["Content-Length"]) is not None:
        return request.rfile.read(int(length))
    body = b""
    while size := int(request.rfile.readline(), 16):
        body += request.rfile.read(size)
        request.rfile.readline()
    request.rfile.readline()
    return body


def access(lines: list[dict[str, object]]) -> list[dict[str, object]]:
    return [line for line in lines if "duration_ms" in line]


def test_it_says_who_it_is(service: Service, language: Language) -> None:
    about = ask(service, "GET", "/").json
    assert (about["service"], about["version"]) == (language.service, "1.2.3")
    assert about["description"]
    assert about.keys() == {"service", "version", "description"}


def test_it_is_alive_and_ready(service: Service) -> None:
    for path in ("/healthz", "/readyz"):
        answer = ask(service, "GET", path)
        assert (answer.status, answer.json) == (200, {"status": "ok", "failed": []})


def test_an_item_is_kept_until_it_is_deleted(service: Service) -> None:
    answer = ask(service, "POST", "/items", {"name": " lamp ", "quantity": 3})
    item = answer.json
    assert answer.status == 201
    assert answer.headers["location"] == f"/items/{item['id']}"
    assert item.keys() == {"id", "name", "quantity", "created_at"}
    assert (item["name"], item["quantity"], str(uuid.UUID(item["id"]))) == ("lamp", 3, item["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)", item["created_at"])
    path = f"/items/{item['id']}"
    assert ask(service, "GET", path).json == item
    gone = ask(service, "DELETE", path)
    assert (gone.status, gone.body) == (204, b"")
    assert ask(service, "GET", path).problem["status"] == 404
    assert ask(service, "DELETE", path).problem["status"] == 404


def test_quantity_has_a_default_and_names_any_letters(service: Service) -> None:
    assert create(service, "Lämpchen 💡")["quantity"] == 0
    assert create(service, "x" * 100)["name"] == "x" * 100


def test_pages_hold_every_item_once_oldest_first(fresh: Service) -> None:
    ids = [create(fresh, f"lamp {number}")["id"] for number in range(5)]
    first = ask(fresh, "GET", "/items?limit=3").json
    ask(fresh, "DELETE", f"/items/{ids[2]}")
    second = ask(fresh, "GET", f"/items?limit=3&after={first['next']}").json
    assert [item["id"] for item in first["items"] + second["items"]] == ids
    assert second["next"] is None
    assert len(ask(fresh, "GET", "/items").json["items"]) == 4


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/name"),
        ({"name": " "}, "#/name"),
        ({"name": "x" * 101}, "#/name"),
        ({"name": 7}, "#/name"),
        ({"name": None}, "#/name"),
        ({"name": "lamp", "quantity": -1}, "#/quantity"),
        ({"name": "lamp", "quantity": 1_000_001}, "#/quantity"),
        ({"name": "lamp", "quantity": "3"}, "#/quantity"),
        ({"name": "lamp", "quantity": 1.5}, "#/quantity"),
        ({"name": "lamp", "quantity": None}, "#/quantity"),
        ({"name": "lamp", "colour": "red"}, "#/colour"),
    ],
)
def test_a_body_that_does_not_validate_says_where(service: Service, body: object, pointer: str) -> None:
    problem = ask(service, "POST", "/items", body).problem
    assert problem["status"] == 422
    assert [fault["pointer"] for fault in problem["errors"]] == [pointer]
    assert all(fault["detail"] for fault in problem["errors"])


def test_all_faults_of_a_body_are_told_at_once(service: Service) -> None:
    problem = ask(service, "POST", "/items", {"name": "", "quantity": -1}).problem
    assert sorted(fault["pointer"] for fault in problem["errors"]) == ["#/name", "#/quantity"]


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("/items?limit=0", "limit"),
        ("/items?limit=101", "limit"),
        ("/items?limit=many", "limit"),
        ("/items?after=-1", "after"),
        ("/items/one", "item_id"),
    ],
)
def test_a_parameter_that_does_not_validate_is_named(service: Service, path: str, parameter: str) -> None:
    problem = ask(service, "GET", path).problem
    assert (problem["status"], [fault["parameter"] for fault in problem["errors"]]) == (422, [parameter])


@pytest.mark.parametrize("body", [b"{", b"", b'{"name": "lamp"} {}'])
def test_what_is_not_json_is_refused(service: Service, body: bytes) -> None:
    answer = ask(service, "POST", "/items", body, **{"Content-Type": "application/json"})
    assert answer.problem["status"] in (400, 422)


@pytest.mark.parametrize("body", [[], "lamp", 7])
def test_json_that_is_no_object_is_refused(service: Service, body: object) -> None:
    assert ask(service, "POST", "/items", body).problem["status"] in (400, 422)


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml"])
def test_what_does_not_call_itself_json_is_refused(service: Service, media_type: str) -> None:
    answer = ask(service, "POST", "/items", b'{"name": "lamp"}', **{"Content-Type": media_type})
    assert answer.problem["status"] == 415


def test_json_may_name_its_encoding(service: Service) -> None:
    answer = ask(service, "POST", "/items", b'{"name": "lamp"}', **{"Content-Type": "application/json; charset=utf-8"})
    assert answer.status == 201


@pytest.mark.parametrize("path", ["/nothing", "/items/", "/item", "/openapi.yaml"])
def test_a_path_that_is_not_there(service: Service, path: str) -> None:
    assert ask(service, "GET", path).problem["status"] == 404


@pytest.mark.parametrize(("method", "path"), [("PUT", "/items"), ("PATCH", "/items/1"), ("POST", "/")])
def test_a_method_that_is_not_there(service: Service, method: str, path: str) -> None:
    answer = ask(service, method, path)
    assert answer.problem["status"] == 405
    assert "GET" in answer.headers["allow"]


def test_a_method_that_nobody_knows_is_refused(service: Service) -> None:
    assert ask(service, "BREW", "/items").problem["status"] in (405, 501)


def test_a_large_body_is_refused(start: Start) -> None:
    body = b'{"name": "' + b"x" * 2000 + b'"}'
    json_type = {"Content-Type": "application/json"}
    with start(MAX_BODY_BYTES="1000") as service:
        assert ask(service, "POST", "/items", body, **json_type).problem["status"] == 413
        # In chunks, without a length beforehand.
        assert ask(service, "POST", "/items", iter([body[:900], body[900:]]), **json_type).problem["status"] == 413
        assert ask(service, "POST", "/items", b'{"name": "lamp"}', **json_type).status == 201


def test_openapi_describes_what_is_there(service: Service, language: Language) -> None:
    document = ask(service, "GET", "/openapi.json").json
    assert document["info"]["title"] == language.service
    routes = {(method, path) for path, item in document["paths"].items() for method in item}
    assert {("get", "/"), ("get", "/items"), ("post", "/items"), ("get", "/items/{item_id}")} <= routes
    assert ("delete", "/items/{item_id}") in routes
    assert "/metrics" not in document["paths"]


def test_requests_are_measured_by_route(fresh: Service) -> None:
    item = create(fresh)
    ask(fresh, "GET", f"/items/{item['id']}")
    ask(fresh, "GET", f"/items/{uuid.uuid4()}")
    name = "http_server_request_duration_seconds"
    route = {"http_request_method": "GET", "http_route": "/items/{item_id}"}
    assert samples(fresh, f"{name}_count", **route, http_response_status_code="200") == [1]
    assert samples(fresh, f"{name}_count", **route, http_response_status_code="404") == [1]
    assert samples(fresh, f"{name}_bucket", **route, http_response_status_code="200", le="0.25")
    assert samples(fresh, f"{name}_sum", **route, http_response_status_code="200")
    assert samples(fresh, "http_server_active_requests", http_request_method="GET") == [0]
    assert samples(fresh, "service_build_info", version="1.2.3", revision="abc") == [1]
    assert samples(fresh, "process_resident_memory_bytes")[0] > 1_000_000


def test_it_exposes_what_dashboards_and_alerts_ask_for(service: Service) -> None:
    ask(service, "GET", "/items")
    text = ask(service, "GET", "/metrics").body.decode()
    exposed = {re.split(r"[ {]", line)[0] for line in text.splitlines() if not line.startswith("#")}
    assert set(promql.of_skeletons()) <= exposed


OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


def test_a_trace_that_is_kept_is_an_exemplar_of_how_long_requests_take(fresh: Service) -> None:
    ask(fresh, "GET", "/items", traceparent=TRACEPARENT)
    ask(fresh, "GET", "/", traceparent=f"00-{'c3' * 16}-00f067aa0ba902b7-00")
    exposed = ask(fresh, "GET", "/metrics", Accept=OPEN_METRICS)
    assert exposed.headers["content-type"].startswith("application/openmetrics-text")
    text = exposed.body.decode()
    assert text.endswith("# EOF\n")
    (line,) = [line for line in text.splitlines() if " # {" in line]
    assert line.startswith("http_server_request_duration_seconds_bucket{")
    assert 'http_route="/items"' in line
    exemplar = re.fullmatch(r'.* # {trace_id="(\w+)"} (\S+) (\S+)', line)
    assert exemplar
    assert exemplar[1] == TRACE_ID
    assert float(exemplar[2]) < 10
    assert abs(float(exemplar[3]) - time.time()) < 60


def test_who_does_not_ask_for_exemplars_gets_none(fresh: Service) -> None:
    ask(fresh, "GET", "/items", traceparent=TRACEPARENT)
    plain = ask(fresh, "GET", "/metrics")
    assert plain.headers["content-type"].startswith("text/plain")
    text = plain.body.decode()
    assert " # {" not in text
    assert "# EOF" not in text
    counters = re.findall(r"^# TYPE (\S+) counter$", text, re.MULTILINE)
    assert counters
    assert all(name.endswith(("_total", "_created")) for name in counters)


def test_no_caller_can_make_labels(service: Service) -> None:
    ask(service, "GET", "/nothing/of/the/kind")
    ask(service, "BREW", "/items")
    ask(service, "GET", "/healthz")
    text = ask(service, "GET", "/metrics").body.decode()
    assert "of/the/kind" not in text
    assert "BREW" not in text
    assert "healthz" not in text


def test_a_request_is_one_line_of_json(fresh: Service, language: Language) -> None:
    ask(fresh, "GET", "/items?token=secret", traceparent=TRACEPARENT)
    ask(fresh, "GET", "/nothing%0Amuch")
    ask(fresh, "GET", "/healthz")
    code, lines = fresh.stop()
    assert code == 0
    for line in lines:
        assert {"time", "level", "service", "version", "message"} <= line.keys()
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|\+00:00)", str(line["time"]))
        assert line["level"] in ("info", "warning", "error")
    first, second = access(lines)
    names = ("level", "service", "version", "message", "method", "path", "status", "trace_id")
    assert [first[name] for name in names] == [
        "info",
        language.service,
        "1.2.3",
        "GET /items",
        "GET",
        "/items",
        200,
        TRACE_ID,
    ]
    assert re.fullmatch("[0-9a-f]{16}", str(first["span_id"]))
    assert isinstance(first["duration_ms"], float | int)
    assert first["client"] == "127.0.0.1"
    assert second["status"] == 404
    assert "trace_id" not in second
    assert "secret" not in json.dumps(lines)


def test_probes_are_logged_for_debugging_alone(start: Start) -> None:
    with start(LOG_LEVEL="debug") as service:
        ask(service, "GET", "/healthz")
        _, lines = service.stop()
    assert {(line["level"], line["path"]) for line in access(lines)} >= {("debug", "/healthz"), ("debug", "/readyz")}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "http"),
        ("PORT", "65536"),
        ("PORT", "0"),
        ("LOG_LEVEL", "loud"),
        ("SHUTDOWN_SECONDS", "0"),
        ("MAX_BODY_BYTES", "none"),
    ],
)
def test_a_wrong_setting_is_refused_at_the_start(
    folder: Path, command: tuple[str, ...], variable: str, value: str
) -> None:
    result = run(*command, cwd=folder, env={variable: value}, check=False)
    assert result.returncode == 2
    first, *faults = result.stderr.splitlines()
    assert first == "Cannot start, the configuration is wrong:"
    assert [fault.partition(":")[0] for fault in faults] == [f"  {variable}"]


def test_all_wrong_settings_are_named_at_once_and_none_is_shown(folder: Path, command: tuple[str, ...]) -> None:
    env = {"PORT": "hunter2", "LOG_LEVEL": "hunter2"}
    result = run(*command, cwd=folder, env=env, check=False)
    assert "PORT:" in result.stderr
    assert "LOG_LEVEL:" in result.stderr
    assert "hunter2" not in result.stderr + result.stdout


def test_a_setting_may_lie_in_a_file(start: Start, tmp_path: Path) -> None:
    (tmp_path / "version").write_text("4.5.6\n")
    with start(SERVICE_VERSION_FILE=str(tmp_path / "version")) as service:
        assert ask(service, "GET", "/").json["version"] == "4.5.6"


def test_a_taken_port_ends_the_process(folder: Path, command: tuple[str, ...]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        env = {"HOST": "127.0.0.1", "PORT": str(taken.getsockname()[1])}
        result = run(*command, cwd=folder, env=env, check=False)
    assert result.returncode not in (0, -signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load_fails_no_request(start: Start, number: signal.Signals) -> None:
    statuses: list[int] = []
    broken: list[Exception] = []

    def load(service: Service) -> None:
        while True:
            try:
                statuses.append(ask(service, "POST", "/items", {"name": "lamp"}).status)
            except ConnectionRefusedError:
                return  # The door is closed: nobody was let in and sent away.
            except (OSError, http.client.HTTPException) as error:
                # A connection that the kernel took on, and the service never saw, is reset when the door closes:
                # before what it was sent, or between its head and its body.
                if not isinstance(error, (ConnectionResetError, BrokenPipeError)):
                    broken.append(error)
                return

    with start(LOG_LEVEL="error") as service:
        clients = [threading.Thread(target=load, args=(service,)) for _ in range(4)]
        for client in clients:
            client.start()
        time.sleep(0.5)
        service.process.send_signal(number)
        assert service.process.wait(timeout=10) == 0
        for client in clients:
            client.join()
    assert not broken
    assert len(statuses) > 20
    assert set(statuses) == {201}


def test_an_idle_connection_does_not_hold_up_the_end(fresh: Service) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", fresh.port)) as connection:
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        fresh.process.send_signal(signal.SIGTERM)
        try:
            assert fresh.process.wait(timeout=5) == 0
        except subprocess.TimeoutExpired:
            pytest.fail("an idle connection kept the service alive")


def test_spans_go_to_the_collector_that_is_named(start: Start) -> None:
    paths: list[str] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = body_of(self)
            if bytes.fromhex(TRACE_ID) in (gzip.decompress(body) if self.headers["Content-Encoding"] else body):
                paths.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector) as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        with start(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.server_port}") as service:
            ask(service, "GET", "/items", traceparent=TRACEPARENT)
            _, lines = service.stop()
        collector.shutdown()
    assert paths == ["/v1/traces"]
    (line,) = [line for line in access(lines) if line["path"] == "/items"]
    assert line["trace_id"] == TRACE_ID
    # A span of its own, below the caller's.
    assert line["span_id"] != TRACEPARENT.split("-")[2]


def test_a_collector_that_is_away_breaks_nothing(start: Start) -> None:
    with start(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}", LOG_LEVEL="error") as service:
        assert ask(service, "GET", "/items", traceparent=TRACEPARENT).status == 200
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(timeout=10) == 0
