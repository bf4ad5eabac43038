"""Alerts, their runbooks, and whom they reach: of services and of all add-ons alike."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import platform as platforms
from tests.blueprints.cd_repo import promql
from tests.blueprints.cd_repo.addons import addons_of, load, own_objects
from tests.blueprints.cd_repo.support import Object, by_kind, with_values
from tests.platform import Platform
from tests.tools import run, system_tool

# What Prometheus sees, and which alerts come and go with it: a file for each add-on that has alerts.
CASES = Path(__file__).parent / "alerts"


def alerts_of(repository: Path, addon: str) -> list[Object]:
    return [rule for rule in promql.rules(own_objects(repository, addon)) if "alert" in rule]


def test_alerts_of_add_ons_say_how_bad_whose_and_what_to_do(example: Platform) -> None:
    for addon in addons_of(example.cd):
        for alert in alerts_of(example.cd, addon):
            assert alert["labels"].keys() == {"severity", "team"}, alert
            assert alert["labels"]["severity"] in {"critical", "warning"}
            assert alert["labels"]["team"] == "platform"
            assert alert["annotations"].keys() == {"summary", "runbook_url"}, alert
            file = alert["annotations"]["runbook_url"].removeprefix("https://github.com/acme/cd-repo/blob/main/")
            assert (example.cd / file).is_file(), f"{alert['alert']} has no runbook {file}"


def test_alerts_of_services_have_runbooks(released_example: Path) -> None:
    jobs = {"tidy": {"schedule": "@daily", "args": ["tidy"]}}
    rule = with_values(released_example, "catalog", "prod", jobs=jobs)["PrometheusRule/catalog"]
    urls = {alert["annotations"]["runbook_url"] for alert in promql.rules([rule]) if "alert" in alert}
    files = {url.removeprefix("https://github.com/acme/cd-repo/blob/main/docs/runbooks/") for url in urls}
    runbooks = {file.name for file in (released_example / "docs/runbooks").glob("*.md")}
    # The rest is for whoever has no alert, and yet something to do.
    assert files <= runbooks
    assert runbooks - files <= {"recover-database.md"}


def test_every_runbook_of_an_add_on_belongs_to_an_alert(example: Platform) -> None:
    for folder in (example.cd / "docs/runbooks").iterdir():
        if folder.is_dir():
            names = {alert["alert"] for alert in alerts_of(example.cd, folder.name)}
            assert {file.stem for file in folder.iterdir()} == names


def test_a_platform_without_teams_has_alerts_of_nobody(minimal: Platform) -> None:
    assert all("team" not in alert["labels"] for alert in alerts_of(minimal.cd, "argocd"))


def test_without_metrics_there_is_neither_alert_nor_runbook(tmp_path: Path) -> None:
    spec = platforms.with_features("minimal", "observability: {metrics: false}", tmp_path)
    made = platforms.render_spec(spec, tmp_path / "out")
    assert not list((made.cd / "docs/runbooks").rglob("*.md"))
    assert not list(made.cd.rglob("alerts*"))


@pytest.mark.parametrize("addon", sorted(path.stem for path in CASES.iterdir()))
def test_every_alert_of_an_add_on_comes_and_goes(addon: str, example: Platform, tmp_path: Path) -> None:
    promtool = system_tool("promtool", package="prometheus")
    groups = [
        group
        for item in own_objects(example.cd, addon)
        if item["kind"] == "PrometheusRule"
        for group in item["spec"]["groups"]
    ]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}))
    shutil.copyfile(CASES / f"{addon}.yaml", tmp_path / "alerts.yaml")
    run(promtool, "check", "rules", "rules.yaml", cwd=tmp_path)
    run(promtool, "test", "rules", "alerts.yaml", cwd=tmp_path)


def test_every_alert_of_an_add_on_has_its_case(example: Platform) -> None:
    for addon in addons_of(example.cd):
        names = {alert["alert"] for alert in alerts_of(example.cd, addon)}
        file = CASES / f"{addon}.yaml"
        checks = [check for case in cases(file) for check in case["alert_rule_test"]] if file.is_file() else []
        assert {check["alertname"] for check in checks if check["exp_alerts"]} == names, "each must fire"
        assert {check["alertname"] for check in checks if not check["exp_alerts"]} == names, "each must resolve"


def cases(file: Path) -> list[Any]:
    found: list[Any] = load(file)["tests"]
    return found


def receivers_of(repository: Path) -> tuple[Object, dict[str, Object]]:
    """Return Alertmanager's route, and its receivers by name."""
    config = load(repository / "platform/kube-prometheus-stack/values.yaml")
    config = config["kube-prometheus-stack"]["alertmanager"]["config"]
    return config["route"], {receiver["name"]: receiver for receiver in config["receivers"]}


