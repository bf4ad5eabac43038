"""Vault becomes what vault/ says: by requests to a Vault of this machine."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.blueprints.cd_repo.support import script
from tests.blueprints.cd_repo.vaults import TOKEN, FakeVault, serving
from tests.tools import ROOT

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
ROLES = {
    "address": "https://vault.acme.example",
    "ca": "",
    "prefix": "acme.",
    "mounts": ["acme-dev"],
    "kubernetes": {
        "kubernetes-dev": [
            {"name": "acme.dev.orders", "account": "orders", "namespaces": ["acme-dev"], "policy": "acme.dev.orders"}
        ]
    },
}


@pytest.fixture
def vault() -> Iterator[FakeVault]:
    with serving() as fake:
        yield fake


@pytest.fixture
def cd(tmp_path: Path) -> Path:
    """The part of a cd-repo that has to do with Vault."""
    shutil.copytree(ROOT / "blueprints/cd-repo/scripts", tmp_path / "scripts")
    (tmp_path / "vault/policies").mkdir(parents=True)
    (tmp_path / "vault/roles.json").write_text(json.dumps(ROLES))
    (tmp_path / "vault/policies/acme.dev.orders.hcl").write_text('path "acme-dev/data/orders/db" {\n}\n')
    return tmp_path


def configure(cd: Path, vault: FakeVault, *args: str, check: bool = True, **env: str) -> CompletedProcess[str]:
    given = {"VAULT_ADDR": vault.address, "VAULT_TOKEN": TOKEN, "PYTHONDONTWRITEBYTECODE": "1", **env}
    return script(cd, "vault-configure", *args, check=check, env=given)


def introduce(cd: Path, vault: FakeVault, *args: str) -> CompletedProcess[str]:
    (cd / "ca.crt").write_text(CERTIFICATE)
    options = ("--cluster=dev", "--kubernetes-host=https://10.0.0.1:6443", f"--kubernetes-ca={cd / 'ca.crt'}")
    return configure(cd, vault, *options, *args, VAULT_TOKEN_REVIEWER="the-reviewer")  # noqa: S106 (opens nothing)


def test_an_empty_vault_becomes_what_the_repository_says(cd: Path, vault: FakeVault) -> None:
    result = introduce(cd, vault)
    assert vault.mounts["acme-dev/"] == {"type": "kv", "options": {"version": "2"}}
    assert vault.logins["kubernetes-dev/"]["type"] == "kubernetes"
    text = (cd / "vault/policies/acme.dev.orders.hcl").read_text()
    assert vault.held["sys/policies/acl/acme.dev.orders"] == {"policy": text}
    role = vault.held["auth/kubernetes-dev/role/acme.dev.orders"]
    assert role["bound_service_account_names"] == ["orders"]
    assert role["bound_service_account_namespaces"] == ["acme-dev"]
    assert (role["token_policies"], role["audience"], role["token_max_ttl"]) == (["acme.dev.orders"], "vault", 600)
    config = vault.held["auth/kubernetes-dev/config"]
    assert config == {
        "kubernetes_host": "https://10.0.0.1:6443",
        "kubernetes_ca_cert": CERTIFICATE,
        "token_reviewer_jwt": "the-reviewer",
        "disable_local_ca_jwt": True,
    }
    assert "the-reviewer" not in result.stdout + result.stderr
    # A policy is there before the role that names it.
    assert vault.asked.index("PUT sys/policies/acl/acme.dev.orders") < vault.asked.index(
        "POST auth/kubernetes-dev/role/acme.dev.orders"
    )


def test_the_second_run_changes_nothing(cd: Path, vault: FakeVault) -> None:
    introduce(cd, vault)
    vault.asked.clear()
    assert configure(cd, vault).stdout == f"{vault.address} is as vault/ says\n"
    assert configure(cd, vault, "--check").returncode == 0
    assert vault.asked == []


def test_a_dry_run_says_what_it_would_do_and_does_nothing(cd: Path, vault: FakeVault) -> None:
    said = introduce(cd, vault, "--dry-run").stdout.splitlines()
    assert said == [
        "would: make the key-value store acme-dev",
        "would: let accounts of a cluster log in at kubernetes-dev",
        "would: write the policy acme.dev.orders",
        "would: write the role acme.dev.orders at kubernetes-dev",
        "would: tell kubernetes-dev of the API server at https://10.0.0.1:6443",
    ]
    assert vault.asked == []


def test_what_somebody_changed_by_hand_is_found_and_put_right(cd: Path, vault: FakeVault) -> None:
    introduce(cd, vault)
    vault.held["sys/policies/acl/acme.dev.orders"] = {"policy": 'path "*" { capabilities = ["sudo"] }'}
    vault.held["auth/kubernetes-dev/role/acme.dev.orders"]["bound_service_account_namespaces"] = ["*"]
    result = configure(cd, vault, "--check", check=False)
    assert result.returncode == 1
    assert result.stdout.splitlines() == [
        "differs: write the policy acme.dev.orders",
        "differs: write the role acme.dev.orders at kubernetes-dev",
    ]
    configure(cd, vault)
    assert configure(cd, vault, "--check").returncode == 0


def test_what_the_repository_no_longer_has_goes_and_what_belongs_to_others_stays(cd: Path, vault: FakeVault) -> None:
    introduce(cd, vault)
    vault.logins["kubernetes-old/"] = {"type": "kubernetes"}
    vault.logins["userpass/"] = {"type": "userpass"}
    role = vault.held["auth/kubernetes-dev/role/acme.dev.orders"]
    gone = [
        "sys/policies/acl/acme.dev.gone",
        "auth/kubernetes-dev/role/acme.dev.gone",
        "auth/kubernetes-old/role/acme.uat.x",
    ]
    kept = ["sys/policies/acl/acme-two.dev.orders", "auth/kubernetes-dev/role/other.dev.orders"]
    vault.held |= {path: {"policy": ""} if "acl" in path else role for path in gone + kept}
    vault.asked.clear()
    configure(cd, vault)
    assert sorted(vault.asked) == sorted(f"DELETE {path}" for path in gone)
    assert vault.asked[-1] == f"DELETE {gone[0]}", "a policy goes after the roles that name it"
    assert vault.held.keys() >= set(kept)


def test_a_cluster_that_vault_does_not_know_is_told(cd: Path, vault: FakeVault) -> None:
    assert "missing: kubernetes-dev does not know the API server" in configure(cd, vault).stdout
    assert configure(cd, vault, "--check", check=False).returncode == 1


@pytest.mark.parametrize("there", ["mount", "login"])
def test_what_is_in_the_way_is_a_sentence(there: str, cd: Path, vault: FakeVault) -> None:
    if there == "mount":
        vault.mounts["acme-dev/"] = {"type": "kv", "options": {"version": "1"}}
    else:
        vault.logins["kubernetes-dev/"] = {"type": "oidc"}
    result = configure(cd, vault, check=False)
    assert result.returncode == 1
    assert "is there already" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_token_that_may_not_is_a_sentence_without_the_token(cd: Path, vault: FakeVault) -> None:
    result = configure(cd, vault, check=False, VAULT_TOKEN="another")  # noqa: S106 (opens nothing)
    assert result.returncode == 1
    assert "error: Vault refuses GET sys/mounts: 403 permission denied; does the token" in result.stderr
    assert "another" not in result.stderr


@pytest.mark.parametrize(
    ("args", "env", "said"),
    [
        ([], {"VAULT_TOKEN": ""}, "VAULT_TOKEN is not set"),
        ([], {"VAULT_ADDR": "http://vault.acme.example"}, "the token would travel in the clear"),
        (["--cluster=dev"], {}, "go together"),
        (["--cluster=uat", "--kubernetes-host=https://x", "--kubernetes-ca=x"], {}, "there are dev"),
        (["--cluster=dev", "--kubernetes-host=http://x", "--kubernetes-ca=x"], {}, "an API server is at https://"),
        (["--cluster=dev", "--kubernetes-host=https://x", "--kubernetes-ca=x"], {}, "VAULT_TOKEN_REVIEWER is not set"),
    ],
)
def test_bad_input_is_a_sentence(args: list[str], env: dict[str, str], said: str, cd: Path, vault: FakeVault) -> None:
    result = configure(cd, vault, *args, check=False, **env)
    assert result.returncode == 2
    assert said in result.stderr
    assert vault.asked == []


def test_a_role_without_its_policy_is_refused(cd: Path, vault: FakeVault) -> None:
    (cd / "vault/policies/acme.dev.orders.hcl").unlink()
    result = configure(cd, vault, check=False)
    assert result.returncode == 2
    assert "the role acme.dev.orders names the policy acme.dev.orders, which has no file" in result.stderr
    assert vault.asked == []
