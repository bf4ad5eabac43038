"""Traces: the way of a span from a service through the collectors to Jaeger, and which traces are kept."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import platform as platforms
from tests.blueprints.cd_repo.addons import load, own_objects
from tests.blueprints.cd_repo.support import Object, by_kind
from tests.platform import Platform


def collector(platform: Platform, name: str, cluster: str) -> Object:
    made = own_objects(platform.cd, "opentelemetry-operator", f"values-{cluster}.yaml")
    return by_kind(made)[f"OpenTelemetryCollector/{name}"]


def pipeline(item: Object) -> dict[str, Any]:
    found: dict[str, Any] = item["spec"]["config"]["service"]["pipelines"]["traces"]
    return found


def test_services_send_spans_to_the_agent_of_their_node(example: Platform) -> None:
    said = load(example.cd / "environments/prod/values.yaml")["global"]["tracing"]
    agent = collector(example, "agent", "prod")
    # The operator calls the Service of a collector so.
    assert (said["service"], said["namespace"]) == (f"{agent['metadata']['name']}-collector", "opentelemetry")
    assert agent["metadata"]["namespace"] == said["namespace"]
    assert agent["spec"]["mode"] == "daemonset"
    protocols = agent["spec"]["config"]["receivers"]["otlp"]["protocols"]
    assert protocols["http"]["endpoint"].endswith(f":{said['port']}")


def test_all_spans_of_a_trace_meet_at_one_gateway(example: Platform) -> None:
    sent = collector(example, "agent", "prod")["spec"]["config"]["exporters"]["load_balancing"]
    gateway = collector(example, "gateway", "prod")
    assert sent["routing_key"] == "traceID"
    name = f"{gateway['metadata']['name']}-collector-headless.{gateway['metadata']['namespace']}.svc.cluster.local"
    assert sent["resolver"]["dns"] == {"hostname": name, "port": "4317"}
    assert gateway["spec"]["config"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"].endswith(":4317")
    (exporter,) = pipeline(gateway)["exporters"]
    address = gateway["spec"]["config"]["exporters"][exporter]["endpoint"]
    assert address == "jaeger.jaeger.svc.cluster.local:4317"


@pytest.mark.parametrize(("cluster", "percent"), [("prod", 10), ("staging", 100), ("dev", 100)])
def test_only_where_the_last_environment_is_some_traces_are_left_out(
    cluster: str, percent: int, example: Platform
) -> None:
    gateway = collector(example, "gateway", cluster)
    processors = pipeline(gateway)["processors"]
    assert ("tail_sampling" in processors) == (percent < 100)
    # What can be refused for want of memory comes first, what collects for the way last.
    assert (processors[0], processors[-1]) == ("memory_limiter", "batch")
    if percent < 100:
        sampling = gateway["spec"]["config"]["processors"]["tail_sampling"]
        policies = {policy["type"]: policy[policy["type"]] for policy in sampling["policies"]}
        assert policies["status_code"] == {"status_codes": ["ERROR"]}
        assert policies["probabilistic"] == {"sampling_percentage": percent}
        assert policies["latency"]["threshold_ms"] > 0


def test_what_keeps_traces_outlives_its_pod(example: Platform) -> None:
    values = load(example.cd / "platform/jaeger/values.yaml")["jaeger"]
    (volume,) = values["jaeger"]["extraVolumes"]
    claim = by_kind(own_objects(example.cd, "jaeger"))["PersistentVolumeClaim/jaeger-traces"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    badger = values["userconfig"]["extensions"]["jaeger_storage"]["backends"]["badger"]["badger"]
    (mount,) = values["jaeger"]["extraVolumeMounts"]
    assert not badger["ephemeral"]
    assert all(folder.startswith(f"{mount['mountPath']}/") for folder in badger["directories"].values())


def test_without_traces_no_service_sends_any(tmp_path: Path) -> None:
    spec = platforms.with_features("example", "observability: {traces: false}", tmp_path)
    made = platforms.render_spec(spec, tmp_path / "out")
    for environment in ("dev", "prod"):
        assert not load(made.cd / f"environments/{environment}/values.yaml")["global"]["tracing"]["enabled"]
    text = yaml.safe_dump([load(file) for file in (made.cd / "platform").rglob("values*.yaml")])
    assert not any(word in text for word in ("opentelemetry", "jaeger"))
