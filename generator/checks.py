"""What one value of a spec says of another: references, collisions, and the length of derived names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from zoneinfo import available_timezones

from generator import names, registries, resolve
from generator.document import Path_
from generator.models import (
    Defaults,
    Environment,
    Features,
    Platform,
    Resources,
    Service,
    ServiceOverride,
    Spec,
    Team,
    Trigger,
)

SCALE_SET = "[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?"


@dataclass(frozen=True)
class Fault:
    """A fault at a path of the spec; `at_key` points at the key instead of its value."""

    path: Path_
    message: str
    at_key: bool = False


@dataclass
class Draft:
    """The parts of a spec that are well-formed by themselves, by their index in the file.

    A reference to a part that is there but faulty is no second fault, so the known names come from the raw file.
    """

    platform: Platform | None = None
    features: Features = field(default_factory=Features)
    environments: dict[int, Environment] = field(default_factory=dict)
    teams: dict[int, Team] = field(default_factory=dict)
    defaults: Defaults = field(default_factory=Defaults)
    services: dict[int, Service] = field(default_factory=dict)
    environment_names: list[str] = field(default_factory=list)
    team_names: list[str] = field(default_factory=list)
    service_names: list[str] = field(default_factory=list)


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Return a hint that names the allowed spelling nearest to `word`, or all of them."""
    choices = list(allowed)
    matches = get_close_matches(word, choices, n=1, cutoff=0.6) or get_close_matches(
        word.lower(), [choice for choice in choices if choice.lower() == word.lower()], n=1, cutoff=0
    )
    if matches:
        return f"; did you mean `{matches[0]}`?"
    if not choices:
        return ""
    shown = ", ".join(f"`{choice}`" for choice in choices[:12])
    return f"; there are {shown}{' and more' if len(choices) > 12 else ''}"


def check(draft: Draft) -> Iterator[Fault]:
    """Yield every fault between the parts of `draft`."""
    yield from _unique("environments", draft.environments, "environment")
    yield from _unique("teams", draft.teams, "team")
    yield from _unique("services", draft.services, "service")
    yield from _reserved(draft)
    yield from _repositories(draft)
    yield from _image_registry(draft)
    yield from _registry_login(draft)
    yield from _image_platforms(draft)
    yield from _branches(draft)
    yield from _windows(draft)
    yield from _references(draft)
    yield from _lengths(draft)
    yield from _sizes(draft)
    yield from _variables(draft)
    yield from _triggers(draft)
    yield from _stores(draft)
    yield from _jobs(draft)
    yield from _routes(draft)
    yield from _certificates(draft)
    yield from _karpenter(draft)
    yield from _vault(draft)
    yield from _spot_nodes(draft)
    yield from _signing(draft)
    yield from _egress(draft)
    yield from _scale_sets(draft)
    yield from _backup(draft)


def _unique(
    section: str, parts: dict[int, Environment] | dict[int, Team] | dict[int, Service], what: str
) -> Iterator[Fault]:
    seen: dict[str, int] = {}
    for index, part in parts.items():
        first = seen.setdefault(part.name, index)
        if first != index:
            yield Fault(
                (section, index, "name"), f"the {what} `{part.name}` is there already as {section}[{first}]; rename one"
            )


def _reserved(draft: Draft) -> Iterator[Fault]:
    for index, service in draft.services.items():
        if service.name in names.RESERVED_SERVICES:
            yield Fault(
                ("services", index, "name"),
                f"`{service.name}` is reserved: a part of the generated repositories has that name; choose another",
            )
        for suffix in names.SUFFIXES:
            if service.name.endswith(suffix) and service.name.removesuffix(suffix) in draft.service_names:
                yield Fault(
                    ("services", index, "name"),
                    f"`{service.name}` is the name of an object that `{service.name.removesuffix(suffix)}` makes; "
                    "choose another",
                )
    for index, environment in draft.environments.items():
        if environment.name in names.RESERVED_ENVIRONMENTS or names.RESERVED_PREVIEWS.fullmatch(environment.name):
            yield Fault(
                ("environments", index, "name"),
                f"`{environment.name}` is reserved: a part of the generated repositories has that name; choose another",
            )
    if draft.platform and names.RESERVED_PLATFORMS.fullmatch(draft.platform.name):
        yield Fault(
            ("platform", "name"),
            f"namespaces that begin with `kube-` belong to Kubernetes; the platform may not be called "
            f"`{draft.platform.name}`",
        )


