"""Project a spec onto the repositories: each gets only the answers that its templates read.

So a change of replicas touches cd-repo alone, and the answers that Copier records stay small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from generator import addons, resolve, vault
from generator.models import Backup, Job, LogStorage, Resources, Service, ServiceOverride, Spec, Trigger
from generator.quota import quota

Answers = dict[str, Any]
Layers = list[resolve.Layer]


@dataclass(frozen=True)
class Repository:
    """A repository that a spec asks for.

    Attributes:
        name: Its name on GitHub and of its folder.
        blueprint: Folder under `blueprints/` that it is rendered from.
        branch: The branch that `apply` commits to.
        branches: All branches that the first commit goes to; `branch` is one of them.
        answers: What its templates read.
    """

    name: str
    blueprint: str
    branch: str
    branches: tuple[str, ...]
    answers: Answers


def repositories(spec: Spec) -> list[Repository]:
    """Return the repositories that `spec` asks for, in the order in which they are written."""
    github = spec.platform.github
    branches = tuple(resolve.branches(spec))
    return [
        Repository(github.app_repo, "app-repo", branches[0], branches, _answers(spec, "app-repo", _app)),
        Repository(github.ci_repo, "ci-repo", "main", ("main",), _answers(spec, "ci-repo", _ci)),
        Repository(github.cd_repo, "cd-repo", "main", ("main",), _answers(spec, "cd-repo", _cd)),
    ]


def _answers(spec: Spec, blueprint: str, project: Callable[[Spec], Answers]) -> Answers:
    github = spec.platform.github
    answers = project(spec)
    answers["platform"] = {
        "name": spec.platform.name,
        "organization": github.organization,
        "owner": resolve.platform_owner(spec),
        "ciRepo": github.ci_repo,
        "cdRepo": github.cd_repo,
        "runsOn": resolve.runs_on(spec),
        **({"recordEgress": True} if spec.platform.runners.record_egress else {}),
        **answers["platform"],
    }
    return {"blueprint": blueprint, **answers}


def _labels(spec: Spec, *classes: str) -> Answers:
    labels = {name: label for name, label in resolve.labels(spec.platform.runners).items() if name in classes}
    return {"labels": labels} if labels else {}


def _services(spec: Spec) -> list[Service]:
    return sorted(spec.services, key=lambda service: service.name)


def _app(spec: Spec) -> Answers:
    languages = {service.name: service.language for service in spec.services}
    local_ports = resolve.local_ports(spec)
    first = spec.environments[0].name
    return {
        "platform": {
            "appRepo": spec.platform.github.app_repo,
            **_labels(spec, "test", "build"),
            "description": spec.platform.description,
            "maxParallel": spec.platform.runners.max_parallel,
            "languages": sorted({service.language for service in spec.services}),
            # The languages whose library needs what not every service does.
            "postgres": sorted({service.language for service in spec.services if service.uses.postgres}),
            "redis": sorted({service.language for service in spec.services if service.uses.redis}),
            "dependsOn": sorted({service.language for service in spec.services if service.depends_on}),
        },
        "environments": [{"name": e.name, "branch": e.branch} for e in resolve.environments(spec)],
        "previews": spec.features.previews,
        "services": [
            {
                "name": service.name,
                "description": service.description,
                "language": service.language,
                "owner": resolve.owner(spec, service),
                "port": resolve.port(spec, service),
                "dependsOn": sorted(service.depends_on),
                # The same with what a client of each has to know.
                "dependencies": [{"name": name, "language": languages[name]} for name in sorted(service.depends_on)],
                "postgres": service.uses.postgres,
                "redis": service.uses.redis,
                # What compose.yaml gives it besides.
                "localPort": local_ports[service.name],
                "config": [
                    {"name": name, "value": value}
                    for name, value in (service.config | _override(service, first).config).items()
                ],
                "secrets": sorted(secret.name for secret in service.secrets),
            }
            for service in _services(spec)
        ],
        "contracts": [
            {
                "consumer": service.name,
                "language": service.language,
                "provider": provider,
                "items": languages[provider] != "other",
            }
            for service in _services(spec)
            for provider in sorted(service.depends_on)
        ],
    }


def _ci(spec: Spec) -> Answers:
    return {
        "platform": {
            "appRepo": spec.platform.github.app_repo,
            **_labels(spec, "test", "build", "sign", "deploy"),
            "imageRegistry": resolve.image_registry(spec),
            "maxParallel": spec.platform.runners.max_parallel,
            # Whether tests of some service need a PostgreSQL or a Redis.
            "stores": any(service.uses.postgres or service.uses.redis for service in spec.services),
            "imagePlatforms": sorted(spec.platform.image_platforms),
            "secretMaxAgeDays": spec.platform.secret_max_age_days,
            **_runners(spec),
            **_registry_login(spec, "identity", "reader", "provider"),
            **_vault(spec),
        },
        "environments": [{"name": e.name, "branch": e.branch, "deploy": e.deploy} for e in resolve.environments(spec)],
        "previews": spec.features.previews,
        "scanning": _scanning(spec),
        "signing": {"key": spec.features.signing.key, **_public_key(spec)} if spec.features.signing.key else {},
        "services": [{"name": service.name, "language": service.language} for service in _services(spec)],
    }


def _runners(spec: Spec) -> Answers:
    if spec.platform.runners.kind != "self-hosted":
        return {}
    marks = resolve.spot_nodes(spec).items()
    nodes = {kind: [{"key": key, "value": value} for key, value in known.items()] for kind, known in marks}
    return {"selfHosted": True, "spotNodes": nodes, "scaleSets": resolve.scale_sets(spec)}


def _registry_login(spec: Spec, *keys: str) -> Answers:
    login = spec.platform.registry_login
    if login is None:
        return {}
    known = {"identity": login.identity, "reader": login.reader or login.identity, "provider": login.provider or ""}
    return {"registryLogin": {key: known[key] for key in keys}}


def _vault(spec: Spec) -> Answers:
    """Return where jobs read their secrets; nothing where GitHub keeps them."""
    known = spec.features.vault
    return {"vault": {"address": known.address, "ca": known.ca or ""}} if known.pipeline else {}


def _public_key(spec: Spec) -> Answers:
    key = spec.features.signing.public_key
    return {"publicKey": key.strip()} if key else {}


def _scanning(spec: Spec) -> Answers:
    scanning = spec.features.scanning
    # It shows what Trivy finds.
    return scanning.model_dump(by_alias=True) | {"codeScanning": scanning.trivy and scanning.code_scanning}


def _cd(spec: Spec) -> Answers:
    callers: dict[str, list[str]] = {service.name: [] for service in spec.services}
    for service in _services(spec):
        for dependency in service.depends_on:
            callers[dependency].append(service.name)
    ports = {service.name: resolve.port(spec, service) for service in spec.services}
    defaults = resolve.sizing(spec.defaults)
    return {
        "platform": {
            **_labels(spec, "test", "deploy"),
            "appRepo": spec.platform.github.app_repo,
            "imageRegistry": resolve.image_registry(spec),
            **_registry_login(spec, "reader", "provider"),
            # What its workflows read is an account of the image registry, and nothing else.
            **(_vault(spec) if vault.has_account(spec) else {}),
        },
        "environments": [
            {key: value for key, value in asdict(environment).items() if key not in {"branch", "rollback_on_failure"}}
            | {"syncWindows": [_sync_window(window) for window in environment.windows]}
            | {"quota": quota(spec, environment.name)}
            | {"chaos": environment.cluster in resolve.chaos_clusters(spec)}
            | {"rollbackOnFailure": environment.rollback_on_failure}
            for environment in resolve.environments(spec)
        ],
        "clusters": _clusters(spec),
        "addons": {addon.name: _addon(addon, spec) for addon in addons.wanted(spec)},
        "signing": _public_key(spec),
        "observability": _observability(spec),
        "argocd": _argocd(spec),
        "vault": vault.answers(spec),
        "certificates": _certificates(spec) if spec.features.cert_manager.enabled else {},
        "previews": _previews(spec) if spec.features.previews else {},
        "features": {
            "metrics": spec.features.observability.metrics,
            "backup": spec.features.backup.model_dump(by_alias=True, exclude={"clusters"})
            | {"store": _backup_store(spec.features.backup)},
            "traces": spec.features.observability.traces,
            "logStorage": _log_storage(spec.features.observability.log_storage),
            "postgres": any(service.uses.postgres for service in spec.services),
            "verticalPodAutoscaler": spec.features.scaling.vertical_pod_autoscaler,
            "triggers": resolve.uses_triggers(spec),
            "spotNodes": spec.features.scaling.spot_nodes.model_dump(),
            "karpenter": {
                label: cluster.model_dump() | {"queue": cluster.queue or cluster.cluster}
                for label, cluster in sorted(spec.features.scaling.karpenter.items())
            },
        },
        "defaults": {"port": spec.defaults.port, "rollout": spec.defaults.rollout, **_sizing(defaults)},
        "services": [
            {
                "name": service.name,
                "description": service.description,
                "owner": resolve.owner(spec, service),
                "team": resolve.team(spec, service),
                "callers": callers[service.name],
                "base": resolve.library_version(spec, service),
                "values": _values(spec, service, ports),
                "environments": _overrides(spec, service),
            }
            for service in _services(spec)
        ],
    }


def _backup_store(backup: Backup) -> Answers:
    """Return in Velero's words where clusters are backed up to; nothing where they are not."""
    if backup.destination is None or not backup.clusters:
        return {}
    scheme, _, place = backup.destination.partition("://")
    host, _, path = place.partition("/")
    account = ""
    if scheme == "https":
        account, (host, _, path) = host.partition(".")[0], path.partition("/")
    return {
        "provider": {"s3": "aws", "gs": "gcp", "https": "azure"}[scheme],
        "account": account,
        "bucket": host,
        "path": path,
        "region": backup.region or ("us-east-1" if backup.endpoint else ""),
        "endpoint": backup.endpoint or "",
    }


