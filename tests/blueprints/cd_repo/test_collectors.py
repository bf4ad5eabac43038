"""The collectors' configurations, as the collector itself reads them, and which traces come through."""

import http.server
import json
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.blueprints.cd_repo.addons import load, own_objects
from tests.blueprints.cd_repo.support import Object, by_kind
from tests.platform import Platform
from tests.tools import exhaustive_tool, run

pytestmark = pytest.mark.exhaustive

FAILED, SLOW, USUAL = "a" * 32, "b" * 32, "c" * 32


def configuration(platform: Platform, name: str, cluster: str) -> Object:
    made = own_objects(platform.cd, "opentelemetry-operator", f"values-{cluster}.yaml")
    found: Object = by_kind(made)[f"OpenTelemetryCollector/{name}"]["spec"]["config"]
    return found


@pytest.mark.parametrize("cluster", ["dev", "prod"])
@pytest.mark.parametrize("name", ["agent", "gateway"])
def test_the_collector_takes_its_configuration(name: str, cluster: str, example: Platform, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(configuration(example, name, cluster)))
    result = run(exhaustive_tool("bin/otelcol"), "validate", "--config", file, env={"NODE_NAME": "here"})
    assert "deprecated" not in result.stderr


def test_a_gateway_keeps_what_failed_and_what_was_slow(example: Platform, tmp_path: Path) -> None:
    with jaeger() as (address, received):
        entry, metrics = free_port(), free_port()
        config = on_this_machine(configuration(example, "gateway", "prod"), entry, metrics, address)
        with collector(config, tmp_path):
            send(entry, span(FAILED, status=2), span(SLOW, seconds=5), span(USUAL))
            until(lambda: len(received) > 1)
            exposed = urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics").read().decode()
    assert set(received) == {FAILED, SLOW}
    rules = load(example.cd / "platform/opentelemetry-operator/alerts/collectors.yaml")["groups"][0]["rules"]
    assert "otelcol_receiver_refused_spans_total{" in exposed
    assert any("otelcol_receiver_refused_spans_total[" in rule["expr"] for rule in rules)


def test_the_collector_counts_what_it_could_not_pass_on(example: Platform, tmp_path: Path) -> None:
    entry, metrics = free_port(), free_port()
    config = on_this_machine(configuration(example, "gateway", "prod"), entry, metrics, f"127.0.0.1:{free_port()}")
    config["exporters"]["otlp_http"]["retry_on_failure"] = {"enabled": False}

    def lost() -> bool:
        exposed = urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics").read().decode()
        return "otelcol_exporter_send_failed_spans_total{" in exposed

    with collector(config, tmp_path):
        send(entry, span(FAILED, status=2))
        until(lost)


def on_this_machine(config: Object, entry: int, metrics: int, jaeger_address: str) -> Object:
    """Return a gateway's configuration with ports of this machine, quick, and with no trace kept by chance."""
    config["receivers"]["otlp"]["protocols"] = {"http": {"endpoint": f"127.0.0.1:{entry}"}}
    config["processors"]["tail_sampling"]["decision_wait"] = "1s"
    for policy in config["processors"]["tail_sampling"]["policies"]:
        if policy["type"] == "probabilistic":
            policy["probabilistic"]["sampling_percentage"] = 0
    config["exporters"] = {
        "otlp_http": {"endpoint": f"http://{jaeger_address}", "encoding": "json", "compression": "none"}
    }
    config["service"]["pipelines"]["traces"]["exporters"] = ["otlp_http"]
    config["extensions"]["health_check"]["endpoint"] = f"127.0.0.1:{free_port()}"
    (reader,) = config["service"]["telemetry"]["metrics"]["readers"]
    reader["pull"]["exporter"]["prometheus"] |= {"host": "127.0.0.1", "port": metrics}
    return config


@contextmanager
def collector(config: Object, folder: Path) -> Iterator[None]:
    """Run the collector until the test is through with it."""
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    health = f"http://{config['extensions']['health_check']['endpoint']}"
    with (folder / "log").open("w") as log:
        command = [str(exhaustive_tool("bin/otelcol")), "--config", str(folder / "config.yaml")]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            until(lambda: urllib.request.urlopen(health).status == 200)
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)


@contextmanager
def jaeger() -> Iterator[tuple[str, list[str]]]:
    """Take spans in Jaeger's place; yield the address, and the traces that came."""
    received: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            for resource in body["resourceSpans"]:
                for scope in resource["scopeSpans"]:
                    received.extend(item["traceId"] for item in scope["spans"])
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()


def span(trace: str, *, status: int = 0, seconds: int = 0) -> dict[str, Any]:
    now = time.time_ns()
    return {
        "traceId": trace,
        "spanId": trace[:16],
        "name": "GET /items",
        "kind": 2,
        "startTimeUnixNano": str(now - seconds * 10**9 - 10**6),
        "endTimeUnixNano": str(now),
        "status": {"code": status},
    }


def send(port: int, *spans: dict[str, Any]) -> None:
    body = {"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": spans}]}]}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/traces", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request).close()  # noqa: S310 (an address of this machine)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def until(happens: Any, seconds: float = 30) -> None:
    """Wait until something is true; not being there yet counts as not true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if happens():
                return
        except OSError:
            pass
        time.sleep(0.2)
    pytest.fail("it did not happen", pytrace=False)
