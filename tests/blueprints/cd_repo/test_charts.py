"""A service's chart: each kind on and off, and what a person is told when values make no sense."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest
import yaml

from tests.blueprints.cd_repo.support import (
    PATH,
    Object,
    by_kind,
    environments_of,
    helm_template,
    helm_tests,
    pod_of,
    refusal,
    rendered,
    script,
    services_of,
    with_values,
)
from tests.platform import Platform, answers_of
from tests.tools import run, system_tool, tool

DIGEST = "sha256:" + "0" * 64
ROUTE = {"host": "catalog.acme.example", "path": "/v1"}
SECRETS = [{"name": "TOKEN", "path": "catalog/api", "property": "token"}]
# Named after a hash of LOG_LEVEL: debug.
SETTINGS = "catalog-28289bc788"
REDIS = {"Deployment/catalog-redis", "Service/catalog-redis", "NetworkPolicy/catalog-redis"}
POSTGRES = {"Cluster/catalog-postgres", "PodMonitor/catalog-postgres", "NetworkPolicy/catalog-postgres"}
BACKED_UP = {"ObjectStore/catalog-postgres", "ScheduledBackup/catalog-postgres"}
AMOUNTS = {"cpu": "1", "memory": "1Gi"}
POSTGRES_VALUES = {"instances": 2, "storage": "1Gi", "resources": {"requests": AMOUNTS, "limits": AMOUNTS}}
NO_BACKUP = {"backup": {"destination": ""}}
BACKUP = {"backup": {"destination": "gs://acme-backups"}}
MONITORING = {"enabled": False, "namespace": "monitoring"}


def test_every_chart_is_valid_before_the_first_release(example: Platform) -> None:
    result = script(example.cd, "validate")
    places = (len(services_of(example.cd)) + 1) * len(environments_of(example.cd))
    assert result.stdout == f"{places + 5} checks, 0 failed\n"


def test_every_chart_is_valid_with_real_releases(released: Path) -> None:
    script(released, "validate")


def test_a_broken_chart_fails_the_validation(cd: Path) -> None:
    (cd / "services/orders/templates/all.yaml").write_text('{{ include "base.everything" . }}\n')
    result = script(cd, "validate", check=False)
    assert result.returncode == 1
    assert "failed: orders in dev" in result.stderr
    assert "found symbolic link" not in result.stderr


def test_values_are_those_of_the_spec(platform: Platform) -> None:
    answers = answers_of(platform.name, "cd-repo")
    for service in answers["services"]:
        folder = platform.cd / "services" / service["name"]
        values = yaml.safe_load((folder / "values.yaml").read_text())
        for key, value in {"rollout": "rolling", **answers["defaults"], **service["values"]}.items():
            expected = merged(answers["defaults"].get(key), value)
            assert values[key] == expected, f"{service['name']}: {key}"
        overrides = {path.name for path in folder.glob("values-*.yaml")}
        assert overrides == {f"values-{override['name']}.yaml" for override in service["environments"]}
        for override in service["environments"]:
            assert yaml.safe_load((folder / f"values-{override['name']}.yaml").read_text()) == override["values"]


def merged(below: Any, above: Any) -> Any:
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return below | {key: merged(below.get(key), value) for key, value in above.items()}


def test_the_umbrella_equals_its_parts(released: Path) -> None:
    for environment in environments_of(released):
        parts = by_kind(rendered(released, environment["name"]))
        whole = by_kind(rendered(released, environment["name"], "--umbrella"))
        assert whole == parts
        assert len(parts) >= 6 * len(services_of(released))


def test_the_umbrella_is_a_chart_for_plain_helm(released_example: Path) -> None:
    umbrella = released_example / "umbrella-chart"
    listed = run(tool("helm"), "dependency", "list", umbrella).stdout.strip().split("\n")[1:]
    assert [line.split()[0] for line in listed] == services_of(released_example)
    assert all(line.split()[-1] == "unpacked" for line in listed)


def test_objects_are_named_after_the_service_and_say_their_namespace(released: Path) -> None:
    for environment in environments_of(released):
        for item in rendered(released, environment["name"]):
            metadata = item["metadata"]
            service = metadata["labels"]["app.kubernetes.io/instance"]
            assert service in services_of(released)
            assert metadata["name"] == service or metadata["name"].startswith(f"{service}-")
            assert metadata["namespace"] == environment["namespace"]
            assert len(metadata["name"]) <= 63


def test_the_image_is_named_by_tag_and_digest(released: Path) -> None:
    registry = json.loads(script(released, "registry", "--json").stdout)
    for environment in environments_of(released):
        for item in rendered(released, environment["name"]):
            if item["kind"] in {"Deployment", "Rollout"} and item["metadata"]["name"] in registry:
                service = item["metadata"]["name"]
                entry = registry[service][environment["name"]]
                (container,) = pod_of(item)["containers"]
                assert container["image"].endswith(f"/{service}:{entry['version']}@{entry['digest']}")


def test_the_values_of_an_environment_go_over_those_of_the_service(released_example: Path) -> None:
    def minimum(environment: str) -> int:
        objects = by_kind(rendered(released_example, environment, "--service=orders"))
        return int(objects["HorizontalPodAutoscaler/orders"]["spec"]["minReplicas"])

    assert (minimum("dev"), minimum("prod")) == (2, 4)


# ── one kind after the other, on and off ──


def test_a_plain_service_has_exactly_these_objects(released_example: Path) -> None:
    names = with_values(released_example, "catalog", "dev", callers=[])
    assert set(names) == {
        "Deployment/catalog",
        "HorizontalPodAutoscaler/catalog",
        "NetworkPolicy/catalog",
        "PodDisruptionBudget/catalog",
        "PrometheusRule/catalog",
        "Service/catalog",
        "ServiceAccount/catalog",
        "ServiceMonitor/catalog",
        "VerticalPodAutoscaler/catalog",
    }


@pytest.mark.parametrize(
    ("values", "added", "gone"),
    [
        ({"route": ROUTE}, {"HTTPRoute/catalog"}, set()),
        ({"secrets": SECRETS}, {"ExternalSecret/catalog"}, set()),
        ({"config": {"LOG_LEVEL": "debug"}}, {f"ConfigMap/{SETTINGS}"}, set()),
        ({"redis": {"memory": "64Mi"}}, REDIS, set()),
        ({"postgres": POSTGRES_VALUES, "global": NO_BACKUP}, POSTGRES, set()),
        ({"postgres": POSTGRES_VALUES, "global": BACKUP}, POSTGRES | BACKED_UP, set()),
        ({"jobs": {"tidy": {"schedule": "@daily", "args": ["tidy"]}}}, {"CronJob/catalog-tidy"}, set()),
        ({"rollout": "canary"}, {"Rollout/catalog", "AnalysisTemplate/catalog"}, {"Deployment/catalog"}),
        (
            {"rollout": "blueGreen"},
            {
                "Rollout/catalog",
                "Service/catalog-preview",
                "AnalysisTemplate/catalog",
                "AnalysisTemplate/catalog-preview",
            },
            {"Deployment/catalog"},
        ),
        ({"autoscaling": {"min": 3, "max": 3}}, set(), {"HorizontalPodAutoscaler/catalog"}),
        ({"global": {"monitoring": MONITORING}}, set(), {"ServiceMonitor/catalog", "PrometheusRule/catalog"}),
        ({"global": {"verticalPodAutoscaler": False}}, set(), {"VerticalPodAutoscaler/catalog"}),
    ],
    ids=[
        "route",
        "secrets",
        "config",
        "redis",
        "postgres",
        "backup",
        "jobs",
        "canary",
        "blueGreen",
        "fixed size",
        "no monitoring",
        "no recommendations",
    ],
)
def test_a_value_switches_kinds(released_example: Path, values: Any, added: set[str], gone: set[str]) -> None:
    plain = set(with_values(released_example, "catalog", "dev"))
    assert set(with_values(released_example, "catalog", "dev", **values)) == (plain | added) - gone


def test_the_autoscaler_rules_the_number_of_pods_alone(released_example: Path) -> None:
    objects = with_values(released_example, "catalog", "dev")
    assert "replicas" not in objects["Deployment/catalog"]["spec"]
    scaler = objects["HorizontalPodAutoscaler/catalog"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 10)
    assert scaler["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 70}


def test_a_fixed_size_is_said_by_the_workload(released_example: Path) -> None:
    objects = with_values(released_example, "catalog", "dev", autoscaling={"min": 3, "max": 3})
    assert objects["Deployment/catalog"]["spec"]["replicas"] == 3


@pytest.mark.parametrize("rollout", ["canary", "blueGreen"])
def test_the_autoscaler_follows_the_rollout(released_example: Path, rollout: str) -> None:
    objects = with_values(released_example, "catalog", "dev", rollout=rollout)
    target = objects["HorizontalPodAutoscaler/catalog"]["spec"]["scaleTargetRef"]
    workload = objects["Rollout/catalog"]
    assert target == {"apiVersion": workload["apiVersion"], "kind": "Rollout", "name": "catalog"}


def test_blue_green_names_the_services_that_exist(released_example: Path) -> None:
    objects = with_values(released_example, "catalog", "dev", rollout="blueGreen")
    strategy = objects["Rollout/catalog"]["spec"]["strategy"]["blueGreen"]
    assert f"Service/{strategy['activeService']}" in objects
    assert f"Service/{strategy['previewService']}" in objects
    # Both Services lead to the same pods most of the time, and Prometheus must not count them twice.
    preview = objects["Service/catalog-preview"]["metadata"]["labels"]
    (rule,) = objects["ServiceMonitor/catalog"]["spec"]["selector"]["matchExpressions"]
    assert rule["operator"] == "NotIn"
    assert preview[rule["key"]] in rule["values"]


def test_a_deployment_and_a_rollout_run_the_same_pod(released_example: Path) -> None:
    deployment = with_values(released_example, "orders", "prod", rollout="rolling")["Deployment/orders"]
    rollout = with_values(released_example, "orders", "prod", rollout="canary")["Rollout/orders"]
    assert deployment["spec"]["template"] == rollout["spec"]["template"]


def test_pods_prefer_spot_nodes_where_the_environment_says_so(released_example: Path) -> None:
    dev = pod_of(with_values(released_example, "catalog", "dev")["Deployment/catalog"])
    prod = pod_of(with_values(released_example, "catalog", "prod")["Deployment/catalog"])
    assert {toleration["effect"] for toleration in dev["tolerations"]} == {"NoSchedule"}
    assert list(dev["affinity"]["nodeAffinity"]) == ["preferredDuringSchedulingIgnoredDuringExecution"]
    assert "tolerations" not in prod
    assert "affinity" not in prod


def test_variables_and_secrets_reach_the_container(released_example: Path) -> None:
    dependency = {"name": "price-list", "port": 9000}
    objects = with_values(
        released_example, "catalog", "dev", config={"LOG_LEVEL": "debug"}, secrets=SECRETS, dependsOn=[dependency]
    )
    (container,) = pod_of(objects["Deployment/catalog"])["containers"]
    secret = objects["ExternalSecret/catalog"]["spec"]
    (settings,) = (item for item in objects.values() if item["kind"] == "ConfigMap")
    assert container["envFrom"] == [{"configMapRef": {"name": settings["metadata"]["name"]}}]
    assert settings["data"] == {"LOG_LEVEL": "debug"}
    assert container["env"] == [
        {"name": "PORT", "value": "8080"},
        {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://agent-collector.opentelemetry:4318"},
        {"name": "PRICE_LIST_URL", "value": "http://price-list:9000"},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": secret["target"]["name"], "key": "TOKEN"}}},
    ]
    assert secret["secretStoreRef"] == {"kind": "ClusterSecretStore", "name": "vault"}
    assert [(item["secretKey"], item["remoteRef"]["key"]) for item in secret["data"]] == [("TOKEN", "catalog/api")]


def test_other_settings_replace_the_pods(released_example: Path) -> None:
    def template(**config: str) -> Object:
        pod: Object = with_values(released_example, "catalog", "dev", config=config)["Deployment/catalog"]["spec"]
        return pod

    assert template(LOG_LEVEL="debug") == template(LOG_LEVEL="debug")
    assert template(LOG_LEVEL="debug") != template(LOG_LEVEL="info")


def test_a_job_runs_the_image_of_the_service_and_answers_no_requests(released_example: Path) -> None:
    job = {"schedule": "30 3 * * *", "command": ["python", "-m", "catalog.cleanup"], "retries": 0}
    objects = with_values(
        released_example, "catalog", "dev", jobs={"cleanup": job}, config={"LOG_LEVEL": "debug"}, secrets=SECRETS
    )
    spec = objects["CronJob/catalog-cleanup"]["spec"]
    template = spec["jobTemplate"]["spec"]["template"]
    (served,) = pod_of(objects["Deployment/catalog"])["containers"]
    (container,) = template["spec"]["containers"]
    assert {key: container[key] for key in ("image", "env", "envFrom", "resources", "securityContext")} == {
        key: served[key] for key in ("image", "env", "envFrom", "resources", "securityContext")
    }
    assert container["command"] == job["command"]
    assert (spec["timeZone"], spec["concurrencyPolicy"], spec["jobTemplate"]["spec"]["backoffLimit"]) == (
        "UTC",
        "Forbid",
        0,
    )
    # Neither the Service nor the budget takes its pods for the service's, but the network lets them out like those.
    labels = template["metadata"]["labels"].items()
    for kind in ("Service", "PodDisruptionBudget"):
        selector = objects[f"{kind}/catalog"]["spec"]["selector"]
        assert not selector.get("matchLabels", selector).items() <= labels
    assert objects["NetworkPolicy/catalog"]["spec"]["podSelector"]["matchLabels"].items() <= labels


def test_pull_secrets_reach_the_pod(released_example: Path) -> None:
    objects = with_values(released_example, "catalog", "dev", **{"global": {"imagePullSecrets": ["ghcr"]}})
    assert pod_of(objects["Deployment/catalog"])["imagePullSecrets"] == [{"name": "ghcr"}]


def test_a_pod_has_time_to_stop(released_example: Path) -> None:
    pod = pod_of(with_values(released_example, "catalog", "dev")["Deployment/catalog"])
    (container,) = pod["containers"]
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    # platformkit of app-repo takes up to 20 seconds to finish open requests.
    assert pod["terminationGracePeriodSeconds"] > pause + 20


def test_probes_ask_what_services_answer(released_example: Path) -> None:
    (container,) = pod_of(with_values(released_example, "catalog", "dev")["Deployment/catalog"])["containers"]
    paths = {
        probe: container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert paths == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}


# ── who talks to whom ──


def peers(rules: list[Object], side: str) -> list[str]:
    """Return the peers of network rules: a service's name, or `namespace/<name>`."""
    found = []
    for rule in rules:
        (peer,) = rule[side]
        if "namespaceSelector" in peer:
            found.append(f"namespace/{peer['namespaceSelector']['matchLabels']['kubernetes.io/metadata.name']}")
        else:
            labels = peer["podSelector"]["matchLabels"]
            found.append(labels.get("cnpg.io/cluster") or labels["app.kubernetes.io/name"])
    return found