def _repositories(draft: Draft) -> Iterator[Fault]:
    if draft.platform is None:
        return
    github = draft.platform.github
    seen: dict[str, str] = {}
    for key, name in (("appRepo", github.app_repo), ("ciRepo", github.ci_repo), ("cdRepo", github.cd_repo)):
        # GitHub and some file systems do not tell capitals from small letters.
        first = seen.setdefault(name.lower(), key)
        if first != key:
            yield Fault(("platform", "github", key), f"`{name}` is the name of {first} too; the three must differ")
        if name.lower().endswith((".git", ".wiki")):
            yield Fault(("platform", "github", key), f"GitHub allows no repository called `{name}`; drop the ending")


def _image_registry(draft: Draft) -> Iterator[Fault]:
    if draft.platform is None or draft.platform.image_registry is None:
        return
    address = draft.platform.image_registry
    registry, *folders = address.split("/")
    message = ""
    if not ("." in registry or ":" in registry or registry == "localhost"):
        message = f"`{registry}` is no registry, and tools would take Docker Hub for it; write `docker.io/{address}`"
    elif registry in names.ACCOUNTS and not folders:
        message = f"{registry} keeps images below an account; write `{registry}/<account>`"
    elif (depth := names.ACCOUNTS.get(registry)) and len(folders) > depth:
        message = f"{registry} has no folders below an account; write `{registry}/{folders[0]}`"
    elif registry in names.DOCKER_HUB:
        message = f"{registry} is Docker Hub; write `{'/'.join(['docker.io', *folders[:1]])}`"
    elif registry.endswith("-docker.pkg.dev") and len(folders) < 2:
        message = f"{registry} keeps images below a project and a repository; write `{registry}/<project>/<repository>`"
    elif registry == "public.ecr.aws":
        message = "pipelines cannot log in to Amazon's public registry; write `<id>.dkr.ecr.<region>.amazonaws.com`"
    if message:
        yield Fault(("platform", "imageRegistry"), message)


def _image_platforms(draft: Draft) -> Iterator[Fault]:
    platforms = draft.platform.image_platforms if draft.platform else []
    for index, platform in enumerate(platforms):
        if platform in platforms[:index]:
            yield Fault(("platform", "imagePlatforms", index), f"`{platform}` is listed twice; remove one")


def _registry_login(draft: Draft) -> Iterator[Fault]:
    """Yield an identity that the image registry would not let in."""
    if draft.platform is None or draft.platform.registry_login is None:
        return
    login = draft.platform.registry_login
    path: Path_ = ("platform", "registryLogin")
    address = draft.platform.image_registry or "ghcr.io"
    cloud = registries.cloud_of(address)
    if cloud is None:
        known = ", ".join(cloud.name for cloud in registries.CLOUDS)
        message = (
            f"{address.split('/')[0]} lets nobody in by an identity of a cloud, as these do: {known}; leave it out"
        )
        yield Fault(path, message, True)
        return
    pattern, meaning = cloud.identity
    for key, identity in (("identity", login.identity), ("reader", login.reader)):
        if identity and not re.fullmatch(pattern, identity):
            yield Fault((*path, key), f"{cloud.name} takes {meaning}, not `{identity}`")
    if cloud.provider is None:
        if login.provider:
            yield Fault((*path, "provider"), f"{cloud.name} needs none; leave it out", True)
        return
    pattern, meaning = cloud.provider
    if login.provider is None:
        yield Fault(path, f"{cloud.name} needs `provider`, {meaning}", True)
    elif not re.fullmatch(pattern, login.provider):
        yield Fault((*path, "provider"), f"{cloud.name} takes {meaning}, not `{login.provider}`")