def test_without_notifications_alerts_are_kept_and_sent_nowhere(example: Platform) -> None:
    route, receivers = receivers_of(example.cd)
    assert receivers == {"nobody": {"name": "nobody"}, "platform": {"name": "platform"}}
    assert route["receiver"] == "platform"
    assert not by_kind(own_objects(example.cd, "kube-prometheus-stack")).keys() & {
        "ExternalSecret/alertmanager-receivers"
    }


def test_each_team_hears_of_its_alerts(tmp_path: Path) -> None:
    spec = platforms.with_features("example", "notifications: {slack: true, webhook: true}", tmp_path)
    made = platforms.render_spec(spec, tmp_path / "out")
    route, receivers = receivers_of(made.cd)
    by_team = {entry["matchers"][0]: entry["receiver"] for entry in route["routes"]}
    for team in ("payments", "platform"):
        receiver = receivers[by_team[f'team="{team}"']]
        assert receiver["slack_configs"][0]["channel"] == f"#{team}"
        assert receiver["webhook_configs"]
    # What is nobody's goes to the platform's team, and what always fires to nobody.
    assert receivers["platform"]["slack_configs"][0]["channel"] == "#platform"
    assert by_team['alertname=~"Watchdog|InfoInhibitor"'] == "nobody"
    secret = by_kind(own_objects(made.cd, "kube-prometheus-stack"))["ExternalSecret/alertmanager-receivers"]["spec"]
    fetched = {f"/etc/alertmanager/secrets/{secret['target']['name']}/{entry['secretKey']}" for entry in secret["data"]}
    text = (made.cd / "platform/kube-prometheus-stack/values.yaml").read_text()
    assert all(file in text for file in fetched)
    assert len(fetched) == 2


def exemplars(repository: Path) -> tuple[list[str], Object]:
    """Return the features of Prometheus that are switched on, and where Grafana leads to from a measured request."""
    config = load(repository / "platform/kube-prometheus-stack/values.yaml")["kube-prometheus-stack"]
    sidecar = config["grafana"].get("sidecar", {}).get("datasources", {})
    return config["prometheus"]["prometheusSpec"].get("enableFeatures", []), sidecar


def test_grafana_leads_from_how_long_a_request_took_to_its_trace(example: Platform) -> None:
    features, sidecar = exemplars(example.cd)
    assert "exemplar-storage" in features
    (text,) = by_kind(own_objects(example.cd, "jaeger"))["ConfigMap/datasource-jaeger"]["data"].values()
    (jaeger,) = yaml.safe_load(text)["datasources"]
    destination = sidecar["exemplarTraceIdDestinations"]
    assert (destination["datasourceUid"], destination["traceIdLabelName"]) == (jaeger["uid"], "trace_id")


def test_without_traces_nothing_leads_to_any(tmp_path: Path) -> None:
    spec = platforms.with_features("minimal", "observability: {traces: false}", tmp_path)
    assert exemplars(platforms.render_spec(spec, tmp_path / "out").cd) == ([], {})