def _log_storage(storage: LogStorage) -> Answers:
    """Return in Loki's words where logs are kept; nothing for a volume."""
    if storage.bucket is None:
        return {}
    scheme, _, place = storage.bucket.partition("://")
    host, _, container = place.partition("/")
    return {
        "kind": {"s3": "s3", "gs": "gcs", "https": "azure"}[scheme],
        "account": host.partition(".")[0] if container else "",
        "bucket": container or host,
        "region": storage.region or "",
        "identity": storage.identity,
    }


def _clusters(spec: Spec) -> list[Answers]:
    """Return what values of add-ons differ by: the labels of clusters, and whether the last environment is there."""
    last = resolve.environments(spec)[-1].cluster
    labels = dict.fromkeys(environment.cluster for environment in resolve.environments(spec))
    return [{"label": label, "last": label == last, "grafana": resolve.grafana_host(spec, label)} for label in labels]


def _observability(spec: Spec) -> Answers:
    """Return what alerts and dashboards have in common; nothing where there is no Prometheus."""
    if not spec.features.observability.metrics:
        return {}
    github = spec.platform.github
    platform_team = spec.platform.team or "platform"
    teams = sorted(spec.teams, key=lambda team: team.name)
    return {
        "runbooks": f"https://github.com/{github.organization}/{github.cd_repo}/blob/main/docs/runbooks",
        "dashboards": spec.features.observability.grafana is True,
        "team": platform_team if any(team.name == platform_team for team in teams) else None,
        "channels": [{"team": team.name, "channel": team.slack or team.name} for team in teams]
        if spec.features.notifications.slack
        else [],
        "webhook": spec.features.notifications.webhook,
    }


