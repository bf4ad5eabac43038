"""Who reads which secret: computed from policies, roles and stores, and held against the spec for all pairs."""

import json
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from generator import vault
from generator.models import Spec
from generator.resolve import environments
from generator.spec import load_spec
from tests import platform as platforms
from tests.blueprints.cd_repo import support
from tests.blueprints.cd_repo.addons import HUB, addons_of, applications_of, load, own_objects
from tests.blueprints.cd_repo.schemas import custom_problems
from tests.blueprints.cd_repo.support import Object, by_kind, script
from tests.platform import Platform, spec_of
from tests.tools import run, tool

ADDRESS = "vault: {address: 'https://vault.acme.example'}"


def policies_of(cd: Path) -> dict[str, set[str]]:
    """Return what each policy lets read, as a parser of HCL reads it; nothing lets more than read."""
    with TemporaryDirectory() as out:
        run(tool("hcl2tojson"), cd / "vault/policies", out)
        parsed = {file.stem: json.loads(file.read_text()) for file in Path(out).iterdir()}
    policies: dict[str, set[str]] = {}
    for name, policy in parsed.items():
        assert set(policy) == {"path"}
        policies[name.removesuffix(".hcl")] = {path for entry in policy["path"] for path in entry}
        assert all(rule == {"capabilities": [["read"]]} for entry in policy["path"] for rule in entry.values())
    assert not [path for paths in policies.values() for path in paths if set(path) & set("*+{")], "a pattern"
    return policies


def roles_of(cd: Path) -> dict[str, list[Object]]:
    roles: dict[str, list[Object]] = json.loads((cd / "vault/roles.json").read_text())["kubernetes"]
    return roles


def readable(cd: Path, place: str, account: str, namespace: str) -> set[str]:
    """Return all that an account of a namespace can read, by whichever role it asks for."""
    policies = policies_of(cd)
    return {
        path
        for role in roles_of(cd)[place]
        if role["account"] == account and any(fnmatchcase(namespace, bound) for bound in role["namespaces"])
        for path in policies[role["policy"]]
    }


def wanted(spec: Spec, environment: str, service: str) -> set[str]:
    (found,) = (one for one in spec.services if one.name == service)
    return {f"{spec.platform.name}-{environment}/data/{secret.vault.split('#')[0]}" for secret in found.secrets}


def read_by(items: list[Object]) -> Iterator[tuple[str, str, str]]:
    """Yield what ExternalSecrets fetch: the service, the variable, and path and property."""
    for item in items:
        if item["kind"] == "ExternalSecret":
            for entry in item["spec"]["data"]:
                reference = entry["remoteRef"]
                yield item["metadata"]["name"], entry["secretKey"], f"{reference['key']}#{reference['property']}"


def test_every_service_reads_its_secrets_and_no_others(platform: Platform, released: Path) -> None:
    spec = load_spec(spec_of(platform.name))
    places = [f"{spec.platform.name}-{environment.name}" for environment in environments(spec)]
    for environment in environments(spec):
        items = support.rendered(released, environment.name)
        asked = {(s.name, x.name, x.vault) for s in spec.services for x in s.secrets}
        assert set(read_by(items)) == asked
        if spec.features.vault.address is None:
            assert not (released / "vault").exists()
            assert "SecretStore" not in {item["kind"] for item in items}
            continue
        login = f"kubernetes-{environment.cluster}"
        for service, place in product(spec.services, places):
            here = place == f"{spec.platform.name}-{environment.name}"
            neighbours = {one.name for one in environments(spec) if one.cluster == environment.cluster}
            beside = place.removeprefix(f"{spec.platform.name}-")
            # The account of a service in a namespace reads what the service has there, and one elsewhere nothing.
            expected = wanted(spec, beside, service.name) if here or beside in neighbours else set()
            assert readable(released, login, service.name, place) == expected, (service.name, place, login)
        made = by_kind(items)
        assert {name for name in made if name.startswith("SecretStore/")} == {
            f"SecretStore/{name}" for name, *_ in asked
        }
        for name, _, secret in asked:
            store = made[f"SecretStore/{name}"]
            assert made[f"ExternalSecret/{name}"]["spec"]["secretStoreRef"] == {
                "kind": "SecretStore",
                "name": name,
            }
            assert_reads(released, login, store, store["metadata"]["namespace"], secret)
            assert f"ServiceAccount/{name}" in made


def assert_reads(cd: Path, login: str, store: Object, namespace: str, secret: str) -> None:
    """See that a store logs in as the account that it names, by a role that lets it read a secret."""
    provider = store["spec"]["provider"]["vault"]
    access = provider["auth"]["kubernetes"]
    account = access["serviceAccountRef"]
    configured = json.loads((cd / "vault/roles.json").read_text())
    assert (provider["server"], access["mountPath"]) == (configured["address"], login)
    assert account["audiences"] == ["vault"]
    (role,) = (role for role in roles_of(cd)[login] if role["name"] == access["role"])
    assert role["account"] == account["name"]
    assert any(fnmatchcase(namespace, bound) for bound in role["namespaces"])
    assert f"{provider['path']}/data/{secret.split('#', maxsplit=1)[0]}" in policies_of(cd)[role["policy"]]
    assert provider["path"] in configured["mounts"]


