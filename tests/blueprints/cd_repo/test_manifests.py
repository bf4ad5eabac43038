"""Every object that a cluster would get: its form, and its safety."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from generator.names import amount
from tests.blueprints.cd_repo import addons, support
from tests.blueprints.cd_repo.schemas import (
    CORE_GROUPS,
    KUBERNETES,
    VALIDATOR,
    as_deployment,
    assert_core_kinds,
    checkov,
    core_problems,
    custom_problems,
    group_of,
    write,
)
from tests.blueprints.cd_repo.support import Object, environments_of, helm_tests, objects, pod_of, rendered, with_values
from tests.platform import Platform
from tests.tools import BIN, run


def every_object(repository: Path) -> Iterator[Object]:
    """Yield the objects of all services, of the environments, of Argo CD, and of the add-ons."""
    for environment in environments_of(repository):
        yield from rendered(repository, environment["name"])
    for folder in ("argocd", "environments"):
        for file in sorted((repository / folder).rglob("*.yaml")):
            if file.name != "values.yaml":
                yield from objects(file.read_text())
    yield from addons.every_object(repository)


def variants(repository: Path) -> Iterator[Object]:
    """Yield the objects of values that no platform of the tests has."""
    rule = {"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "ports": [{"port": 443, "protocol": "TCP"}]}
    amounts = {"cpu": "1", "memory": "1Gi"}
    for rollout in ("rolling", "canary", "blueGreen"):
        values: dict[str, Any] = {
            "rollout": rollout,
            "autoscaling": {"min": 1, "max": 1},
            "config": {"LOG_LEVEL": "debug"},
            "redis": {"memory": "64Mi"},
            "postgres": {
                "instances": 1,
                "storage": "1Gi",
                "resources": {"requests": amounts, "limits": amounts},
            },
            "jobs": {
                "tidy": {"schedule": "30 3 * * *", "command": ["tidy"], "timezone": "Europe/Berlin"},
                "report": {"schedule": "@daily", "args": ["--all"], "suspend": True, "concurrency": "Replace"},
            },
            "egress": [rule],
            "callers": [],
            "global": {"imagePullSecrets": ["ghcr"], "monitoring": {"enabled": False, "namespace": "monitoring"}},
        }
        yield from with_values(repository, "orders", "dev", **values).values()
        yield from helm_tests(repository, "orders", "dev", **values).values()
    vault = {"address": "https://vault.acme.example", "ca": "", "mount": "acme-dev", "auth": "kubernetes-dev"}
    secrets = [{"name": "DB_PASSWORD", "path": "orders/db", "property": "password"}]
    triggers = {"min": 1, "max": 3, "triggers": [{"prometheus": {"query": "up", "threshold": 1}}]}
    by_others = {"secrets": secrets, "autoscaling": triggers, "global": {"vault": vault}}
    yield from with_values(repository, "orders", "dev", **by_others).values()


def test_kinds_of_kubernetes_have_no_unknown_field(released: Path, tmp_path: Path) -> None:
    assert_core_kinds(every_object(released), tmp_path)


def test_custom_kinds_have_no_unknown_field(released: Path) -> None:
    assert custom_problems([item for item in every_object(released) if group_of(item) not in CORE_GROUPS]) == []


def test_variants_have_no_unknown_field(released_example: Path, tmp_path: Path) -> None:
    items = list(variants(released_example))
    assert_core_kinds(items, tmp_path)
    assert custom_problems([item for item in items if group_of(item) not in CORE_GROUPS]) == []


@pytest.mark.parametrize("kind", ["Deployment", "HTTPRoute"])
def test_an_unknown_field_is_found(released_example: Path, tmp_path: Path, kind: str) -> None:
    item = deepcopy(next(i for i in every_object(released_example) if i["kind"] == kind))
    item["spec"]["replicaCount"] = 3
    if kind == "HTTPRoute":
        assert "replicaCount" in custom_problems([item])[0]
        return
    assert "replicaCount" in core_problems([item], tmp_path)


@pytest.mark.skipif(not VALIDATOR.is_file(), reason="the CRDs are not beside this checkout (../shared/bin)")
def test_objects_match_the_schemas_of_their_crds(released: Path, released_example: Path, tmp_path: Path) -> None:
    # The CRDs beside this checkout lack those of generators; custom-kinds.yaml has the one that is used.
    items = [item for item in every_object(released) if group_of(item) != "generators.external-secrets.io"]
    file = write([*items, *variants(released_example)], tmp_path / "all.yaml")
    run(BIN / "python", VALIDATOR, "--kubernetes", KUBERNETES, file)


@pytest.mark.slow
def test_checkov_finds_nothing(
    rendered: Callable[[str], Platform], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    for name in ("example", "five-environments"):
        repository = support.release_everything(rendered(name).cd, tmp_path_factory.mktemp(name))
        write([as_deployment(item) for item in every_object(repository)], tmp_path / f"{name}.yaml")
    report = checkov(tmp_path)
    failed = [(check["check_id"], check["resource"]) for check in report["results"]["failed_checks"]]
    skipped = {check["check_id"] for check in report["results"]["skipped_checks"]}
    assert failed == []
    # Each of these has its reason in the annotation of the object.
    assert skipped == {"CKV_K8S_35", "CKV_K8S_38"}
    assert report["summary"]["passed"] > 1000
    assert report["summary"]["parsing_errors"] == 0


def test_namespaces_enforce_pod_security(platform: Platform) -> None:
    for environment in environments_of(platform.cd):
        namespace, deny = objects((platform.cd / f"environments/{environment['name']}/namespace.yaml").read_text())
        assert namespace["metadata"]["name"] == environment["namespace"]
        labels = namespace["metadata"]["labels"]
        assert {labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")} == {"restricted"}
        assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
        assert deny["metadata"]["namespace"] == environment["namespace"]


def test_a_namespace_has_room_for_all_that_the_spec_lets_grow(released: Path) -> None:
    for environment in environments_of(released):
        folder = released / "environments" / environment["name"]
        quota, limits = objects((folder / "quota.yaml").read_text())
        assert quota["metadata"]["namespace"] == limits["metadata"]["namespace"] == environment["namespace"]
        hard = quota["spec"]["hard"]
        most = greatest_demand(rendered(released, environment["name"]))
        for name, needed in most.items():
            allowed = amount(hard[name])
            # A quarter more, in whole units; a quota far above what is needed would bound nothing.
            assert needed <= allowed <= needed * 2 + amount("4Gi" if "memory" in name else "4"), (name, needed, allowed)


def greatest_demand(items: list[Object]) -> dict[str, Any]:
    """Return the sum over all pods that these objects can run at one time, instances and jobs included."""
    most: dict[str, Any] = dict.fromkeys(
        ("pods", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"), amount("0")
    )
    scaled = {
        item["spec"]["scaleTargetRef"]["name"]: item["spec"]["maxReplicas"]
        for item in items
        if item["kind"] == "HorizontalPodAutoscaler"
    }
    for item in items:
        spec, name = item.get("spec", {}), item["metadata"]["name"]
        if item["kind"] in {"Deployment", "Rollout"}:
            pods = scaled.get(name, spec.get("replicas", 1))
            if "blueGreen" in spec["strategy"] or "trafficRouting" in spec["strategy"].get("canary", {}):
                pods *= 2
            elif spec["strategy"].get("type") != "Recreate":
                pods += -(-pods // 4)
            resources = pod_of(item)["containers"][0]["resources"]
        elif item["kind"] == "CronJob":
            pods = 1 if spec["concurrencyPolicy"] == "Forbid" else 2
            resources = spec["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["resources"]
        elif item["kind"] == "Cluster":
            pods, resources = spec["instances"] + 1, spec["resources"]
        else:
            continue
        most["pods"] += pods
        for side in ("requests", "limits"):
            for kind in ("cpu", "memory"):
                most[f"{side}.{kind}"] += pods * amount(str(resources[side][kind]))
    return most


def test_pods_meet_pod_security_restricted(released: Path) -> None:
    workloads = [item for item in every_object(released) if item["kind"] in {"Deployment", "Rollout"}]
    assert workloads
    for workload in workloads:
        pod = pod_of(workload)
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] >= 10000
        assert pod["automountServiceAccountToken"] is False
        assert all({"emptyDir", "secret"} & volume.keys() for volume in pod["volumes"])
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} == set(container["resources"]["limits"]) == set(container["resources"]["requests"])