def test_only_the_edges_of_the_spec_are_open(platform: Platform, released: Path) -> None:
    answers = answers_of(platform.name, "cd-repo")
    environment = environments_of(released)[0]["name"]
    policies = {
        item["metadata"]["name"]: item["spec"]
        for item in rendered(released, environment)
        if item["kind"] == "NetworkPolicy"
    }
    for service in answers["services"]:
        spec = policies[service["name"]]
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        dependencies = service["values"].get("dependsOn", [])
        outside = ["namespace/monitoring"]
        # Who asks a version that waits whether it answers.
        rollout = service["values"].get("rollout", answers["defaults"]["rollout"])
        outside += ["namespace/argo-rollouts"] if rollout == "blueGreen" else []
        outside += ["namespace/envoy-gateway-system"] if service["values"].get("route") else []
        assert peers(spec["ingress"], "from") == [*outside, *service["callers"]]
        stores: list[tuple[str, Any]] = (
            [(f"{service['name']}-redis", "redis")] if service["values"].get("redis") else []
        )
        stores += [(f"{service['name']}-postgres", 5432)] if service["values"].get("postgres") else []
        edges: list[tuple[str, Any]] = [(item["name"], item["port"]) for item in dependencies]
        edges += stores
        # The collectors of spans.
        edges += [("namespace/opentelemetry", 4318)] if answers["features"]["traces"] else []
        assert peers(spec["egress"], "to") == ["namespace/kube-system", *(name for name, _ in edges)]
        assert [rule["ports"][0]["port"] for rule in spec["egress"][1:]] == [port for _, port in edges]


