"""Images signed by a key that others keep: both repositories and the clusters verify by the same one."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from generator.errors import SpecError
from generator.spec import load_spec
from tests.blueprints.cd_repo.policies import objections, policies_of
from tests.blueprints.ci_repo.toolbox import COSIGN, Toolbox
from tests.platform import Platform, render_spec, with_features
from tests.tools import run, tool

REFERENCE = f"ghcr.io/acme/orders@sha256:{'a' * 64}"
KEYS = {
    "awskms": "awskms:///alias/acme-images",
    "azurekms": "azurekms://acme.vault.azure.net/images",
    "gcpkms": "gcpkms://projects/acme/locations/global/keyRings/ci/cryptoKeys/images/versions/1",
    "hashivault": "hashivault://images",
}


def public_key() -> str:
    private = run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout").stdout
    return run("openssl", "ec", "-pubout", stdin=private).stdout


@pytest.fixture(scope="module")
def public() -> str:
    return public_key()


@pytest.fixture(scope="module")
def signed(public: str, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    folder = tmp_path_factory.mktemp("signing")
    features = yaml.safe_dump({"signing": {"key": KEYS["awskms"], "publicKey": public}})
    return render_spec(with_features("minimal", features, folder), folder / "out")


def test_everything_that_verifies_knows_the_same_key(signed: Platform, public: str) -> None:
    assert (signed.ci / "config/signing.pub").read_text() == public
    assert (signed.cd / "config/signing.pub").read_text() == public
    for policy in policies_of(signed.cd, "ImageValidatingPolicy").values():
        (attestor,) = policy["spec"]["attestors"]
        assert attestor["cosign"]["key"]["data"] == public.strip()
        assert "keyless" not in attestor["cosign"]


def test_images_are_signed_by_the_key_and_verified_by_its_public_part(signed: Platform, tmp_path: Path) -> None:
    tools = Toolbox(tmp_path / "tools")
    tools.add("cosign", COSIGN)
    env = {**tools.env, "FAKE_COSIGN_STATE": str(tmp_path / "state")}
    (tmp_path / "sbom.json").write_text("{}")
    (tmp_path / "provenance.json").write_text("{}")
    files = ("--sbom", tmp_path / "sbom.json", "--provenance", tmp_path / "provenance.json")
    run(signed.ci / "scripts/sign-image.sh", REFERENCE, *files, env=env)
    run(signed.ci / "scripts/verify-image.sh", REFERENCE, env=env)
    signing = [call for call in tools.calls if call[1] in ("sign", "attest")]
    assert len(signing) == 3
    assert all(call[call.index("--key") + 1] == KEYS["awskms"] for call in signing)
    verifying = [call for call in tools.calls if call[1].startswith("verify")]
    assert len(verifying) == 3
    for call in verifying:
        assert Path(call[call.index("--key") + 1]).resolve() == (signed.ci / "config/signing.pub").resolve()
        assert not [one for one in call if "certificate" in one]


def test_promotions_verify_by_the_public_part(signed: Platform) -> None:
    code = "import sys; from pathlib import Path; from lib import trust; print(*trust.load(Path(sys.argv[1])).signer)"
    said = run("python3", "-c", code, signed.cd, cwd=signed.cd / "scripts").stdout.strip()
    assert said == f"--key={signed.cd}/config/signing.pub"


def test_clusters_let_in_what_the_key_signed_and_nothing_else(signed: Platform, public: str) -> None:
    policy = policies_of(signed.cd, "ImageValidatingPolicy")["signed-images"]
    settings = json.loads((signed.cd / "config/platform.json").read_text())
    signer = json.loads((signed.cd / "config/signatures.json").read_text())["signer"]
    image = f"{settings['imageRegistry']}/orders@sha256:{'a' * 64}"
    namespaces = yaml.safe_load((signed.cd / "policies/values.yaml").read_text())["environments"]
    namespace = [name for name, action in namespaces.items() if action == "Deny"][-1]
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "orders", "namespace": namespace},
        "spec": {"containers": [{"name": "orders", "image": image}]},
    }
    workflow = {"repository": f"https://github.com/{signer['repository']}", "ref": signer["ref"]}
    provenance = {"predicate": {"buildDefinition": {"externalParameters": {"workflow": workflow}}}}
    payloads = {"https://cyclonedx.org/bom": {}, "https://slsa.dev/provenance/v1": provenance}
    trusted = {"key": public.strip(), "payloads": payloads}
    assert objections([policy], [pod], {image: trusted}) == []
    keyless = {"issuer": signer["issuer"], "subject": signer["identity"], "key": ""}
    for other in ({"key": public_key().strip()}, keyless):
        (objection,) = objections([policy], [pod], {image: {**trusted, **other}})
        assert "did not sign an image" in objection["message"]


def test_the_workflow_gets_at_the_key_in_the_job_that_signs_alone(signed: Platform) -> None:
    run(tool("actionlint"), "-shellcheck", tool("shellcheck"), cwd=signed.ci)
    run(tool("zizmor"), "--offline", "--persona=pedantic", signed.ci)
    checks = "--enable=check-unassigned-uppercase,deprecate-which,quote-safe-concat"
    run(tool("shellcheck"), checks, *(signed.ci / "scripts").glob("*.sh"))
    jobs = yaml.safe_load((signed.ci / ".github/workflows/shared-pipeline.yml").read_text())["jobs"]
    using = [name for name, job in jobs.items() if "login-key.sh" in json.dumps(job)]
    assert using == ["sign"]
    names = [step["name"] for step in jobs["sign"]["steps"]]
    assert names.index("Get at the key") == names.index("Sign") - 1
    readme = (signed.ci / "README.md").read_text()
    assert "`SIGNING_IDENTITY`, `SIGNING_PROVIDER`" in readme


# Answers as GitHub does, and as Vault does.
CURL = """
if args[-1].endswith("/v1/auth/jwt/login"):
    asked = json.loads(sys.stdin.read())
    assert asked == {"role": "images", "jwt": "token-for-https://vault.acme.example"}, asked
    print(json.dumps({"auth": {"client_token": "s.token"}}))
