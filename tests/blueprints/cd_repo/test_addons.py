"""What runs in clusters beside the services: which add-ons, in which order, from which charts."""

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from generator.addons import ADDONS, wanted
from generator.spec import load_spec
from tests import platform as platforms
from tests.blueprints.cd_repo.addons import HUB, addons_of, applications_of, folder_of, load, own_objects
from tests.blueprints.cd_repo.support import by_kind
from tests.platform import Platform
from tests.tools import ROOT

BLUEPRINT = ROOT / "blueprints/cd-repo/platform"


def test_each_add_on_is_a_folder_and_a_line() -> None:
    folders = {re.sub(r"\[%.*?%\]", "", path.name) for path in BLUEPRINT.iterdir()}
    assert folders - {"addons"} == {addon.name for addon in ADDONS if addon.folder is None}


def test_add_ons_stand_in_the_order_of_their_waves() -> None:
    assert all(before.wave <= after.wave for before, after in pairwise(ADDONS))
    shared = {addon.namespace: addon.pod_security for addon in ADDONS}
    assert all(shared[addon.namespace] == addon.pod_security for addon in ADDONS), "one namespace, two standards"


def test_every_chart_of_others_is_pinned(platform: Platform) -> None:
    for addon in addons_of(platform.cd):
        chart = load(folder_of(platform.cd, addon) / "Chart.yaml")
        assert chart["name"] == addon
        for dependency in chart.get("dependencies", []):
            assert re.fullmatch(r"v?\d+\.\d+\.\d+", dependency["version"]), f"{addon}: not one version"
            assert dependency["repository"].startswith(("https://", "oci://"))


def test_values_go_to_the_chart_that_is_pinned_or_to_own_templates(platform: Platform) -> None:
    for addon in addons_of(platform.cd):
        folder = folder_of(platform.cd, addon)
        charts = {dependency["name"] for dependency in load(folder / "Chart.yaml").get("dependencies", [])}
        own = "".join(path.read_text() for path in (folder / "templates").rglob("*.*"))
        for file in folder.glob("values*.yaml"):
            for key in load(file):
                assert key in charts or f".Values.{key}" in own, f"{addon}: nothing reads {key}"


@pytest.mark.parametrize(
    ("features", "gone"),
    [
        ("gateway: false", "envoy-gateway"),
        ("certManager: {enabled: false}", "cert-manager chaos-mesh"),
        ("chaos: false", "chaos-mesh"),
        ("externalSecrets: false", "external-secrets"),
        ("policies: false", "kyverno policies"),
        ("rollouts: false", "argo-rollouts"),
        (
            "observability: {metrics: false}",
            "prometheus-operator-crds kube-prometheus-stack chaos-mesh delivery-exporter",
        ),
        ("observability: {delivery: false}", "delivery-exporter"),
        ("observability: {logs: false}", "loki alloy"),
        ("observability: {grafana: false}", "grafana"),
        ("observability: {grafana: 'https://grafana.acme.example'}", "grafana"),
        ("observability: {traces: false}", "jaeger opentelemetry-operator"),
        ("scaling: {verticalPodAutoscaler: false}", "vertical-pod-autoscaler"),
        ("postgresOperator: false", "cloudnative-pg plugin-barman-cloud"),
        ("backup: {destination: null}", "plugin-barman-cloud velero"),
        ("backup: {clusters: false}", "velero"),
    ],
)
def test_a_switch_leaves_nothing_of_an_add_on(features: str, gone: str, tmp_path: Path) -> None:
    before = {addon.name for addon in wanted(load_spec(platforms.spec_of("example")))}
    spec = platforms.with_features("example", features, tmp_path)
    made = platforms.render_spec(spec, tmp_path / "out")
    kept = before - set(gone.split())
    assert len(kept) < len(before)
    assert set(applications_of(made.cd)) == kept
    elsewhere = {addon.name for addon in ADDONS if addon.folder}
    assert {path.name for path in (made.cd / "platform").iterdir()} - {"addons"} == kept - elsewhere
    for addon in kept:
        text = yaml.safe_dump(load(folder_of(made.cd, addon) / "values.yaml"))
        assert ("servicemonitor" in text.lower()) == ("kube-prometheus-stack" in kept and addon in MONITORED)