def test_a_service_that_nobody_calls_lets_nobody_in(released_example: Path) -> None:
    values: dict[str, Any] = {"callers": [], "global": {"monitoring": MONITORING}}
    policy = with_values(released_example, "catalog", "dev", **values)["NetworkPolicy/catalog"]["spec"]
    assert "ingress" not in policy
    assert "Ingress" in policy["policyTypes"]


def test_a_service_may_be_let_out(released_example: Path) -> None:
    rule = {"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "ports": [{"port": 443, "protocol": "TCP"}]}
    policy = with_values(released_example, "catalog", "dev", egress=[rule])["NetworkPolicy/catalog"]["spec"]
    assert policy["egress"][-1] == rule


def test_a_store_lets_in_its_service_alone(released_example: Path) -> None:
    objects = with_values(released_example, "catalog", "dev", redis={"memory": "64Mi"}, postgres=POSTGRES_VALUES)
    service = objects["NetworkPolicy/catalog"]["spec"]
    cache = objects["NetworkPolicy/catalog-redis"]["spec"]
    database = objects["NetworkPolicy/catalog-postgres"]["spec"]
    assert peers(cache["ingress"], "from") == ["catalog"]
    assert "egress" not in cache
    assert "Egress" in cache["policyTypes"]
    assert [rule["from"][0] for rule in database["ingress"]] == [
        {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "catalog"}}},
        {"podSelector": {"matchLabels": {"cnpg.io/cluster": "catalog-postgres"}}},
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "cnpg-system"}}},
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}},
    ]
    here = [rule["to"][0] for rule in service["egress"] if "namespaceSelector" not in rule["to"][0]]
    called = [peer["podSelector"] for peer in here]
    assert called == [cache["podSelector"], database["podSelector"]]
    pods = objects["Deployment/catalog-redis"]["spec"]["template"]["metadata"]["labels"].items()
    assert not objects["Service/catalog"]["spec"]["selector"].items() <= pods
    assert objects["Service/catalog-redis"]["spec"]["selector"].items() <= pods


