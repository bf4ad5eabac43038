"""Logs: what takes them to Loki, which labels they have there, where they are kept, and for how long."""

import re
from pathlib import Path

import pytest
import yaml

from generator.addons import ADDONS
from tests import platform as platforms
from tests.blueprints.cd_repo.addons import load, own_objects
from tests.blueprints.cd_repo.support import Object, by_kind
from tests.platform import Platform

LABELS = {"namespace", "service_name", "container", "level"}


def test_labels_are_few_and_none_of_them_has_many_values(example: Platform) -> None:
    config = (example.cd / "platform/alloy/config.alloy").read_text()
    (kept,) = re.findall(r"stage.label_keep \{\s+values = \[(.*?)\]", config)
    assert set(re.findall(r'"(\w+)"', kept)) == LABELS
    # A level is one of four words, whatever a line says.
    assert '"^(?P<level>debug|info|warning|error)$"' in config
    (metadata,) = re.findall(r"stage.structured_metadata \{\s+values = \{(.*?)\}", config, re.DOTALL)
    assert set(re.findall(r"(\w+)\s+= ", metadata)) == {"trace_id", "span_id", "version", "pod"}
    limits = load(example.cd / "platform/loki/values.yaml")["loki"]["loki"]["limits_config"]
    # Those, and the cluster; Loki itself adds none.
    assert len(LABELS) + 1 <= limits["max_label_names_per_series"] <= 8
    assert limits["discover_service_name"] == []


def test_the_agent_gets_its_configuration_and_brings_logs_to_where_loki_is(example: Platform) -> None:
    made = by_kind(own_objects(example.cd, "alloy"))
    config = made["ConfigMap/alloy-config"]["data"]["config.alloy"]
    assert config == (example.cd / "platform/alloy/config.alloy").read_text()
    values = load(example.cd / "platform/alloy/values.yaml")["alloy"]["alloy"]
    assert values["configMap"] == {"create": False, "name": "alloy-config", "key": "config.alloy"}
    (url,) = re.findall(r'url = "(.*?)"', config)
    assert url == "http://loki.loki.svc.cluster.local:3100/loki/api/v1/push"
    allowed = made_of_loki(example)["spec"]["ingress"][0]["from"][0]["namespaceSelector"]["matchExpressions"][0]
    assert {"alloy", "grafana", "monitoring"} == set(allowed["values"])


def made_of_loki(platform: Platform) -> Object:
    return by_kind(own_objects(platform.cd, "loki"))["NetworkPolicy/loki"]


def test_the_agent_reaches_into_nodes_and_no_further_than_it_must(example: Platform) -> None:
    # Besides it, only what makes services fail on purpose.
    assert {addon.name for addon in ADDONS if addon.pod_security == "privileged"} == {"alloy", "chaos-mesh"}
    security = load(example.cd / "platform/alloy/values.yaml")["alloy"]["alloy"]["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["readOnlyRootFilesystem"]


def test_logs_are_kept_longest_where_the_last_environment_is(example: Platform) -> None:
    def hours(cluster: str) -> int:
        values = load(example.cd / f"platform/loki/values-{cluster}.yaml")["loki"]
        return int(values["loki"]["limits_config"]["retention_period"].removesuffix("h"))

    assert hours("prod") > hours("staging") == hours("dev")
    assert load(example.cd / "platform/loki/values.yaml")["loki"]["loki"]["compactor"]["retention_enabled"]


@pytest.mark.parametrize(
    ("bucket", "kind", "name"),
    [
        ("s3://acme-logs", "s3", "acme-logs"),
        ("gs://acme-logs", "gcs", "acme-logs"),
        ("https://acme.blob.core.windows.net/logs", "azure", "logs"),
    ],
)
def test_a_bucket_takes_the_place_of_the_volume(bucket: str, kind: str, name: str, tmp_path: Path) -> None:
    storage = f'observability: {{logStorage: {{bucket: "{bucket}", region: eu-west-1, identity: {{a/b: c}}}}}}'
    made = platforms.render_spec(platforms.with_features("example", storage, tmp_path), tmp_path / "out")
    values = load(made.cd / "platform/loki/values.yaml")["loki"]
    assert values["loki"]["storage"]["type"] == values["loki"]["compactor"]["delete_request_store"] == kind
    assert values["loki"]["schemaConfig"]["configs"][0]["object_store"] == kind
    assert values["serviceAccount"]["annotations"] == {"a/b": "c"}
    # One cluster must not delete what another keeps.
    for cluster in ("dev", "staging", "prod"):
        here = load(made.cd / f"platform/loki/values-{cluster}.yaml")["loki"]
        assert set(here["loki"]["storage"]["bucketNames"].values()) == {f"{name}-{cluster}"}
    assert here["singleBinary"]["replicas"] == here["loki"]["commonConfig"]["replication_factor"] == 3


def data_source(platform: Platform, addon: str) -> Object:
    (text,) = by_kind(own_objects(platform.cd, addon))[f"ConfigMap/datasource-{addon}"]["data"].values()
    (source,) = yaml.safe_load(text)["datasources"]
    found: Object = source
    return found


def test_grafana_leads_from_a_line_to_its_trace_and_back(example: Platform) -> None:
    logs, traces = data_source(example, "loki"), data_source(example, "jaeger")
    (field,) = logs["jsonData"]["derivedFields"]
    # The agent keeps the trace's id beside the line; Grafana takes it from there as from a label.
    assert (field["datasourceUid"], field["matcherType"], field["matcherRegex"]) == (traces["uid"], "label", "trace_id")
    back = traces["jsonData"]["tracesToLogsV2"]
    assert back["datasourceUid"] == logs["uid"]
    assert {tag["value"] for tag in back["tags"]} <= LABELS
    # Grafana would take a single `$` for a variable of its environment.
    assert not re.search(r"(?<!\$)\$\{", field["url"] + back["query"])
    for addon in ("loki", "jaeger"):
        config = by_kind(own_objects(example.cd, addon))[f"ConfigMap/datasource-{addon}"]["metadata"]
        assert config["namespace"] == "grafana"
        assert config["labels"] == {"grafana_datasource": "1"}


@pytest.mark.parametrize(
    ("features", "left"),
    [
        ("observability: {grafana: false}", {}),
        ("observability: {traces: false}", {"loki": "derivedFields"}),
        ("observability: {logs: false}", {"jaeger": "tracesToLogsV2"}),
    ],
)
def test_grafana_has_no_data_source_and_no_link_of_what_is_off(
    features: str, left: dict[str, str], tmp_path: Path
) -> None:
    made = platforms.render_spec(platforms.with_features("example", features, tmp_path), tmp_path / "out")
    sources = {path.parent.parent.name for path in (made.cd / "platform").glob("*/templates/datasource.yaml")}
    assert sources & {"loki", "jaeger"} == set(left)
    for addon, link in left.items():
        assert link not in data_source(made, addon)["jsonData"]