MONITORED = {"alloy", "argo-rollouts", "argocd", "cert-manager", "external-secrets", "loki"}
MONITORED |= {"grafana", "kube-prometheus-stack", "kyverno", "opentelemetry-operator", "velero"}


def test_the_operator_of_databases_is_there_where_a_service_has_one(example: Platform, minimal: Platform) -> None:
    assert applications_of(example.cd)["cloudnative-pg"]["spec"]["destination"]["namespace"] == "cnpg-system"
    values = load(example.cd / "environments/prod/values.yaml")["global"]
    assert values["postgres"]["operatorNamespace"] == "cnpg-system"
    assert not {"cloudnative-pg", "plugin-barman-cloud"} & set(applications_of(minimal.cd))
    assert not (minimal.cd / "platform/cloudnative-pg").exists()


@pytest.mark.parametrize("features", ["backup: {destination: null}", "postgresOperator: false"])
def test_the_plugin_for_backups_is_there_with_the_operator_and_a_destination(
    features: str, example: Platform, tmp_path: Path
) -> None:
    plugin, operator = (applications_of(example.cd)[name] for name in ("plugin-barman-cloud", "cloudnative-pg"))
    # The operator finds plugins in its own namespace only.
    assert plugin["spec"]["destination"] == operator["spec"]["destination"]
    spec = platforms.with_features("example", features, tmp_path)
    assert "plugin-barman-cloud" not in {addon.name for addon in wanted(load_spec(spec))}


def test_waves_order_the_applications_of_a_cluster(platform: Platform) -> None:
    waves = {
        addon: int(application["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"])
        for addon, application in applications_of(platform.cd).items()
    }
    assert waves == {addon.name: addon.wave for addon in wanted(load_spec(platforms.spec_of(platform.name)))}
    # Without a health of their own, Applications would count as healthy at once, and waves would order nothing.
    config = load(platform.cd / "platform/argocd/values.yaml")["argo-cd"]["configs"]["cm"]
    assert "obj.status.health.status" in config["resource.customizations.health.argoproj.io_Application"]


def test_each_cluster_gets_the_add_ons_and_only_one_gets_argo_cd(example: Platform) -> None:
    here, there = HUB, {**HUB, "name": "EU_1", "normalized": "eu-1", "label": "prod", "hub": "false"}
    # Nor does the last environment have experiments.
    assert set(applications_of(example.cd, **here)) - set(applications_of(example.cd, **there)) == {
        "argocd",
        "chaos-mesh",
        "delivery-exporter",
    }
    application = applications_of(example.cd, **there)["external-secrets"]
    assert application["metadata"]["name"] == "external-secrets.addons.eu-1"
    assert application["spec"]["destination"] == {"name": "EU_1", "namespace": "external-secrets"}
    helm = application["spec"]["source"]["helm"]
    assert helm["valueFiles"] == ["values.yaml", "values-prod.yaml", "custom/values.yaml", "custom/prod.yaml"]
    hosts = ["grafana.acme.example", "orders.acme.example"]
    assert helm["valuesObject"]["cluster"] == {"name": "EU_1", "label": "prod", "region": "none", "hosts": hosts}


def test_the_folder_of_an_application_is_there(platform: Platform) -> None:
    for addon, application in applications_of(platform.cd).items():
        assert platform.cd / application["spec"]["source"]["path"] == folder_of(platform.cd, addon)
        assert (folder_of(platform.cd, addon) / "Chart.yaml").is_file(), addon
        assert application["spec"]["source"]["helm"]["releaseName"] == addon


