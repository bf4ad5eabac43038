"""Fill in the defaults that depend on other values of the spec."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, TypeVar
from zlib import crc32

from generator.models import (
    Autoscaling,
    Defaults,
    Deploy,
    Environment,
    Objectives,
    Postgres,
    Redis,
    ResourceAmounts,
    Rollout,
    Route,
    Runners,
    Service,
    ServiceOverride,
    Spec,
    Team,
)
from generator.names import amount

AUTOSCALING = Autoscaling(min=2, max=10, cpu=70, triggers=[])
LIMITS = ResourceAmounts(cpu="500m", memory="256Mi")
REQUESTS = ResourceAmounts(cpu="100m", memory="128Mi")
OBJECTIVES = Objectives.model_validate({"errorPercent": 5, "latencyMilliseconds": 500})
REDIS = Redis(memory="128Mi")
POSTGRES = Postgres(instances=1, storage="10Gi")
POSTGRES_INSTANCES_OF_THE_LAST_ENVIRONMENT = 3
POSTGRES_LIMITS = ResourceAmounts(cpu="1", memory="1Gi")
POSTGRES_REQUESTS = ResourceAmounts(cpu="100m", memory="512Mi")
RUNS_ON = "ubuntu-24.04"
# What compose.yaml publishes besides services: Grafana, the collector, Prometheus, and Jaeger.
PORTS_OF_COMPOSE = (3000, 4318, 9090, 16686)
# Below those that systems give to whoever asks for any.
OTHER_LOCAL_PORTS = range(20000, 30000)

# What one level of the spec says of sizes: the platform's defaults, a service, or a service in an environment.
Layer = Defaults | Service | ServiceOverride

_Part = TypeVar("_Part", Autoscaling, Objectives, Postgres, Redis, ResourceAmounts)


@dataclass(frozen=True)
class ResolvedEnvironment:
    """An environment with nothing left open; `approvers` are GitHub handles."""

    name: str
    branch: str
    cluster: str
    deploy: Deploy
    spot: bool
    approvers: list[str]
    soak: str | None
    windows: list[dict[str, Any]]
    rollback_on_failure: bool


@dataclass(frozen=True)
class Database:
    """How large the database of one service is in one environment."""

    postgres: Postgres
    requests: ResourceAmounts
    limits: ResourceAmounts


@dataclass(frozen=True)
class Sizing:
    """How large one service is in one environment, or by default, and what it is held to."""

    autoscaling: Autoscaling
    requests: ResourceAmounts
    limits: ResourceAmounts
    objectives: Objectives


def branch_of(environments: list[Environment], index: int) -> str:
    """Return the branch of the environment at `index` of the promotion order."""
    environment = environments[index]
    if environment.branch is not None:
        return environment.branch
    if index == len(environments) - 1:
        return "main"
    return "develop" if index == 0 else environment.name


def environments(spec: Spec) -> list[ResolvedEnvironment]:
    """Return the environments of `spec` in promotion order."""
    last = len(spec.environments) - 1
    resolved = []
    for index, environment in enumerate(spec.environments):
        deploy: Deploy = environment.deploy or (
            "automatic" if index == 0 else "approval" if index == last else "pull-request"
        )
        approvers = [handle for team in environment.approvers if (handle := team_handle(spec, team))]
        if deploy == "approval" and not approvers:
            approvers = [handle for handle in [platform_owner(spec)] if handle]
        resolved.append(
            ResolvedEnvironment(
                name=environment.name,
                branch=branch_of(spec.environments, index),
                cluster=environment.cluster or environment.name,
                deploy=deploy,
                spot=index != last if environment.spot is None else environment.spot,
                approvers=approvers,
                soak=environment.soak,
                windows=[window.model_dump(by_alias=True) for window in environment.windows],
                rollback_on_failure=environment.rollback_on_failure,
            )
        )
    return resolved


def branches(spec: Spec) -> list[str]:
    """Return the branches of app-repo in promotion order, each once; the first is where work begins."""
    return list(dict.fromkeys(branch_of(spec.environments, index) for index in range(len(spec.environments))))


def team(spec: Spec, service: Service) -> str | None:
    """Return the name of the team that owns `service`, if any."""
    name = service.team or spec.platform.team or "platform"
    return name if any(team.name == name for team in spec.teams) else None


def team_handle(spec: Spec, name: str | None) -> str | None:
    """Return the GitHub handle of the team called `name`."""
    for team in spec.teams:
        if team.name == name:
            return team.github or f"@{spec.platform.github.organization}/{team.name}"
    return None


def sso_group(spec: Spec, team: Team) -> str:
    """Return what single sign-on calls `team`: as Dex has GitHub's teams, organization and name."""
    return team.sso_group or (team_handle(spec, team.name) or "").removeprefix("@").replace("/", ":")


