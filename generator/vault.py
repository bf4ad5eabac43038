"""Who reads what in Vault: policies and roles of services in environments, of a cluster's add-ons, and of jobs.

Names are joined by dots, which no part of them holds: no two places share a name.
"""

from __future__ import annotations

from typing import Any

from generator import resolve
from generator.models import Spec

Answers = dict[str, Any]
# Where the key is with which backups are written to a store that knows no identities of a cloud.
BACKUP_KEY = "backup/s3"


# The Service of the server that answers, where Vault is installed.
SERVICE = "https://vault-active.vault.svc:8200"


def address(spec: Spec) -> str | None:
    """Return where clusters find Vault, or None where the spec does not say."""
    vault = spec.features.vault
    return vault.address or (SERVICE if vault.install else None)


def hub_of(spec: Spec) -> str:
    """Return the label of the cluster of Argo CD."""
    return spec.features.vault.hub or resolve.environments(spec)[0].cluster


def answers(spec: Spec) -> Answers:
    """Return what Vault is set up with, and where it is; nothing where the spec does not say."""
    vault = spec.features.vault
    if address(spec) is None:
        return {}
    environments = resolve.environments(spec)
    hub = hub_of(spec)
    clusters = list(dict.fromkeys([*(environment.cluster for environment in environments), hub]))
    policies: list[Answers] = []
    roles: dict[str, list[Answers]] = {cluster: [] for cluster in clusters}
    for environment in environments:
        for service in sorted(spec.services, key=lambda service: service.name):
            paths = [secret.vault for secret in service.secrets]
            if service.uses.postgres and spec.features.backup.endpoint:
                paths.append(BACKUP_KEY)
            if not paths:
                continue
            name = f"{spec.platform.name}.{environment.name}.{service.name}"
            policies.append(_policy(name, mount(spec, environment.name), paths))
            namespaces = [f"{spec.platform.name}-{environment.name}"]
            if spec.features.previews and environment.name == environments[0].name:
                namespaces.append(f"{spec.platform.name}-preview-*")
            roles[environment.cluster].append(_role(name, service.name, namespaces, name))
    for cluster in clusters:
        if paths := _paths_of_addons(spec, cluster, hub=cluster == hub):
            name = f"{spec.platform.name}.platform.{cluster}"
            policies.append(_policy(name, mount(spec, "platform"), paths))
            roles[cluster].append(_role(f"{spec.platform.name}.platform", "secret-stores", ["external-secrets"], name))
    pipeline = _pipeline(spec) if vault.pipeline else []
    policies += [{"name": role["name"], "paths": role.pop("paths")} for role in pipeline]
    return {
        "address": address(spec),
        "ca": vault.ca or "",
        "mounts": [mount(spec, name) for name in (*(environment.name for environment in environments), "platform")],
        "policies": policies,
        "server": _server(spec),
        "kubernetes": {f"kubernetes-{cluster}": roles[cluster] for cluster in clusters},
        "github": pipeline,
    }


def has_account(spec: Spec) -> bool:
    """Tell whether pipelines log in to the image registry with an account, a name and a password."""
    return spec.platform.registry_login is None and not resolve.image_registry(spec).startswith("ghcr.io/")


def _pipeline(spec: Spec) -> list[Answers]:
    """Return the roles of jobs, by what each is for; a job is known by its repository and by the file that holds it."""
    github = spec.platform.github
    ci, cd = (f"{github.organization}/{name}" for name in (github.ci_repo, github.cd_repo))
    scanners = [name for name in ("snyk", "sonarqube") if getattr(spec.features.scanning, name)]
    accounts = ["registry", "registry-reader"] if has_account(spec) else []

    def role(purpose: str, secrets: list[str], repositories: list[str], *files: str, part: str = "data") -> Answers:
        claims = {"repository": repositories}
        if files:
            claims["job_workflow_ref"] = [f"{ci}/.github/workflows/{file}.yml@refs/heads/main" for file in files]
        name = f"{spec.platform.name}.platform.pipeline.{purpose}"
        paths = [f"{mount(spec, 'platform')}/{part}/pipeline/{secret}" for secret in sorted(secrets)]
        return {"name": name, "claims": claims, "paths": paths}

    roles = []
    if accounts:
        roles.append(role("push", ["registry"], [ci], "base-images", "image", "library", "shared-pipeline"))
        roles.append(role("read", ["registry-reader"], [ci, cd]))
    registers = ["release", "library", *(["app-preview"] if spec.features.previews else [])]
    roles.append(role("register", ["registrar"], [ci], *registers))
    if scanners:
        roles.append(role("scan", scanners, [ci]))
    roles.append(role("age", ["registrar", *accounts, *scanners], [ci], "late-rotation", part="metadata"))
    return roles


def _server(spec: Spec) -> Answers:
    """Return how the Vault that is installed is run; nothing where none is."""
    install = spec.features.vault.install
    if install is None:
        return {}
    host = (address(spec) or "").removeprefix("https://").partition(":")[0]
    keys = {
        "awskms": {"region": "region", "key": "kms_key_id"},
        "gcpckms": {"project": "project", "region": "region", "key_ring": "key_ring", "key": "crypto_key"},
        "azurekeyvault": {"tenant": "tenant_id", "vault": "vault_name", "key": "key_name"},
        "transit": {"address": "address", "mount": "mount_path", "key": "key_name"},
    }
    kind, seal = next((kind, seal) for kind in keys if (seal := getattr(install, kind)))
    return {
        "seal": kind,
        "settings": {named: getattr(seal, key) for key, named in keys[kind].items()},
        "storage": install.storage,
        "identity": install.identity,
        "host": host,
    }


def mount(spec: Spec, environment: str) -> str:
    """Return the key-value store with the secrets of an environment; that of `platform` has those of the add-ons."""
    return f"{spec.platform.name}-{environment}"


def _policy(name: str, store: str, secrets: list[str]) -> Answers:
    """Return a policy that reads `secrets`, each a path with or without a property, and nothing else."""
    return {"name": name, "paths": sorted({f"{store}/data/{secret.partition('#')[0]}" for secret in secrets})}


def _role(name: str, account: str, namespaces: list[str], policy: str) -> Answers:
    return {"name": name, "account": account, "namespaces": namespaces, "policy": policy}


def _paths_of_addons(spec: Spec, cluster: str, *, hub: bool) -> list[str]:
    """Return what the add-ons of a cluster read, those of Argo CD's own cluster included where `hub`."""
    features = spec.features
    signs_on = resolve.argocd_host(spec) is not None and features.sso
    tells = features.notifications.slack or features.notifications.webhook
    grafana = features.observability.grafana
    paths = []
    if hub and signs_on:
        paths.append("argocd/sso")
    if (hub and (tells or isinstance(grafana, str))) or (features.observability.metrics and tells):
        paths.append("argocd/notifications")
    if hub and features.observability.metrics and features.observability.delivery:
        paths.append("delivery/github")
    if grafana is True and signs_on:
        paths.append(f"grafana/{cluster}")
    if features.backup.endpoint and features.backup.clusters:
        paths.append(BACKUP_KEY)
    return paths