def _branches(draft: Draft) -> Iterator[Fault]:
    branches: dict[int, str] = {}
    ordered = [draft.environments[index] for index in sorted(draft.environments)]
    for position, index in enumerate(sorted(draft.environments)):
        branches[index] = resolve.branch_of(ordered, position)
    for index, branch in branches.items():
        if not names.is_branch(branch):
            yield Fault(("environments", index, "branch"), f"git allows no branch called `{branch}`; choose another")
        for other in branches.values():
            if other.startswith(f"{branch}/"):
                yield Fault(
                    ("environments", index, "branch"),
                    f"git cannot hold the branches `{branch}` and `{other}` side by side; rename one",
                )


def _windows(draft: Draft) -> Iterator[Fault]:
    zones = available_timezones()
    for index, environment in draft.environments.items():
        for position, window in enumerate(environment.windows):
            path: Path_ = ("environments", index, "windows", position)
            if window.from_ >= window.to:
                yield Fault(
                    (*path, "to"),
                    f"the window opens at {window.from_} and closes at {window.to}; it must close later on the same "
                    "day: write a night as two windows",
                )
            # A machine without the database of time zones leaves the check to the one that runs cd-repo's scripts.
            if zones and window.timezone not in zones:
                yield Fault(
                    (*path, "timezone"), f"there is no time zone `{window.timezone}`{_near(window.timezone, zones)}"
                )


def _near(word: str, allowed: Iterable[str]) -> str:
    hint = nearest(word, sorted(allowed))
    return hint if hint.startswith("; did") else "; write it as Europe/Berlin or UTC"


def _references(draft: Draft) -> Iterator[Fault]:
    def missing(path: Path_, what: str, name: str, known: Sequence[str], *, at_key: bool = False) -> Iterator[Fault]:
        if name not in known:
            where = f"; list it under `{what}s`" if not known else nearest(name, known)
            yield Fault(path, f"there is no {what} `{name}`{where}", at_key)

    if draft.platform and draft.platform.team:
        yield from missing(("platform", "team"), "team", draft.platform.team, draft.team_names)
    for index, environment in draft.environments.items():
        for position, approver in enumerate(environment.approvers):
            yield from missing(("environments", index, "approvers", position), "team", approver, draft.team_names)
    for index, service in draft.services.items():
        here: Path_ = ("services", index)
        if service.team:
            yield from missing((*here, "team"), "team", service.team, draft.team_names)
        for position, dependency in enumerate(service.depends_on):
            path = (*here, "dependsOn", position)
            if dependency == service.name:
                yield Fault(path, f"`{service.name}` depends on itself; remove it")
            elif dependency in service.depends_on[:position]:
                yield Fault(path, f"`{dependency}` is listed twice; remove one")
            else:
                yield from missing(path, "service", dependency, draft.service_names)
        for name in service.environments:
            path = (*here, "environments", name)
            yield from missing(path, "environment", name, draft.environment_names, at_key=True)


def _lengths(draft: Draft) -> Iterator[Fault]:
    def too_long(path: Path_, forms: Iterable[names.DerivedName], **parts: str) -> Iterator[Fault]:
        """Yield the one form that is farthest above its limit: shortening by that much mends all."""
        excess, derived = max(
            ((len(form.form.format(**parts)) - form.limit, form) for form in forms), key=lambda pair: pair[0]
        )
        if excess > 0:
            name = derived.form.format(**parts)
            yield Fault(
                path,
                f"too long: the {derived.what} `{name}` has {len(name)} characters, Kubernetes allows {derived.limit}; "
                f"shorten it by {excess}",
            )

    for index, service in draft.services.items():
        path: Path_ = ("services", index, "name")
        yield from too_long(path, names.DERIVED_OF_SERVICE, service=service.name)
    if draft.platform is None:
        return
    if draft.features.previews:
        yield from too_long(("platform", "name"), names.DERIVED_OF_PREVIEWS, platform=draft.platform.name)
    for index, environment in draft.environments.items():
        path = ("environments", index, "name")
        yield from too_long(
            path, names.DERIVED_OF_ENVIRONMENT, platform=draft.platform.name, environment=environment.name
        )