def _addon(addon: addons.Addon, spec: Spec) -> Answers:
    return {
        "namespace": addon.namespace,
        "wave": addon.wave,
        "podSecurity": addon.pod_security,
        "hub": addon.hub,
        **({"clusters": addon.clusters(spec)} if addon.clusters else {}),
        **({"folder": addon.folder} if addon.folder else {}),
    }


def _certificates(spec: Spec) -> Answers:
    argocd = resolve.argocd_host(spec)
    return {
        "issuer": spec.features.cert_manager.issuer,
        "email": spec.features.cert_manager.email,
        "clusters": resolve.hosts(spec),
        "hub": [argocd] if argocd else [],
    }


def _argocd(spec: Spec) -> Answers:
    host = resolve.argocd_host(spec)
    handles = [handle for team in spec.teams if (handle := resolve.team_handle(spec, team.name))]
    organizations = {spec.platform.github.organization, *(handle[1:].split("/")[0] for handle in handles)}
    platform_team = spec.platform.team or "platform"
    return {
        "host": host,
        "organizations": sorted(organizations) if host and spec.features.sso else [],
        "teams": [
            {
                "name": team.name,
                "handle": resolve.team_handle(spec, team.name),
                "group": resolve.sso_group(spec, team),
                "platform": team.name == platform_team,
                # The platform's team may do with every service what a team may do with its own.
                "services": [service.name for service in _services(spec) if service.team == team.name]
                if team.name != platform_team
                else [],
            }
            for team in sorted(spec.teams, key=lambda team: team.name)
        ],
        "notifications": _notifications(spec, platform_team),
    }