def test_namespaces_of_add_ons_say_which_pods_they_take(platform: Platform) -> None:
    for application in applications_of(platform.cd).values():
        policy = application["spec"]["syncPolicy"]
        assert "CreateNamespace=true" in policy["syncOptions"]
        labels = policy["managedNamespaceMetadata"]["labels"]
        modes = {labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")}
        assert modes <= {"privileged", "baseline", "restricted"}
        assert len(modes) == 1


def test_the_gateway_is_the_one_that_services_name(rendered: Callable[[str], Platform]) -> None:
    cd = rendered("example").cd
    values = load(cd / "environments/dev/values.yaml")["global"]["gateway"]
    made = by_kind(own_objects(cd, "envoy-gateway"))
    gateway = made[f"Gateway/{values['name']}"]
    assert gateway["metadata"]["namespace"] == values["namespace"]
    https, http = (
        next(one for one in gateway["spec"]["listeners"] if one["name"] == name) for name in ("https", "http")
    )
    assert values["listener"] == https["name"]
    # The namespaces of the environments, and of the add-ons, may attach routes.
    selector = https["allowedRoutes"]["namespaces"]["selector"]["matchLabels"]
    namespace = load_all(cd / "environments/dev/namespace.yaml")[0]
    assert selector.items() <= namespace["metadata"]["labels"].items()
    argocd = applications_of(cd)["argocd"]["spec"]["syncPolicy"]["managedNamespaceMetadata"]["labels"]
    assert selector.items() <= argocd.items()
    # Without encryption there is only the way to where there is some.
    assert http["allowedRoutes"]["namespaces"] == {"from": "Same"}
    assert made["HTTPRoute/to-https"]["spec"]["rules"][0]["filters"][0]["requestRedirect"]["scheme"] == "https"


def test_each_host_of_a_cluster_has_a_certificate_that_the_gateway_shows(example: Platform, minimal: Platform) -> None:
    hosts = applications_of(example.cd)["cert-manager"]["spec"]["source"]["helm"]["valuesObject"]["cluster"]["hosts"]
    assert hosts == ["argocd.acme.example", "grafana.dev.acme.example", "orders.dev.acme.example"]
    made = by_kind(own_objects(example.cd, "cert-manager"))
    assert {name for name in made if name.startswith("Certificate/")} == {f"Certificate/{host}" for host in hosts}
    gateway = by_kind(own_objects(example.cd, "envoy-gateway"))["Gateway/acme"]
    listeners = {listener["name"]: listener for listener in gateway["spec"]["listeners"]}
    shown = {reference["name"] for reference in listeners["https"]["tls"]["certificateRefs"]}
    assert shown == {made[f"Certificate/{host}"]["spec"]["secretName"] for host in hosts}
    for host in hosts:
        certificate = made[f"Certificate/{host}"]
        assert certificate["metadata"]["namespace"] == gateway["metadata"]["namespace"]
        assert certificate["spec"]["dnsNames"] == [host]
        assert f"ClusterIssuer/{certificate['spec']['issuerRef']['name']}" in made
    # Let's Encrypt asks where there is no encryption yet.
    (solver,) = made["ClusterIssuer/letsencrypt"]["spec"]["acme"]["solvers"]
    (parent,) = solver["http01"]["gatewayHTTPRoute"]["parentRefs"]
    assert (parent["name"], parent["namespace"]) == ("acme", gateway["metadata"]["namespace"])
    assert listeners[parent["sectionName"]]["protocol"] == "HTTP"
    # Without a domain and routes there is nothing to certify, and nothing to answer over HTTPS.
    kinds = {item["kind"] for item in own_objects(minimal.cd, "cert-manager")}
    assert kinds == {"ClusterIssuer", "PrometheusRule"}
    (only,) = by_kind(own_objects(minimal.cd, "envoy-gateway"))["Gateway/acme"]["spec"]["listeners"]
    assert only["name"] == "http"


@pytest.mark.parametrize(
    ("issuer", "made_here"),
    [
        ("letsencrypt", {"ClusterIssuer/letsencrypt"}),
        ("self-signed", {"ClusterIssuer/certificate-authority", "ClusterIssuer/self-signed"}),
        ("company", set()),
    ],
)
def test_certificates_come_from_the_issuer_of_the_spec(issuer: str, made_here: set[str], tmp_path: Path) -> None:
    spec = platforms.with_features(
        "example", f"certManager: {{issuer: {issuer}, email: platform@acme.example}}", tmp_path
    )
    made = by_kind(own_objects(platforms.render_spec(spec, tmp_path / "out").cd, "cert-manager"))
    assert {name for name in made if name.startswith("ClusterIssuer/")} == made_here
    assert made["Certificate/argocd.acme.example"]["spec"]["issuerRef"]["name"] == issuer
    if issuer == "letsencrypt":
        assert made["ClusterIssuer/letsencrypt"]["spec"]["acme"]["email"] == "platform@acme.example"


def test_without_cert_manager_the_certificate_is_the_owners(tmp_path: Path) -> None:
    spec = platforms.with_features("example", "certManager: {enabled: false}", tmp_path)
    cd = platforms.render_spec(spec, tmp_path / "out").cd
    gateway = by_kind(own_objects(cd, "envoy-gateway"))["Gateway/acme"]
    https = next(listener for listener in gateway["spec"]["listeners"] if listener["name"] == "https")
    assert [reference["name"] for reference in https["tls"]["certificateRefs"]] == ["gateway-tls"]
    assert "hosts" not in load(cd / "platform/addons/values.yaml")
    assert "hosts" not in applications_of(cd)["envoy-gateway"]["spec"]["source"]["helm"]["valuesObject"]["cluster"]


def load_all(file: Path) -> list[dict[str, dict[str, dict[str, str]]]]:
    return list(yaml.safe_load_all(file.read_text()))


def test_argo_cd_is_reached_through_the_gateway(example: Platform, minimal: Platform) -> None:
    made = by_kind(own_objects(example.cd, "argocd"))
    assert made["HTTPRoute/argocd"]["spec"]["hostnames"] == ["argocd.acme.example"]
    config = load(example.cd / "platform/argocd/values.yaml")["argo-cd"]
    assert config["global"]["domain"] == "argocd.acme.example"
    # A platform without a domain has no address for it, and nobody can come back there from GitHub.
    assert {item["kind"] for item in own_objects(minimal.cd, "argocd")} == {"PrometheusRule", "ConfigMap"}
    assert load(minimal.cd / "platform/argocd/values.yaml")["argo-cd"]["dex"] == {"enabled": False}


def test_people_come_from_the_organizations_of_the_teams(hostile: Platform) -> None:
    config = load(hostile.cd / "platform/argocd/values.yaml")["argo-cd"]["configs"]["cm"]
    (connector,) = yaml.safe_load(config["dex.config"])["connectors"]
    assert connector["config"]["orgs"] == [{"name": "Acme-42"}]
    secret = by_kind(own_objects(hostile.cd, "argocd"))["ExternalSecret/argocd-sso"]["spec"]
    assert secret["target"]["template"]["metadata"]["labels"] == {"app.kubernetes.io/part-of": "argocd"}
    keys = {entry["secretKey"] for entry in secret["data"]}
    read = re.findall(r"\$argocd-sso:(\w+)", config["dex.config"])
    assert set(read) == keys


# The API groups that an environment's project admits are not what is installed, and programs serve every platform.
SAID_FOR_ALL = {"argocd", "library", "scripts", "README.md", ".copier-answers.yml", ".git", ".github"}


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("features", "words"),
    [
        ("observability: {traces: false}", ("jaeger", "otelcol", "opentelemetry-operator")),
        ("observability: {logs: false}", ("loki", "alloy")),
        ("observability: {metrics: false}", ("kube-prometheus-stack", "serviceMonitor:", "PrometheusRule")),
        ("observability: {grafana: false}", ("grafana_datasource", "grafana_dashboard")),
        ("policies: false", ("kyverno",)),
        ("chaos: false", ("chaos-mesh",)),
    ],
)
def test_no_dashboard_alert_policy_or_data_source_speaks_of_what_is_off(
    features: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    made = platforms.render_spec(platforms.with_features("minimal", features, tmp_path), tmp_path / "out")
    for file in (path for top in made.cd.iterdir() if top.name not in SAID_FOR_ALL for path in (top, *top.rglob("*"))):
        if file.is_file():
            text = file.read_text()
            assert [word for word in words if word in text] == [], file.relative_to(made.cd)