def _sizes(draft: Draft) -> Iterator[Fault]:
    defaults = draft.defaults
    yield from _size(("defaults",), resolve.sizing(defaults), defaults)
    database = resolve.database(defaults, last=False)
    yield from _amounts(("defaults", "postgres", "resources"), database, defaults.postgres.resources)
    for index, service in draft.services.items():
        here: Path_ = ("services", index)
        yield from _size(here, resolve.sizing(defaults, service), service)
        database = resolve.database(defaults, service, last=False)
        yield from _amounts((*here, "postgres", "resources"), database, service.postgres.resources)
        for position, job in enumerate(service.jobs):
            own = ServiceOverride(resources=job.resources)
            yield from _size((*here, "jobs", position), resolve.sizing(defaults, service, own), own)
        for name, override in service.environments.items():
            place = (*here, "environments", name)
            yield from _size(place, resolve.sizing(defaults, service, override), override)
            database = resolve.database(defaults, service, override, last=False)
            yield from _amounts((*place, "postgres", "resources"), database, override.postgres.resources)


def _size(here: Path_, size: resolve.Sizing, stated: Defaults | Service | ServiceOverride) -> Iterator[Fault]:
    """Yield the faults of a size to which `stated` adds something; what it inherits was told where it stands."""
    low, high = size.autoscaling.min, size.autoscaling.max
    stated_bounds = [key for key in ("min", "max") if getattr(stated.autoscaling, key) is not None]
    if low is not None and high is not None and low > high and stated_bounds:
        yield Fault(
            (*here, "autoscaling", stated_bounds[0]),
            f"min is {low} and max is {high} here; min may not be greater than max",
        )
    yield from _amounts((*here, "resources"), size, stated.resources)


def _triggers(draft: Draft) -> Iterator[Fault]:
    """Yield triggers of autoscaling that would tell of nothing."""
    defaults = draft.defaults
    places: list[tuple[Path_, resolve.Sizing, Defaults | Service | ServiceOverride]] = [
        (("defaults",), resolve.sizing(defaults), defaults)
    ]
    for index, service in draft.services.items():
        places.append((("services", index), resolve.sizing(defaults, service), service))
        for name, override in service.environments.items():
            here: Path_ = ("services", index, "environments", name)
            places.append((here, resolve.sizing(defaults, service, override), override))
    for here, size, stated in places:
        for position, trigger in enumerate(stated.autoscaling.triggers or []):
            yield from _trigger((*here, "autoscaling", "triggers", position), trigger, size, draft.features)


def _trigger(here: Path_, trigger: Trigger, size: resolve.Sizing, features: Features) -> Iterator[Fault]:
    asked, cron = trigger.prometheus, trigger.cron
    if (asked is None) == (cron is None):
        yield Fault(here, "a trigger is of one kind: set either `prometheus` or `cron`")
        return
    if asked and asked.server is None and not features.observability.metrics:
        yield Fault(
            (*here, "prometheus"),
            "there is no Prometheus: `features.observability.metrics` is off; set `server` to the address of one",
        )
    if cron is None:
        return
    zones = available_timezones()
    if zones and cron.timezone not in zones:
        yield Fault(
            (*here, "cron", "timezone"), f"there is no time zone `{cron.timezone}`{_near(cron.timezone, zones)}"
        )
    if cron.start == cron.end:
        yield Fault((*here, "cron", "end"), "start and end are the same; let it end at another time")
    most = size.autoscaling.max
    if most is not None and cron.pods > most:
        yield Fault((*here, "cron", "pods"), f"{cron.pods} pods, and autoscaling.max is {most} here; raise it")


def _amounts(here: Path_, size: resolve.Sizing | resolve.Database, stated: Resources) -> Iterator[Fault]:
    for kind in ("cpu", "memory"):
        request, limit = getattr(size.requests, kind), getattr(size.limits, kind)
        sides = [side for side in ("requests", "limits") if getattr(getattr(stated, side), kind) is not None]
        if not sides:
            continue
        if names.amount(limit) == 0:
            yield Fault((*here, "limits", kind), f"a limit of {limit} lets nothing run; raise it")
        elif names.amount(request) > names.amount(limit):
            yield Fault(
                (*here, sides[0], kind),
                f"the request of {request} is greater than the limit of {limit} here; lower it or raise the limit",
            )