def _notifications(spec: Spec, platform_team: str) -> Answers:
    channels = []
    for team in sorted(spec.teams, key=lambda team: team.name):
        owned = [service.name for service in _services(spec) if (service.team or platform_team) == team.name]
        if owned or team.name == platform_team:
            channels.append(
                {"name": team.slack or team.name, "services": owned, "platform": team.name == platform_team}
            )
    asked = spec.features.notifications
    grafana = spec.features.observability.grafana
    return {
        "channels": channels if asked.slack else [],
        "webhook": asked.webhook,
        "grafana": grafana if isinstance(grafana, str) else None,
    }


def _previews(spec: Spec) -> Answers:
    domain = spec.platform.domain
    return {
        "appRepo": spec.platform.github.app_repo,
        "environment": spec.environments[0].name,
        "domain": f"preview.{domain}" if domain else None,
    }


def _sync_window(window: Answers) -> Answers:
    """Return a window in the form of Argo CD: when it opens as cron has it, and for how long it is open."""
    (hour, minute), (end_hour, end_minute) = (map(int, window[side].split(":")) for side in ("from", "to"))
    length = (end_hour - hour) * 60 + end_minute - minute
    return {
        "schedule": f"{minute} {hour} * * {','.join(window['days'])}",
        "duration": f"{length // 60}h{length % 60}m",
        "timezone": window["timezone"],
    }


def _values(spec: Spec, service: Service, ports: Mapping[str, int]) -> Answers:
    """Return the chart values in which `service` differs from the defaults; `ports` are those of all services."""
    values = _sizing_over([spec.defaults], [service])
    if service.port is not None:
        values["port"] = service.port
    if service.rollout is not None:
        values["rollout"] = service.rollout
    if service.depends_on:
        values["dependsOn"] = [{"name": name, "port": ports[name]} for name in sorted(service.depends_on)]
    if service.route is not None:
        values["route"] = _route(spec, service, spec.environments[-1].name)
    if service.secrets:
        values["secrets"] = [
            {"name": secret.name, "path": path, "property": key}
            for secret in service.secrets
            for path, _, key in [secret.vault.partition("#")]
        ]
        refresh = _hours(service.secret_refresh or spec.defaults.secret_refresh)
        if refresh != "1h":  # what the library chart does by itself, also in versions that do not know the key
            values["secretRefresh"] = refresh
    if service.config:
        values["config"] = dict(service.config)
    if service.uses.redis:
        values["redis"] = _redis(spec.defaults, service)
    if service.uses.postgres:
        values["postgres"] = _postgres(spec.defaults, service, last=False)
    if service.chaos:
        values["chaos"] = True
    if service.jobs:
        values["jobs"] = {job.name: _job(spec, service, job) for job in service.jobs}
    return values


def _hours(duration: str) -> str:
    """Return a duration in the form of Kubernetes, which knows no days."""
    return f"{int(duration[:-1]) * 24}h" if duration.endswith("d") else duration


