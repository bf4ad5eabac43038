"""The alerts of a service, evaluated by Prometheus' own rules engine."""

import shutil
from pathlib import Path
from typing import Any

import yaml

from tests.blueprints.cd_repo.support import Object, environments_of, rendered, with_values
from tests.tools import run, system_tool

CASES = Path(__file__).parent / "alerts.yaml"


def rules_of(rule: Object) -> list[Object]:
    (group,) = rule["spec"]["groups"]
    rules: list[Object] = group["rules"]
    return rules


def test_every_alert_comes_and_goes(released_example: Path, tmp_path: Path) -> None:
    promtool = system_tool("promtool", package="prometheus")
    jobs = {"tidy": {"schedule": "@daily", "args": ["tidy"]}}
    rule = with_values(released_example, "catalog", "prod", jobs=jobs)["PrometheusRule/catalog"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]))
    shutil.copyfile(CASES, tmp_path / "alerts.yaml")
    run(promtool, "test", "rules", "alerts.yaml", cwd=tmp_path)


def test_every_alert_has_its_case() -> None:
    tested: dict[str, set[bool]] = {}
    for case in yaml.safe_load(CASES.read_text())["tests"]:
        for check in case["alert_rule_test"]:
            tested.setdefault(check["alertname"], set()).add(bool(check["exp_alerts"]))
    assert tested == {name: {True, False} for name in tested}
    assert set(tested) == {"HighErrorRate", "HighLatency", "ServiceDown", "PodDown", "PodCrashLooping", "JobFailed"}


def test_prometheus_reads_the_rules_of_every_service(released: Path, tmp_path: Path) -> None:
    promtool = system_tool("promtool", package="prometheus")
    groups = [
        group
        for environment in environments_of(released)
        for item in rendered(released, environment["name"])
        if item["kind"] == "PrometheusRule"
        for group in item["spec"]["groups"]
    ]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}))
    run(promtool, "check", "rules", tmp_path / "rules.yaml")
    assert all({"severity", "service", "environment"} <= set(rule["labels"]) for g in groups for rule in g["rules"])


def test_alerts_follow_the_objectives(released_example: Path) -> None:
    values: Any = {"objectives": {"errorPercent": 0.5, "latencyMilliseconds": 250}, "team": ""}
    rules = rules_of(with_values(released_example, "catalog", "prod", **values)["PrometheusRule/catalog"])
    assert [rule["expr"].rpartition(" > ")[2] for rule in rules[:2]] == ["0.5", "0.25"]
    assert all("team" not in rule["labels"] for rule in rules)