def _variables(draft: Draft) -> Iterator[Fault]:
    """Yield environment variables that two parts of the spec would set."""
    for index, service in draft.services.items():
        here: Path_ = ("services", index)
        given = names.VARIABLES_IN_USE | {
            names.address_variable(dependency): f"the chart, as the address of `{dependency}`"
            for dependency in service.depends_on
        }
        if draft.features.observability.traces:
            given[names.VARIABLE_OF_TRACES] = "the chart, for `features.observability.traces`"
        for store, variable in names.VARIABLES_OF_STORES.items():
            if getattr(service.uses, store):
                yield from _given((*here, "uses", store), variable, given)
                given[variable] = f"the chart, as the address of {store}"
        for name in service.config:
            yield from _given((*here, "config", name), name, given, at_key=True)
        for environment, override in service.environments.items():
            for name in override.config.keys() - service.config.keys():
                yield from _given((*here, "environments", environment, "config", name), name, given, at_key=True)
        seen: dict[str, int] = {}
        settings = set(service.config).union(*(override.config for override in service.environments.values()))
        for position, secret in enumerate(service.secrets):
            path: Path_ = (*here, "secrets", position, "name")
            if seen.setdefault(secret.name, position) != position:
                yield Fault(path, f"`{secret.name}` is set twice")
            elif secret.name in settings:
                yield Fault(
                    path, f"`{secret.name}` is set by `config` already; remove it there, or choose another name"
                )
            else:
                yield from _given(path, secret.name, given)


def _given(path: Path_, name: str, given: Mapping[str, str], *, at_key: bool = False) -> Iterator[Fault]:
    giver = "Kubernetes" if name.startswith(names.VARIABLES_OF_KUBERNETES) else given.get(name)
    if giver:
        yield Fault(path, f"`{name}` is already set by {giver}; choose another name", at_key)


def _stores(draft: Draft) -> Iterator[Fault]:
    """Yield the faults of caches and databases."""
    for index, service in draft.services.items():
        here: Path_ = ("services", index)
        places: list[tuple[Path_, Service | ServiceOverride]] = [(here, service)]
        places += [((*here, "environments", name), override) for name, override in service.environments.items()]
        for store, longest in names.MAX_STORE.items():
            for path, part in places:
                if store in part.model_fields_set and not getattr(service.uses, store):
                    yield Fault(
                        (*path, store), f"`{service.name}` uses no {store}; set `uses.{store}: true`, or remove this"
                    )
            name = f"{service.name}-{store}"
            if getattr(service.uses, store) and len(name) > longest:
                yield Fault(
                    (*here, "name"),
                    f"too long: `{name}`, its {store}, has {len(name)} characters, {longest} are allowed; "
                    f"shorten it by {len(name) - longest}",
                )


def _jobs(draft: Draft) -> Iterator[Fault]:
    zones = available_timezones()
    made: dict[str, str] = {}
    for index, service in draft.services.items():
        for position, job in enumerate(service.jobs):
            here: Path_ = ("services", index, "jobs", position)
            name = f"{service.name}-{job.name}"
            first = made.setdefault(name, service.name)
            if job.name in [other.name for other in service.jobs[:position]]:
                yield Fault((*here, "name"), f"`{service.name}` has a job `{job.name}` already; rename one")
            elif first != service.name:
                yield Fault(
                    (*here, "name"), f"`{first}` and `{service.name}` would both make the CronJob `{name}`; rename one"
                )
            if len(name) > names.MAX_CRON_JOB:
                yield Fault(
                    (*here, "name"),
                    f"too long: the CronJob `{name}` has {len(name)} characters, Kubernetes allows "
                    f"{names.MAX_CRON_JOB}; shorten it by {len(name) - names.MAX_CRON_JOB}",
                )
            if not job.command and not job.args:
                yield Fault(here, "the job would start the service itself, which never ends; set `command` or `args`")
            if zones and job.timezone not in zones:
                yield Fault((*here, "timezone"), f"there is no time zone `{job.timezone}`{_near(job.timezone, zones)}")