def _redis(*layers: resolve.Layer) -> Answers:
    return resolve.cache(*layers).model_dump(by_alias=True)


def _postgres(*layers: resolve.Layer, last: bool) -> Answers:
    database = resolve.database(*layers, last=last)
    return {
        **database.postgres.model_dump(by_alias=True, exclude={"resources"}),
        "resources": {
            "requests": database.requests.model_dump(by_alias=True),
            "limits": database.limits.model_dump(by_alias=True),
        },
    }


def _job(spec: Spec, service: Service, job: Job) -> Answers:
    values = job.model_dump(by_alias=True, exclude={"name", "resources"})
    if job.resources != Resources():
        values["resources"] = _sizing(resolve.sizing(spec.defaults, service, ServiceOverride(resources=job.resources)))[
            "resources"
        ]
    return values


def _overrides(spec: Spec, service: Service) -> list[Answers]:
    """Return, in promotion order, the environments in which `service` differs from its own values."""
    overrides = []
    for environment in spec.environments:
        override = _override(service, environment.name)
        values = _sizing_over([spec.defaults, service], [override])
        if override.rollout is not None:
            values["rollout"] = override.rollout
        if service.uses.redis:
            values |= _difference(
                {"redis": _redis(spec.defaults, service)}, {"redis": _redis(spec.defaults, service, override)}
            )
        if service.uses.postgres:
            last = environment.name == spec.environments[-1].name
            values |= _difference(
                {"postgres": _postgres(spec.defaults, service, last=False)},
                {"postgres": _postgres(spec.defaults, service, override, last=last)},
            )
        if changed := {key: text for key, text in override.config.items() if service.config.get(key) != text}:
            values["config"] = changed
        if resolve.route_of(service, environment.name):
            route = _route(spec, service, environment.name)
            if service.route is None or route != _route(spec, service, spec.environments[-1].name):
                values["route"] = route
        if values:
            overrides.append({"name": environment.name, "values": values})
    return overrides


def _override(service: Service, environment: str) -> ServiceOverride:
    return service.environments.get(environment, ServiceOverride())


def _route(spec: Spec, service: Service, environment: str) -> Answers:
    route = resolve.route_of(service, environment)
    if route is None:  # an override gives a route elsewhere only
        return {}
    return {
        "host": resolve.host(spec, service, route, environment),
        "path": resolve.route_path(service, route, environment),
    }


def _sizing_over(below: Layers, above: Layers) -> Answers:
    """Return the sizes that change when the layers `above` are laid over those `below`.

    A lower limit changes the request that follows from it, so the resolved sizes are compared, not what was stated.
    """
    return _difference(_sizing(resolve.sizing(*below)), _sizing(resolve.sizing(*below, *above)))


def _sizing(sizing: resolve.Sizing) -> Answers:
    return {
        "autoscaling": sizing.autoscaling.model_dump(by_alias=True, exclude={"triggers"})
        | {"triggers": [_trigger(trigger) for trigger in sizing.autoscaling.triggers or []]},
        "resources": {
            "requests": sizing.requests.model_dump(by_alias=True),
            "limits": sizing.limits.model_dump(by_alias=True),
        },
        "objectives": {key: _plain(value) for key, value in sizing.objectives.model_dump(by_alias=True).items()},
    }


def _trigger(trigger: Trigger) -> Answers:
    values: Answers = trigger.model_dump(by_alias=True, exclude_none=True)
    if trigger.prometheus:
        values["prometheus"]["threshold"] = _plain(trigger.prometheus.threshold)
    return values


def _plain(number: float) -> float:
    """Return 5 for 5.0, as people write it."""
    return int(number) if float(number).is_integer() else number


def _difference(below: Answers, above: Answers) -> Answers:
    """Return the keys of `above`, level by level, whose value is not that of `below`."""
    result: Answers = {}
    for key, value in above.items():
        if isinstance(value, dict):
            if inner := _difference(below[key], value):
                result[key] = inner
        elif below[key] != value:
            result[key] = value
    return result
