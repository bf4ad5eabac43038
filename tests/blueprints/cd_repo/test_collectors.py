"""The collectors' configurations, as the collector itself reads them, and which traces come through."""

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.blueprints.app_repo.process import free_port
from tests.blueprints.cd_repo.addons import load
from tests.blueprints.cd_repo.collectors import collector, configuration, jaeger, on_this_machine, until
from tests.platform import Platform
from tests.tools import exhaustive_tool, run

pytestmark = pytest.mark.exhaustive

FAILED, SLOW, USUAL = "a" * 32, "b" * 32, "c" * 32


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
