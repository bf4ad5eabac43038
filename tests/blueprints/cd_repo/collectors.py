"""The real collector with a generated configuration, on this machine, and what stands behind it."""

import http.server
import json
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.blueprints.app_repo.process import free_port
from tests.blueprints.cd_repo.addons import own_objects
from tests.blueprints.cd_repo.support import Object, by_kind
from tests.platform import Platform
from tests.tools import exhaustive_tool


def configuration(platform: Platform, name: str, cluster: str) -> Object:
    made = own_objects(platform.cd, "opentelemetry-operator", f"values-{cluster}.yaml")
    found: Object = by_kind(made)[f"OpenTelemetryCollector/{name}"]["spec"]["config"]
    return found


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


def until(happens: Callable[[], bool], seconds: float = 30) -> None:
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
