"""The alerts of a service, evaluated by Prometheus' own rules engine."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.blueprints.cd_repo import promql
from tests.blueprints.cd_repo.support import Object, environments_of, rendered, with_values
from tests.tools import run, system_tool

CASES = Path(__file__).parent / "alerts.yaml"


JOBS = {"tidy": {"schedule": "@daily", "args": ["tidy"]}}


def alerts_of(*items: Object) -> list[Object]:
    return [rule for rule in promql.rules(list(items)) if "alert" in rule]


def windows(alert: Object) -> list[tuple[str, str]]:
    """Return what an alert asks for, without whose it is."""
    return re.findall(r"\[(\w+)\]\)*(?: / .*?\))? > ([\d.]+)", alert["expr"])


def test_every_alert_comes_and_goes(released_example: Path, tmp_path: Path) -> None:
    promtool = system_tool("promtool", package="prometheus")
    rule = with_values(released_example, "catalog", "prod", jobs=JOBS)["PrometheusRule/catalog"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]))
    shutil.copyfile(CASES, tmp_path / "alerts.yaml")
    run(promtool, "test", "rules", "alerts.yaml", cwd=tmp_path)


def test_every_alert_has_its_case(released_example: Path) -> None:
    come: set[tuple[str, str]] = set()
    gone: set[str] = set()
    for case in yaml.safe_load(CASES.read_text())["tests"]:
        for check in case["alert_rule_test"]:
            come |= {(check["alertname"], alert["exp_labels"]["severity"]) for alert in check["exp_alerts"]}
            if not check["exp_alerts"]:
                gone.add(check["alertname"])
    rule = with_values(released_example, "catalog", "prod", jobs=JOBS)["PrometheusRule/catalog"]
    assert come == {(alert["alert"], alert["labels"]["severity"]) for alert in alerts_of(rule)}
    assert gone == {name for name, _ in come}


def test_prometheus_reads_the_rules_of_every_service(released: Path, tmp_path: Path) -> None:
    promtool = system_tool("promtool", package="prometheus")
    rules = [
        item
        for environment in environments_of(released)
        for item in rendered(released, environment["name"])
        if item["kind"] == "PrometheusRule"
    ]
    groups = [group for item in rules for group in item["spec"]["groups"]]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}))
    run(promtool, "check", "rules", tmp_path / "rules.yaml")
    assert all({"severity", "service", "environment"} <= set(alert["labels"]) for alert in alerts_of(*rules))


@pytest.mark.parametrize(
    ("percent", "limits"),
    [
        # Fourteen times, six times, thrice, and once what may fail.
        (0.5, ["7.2", "3", "1.5", "0.5"]),
        # One in ten is always too many.
        (5, ["10", "10", "10", "5"]),
        (20, ["20", "20", "20", "20"]),
    ],
)
def test_the_faster_the_budget_is_spent_the_more_urgent_the_alert(
    percent: float, limits: list[str], released_example: Path
) -> None:
    values: Any = {"objectives": {"errorPercent": percent, "latencyMilliseconds": 250}, "team": ""}
    alerts = alerts_of(with_values(released_example, "catalog", "prod", **values)["PrometheusRule/catalog"])
    urgent, slow, *_ = alerts
    assert [limit for _, limit in windows(urgent) + windows(slow)] == [
        limit for limit in limits for _ in ("long", "short")
    ]
    assert all("team" not in alert["labels"] for alert in alerts)


def test_latency_is_held_to_its_objective(released_example: Path) -> None:
    values: Any = {"objectives": {"latencyMilliseconds": 250}}
    alerts = alerts_of(with_values(released_example, "catalog", "prod", **values)["PrometheusRule/catalog"])
    urgent, slow = (alert["expr"] for alert in alerts if alert["alert"] == "HighLatency")
    assert re.findall(r"quantile\(([\d.]+),", urgent + slow) == ["0.7"] * 4 + ["0.85"] * 2 + ["0.95"] * 2
    assert re.findall(r"> ([\d.]+)", urgent + slow) == ["0.25"] * 8
