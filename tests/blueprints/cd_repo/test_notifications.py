"""Who is told of deployments and failures: channels, the webhook, annotations in Grafana, and nothing by default."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import platform as platforms
from tests.blueprints.cd_repo.addons import load, own_objects
from tests.blueprints.cd_repo.support import Object, by_kind, objects
from tests.platform import Platform
from tests.tools import run, tool

ALL = "notifications: {slack: true, webhook: true}, observability: {grafana: https://grafana.acme.example}"
KEYS = {
    "notifications: {slack: true}": {"slack-token"},
    "notifications: {webhook: true}": {"webhook-url"},
    "observability: {grafana: https://grafana.acme.example}": {"grafana-token"},
    ALL: {"slack-token", "webhook-url", "grafana-token"},
}
# What Argo CD knows of an Application that was deployed, and of one that it has not looked at yet.
DEPLOYED: Object = {
    "metadata": {"name": "orders.prod.eu", "labels": {"service": "orders", "environment": "prod"}},
    "status": {
        "summary": {"images": ["ghcr.io/acme/orders:1.2.3@sha256:00"]},
        "health": {"status": "Healthy"},
        "operationState": {"phase": "Succeeded", "message": 'all "good"', "finishedAt": "2026-11-01T10:00:00Z"},
    },
}
UNSEEN: Object = {"metadata": {"name": "orders.prod.eu", "labels": {}}, "status": {"summary": {}}}


@pytest.fixture(scope="session", params=KEYS, ids=["slack", "webhook", "grafana", "all"])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Platform, set[str]]:
    """A platform with these features, and what it must fetch from Vault."""
    return render(request.param, tmp_path_factory.mktemp("told")), KEYS[request.param]


def render(features: str, folder: Path) -> Platform:
    spec = platforms.with_features("example", f"{{{features}}}", folder)
    spec.write_text(spec.read_text().replace("- name: payments\n", "- name: payments\n  slack: payments-deploys\n"))
    return platforms.render_spec(spec, folder / "out")


def settings(cd: Path) -> Any:
    return load(cd / "platform/argocd/values.yaml")["argo-cd"]["notifications"]


def selects(selector: str, labels: dict[str, str]) -> bool:
    """Tell whether a selector of labels matches, of the forms that are used here."""
    if found := re.fullmatch(r"(\w+) in \(([a-z0-9,-]+)\)", selector):
        return labels.get(found[1]) in found[2].split(",")
    if not selector:
        return True
    for part in selector.split(","):
        name, _, value = part.lstrip("!").partition("=")
        if part.startswith("!") == (name in labels) or (value and labels.get(name) != value):
            return False
    return True


def recipients(cd: Path, trigger: str, **labels: str) -> list[str]:
    return [
        recipient
        for subscription in settings(cd)["subscriptions"]
        if trigger in subscription["triggers"] and selects(subscription.get("selector", ""), labels)
        for recipient in subscription["recipients"]
    ]


def test_nobody_is_told_by_default(platform: Platform) -> None:
    assert settings(platform.cd) == {"enabled": False}
    assert not (platform.cd / "platform/argocd/templates/notifications.yaml").exists()


def test_what_is_read_from_the_secret_is_fetched_from_vault(told: tuple[Platform, set[str]]) -> None:
    made, keys = told
    read = set(re.findall(r"\$([a-z-]+)", yaml.safe_dump(settings(made.cd)["notifiers"])))
    secret = by_kind(own_objects(made.cd, "argocd"))["ExternalSecret/argocd-notifications-secret"]
    fetched = {entry["secretKey"]: entry["remoteRef"] for entry in secret["spec"]["data"]}
    assert read == set(fetched) == keys
    assert fetched == {key: {"key": "argocd/notifications", "property": key} for key in keys}


def test_subscriptions_name_what_is_there(told: tuple[Platform, set[str]]) -> None:
    config = settings(told[0].cd)
    services = {name.removeprefix("service.").removeprefix("webhook.") for name in config["notifiers"]}
    for subscription in config["subscriptions"]:
        assert all(recipient.split(":")[0] in services for recipient in subscription["recipients"])
        assert {f"trigger.{name}" for name in subscription["triggers"]} <= set(config["triggers"])
    for text in config["triggers"].values():
        for condition in yaml.safe_load(text):
            assert {f"template.{name}" for name in condition["send"]} <= set(config["templates"])


def test_a_team_hears_of_its_own_services_in_its_channel(tmp_path: Path) -> None:
    cd = render(ALL, tmp_path).cd
    for trigger in ("on-deployed", "on-degraded", "on-sync-failed"):
        heard = {
            service: recipients(cd, trigger, service=service, environment="prod") for service in ("catalog", "orders")
        }
        assert "slack:payments-deploys" in heard["catalog"]
        assert "slack:platform" not in heard["catalog"]
        assert "slack:platform" in heard["orders"]
        assert all("webhook" in names for names in heard.values())
    # Deployments of services are marked in the graphs of their environment, and nothing else is.
    assert "grafana:deployment|prod" in recipients(cd, "on-deployed", service="orders", environment="prod")
    assert "grafana:deployment|dev" not in recipients(cd, "on-deployed", service="orders", environment="prod")
    assert recipients(cd, "on-deployed", addon="argocd") == ["webhook"]
    assert recipients(cd, "on-degraded", addon="argocd") == ["slack:platform", "webhook"]


def test_messages_are_whole_whatever_argo_cd_knows(tmp_path: Path) -> None:
    config = settings(render(ALL, tmp_path).cd)
    texts = {}
    for name, text in config["templates"].items():
        template = yaml.safe_load(text)
        texts[name] = [template["message"], template["webhook"]["webhook"]["body"]]
    for number, app in enumerate((DEPLOYED, UNSEEN)):
        for name, (message, body) in filled(texts, app, tmp_path / str(number)).items():
            assert message.startswith("orders.prod.eu ")
            assert "https://argocd.acme.example/applications/orders.prod.eu" in message
            posted = json.loads(body)
            assert posted["event"] == name.removeprefix("template.")
            assert posted["application"] == "orders.prod.eu"
            assert posted["message"] == app["status"].get("operationState", {}).get("message")


def filled(texts: dict[str, list[str]], app: Object, folder: Path) -> dict[str, list[str]]:
    """Fill templates with the same Go templates and functions, those of Helm."""
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("{apiVersion: v2, name: fill, version: 1.0.0}")
    values = {"texts": texts, "data": {"app": app, "context": {"argocdUrl": "https://argocd.acme.example"}}}
    (folder / "values.json").write_text(json.dumps(values))
    (folder / "templates/all.yaml").write_text(
        "{{ range $name, $parts := .Values.texts }}\n{{ $name }}:\n{{ range $parts }}"
        '  - {{ tpl . (merge (dict "Template" $.Template) $.Values.data) | quote }}\n{{ end }}{{ end }}'
    )
    (document,) = objects(run(tool("helm"), "template", folder, f"--values={folder / 'values.json'}").stdout)
    return document