def test_add_ons_read_what_they_need_and_the_hub_alone_what_argo_cd_needs(tmp_path: Path) -> None:
    tell = "notifications: {slack: true, webhook: true}, backup: {endpoint: 'https://s3.acme.example'}"
    spec = platforms.with_features("example", f"{{{ADDRESS}, {tell}}}", tmp_path)
    cd = platforms.render_spec(spec, tmp_path / "out").cd
    store = by_kind(own_objects(cd, "secret-stores"))["ClusterSecretStore/vault"]
    (condition,) = store["spec"]["conditions"]
    items = [item for addon in addons_of(cd) for item in own_objects(cd, addon) if item["kind"] == "ExternalSecret"]
    asked = set()
    for item in items:
        if item["spec"].get("secretStoreRef"):
            assert item["spec"]["secretStoreRef"] == {"kind": "ClusterSecretStore", "name": "vault"}
            assert item["metadata"]["namespace"] in condition["namespaces"]
            asked |= {f"acme-platform/data/{entry['remoteRef']['key']}" for entry in item["spec"]["data"]}
    assert readable(cd, "kubernetes-dev", "secret-stores", "external-secrets") == asked
    assert not any(namespace.startswith("acme-") for namespace in condition["namespaces"])
    for path in asked:
        assert_reads(cd, "kubernetes-dev", store, "external-secrets", path.split("/data/")[1])
    elsewhere = readable(cd, "kubernetes-prod", "secret-stores", "external-secrets")
    assert elsewhere == {f"acme-platform/data/{path}" for path in ("argocd/notifications", "backup/s3", "grafana/prod")}
    assert custom_problems([store]) == []


def test_a_preview_reads_as_the_environment_whose_values_it_has(rendered: Callable[[str], Platform]) -> None:
    cd, spec = rendered("five-environments").cd, load_spec(spec_of("five-environments"))
    first = environments(spec)[0]
    for service in spec.services:
        seen = readable(cd, f"kubernetes-{first.cluster}", service.name, f"{spec.platform.name}-preview-7")
        assert seen == wanted(spec, first.name, service.name)
        assert readable(cd, "kubernetes-live", service.name, f"{spec.platform.name}-preview-7") == set()


def test_nothing_is_left_where_vault_is_not_named(example: Platform) -> None:
    assert "secret-stores" not in addons_of(example.cd)
    assert not (example.cd / "vault").exists()
    assert not (example.cd / "platform/secret-stores").exists()
    result = script(example.cd, "vault-configure", "--check", check=False)
    assert result.returncode == 2
    assert "set `features.vault` in services.yaml" in result.stderr


SEALS = {
    "awskms": "{region: eu-central-1, key: alias/vault}",
    "gcpckms": "{project: acme, region: europe, keyRing: vault, key: unseal}",
    "azurekeyvault": "{tenant: 11111111-2222-3333-4444-555555555555, vault: acme, key: unseal}",
    "transit": "{address: 'https://root.acme.example', key: unseal}",
}


@pytest.mark.parametrize("seal", SEALS)
def test_the_key_that_unseals_is_told_in_the_words_of_vault(seal: str, tmp_path: Path) -> None:
    spec = platforms.with_features("one-environment", f"vault: {{install: {{{seal}: {SEALS[seal]}}}}}", tmp_path)
    server = vault.answers(load_spec(spec))["server"]
    # https://developer.hashicorp.com/vault/docs/configuration/seal: what each kind cannot do without.
    needed = {
        "awskms": {"region", "kms_key_id"},
        "gcpckms": {"project", "region", "key_ring", "crypto_key"},
        "azurekeyvault": {"tenant_id", "vault_name", "key_name"},
        "transit": {"address", "mount_path", "key_name"},
    }
    assert (server["seal"], set(server["settings"])) == (seal, needed[seal])


def test_a_vault_of_the_platforms_own_is_what_the_stores_read(tmp_path: Path) -> None:
    install = f"vault: {{install: {{transit: {SEALS['transit']}}}}}"
    cd = platforms.render_spec(platforms.with_features("one-environment", install, tmp_path), tmp_path / "out").cd
    assert applications_of(cd)["vault"]["spec"]["destination"]["namespace"] == "vault"
    there = {**HUB, "name": "EU_1", "normalized": "eu-1", "hub": "false"}
    assert "vault" not in applications_of(cd, **there), "the others reach it"
    values = load(cd / "platform/vault/values.yaml")["vault"]
    # What differs from the chart is HCL that Vault can read.
    config = tmp_path / "config.hcl"
    config.write_text(values["server"]["ha"]["raft"]["config"])
    parsed = json.loads(run(tool("hcl2tojson"), config).stdout)
    (seal,) = parsed["seal"]
    assert seal["transit"]["address"] == ["https://root.acme.example"]
    joined = {one["leader_api_addr"][0] for one in parsed["storage"][0]["raft"]["retry_join"]}
    made = by_kind(own_objects(cd, "vault"))
    certificate = made["Certificate/vault-tls"]["spec"]
    names = {f"https://{name}:8200" for name in certificate["dnsNames"]}
    configured = json.loads((cd / "vault/roles.json").read_text())
    # Whoever asks for the servers by these names is shown a certificate for them.
    assert {configured["address"], *joined} <= names
    (mounted,) = (volume["secret"] for volume in values["server"]["volumes"] if "secret" in volume)
    assert mounted["secretName"] == certificate["secretName"]
    assert made["Issuer/vault"]["spec"]["ca"]["secretName"] == made["Certificate/vault-ca"]["spec"]["secretName"]
    assert custom_problems(list(made.values())) == []
    secret = values["server"]["extraSecretEnvironmentVars"]
    assert secret == [{"envName": "VAULT_TOKEN", "secretName": "vault-seal", "secretKey": "token"}]