def argocd_host(spec: Spec) -> str | None:
    """Return where people find Argo CD, or None where the platform has no domain."""
    return f"argocd.{spec.platform.domain}" if spec.platform.domain else None


def grafana_host(spec: Spec, cluster: str) -> str | None:
    """Return where people find the Grafana of clusters with this label, or None where the platform has no domain."""
    domain = spec.platform.domain
    if domain is None:
        return None
    return f"grafana.{domain}" if cluster == environments(spec)[-1].cluster else f"grafana.{cluster}.{domain}"


def platform_owner(spec: Spec) -> str | None:
    """Return the GitHub handle of the team that owns what belongs to no service, if any."""
    return team_handle(spec, spec.platform.team or "platform")


def owner(spec: Spec, service: Service) -> str | None:
    """Return the GitHub handle of the team that owns `service`, if any."""
    return team_handle(spec, service.team) if service.team else platform_owner(spec)


def image_registry(spec: Spec) -> str:
    """Return where images are pushed, such as ghcr.io/acme."""
    return spec.platform.image_registry or f"ghcr.io/{spec.platform.github.organization.lower()}"


# How each cloud marks its spot nodes.
SPOT_NODES = {
    "aws": {
        "labels": {"karpenter.sh/capacity-type": "spot", "eks.amazonaws.com/capacityType": "SPOT"},
        "taints": {"karpenter.sh/capacity-type": "spot"},
    },
    "gcp": {
        "labels": {"cloud.google.com/gke-spot": "true"},
        "taints": {"cloud.google.com/gke-spot": "true"},
    },
    "azure": {
        "labels": {"kubernetes.azure.com/scalesetpriority": "spot"},
        "taints": {"kubernetes.azure.com/scalesetpriority": "spot"},
    },
}


def runs_on(spec: Spec) -> str:
    """Return the label of the runners."""
    runners = spec.platform.runners
    if runners.label:
        return runners.label
    return RUNS_ON if runners.kind == "github-hosted" else f"{spec.platform.name}-runners"


def labels(runners: Runners) -> dict[str, str]:
    """Return the label of each class of jobs that has one of its own."""
    return dict(runners.labels.model_dump(exclude_none=True))


def is_hosted(label: str) -> bool:
    """Tell whether a label is one of GitHub's own machines."""
    return label.startswith("ubuntu-")


def scale_sets(spec: Spec) -> list[str]:
    """Return the labels of the runners that are not GitHub's, that of most jobs first."""
    return [
        label
        for label in dict.fromkeys([runs_on(spec), *labels(spec.platform.runners).values()])
        if not is_hosted(label)
    ]


def spot_nodes(spec: Spec) -> dict[str, dict[str, str]]:
    """Return the labels and taints by which spot nodes are known, as the library chart does (`base.spotNodes`)."""
    nodes = spec.features.scaling.spot_nodes
    clouds = SPOT_NODES if nodes.provider == "any" else {nodes.provider: SPOT_NODES.get(nodes.provider, {})}
    known: dict[str, dict[str, str]] = {"labels": dict(nodes.labels), "taints": dict(nodes.taints)}
    return {
        kind: {k: v for c in clouds.values() for k, v in c.get(kind, {}).items()} | own for kind, own in known.items()
    }


def port(spec: Spec, service: Service) -> int:
    """Return the port on which `service` listens."""
    return service.port or spec.defaults.port


def local_ports(spec: Spec) -> dict[str, int]:
    """Return the port of a developer's machine on which each service is published by app-repo's compose.yaml.

    Its own one where no other has it, else one that follows from its name: a further service moves hardly any of them.
    """
    own = {service.name: port(spec, service) for service in spec.services}
    asked = Counter(own.values())
    ports = {name: number for name, number in own.items() if asked[number] == 1 and number not in PORTS_OF_COMPOSE}
    taken = {*ports.values(), *PORTS_OF_COMPOSE}
    for name in sorted(own.keys() - ports.keys()):
        first = crc32(name.encode()) % len(OTHER_LOCAL_PORTS)
        candidates = (*OTHER_LOCAL_PORTS[first:], *OTHER_LOCAL_PORTS[:first])
        ports[name] = next(number for number in candidates if number not in taken)
        taken.add(ports[name])
    return ports


def rollout(spec: Spec, service: Service) -> Rollout:
    """Return how a new version of `service` replaces the old one."""
    return service.rollout or spec.defaults.rollout


def library_version(spec: Spec, service: Service) -> str | None:
    """Return the version of the library chart that `service` stays on, or None where it follows ci-repo."""
    version = service.chart.base or spec.defaults.chart.base
    return None if version == "latest" else version