else:
    assert sys.stdin.read() == "Authorization: bearer request-token\\n"
    print(json.dumps({"value": "token-for-" + args[-1].partition("&audience=")[2]}))
"""
POOL = "projects/1/locations/global/workloadIdentityPools/github/providers/ci"


WAYS: dict[str, dict[str, str]] = {
    "awskms": {
        "identity": "arn:aws:iam::1:role/sign",
        "provider": "eu-central-1",
        "audience": "sts.amazonaws.com",
        "variables": "AWS_ROLE_ARN AWS_WEB_IDENTITY_TOKEN_FILE AWS_REGION",
    },
    "azurekms": {
        "identity": "1-2-3",
        "provider": "4-5-6",
        "audience": "api://AzureADTokenExchange",
        "variables": "AZURE_CLIENT_ID AZURE_TENANT_ID AZURE_FEDERATED_TOKEN_FILE",
    },
    "gcpkms": {
        "identity": "sign@acme.iam.gserviceaccount.com",
        "provider": POOL,
        "audience": f"https://iam.googleapis.com/{POOL}",
        "variables": "GOOGLE_APPLICATION_CREDENTIALS",
    },
    "hashivault": {
        "identity": "images",
        "provider": "https://vault.acme.example",
        "audience": "",
        "variables": "VAULT_ADDR VAULT_TOKEN",
    },
}


@pytest.mark.parametrize("kind", WAYS)
def test_github_s_token_becomes_what_the_keeper_of_the_key_takes(signed: Platform, tmp_path: Path, kind: str) -> None:
    way = WAYS[kind]
    run("cp", "-r", signed.ci, tmp_path / "ci")
    config = tmp_path / "ci/config/platform.json"
    config.write_text(config.read_text().replace(KEYS["awskms"], KEYS[kind]))
    tools = Toolbox(tmp_path / "tools")
    tools.add("curl", CURL)
    done = login(tmp_path / "ci", tools, SIGNING_IDENTITY=way["identity"], SIGNING_PROVIDER=way["provider"])
    assert done.returncode == 0, done.stderr
    exported = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    assert set(way["variables"].split()) <= set(exported)
    if way["audience"]:
        assert (tmp_path / "signing-token").read_text() == f"token-for-{way['audience']}\n"
    assert not [word for call in tools.calls for word in call if "request-token" in word or "token-for" in word]


def login(ci: Path, tools: Toolbox, **env: str) -> "subprocess.CompletedProcess[str]":
    github = {
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request-token",
        "ACTIONS_ID_TOKEN_REQUEST_URL": "https://token.example/?a=1",
        "GITHUB_ENV": str(ci.parent / "env"),
        "RUNNER_TEMP": str(ci.parent),
    }
    return run(ci / "scripts/login-key.sh", env={**tools.env, **github, **env}, check=False)


@pytest.mark.parametrize(("identity", "provider"), [("", "x"), ("x", ""), ("x\nPATH=y", "x"), ("x", "$(id)")])
def test_without_saying_as_whom_nobody_gets_at_the_key(
    signed: Platform, tmp_path: Path, identity: str, provider: str
) -> None:
    tools = Toolbox(tmp_path / "tools")
    tools.add("curl", CURL)
    done = login(signed.ci, tools, SIGNING_IDENTITY=identity, SIGNING_PROVIDER=provider)
    assert done.returncode == 1
    assert tools.calls == []


@pytest.mark.parametrize(
    ("signing", "said"),
    [
        ({"key": KEYS["gcpkms"]}, "cosign public-key --key gcpkms://"),
        ({"publicKey": "PUBLIC"}, "nothing signs by it"),
        ({"key": "cosign.key", "publicKey": "PUBLIC"}, "a key such as awskms://"),
        ({"key": KEYS["gcpkms"], "publicKey": "ssh-ed25519 AAAA"}, "a public key in PEM"),
    ],
)
def test_a_key_needs_both_its_parts(public: str, tmp_path: Path, signing: dict[str, str], said: str) -> None:
    signing = {name: value.replace("PUBLIC", public) for name, value in signing.items()}
    spec = with_features("minimal", yaml.safe_dump({"signing": signing}), tmp_path)
    with pytest.raises(SpecError) as error:
        load_spec(spec)
    assert said in str(error.value)