def test_a_cache_holds_less_than_its_memory(released_example: Path) -> None:
    for memory, held in (("64Mi", 50331648), ("1Gi", 805306368), ("100M", 75000000), (4000, 3000)):
        objects = with_values(released_example, "catalog", "dev", redis={"memory": memory})
        (container,) = pod_of(objects["Deployment/catalog-redis"])["containers"]
        assert container["args"][container["args"].index("--maxmemory") + 1] == str(held)


@pytest.mark.parametrize(
    ("destination", "path", "credentials"),
    [
        ("s3://acme/a/", "s3://acme/a/prod", {"s3Credentials": {"inheritFromIAMRole": True}}),
        ("gs://acme", "gs://acme/prod", {"googleCredentials": {"gkeEnvironment": True}}),
        (
            "https://acme.blob.core.windows.net/a",
            "https://acme.blob.core.windows.net/a/prod",
            {"azureCredentials": {"inheritFromAzureAD": True}},
        ),
    ],
)
def test_backups_are_written_with_the_identity_of_the_pod(
    released_example: Path, destination: str, path: str, credentials: Object
) -> None:
    values: Any = {"postgres": POSTGRES_VALUES, "global": {"backup": {"destination": destination}}}
    store = with_values(released_example, "catalog", "prod", **values)["ObjectStore/catalog-postgres"]["spec"]
    configuration = store["configuration"]
    assert configuration["destinationPath"] == path
    assert {key: value for key, value in configuration.items() if "Credentials" in key} == credentials