def _routes(draft: Draft) -> Iterator[Fault]:
    platform = draft.platform
    if platform is None or not draft.environments:
        return
    ordered = [draft.environments[index] for index in sorted(draft.environments)]
    spec = Spec.model_construct(platform=platform, environments=ordered, features=draft.features)
    theirs = _hosts_of_add_ons(spec)
    # Where each address leads: to a service in an environment.
    taken: dict[tuple[str, str], list[tuple[Service, Environment]]] = {}
    for index, service in draft.services.items():
        told: set[str] = set()
        for environment in ordered:
            route = resolve.route_of(service, environment.name)
            if route is None:
                continue
            place: Path_ = ("services", index, "route")
            override = service.environments.get(environment.name)
            if service.route is None or (override and override.route):
                place = ("services", index, "environments", environment.name, "route")
            host = resolve.host(spec, service, route, environment.name)
            path = resolve.route_path(service, route, environment.name)
            if host is None:
                message: str | None = "the route needs a host: set `platform.domain`, or `host` here"
            elif len(host) > names.MAX_HOST:
                message = f"the host `{host}` has more than {names.MAX_HOST} characters"
            elif any(len(label) > names.MAX_LABEL for label in host.split(".")):
                message = f"a part of the host `{host}` has more than {names.MAX_LABEL} characters"
            elif host in theirs:
                message = f"the host `{host}` is where {theirs[host]} is; set `host` to another here"
            elif ".." in path or "//" in path:
                message = f"the path `{path}` may not hold `..` or `//`"
            else:
                holders = taken.setdefault((host, path.rstrip("/")), [])
                message = _taken(f"{host}{path}", service, environment, holders)
                holders.append((service, environment))
            if message is None:
                continue
            if message not in told and not (told and place == ("services", index, "route")):
                yield Fault(place, message)
            told.add(message)


def _hosts_of_add_ons(spec: Spec) -> dict[str, str]:
    """Return what answers at the hosts that the platform keeps for itself."""
    found = {}
    if argocd := resolve.argocd_host(spec):
        found[argocd] = "Argo CD"
    if spec.features.observability.grafana is True:
        for environment in resolve.environments(spec):
            if grafana := resolve.grafana_host(spec, environment.cluster):
                found[grafana] = "Grafana"
    return found


def _certificates(draft: Draft) -> Iterator[Fault]:
    """Yield the clusters with more hosts than a Gateway can show certificates for, one each."""
    if draft.platform is None or not draft.environments or not draft.features.cert_manager.enabled:
        return
    ordered = [draft.environments[index] for index in sorted(draft.environments)]
    services = [draft.services[index] for index in sorted(draft.services)]
    spec = Spec.model_construct(
        platform=draft.platform, environments=ordered, features=draft.features, services=services
    )
    for cluster, hosts in resolve.hosts(spec).items():
        # That of Argo CD may come to them.
        if len(hosts) >= names.MAX_CERTIFICATES:
            yield Fault(
                ("services",),
                f"{len(hosts)} hosts are routed to in the cluster `{cluster}`, and a Gateway shows "
                f"{names.MAX_CERTIFICATES} certificates at most; let services share hosts, or set "
                "`features.certManager.enabled: false` and bring a certificate for all names of the domain",
            )


def _karpenter(draft: Draft) -> Iterator[Fault]:
    """Yield labels of clusters that no environment has, once all environments are known to be well-formed."""
    if len(draft.environments) < len(draft.environment_names):
        return
    clusters = [environment.cluster or environment.name for environment in draft.environments.values()]
    for label in draft.features.scaling.karpenter:
        if label not in clusters:
            yield Fault(
                ("features", "scaling", "karpenter", label),
                f"no environment is in a cluster `{label}`{nearest(label, dict.fromkeys(clusters))}",
                at_key=True,
            )


def _spot_nodes(draft: Draft) -> Iterator[Fault]:
    """Yield spot nodes that nobody could find."""
    nodes = draft.features.scaling.spot_nodes
    if nodes.provider == "other" and not nodes.labels:
        yield Fault(
            ("features", "scaling", "spotNodes"), "spot nodes of no known provider need a label; set `labels`", True
        )


