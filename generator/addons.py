"""The systems that Argo CD installs beside the services: each is a folder of cd-repo's `platform/`, and a line here.

The folder is a chart: its `Chart.yaml` pins the chart that others publish, its values are those of that chart, and
its templates add what the platform says of it. What belongs to all add-ons alike is said here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from generator import resolve, vault
from generator.models import Spec

PodSecurity = Literal["privileged", "baseline", "restricted"]


@dataclass(frozen=True)
class Addon:
    """A system that runs in every cluster.

    Attributes:
        name: Name of its folder and of its Helm release.
        namespace: Where it is installed.
        wave: Its turn: add-ons of lower waves are healthy before those of higher ones begin.
        pod_security: The Pod Security Standard that its namespace enforces.
        wanted: Tells whether a spec asks for it.
        hub: Whether only the cluster of Argo CD itself has it.
        clusters: Tells the labels of the clusters that have it; all do where this is missing.
        folder: Its folder, where that is not `platform/<name>`.
    """

    name: str
    namespace: str
    wave: int
    pod_security: PodSecurity
    wanted: Callable[[Spec], bool]
    hub: bool = False
    clusters: Callable[[Spec], list[str]] | None = None
    folder: str | None = None


def _uses_postgres(spec: Spec) -> bool:
    return any(service.uses.postgres for service in spec.services)


def _runs_databases(spec: Spec) -> bool:
    return spec.features.postgres_operator and _uses_postgres(spec)


def _backs_databases_up(spec: Spec) -> bool:
    return _runs_databases(spec) and spec.features.backup.destination is not None


def _backs_clusters_up(spec: Spec) -> bool:
    return spec.features.backup.clusters and spec.features.backup.destination is not None


def _exports_delivery(spec: Spec) -> bool:
    return spec.features.observability.metrics and spec.features.observability.delivery


# In the order of their waves: kinds of objects, what hands out secrets, how traffic comes in, who certifies its hosts,
# Grafana, whose namespace takes the dashboards of others, what watches and runs databases, how versions are rolled out,
# what may run, and last Argo CD, whose objects need some of these. cert-manager ends at its start where the kinds of
# Gateway API are missing, so it comes after what brings them.
ADDONS = (
    Addon("prometheus-operator-crds", "monitoring", -5, "restricted", lambda spec: spec.features.observability.metrics),
    Addon(
        "vertical-pod-autoscaler",
        "vertical-pod-autoscaler",
        -5,
        "restricted",
        lambda spec: spec.features.scaling.vertical_pod_autoscaler,
    ),
    Addon(
        "karpenter",
        "karpenter",
        -4,
        "restricted",
        lambda spec: bool(spec.features.scaling.karpenter),
        clusters=lambda spec: sorted(spec.features.scaling.karpenter),
    ),
    Addon("external-secrets", "external-secrets", -4, "restricted", lambda spec: spec.features.external_secrets),
    Addon("envoy-gateway", "envoy-gateway-system", -4, "restricted", lambda spec: spec.features.gateway),
    Addon("secret-stores", "external-secrets", -3, "restricted", lambda spec: vault.address(spec) is not None),
    Addon("kyverno", "kyverno", -3, "restricted", lambda spec: spec.features.policies),
    Addon("cert-manager", "cert-manager", -3, "restricted", lambda spec: spec.features.cert_manager.enabled),
    Addon("grafana", "grafana", -3, "restricted", lambda spec: spec.features.observability.grafana is True),
    Addon("metrics-server", "metrics-server", -2, "restricted", lambda spec: spec.features.scaling.metrics_server),
    Addon("kube-prometheus-stack", "monitoring", -2, "restricted", lambda spec: spec.features.observability.metrics),
    Addon("cloudnative-pg", "cnpg-system", -2, "restricted", _runs_databases),
    Addon("keda", "keda", -2, "restricted", lambda spec: spec.features.scaling.keda and resolve.uses_triggers(spec)),
    Addon("loki", "loki", -2, "restricted", lambda spec: spec.features.observability.logs),
    Addon("jaeger", "jaeger", -2, "restricted", lambda spec: spec.features.observability.traces),
    Addon("plugin-barman-cloud", "cnpg-system", -1, "restricted", _backs_databases_up),
    Addon("opentelemetry-operator", "opentelemetry", -1, "restricted", lambda spec: spec.features.observability.traces),
    # It reads the files of all logs on its node, which Pod Security allows in a `privileged` namespace alone.
    Addon("alloy", "alloy", -1, "privileged", lambda spec: spec.features.observability.logs),
    Addon("velero", "velero", -1, "restricted", _backs_clusters_up),
    # Its agents enter the network and the processes of other pods, which takes all rights on a node.
    Addon(
        "chaos-mesh",
        "chaos-mesh",
        -1,
        "privileged",
        lambda spec: bool(resolve.chaos_clusters(spec)),
        clusters=resolve.chaos_clusters,
    ),
    Addon("argo-rollouts", "argo-rollouts", -1, "restricted", lambda spec: spec.features.rollouts),
    Addon("access", "access", 0, "restricted", lambda spec: bool(spec.teams)),
    Addon("policies", "kyverno", 0, "restricted", lambda spec: spec.features.policies, folder="policies"),
    Addon("argocd", "argocd", 0, "restricted", lambda _: True, hub=True),
    # Of no use to the others, and nothing waits for it: it is unwell until it may read the repositories.
    Addon("delivery-exporter", "delivery-exporter", 1, "restricted", _exports_delivery, hub=True),
    # Nothing waits for it: it is healthy once somebody has initialized it.
    Addon("vault", "vault", 1, "restricted", lambda spec: spec.features.vault.install is not None, hub=True),
)


def wanted(spec: Spec) -> list[Addon]:
    """Return the add-ons that `spec` asks for, in the order of their waves."""
    return [addon for addon in ADDONS if addon.wanted(spec)]