def test_no_change_in_git_deletes_data(released_example: Path) -> None:
    values: Any = {"postgres": POSTGRES_VALUES, "global": BACKUP}
    objects = with_values(released_example, "catalog", "prod", **values)
    for name in ("Cluster/catalog-postgres", "ObjectStore/catalog-postgres"):
        annotations = objects[name]["metadata"]["annotations"]
        assert annotations["argocd.argoproj.io/sync-options"] == "Prune=false,Delete=false"
        assert annotations["helm.sh/resource-policy"] == "keep"


def test_a_route_leads_to_the_service(released_example: Path) -> None:
    objects = with_values(released_example, "catalog", "dev", route=ROUTE)
    route = objects["HTTPRoute/catalog"]["spec"]
    (service_port,) = objects["Service/catalog"]["spec"]["ports"]
    (rule,) = route["rules"]
    assert route["hostnames"] == ["catalog.acme.example"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/v1"}}]
    assert (rule["backendRefs"][0]["name"], rule["backendRefs"][0]["port"]) == ("catalog", service_port["port"])


def test_a_canary_of_a_service_with_a_route_gets_a_share_of_its_requests(released_example: Path) -> None:
    objects = with_values(released_example, "catalog", "dev", route=ROUTE, rollout="canary")
    canary = objects["Rollout/catalog"]["spec"]["strategy"]["canary"]
    route = objects[f"HTTPRoute/{canary['trafficRouting']['plugins']['argoproj-labs/gatewayAPI']['httpRoute']}"]
    (rule,) = route["spec"]["rules"]
    weights = {reference["name"]: reference["weight"] for reference in rule["backendRefs"]}
    # Argo Rollouts finds both in the route, else no canary begins; the old version has everything at first.
    assert weights == {canary["stableService"]: 100, canary["canaryService"]: 0}
    everybody = objects["Service/catalog"]["spec"]
    assert all(objects[f"Service/{name}"]["spec"] == everybody for name in weights)
    # Scraped once: the Services of the two versions have the same pods behind them as that of all.
    monitor = objects["ServiceMonitor/catalog"]["spec"]["selector"]
    (expression,) = monitor["matchExpressions"]
    assert (expression["key"], expression["operator"]) == ("app.kubernetes.io/component", "NotIn")
    scraped = [
        item["metadata"]["name"]
        for item in objects.values()
        if item["kind"] == "Service"
        and monitor["matchLabels"].items() <= item["metadata"]["labels"].items()
        and item["metadata"]["labels"].get(expression["key"]) not in expression["values"]
    ]
    assert scraped == ["catalog"]


# ── helm test ──


class Answers(BaseHTTPRequestHandler):
    """A service that is well, or not."""

    pages: ClassVar[dict[str, tuple[int, str]]] = {}

    def do_GET(self) -> None:
        status, text = self.pages.get(self.path, (404, ""))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def answering(pages: dict[str, tuple[int, str]]) -> Iterator[str]:
    handler = type("Handler", (Answers,), {"pages": pages})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


WELL = {"/healthz": (200, ""), "/readyz": (200, ""), "/metrics": (200, 'service_build_info{service="catalog"} 1.0\n')}


@pytest.mark.parametrize(
    ("test", "path", "pages", "passes"),
    [
        ("health", "", WELL, True),
        ("health", "", WELL | {"/readyz": (503, "")}, False),
        ("metrics", "", WELL, True),
        ("metrics", "", WELL | {"/metrics": (200, "# nothing\n")}, False),
        ("route", "/", {"/": (200, "")}, True),
        ("route", "/", {}, False),
        ("route", "/v1", {"/v1": (401, "")}, True),
        ("route", "/v1", {"/v1": (502, "")}, False),
    ],
)
def test_helm_test_tells_a_service_that_is_well(
    released_example: Path, test: str, path: str, pages: dict[str, tuple[int, str]], passes: bool
) -> None:
    system_tool("curl", package="curl")
    jobs = helm_tests(released_example, "catalog", "dev", route={"host": "catalog.acme.example", "path": path or "/"})
    (container,) = jobs[f"Job/catalog-{test}"]["spec"]["template"]["spec"]["containers"]
    command = [word if word != "5" else "0" for word in container["command"]]
    with answering(pages) as address:
        assert (run(*command, env={"URL": f"{address}{path}"}, check=False).returncode == 0) == passes


def test_helm_test_asks_a_route_where_there_is_one(released_example: Path) -> None:
    assert set(helm_tests(released_example, "catalog", "dev")) == {
        "Job/catalog-health",
        "Job/catalog-metrics",
        "NetworkPolicy/catalog-helm-test",
        "NetworkPolicy/catalog-helm-test-access",
    }
    with_route = helm_tests(released_example, "catalog", "dev", route=ROUTE)
    (container,) = with_route["Job/catalog-route"]["spec"]["template"]["spec"]["containers"]
    assert container["env"] == [{"name": "URL", "value": "https://catalog.acme.example/v1"}]


def test_nothing_of_helm_test_is_applied_by_argo_cd(released_example: Path) -> None:
    for item in rendered(released_example, "dev"):
        assert "helm.sh/hook" not in item["metadata"].get("annotations", {})


# ── what is refused, and how it is said ──


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"image": {"tag": ""}},
            "catalog: image.tag is missing, so there is no version to run in dev. "
            "The registry gives it in registry/releases/dev/catalog.yaml",
        ),
        ({"image": {"digest": ""}}, "catalog: image.digest is missing. A tag alone can be moved to another image"),
        ({"image": {"digest": "sha256:abc"}}, 'catalog: image.digest is "sha256:abc", but must be sha256: and 64'),
        ({"service": "orders"}, 'catalog: the release is that of the service "orders"'),
        ({"autoscaling": {"min": 11}}, "catalog: autoscaling.min is 11 and greater than autoscaling.max, which is 10"),
        ({"route": {"host": "a.example"}}, "catalog: route.path is missing"),
        ({"config": {"PORT": "1"}}, "catalog: config.PORT is already set by the platform"),
        ({"config": {"TOKEN": "x"}, "secrets": SECRETS}, "catalog: the secret TOKEN is already set by config"),
        (
            {"config": {"PRICE_LIST_URL": "x"}, "dependsOn": [{"name": "price-list", "port": 80}]},
            "catalog: config.PRICE_LIST_URL is already set by dependsOn, as the address of price-list",
        ),
        ({"global": {"spots": True}}, "catalog: global.spots is no setting of an environment. There are platform, "),
        ({"redis": {"memory": ""}}, "values don't meet the specifications"),
        ({"postgres": {"instances": 1}}, "catalog: postgres.storage is missing. A service that needs none has"),
        (
            {"redis": {"memory": "1Gi"}, "dependsOn": [{"name": "redis", "port": 80}]},
            "catalog: it uses redis, whose address is in REDIS_URL, and that is already set by dependsOn",
        ),
        (
            {"config": {"DATABASE_URL": "x"}, "postgres": POSTGRES_VALUES},
            "catalog: config.DATABASE_URL is already set by the platform, as the address of postgres",
        ),
        ({"jobs": {"tidy": {"schedule": "@daily"}}}, "catalog: jobs.tidy has neither command nor args"),
        (
            {"jobs": {"t" * 45: {"schedule": "@daily", "args": ["x"]}}},
            "of 53 characters, and Kubernetes allows 52. Shorten the job's name",
        ),
        ({"secrets": SECRETS * 2}, "catalog: the secret TOKEN is already set by another secret"),
        ({"dependsOn": [{"name": "catalog", "port": 8080}]}, "catalog: dependsOn names the service itself"),
    ],
)
def test_a_person_is_told_what_is_wrong(released_example: Path, values: Any, sentence: str) -> None:
    assert sentence in refusal(released_example, "catalog", "dev", values)