def _signing(draft: Draft) -> Iterator[Fault]:
    """Yield a key by which nobody could verify, or nobody could sign."""
    signing = draft.features.signing
    if signing.key and not signing.public_key:
        message = f"nobody can verify by it; set `publicKey` to what `cosign public-key --key {signing.key}` prints"
        yield Fault(("features", "signing", "key"), message)
    if signing.public_key and not signing.key:
        yield Fault(("features", "signing", "publicKey"), "nothing signs by it; set `key`", True)


def _egress(draft: Draft) -> Iterator[Fault]:
    """Yield a record of egress that nothing would write."""
    runners = draft.platform.runners if draft.platform else None
    if runners and runners.record_egress and runners.kind == "self-hosted":
        message = "harden-runner records on GitHub's machines alone; leave it out, or watch the runners' network"
        yield Fault(("platform", "runners", "recordEgress"), message, True)


def _scale_sets(draft: Draft) -> Iterator[Fault]:
    """Yield labels by which no scale set can be installed: its objects in the cluster are called so."""
    runners = draft.platform.runners if draft.platform else None
    if not runners or runners.kind != "self-hosted":
        return
    for name, label in resolve.labels(runners).items():
        if not resolve.is_hosted(label) and not re.fullmatch(SCALE_SET, label):
            message = f"{label!r} cannot be installed: a scale set is called by 1–45 lower-case letters, digits and `-`"
            yield Fault(("platform", "runners", "labels", name), message)


def _backup(draft: Draft) -> Iterator[Fault]:
    """Yield a store that speaks S3 where nothing is kept by S3."""
    backup = draft.features.backup
    if backup.endpoint and not (backup.destination or "").startswith("s3://"):
        yield Fault(
            ("features", "backup", "endpoint"),
            "a store that speaks S3 needs `destination` to be a bucket of it, such as s3://acme-backups",
        )


def _taken(
    address: str, service: Service, environment: Environment, holders: list[tuple[Service, Environment]]
) -> str | None:
    """Return why `service` cannot have `address` in `environment`, if so.

    A service may answer to one address in several clusters, where each has its own view of DNS. In one cluster they
    would share a gateway, and production's requests would go wherever that likes.
    """
    for other, place in sorted(holders, key=lambda holder: holder[1].name != environment.name):
        if other.name != service.name:
            return f"{address} belongs to `{other.name}` already in {place.name}; give one of them another host or path"
        if place.name != environment.name and (place.cluster or place.name) == (
            environment.cluster or environment.name
        ):
            return (
                f"{address} leads to {place.name} and to {environment.name}, which share a cluster; set "
                f"`platform.domain` to an end of the host, or another host under `environments.{environment.name}`"
            )
    return None


def _vault(draft: Draft) -> Iterator[Fault]:
    vault, place = draft.features.vault, ("features", "vault")
    if vault.pipeline and vault.address is None:
        message = "runners read Vault over the network: give `features.vault.address`, which must lead there"
        yield Fault((*place, "pipeline"), message, at_key=True)
    if vault.install is None:
        return
    seals = ("awskms", "gcpckms", "azurekeyvault", "transit")
    given = [name for name in seals if getattr(vault.install, name)]
    if len(given) != 1:
        yield Fault(
            (*place, "install"),
            f"Vault is unsealed by exactly one of `{'`, `'.join(seals)}`; here there are {len(given)}",
            at_key=True,
        )
    if draft.platform is None or not draft.environments or vault.address is not None:
        return
    ordered = [draft.environments[index] for index in sorted(draft.environments)]
    spec = Spec.model_construct(platform=draft.platform, environments=ordered, features=draft.features)
    clusters = {environment.cluster for environment in resolve.environments(spec)}
    hub = vault.hub or resolve.environments(spec)[0].cluster
    if others := sorted(clusters - {hub}):
        yield Fault(
            (*place, "install"),
            f"Vault is in the cluster `{hub}`, and `{others[0]}` must reach it: give `features.vault.address`, an "
            "address that leads there",
            at_key=True,
        )