def sizing(*layers: Layer) -> Sizing:
    """Return the size that `layers` give, the last one winning key by key.

    A request that nobody states is never greater than the limit.
    """
    autoscaling, limits, requests, objectives = AUTOSCALING, LIMITS, ResourceAmounts(), OBJECTIVES
    for layer in layers:
        autoscaling = _over(autoscaling, layer.autoscaling)
        limits = _over(limits, layer.resources.limits)
        requests = _over(requests, layer.resources.requests)
        objectives = _over(objectives, layer.objectives)
    return Sizing(
        autoscaling=autoscaling,
        requests=_within(requests, REQUESTS, limits),
        limits=limits,
        objectives=objectives,
    )


def uses_triggers(spec: Spec) -> bool:
    """Tell whether more than the use of CPU tells of the load of a service anywhere."""
    return any(
        sizing(spec.defaults, service, override).autoscaling.triggers
        for service in spec.services
        for override in (ServiceOverride(), *service.environments.values())
    )


def database(*layers: Layer, last: bool) -> Database:
    """Return the size of a database that `layers` give, the last one winning key by key.

    Args:
        layers: What the levels of the spec say of it.
        last: Whether it is in the last environment, where it survives the loss of an instance.
    """
    postgres, limits, requests = POSTGRES, POSTGRES_LIMITS, ResourceAmounts()
    if last:
        postgres = postgres.model_copy(update={"instances": POSTGRES_INSTANCES_OF_THE_LAST_ENVIRONMENT})
    for layer in layers:
        postgres = _over(postgres, layer.postgres)
        limits = _over(limits, layer.postgres.resources.limits)
        requests = _over(requests, layer.postgres.resources.requests)
    return Database(postgres=postgres, requests=_within(requests, POSTGRES_REQUESTS, limits), limits=limits)


def cache(*layers: Layer) -> Redis:
    """Return the size of a cache that `layers` give, the last one winning key by key."""
    redis = REDIS
    for layer in layers:
        redis = _over(redis, layer.redis)
    return redis


def host(spec: Spec, service: Service, route: Route, environment: str) -> str | None:
    """Return the host of `service` in `environment`, or None where neither the route nor the platform says one.

    A host under the platform's domain gets the environment's name put before the domain, but in the last environment,
    so that no two environments answer to one name.
    """
    override = service.environments.get(environment)
    if override and override.route and override.route.host:
        return override.route.host
    domain = spec.platform.domain
    name = route.host or (f"{service.name}.{domain}" if domain else None)
    if name is None or domain is None or environment == spec.environments[-1].name or not name.endswith(f".{domain}"):
        return name
    return f"{name.removesuffix(domain)}{environment}.{domain}"


def chaos_clusters(spec: Spec) -> list[str]:
    """Return the labels of the clusters with experiments: none where the last environment is, or nobody agrees.

    Experiments ask Prometheus whether a service stays as it should be, and Chaos Mesh has its certificates from
    cert-manager: without these there are none.
    """
    features = spec.features
    needed = features.chaos and features.observability.metrics and features.cert_manager.enabled
    if not needed or not any(service.chaos for service in spec.services):
        return []
    *others, last = environments(spec)
    return list(dict.fromkeys(other.cluster for other in others if other.cluster != last.cluster))


def hosts(spec: Spec) -> dict[str, list[str]]:
    """Return the hosts of the services' routes and of Grafana in each cluster that has any, sorted, by its label."""
    found: dict[str, set[str]] = {}
    for environment in environments(spec):
        grafana = grafana_host(spec, environment.cluster)
        if grafana and spec.features.observability.grafana is True:
            found.setdefault(environment.cluster, set()).add(grafana)
        for service in spec.services:
            route = route_of(service, environment.name)
            name = host(spec, service, route, environment.name) if route else None
            if name:
                found.setdefault(environment.cluster, set()).add(name)
    return {cluster: sorted(names) for cluster, names in sorted(found.items())}


def route_path(service: Service, route: Route, environment: str) -> str:
    """Return the path prefix of `service` in `environment`."""
    override = service.environments.get(environment)
    if override and override.route and "path" in override.route.model_fields_set:
        return override.route.path
    return route.path


def route_of(service: Service, environment: str) -> Route | None:
    """Return the route of `service` in `environment`; an override alone makes one there."""
    override = service.environments.get(environment)
    return service.route or (override.route if override else None)


def _over(below: _Part, above: _Part) -> _Part:
    stated = {key: value for key in above.model_fields_set if (value := getattr(above, key)) is not None}
    return below.model_copy(update=stated)


def _within(stated: ResourceAmounts, default: ResourceAmounts, limits: ResourceAmounts) -> ResourceAmounts:
    """Return the requests that are stated; what nobody states is the default, or the limit where that is less."""
    return ResourceAmounts(
        cpu=stated.cpu or _lesser(default.cpu, limits.cpu),
        memory=stated.memory or _lesser(default.memory, limits.memory),
    )


def _lesser(one: str | None, other: str | None) -> str | None:
    if one is None or other is None:
        return one or other
    return one if amount(one) <= amount(other) else other