def test_a_service_without_an_environment_is_refused(released_example: Path) -> None:
    result = run(tool("helm"), "template", "services/catalog", cwd=released_example, check=False)
    assert "catalog: global.platform is missing. It is in environments/<environment>/values.yaml" in result.stderr


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"autoscalling": {"min": 3}}, "autoscalling"),
        ({"autoscaling": {"minimum": 3}}, "minimum"),
        ({"resources": {"limits": {"memroy": "1Gi"}}}, "memroy"),
        ({"rollout": "blue-green"}, "rollout"),
        ({"port": "8080"}, "port"),
        ({"port": 80}, "port"),
        ({"config": {"1ST": "x"}}, "1ST"),
        ({"config": {"COUNT": 3}}, "COUNT"),
        ({"jobs": {"tidy": {"schedule": "daily", "args": ["x"]}}}, "schedule"),
        ({"jobs": {"Tidy": {"schedule": "@daily", "args": ["x"]}}}, "Tidy"),
        ({"global": {"gateway": {"listner": "http"}}}, "listner"),
    ],
)
def test_the_schema_refuses_a_mistake(released_example: Path, values: Any, complaint: str) -> None:
    error = refusal(released_example, "catalog", "dev", values)
    assert "values don't meet the specifications of the schema" in error
    assert complaint in error


def test_the_schema_allows_what_helm_adds(released_example: Path) -> None:
    assert helm_template(released_example, "catalog", "dev", {"enabled": True, "base": {}}).returncode == 0


def test_a_typo_in_a_values_file_fails_the_validation(cd: Path) -> None:
    (cd / "services/catalog/values-staging.yaml").write_text("rollot: canary\n")
    result = script(cd, "validate", check=False)
    assert result.returncode == 1
    assert "failed: catalog in staging" in result.stderr
    assert "failed: catalog in dev" not in result.stderr


def test_a_release_of_another_service_cannot_be_installed(released_example: Path) -> None:
    other = "--values=registry/releases/dev/orders.yaml"
    result = helm_template(released_example, "catalog", "dev", {}, other, check=False)
    assert 'the release is that of the service "orders"' in result.stderr


def test_rendering_needs_no_network(released_example: Path) -> None:
    # A proxy that nobody listens at: whatever Helm fetched would fail.
    nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
    script(released_example, "validate", env={**PATH, **nowhere, "NO_PROXY": "", "no_proxy": ""})
