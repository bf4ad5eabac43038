"""A running service as the platform sees it: by the real Prometheus with its rules, and by the real collector."""

import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.blueprints.app_repo.process import Service, free_port, started
from tests.blueprints.cd_repo import collectors, support
from tests.blueprints.cd_repo.support import Object
from tests.platform import Platform, copy_of
from tests.tools import system_tool

pytestmark = pytest.mark.exhaustive

# What people wait minutes for, the test waits seconds for: all durations of the rules by this factor, and nothing else.
FASTER = 60
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
DURATION = re.compile(r"(\d+)([smhd])")

FAILS = '''

@router.get("/fails")
def fails() -> None:
    """Fail, which no route does of itself."""
    raise HTTPException(503)
'''


@pytest.fixture
def fallible(languages: Path, tmp_path: Path) -> Path:
    """The Python service with one more route: it fails."""
    folder = copy_of(languages / "services/orders", tmp_path)
    routes = folder / "app/routes.py"
    routes.write_text(routes.read_text().replace("APIRouter, ", "APIRouter, HTTPException, ") + FAILS)
    return folder


@pytest.fixture
def manifests(rendered: Callable[[str], Platform], tmp_path: Path) -> dict[str, Object]:
    """What runs in production, once it is released."""
    repository = support.release_everything(rendered("languages").cd, tmp_path)
    return support.by_kind(support.rendered(repository, "prod"))


def sooner(duration: re.Match[str]) -> str:
    return f"{int(duration[1]) * SECONDS[duration[2]] * 1000 // FASTER}ms"


def hurried(rule: Object) -> Object:
    """Return a rule with its ranges, and how long it waits, shortened."""
    made = {**rule, "expr": re.sub(r"\[\w+\]", lambda range_: DURATION.sub(sooner, range_[0]), rule["expr"])}
    if "for" in rule:
        made["for"] = DURATION.sub(sooner, rule["for"])
    return made


class Prometheus:
    """A server that is asked over HTTP."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"

    def get(self, path: str, **query: str) -> Any:
        with urllib.request.urlopen(f"{self.address}{path}?{urllib.parse.urlencode(query)}", timeout=10) as answer:  # noqa: S310
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[float]:
        return [float(found["value"][1]) for found in self.get("/api/v1/query", query=expression)["result"]]

    def traces(self, metric: str) -> set[str]:
        """Return the traces that are exemplars of a metric."""
        now = time.time()
        found = self.get("/api/v1/query_exemplars", query=metric, start=str(now - 600), end=str(now))
        return {exemplar["labels"]["trace_id"] for series in found for exemplar in series["exemplars"]}

    def firing(self, severity: str = "critical") -> set[str]:
        return {
            alert["labels"]["alertname"]
            for alert in self.get("/api/v1/alerts")["alerts"]
            if alert["state"] == "firing" and alert["labels"]["severity"] == severity
        }


@pytest.fixture
def features(rendered: Callable[[str], Platform]) -> list[str]:
    """What is switched on in the platform's Prometheus."""
    values = yaml.safe_load((rendered("languages").cd / "platform/kube-prometheus-stack/values.yaml").read_text())
    found: list[str] = values["kube-prometheus-stack"]["prometheus"]["prometheusSpec"]["enableFeatures"]
    return found


@contextmanager
def prometheus(
    service: Service, manifests: dict[str, Object], features: list[str], folder: Path
) -> Iterator[Prometheus]:
    """Run Prometheus with the rules of the service, which it scrapes as the operator would have it do."""
    (endpoint,) = manifests["ServiceMonitor/orders"]["spec"]["endpoints"]
    pod = {"namespace": "acme-prod", "pod": "orders-1"}
    scrape = {
        "job_name": "orders",
        "metrics_path": endpoint["path"],
        "static_configs": [{"targets": [f"127.0.0.1:{service.port}"], "labels": pod}],
    }
    groups = manifests["PrometheusRule/orders"]["spec"]["groups"]
    rules = {"groups": [{**group, "rules": [hurried(rule) for rule in group["rules"]]} for group in groups]}
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [scrape],
    }
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    server = Prometheus(free_port())
    command = [
        system_tool("prometheus", package="prometheus"),
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={server.address.removeprefix('http://')}",
        f"--enable-feature={','.join(features)}",
    ]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            collectors.until(lambda: server.query("up") == [1])
            yield server
        finally:
            process.terminate()
            process.wait(timeout=30)


def called(service: Service, *paths: str, until: Callable[[], bool], seconds: float) -> None:
    """Ask the service again and again until something is true."""
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "it did not happen"
        for path in paths:
            service.get(path)
        time.sleep(0.2)


def test_errors_make_the_alert_fire_and_their_end_makes_it_resolve(
    fallible: Path, languages: Path, manifests: dict[str, Object], features: list[str], tmp_path: Path
) -> None:
    python = str(languages / ".venv/bin/python")
    with (
        started(python, "-m", "app", cwd=fallible, LOG_LEVEL="error") as service,
        prometheus(service, manifests, features, tmp_path) as server,
    ):
        trace = "d4" * 16
        service.get("/items", traceparent=f"00-{trace}-00f067aa0ba902b7-01")
        collectors.until(lambda: server.traces("http_server_request_duration_seconds_bucket") == {trace})

        requests = "job:http_server_request_duration_seconds_count:sum_rate5m"
        called(service, "/items", until=lambda: server.query(f"{requests} > 1") != [], seconds=20)
        assert server.firing() == set()

        called(service, "/items", "/fails", until=lambda: server.firing() == {"HighErrorRate"}, seconds=30)
        (share,) = server.query("job:http_server_request_duration_seconds_count:errors_sum_rate5m / " + requests)
        assert 0.1 < share < 0.9

        called(service, "/items", until=lambda: server.firing() == set(), seconds=60)
        assert server.query(f"{requests} > 1") != []

        service.process.kill()
        collectors.until(lambda: server.firing() == {"ServiceDown"})


def test_a_failed_request_is_a_trace_behind_the_collector(
    fallible: Path, languages: Path, rendered: Callable[[str], Platform], tmp_path: Path
) -> None:
    failed, good = "a1" * 16, "b2" * 16
    with collectors.jaeger() as (address, received):
        entry, metrics = free_port(), free_port()
        config = collectors.configuration(rendered("languages"), "gateway", "prod")
        with (
            collectors.collector(collectors.on_this_machine(config, entry, metrics, address), tmp_path),
            started(
                str(languages / ".venv/bin/python"),
                "-m",
                "app",
                cwd=fallible,
                OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{entry}",
                OTEL_BSP_SCHEDULE_DELAY="200",
            ) as service,
        ):
            assert service.get("/items", traceparent=f"00-{good}-00f067aa0ba902b7-01")[0] == 200
            assert service.get("/fails", traceparent=f"00-{failed}-00f067aa0ba902b7-01")[0] == 503
            collectors.until(lambda: failed in received)
    # In production what went well is kept by chance alone, and there is none here.
    assert set(received) == {failed}
