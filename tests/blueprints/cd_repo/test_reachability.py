"""Who can talk to whom: computed from every network policy, and held against the spec for all pairs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from generator.spec import load_spec
from tests.blueprints.cd_repo.support import Object, environments_of, objects, rendered
from tests.platform import Platform, spec_of

Labels = dict[str, str]


@dataclass(frozen=True)
class Party:
    """Pods that are alike: where they are, their labels, and the ports that they answer on, by name and number."""

    name: str
    namespace: str
    labels: tuple[tuple[str, str], ...]
    ports: tuple[tuple[str, int], ...]


def selects(selector: Object | None, labels: Labels) -> bool:
    """Tell whether a label selector takes something; one that is empty takes everything."""
    selector = selector or {}
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    for one in selector.get("matchExpressions", []):
        present = labels.get(one["key"]) in one["values"]
        wanted &= present if one["operator"] == "In" else not present
    return bool(wanted)


def is_peer(peer: Object, own: str, other: Party) -> bool:
    """Tell whether one side of a rule takes a party; without a selector of namespaces only one of its own namespace."""
    assert set(peer) <= {"podSelector", "namespaceSelector"}, peer
    if "namespaceSelector" in peer:
        namespace = {"kubernetes.io/metadata.name": other.namespace}
        if not selects(peer["namespaceSelector"], namespace):
            return False
    elif other.namespace != own:
        return False
    return selects(peer.get("podSelector"), dict(other.labels))


def allowed(policies: Iterable[Object], party: Party, other: Party, port: tuple[str, int], way: str) -> bool:
    """Tell whether the policies of a party let it be talked to (Ingress), or talk (Egress), to another's port."""
    bound = [
        policy
        for policy in policies
        if policy["metadata"]["namespace"] == party.namespace
        and selects(policy["spec"]["podSelector"], dict(party.labels))
        and way in policy["spec"]["policyTypes"]
    ]
    side = "from" if way == "Ingress" else "to"
    return not bound or any(
        (side not in rule or any(is_peer(peer, party.namespace, other) for peer in rule[side]))
        and ("ports" not in rule or any(entry["port"] in port for entry in rule["ports"]))
        for policy in bound
        for rule in policy["spec"].get(way.lower(), [])
    )


def reaches(policies: list[Object], one: Party, other: Party, port: tuple[str, int]) -> bool:
    return allowed(policies, one, other, port, "Egress") and allowed(policies, other, one, port, "Ingress")


def parties(items: list[Object], namespace: str) -> Iterator[Party]:
    """Yield the services and stores of an environment, from what is rendered."""
    for item in items:
        if item["kind"] in {"Deployment", "Rollout"}:
            template = item["spec"]["template"]
            ports: Any = [p for c in template["spec"]["containers"] for p in c.get("ports", [])]
            numbers = tuple((p["name"], p["containerPort"]) for p in ports)
            labels = tuple(sorted(template["metadata"]["labels"].items()))
            yield Party(item["metadata"]["name"], namespace, labels, numbers)
        elif item["kind"] == "Cluster":
            name = item["metadata"]["name"]
            # The labels that the operator of databases gives to instances.
            yield Party(name, namespace, (("cnpg.io/cluster", name),), (("postgresql", 5432), ("metrics", 9187)))


def around(values: Object) -> list[Party]:
    """Return what is around the services: scraping, the gateway, name resolution, and somebody who has no business."""
    dns = (("k8s-app", "kube-dns"),)
    return [
        Party("prometheus", values["monitoring"]["namespace"], (("app.kubernetes.io/name", "prometheus"),), ()),
        Party("gateway", values["gateway"]["namespace"], (("app.kubernetes.io/name", "envoy"),), ()),
        Party("dns", "kube-system", dns, (("dns", 53),)),
        Party("stranger", "elsewhere", (("app.kubernetes.io/name", "orders"),), ()),
    ]


def expected(platform: Platform, environment: str) -> set[tuple[str, str, int]]:
    """Return who may talk to whom on which port, by the spec alone."""
    spec = load_spec(spec_of(platform.name))
    ports = {service.name: service.port or spec.defaults.port for service in spec.services}
    edges = set()
    for service in spec.services:
        name, override = service.name, service.environments.get(environment)
        edges |= {(name, callee, ports[callee]) for callee in service.depends_on}
        edges.add((name, "dns", 53))
        if spec.features.observability.metrics:
            edges.add(("prometheus", name, ports[name]))
        if service.route or (override and override.route):
            edges.add(("gateway", name, ports[name]))
        if service.uses.redis:
            edges.add((name, f"{name}-redis", 6379))
        if service.uses.postgres:
            store = f"{name}-postgres"
            edges |= {(name, store, 5432), (store, store, 5432), (store, "dns", 53)}
            if spec.features.observability.metrics:
                edges.add(("prometheus", store, 9187))
    return edges


def test_what_can_be_reached_is_what_the_spec_says(released: Path, platform: Platform) -> None:
    for environment in environments_of(released):
        items = rendered(released, environment["name"])
        folder = released / "environments" / environment["name"]
        files = objects((folder / "namespace.yaml").read_text())
        policies = [item for item in (*items, *files) if item["kind"] == "NetworkPolicy"]
        values = objects((folder / "values.yaml").read_text())[0]["global"]
        inside, outside = list(parties(items, environment["namespace"])), around(values)
        pairs = [*product(inside, [*inside, *outside]), *product(outside, inside)]
        found = {
            (one.name, other.name, port[1])
            for one, other in pairs
            for port in other.ports
            if reaches(policies, one, other, port)
        }
        assert found == expected(platform, environment["name"])
