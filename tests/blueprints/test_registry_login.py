"""Registries of clouds let jobs in by GitHub's OIDC token: no repository holds a password, no team's code can sign.

A server on loopback stands in for GitHub and the clouds; the scripts speak to it by the real curl.
"""

import base64
import hashlib
import hmac
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import yaml

from generator.errors import SpecError
from generator.spec import load_spec
from tests.blueprints.cd_repo.policies import policies_of
from tests.blueprints.ci_repo.test_login_registry import SKOPEO, logins
from tests.blueprints.ci_repo.toolbox import Toolbox
from tests.platform import Platform, render_spec, spec_of
from tests.tools import run, tool

ROLE = "arn:aws:iam::123456789012:role/images"
READER = "arn:aws:iam::123456789012:role/pull"
POOL = "projects/1/locations/global/workloadIdentityPools/github/providers/ci"
ACCOUNT = "images@acme.iam.gserviceaccount.com"
APPLICATION = "11111111-2222-3333-4444-555555555555"
TENANT = "66666666-7777-8888-9999-000000000000"
ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
CLOUDS = {
    f"{ECR}/acme": {"identity": ROLE, "reader": READER},
    "europe-west4-docker.pkg.dev/acme/images": {"identity": ACCOUNT, "provider": POOL},
    "acme.azurecr.io": {"identity": APPLICATION, "provider": TENANT},
}
SECRET = "a+secret/key"  # noqa: S105 (of a server of this test)


def spec(folder: Path, registry: str, login: dict[str, str] | None, **features: Any) -> Path:
    data = yaml.safe_load(spec_of("minimal").read_text())
    data["platform"]["imageRegistry"] = registry
    if login is not None:
        data["platform"]["registryLogin"] = login
    data["features"] = features
    path = folder / "services.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


@pytest.fixture(scope="module")
def amazon(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    folder = tmp_path_factory.mktemp("amazon")
    scanning = {"snyk": True, "sonarqube": True, "codeScanning": True}
    return render_spec(
        spec(folder, f"{ECR}/acme", CLOUDS[f"{ECR}/acme"], previews=True, scanning=scanning), folder / "out"
    )


class Clouds(BaseHTTPRequestHandler):
    """GitHub, AWS, Google Cloud and Azure: each path begins with the host that was asked."""

    asked: list[str]

    def do_GET(self) -> None:
        host, _, query = self.path[1:].partition("/?")
        self.asked.append(host)
        (audience,) = parse_qs(query)["audience"]
        known = self.headers["Authorization"] == "bearer request-token"
        self._answer({"value": f"token for {audience}"} if known and host == "github.example" else None)

    def do_POST(self) -> None:
        host, _, path = self.path[1:].partition("/")
        self.asked.append(host)
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = {key: value for key, (value,) in parse_qs(body).items()}
        bearer = self.headers.get("Authorization", "")
        match host, path:
            case "sts.eu-central-1.amazonaws.com", "" if form["WebIdentityToken"] == "token for sts.amazonaws.com":
                assert form["Action"] == "AssumeRoleWithWebIdentity"
                assert re.fullmatch(r"[\w+=,.@-]{2,64}", form["RoleSessionName"])
                session = f"session of {form['RoleArn']}"
                credentials = {"AccessKeyId": "AKIA", "SecretAccessKey": SECRET, "SessionToken": session}
                result = {"AssumeRoleWithWebIdentityResult": {"Credentials": credentials}}
                self._answer({"AssumeRoleWithWebIdentityResponse": result})
            case (("api.ecr.eu-central-1.amazonaws.com" | "ecr-fips.us-east-2.amazonaws.com"), ""):
                assert signature(self, body) == bearer.rpartition("Signature=")[2]
                assert self.headers["X-Amz-Target"] == "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
                who = self.headers.get("X-Amz-Security-Token", "an access key")
                token = base64.b64encode(f"AWS:login by {who}".encode()).decode()
                self._answer({"authorizationData": [{"authorizationToken": token}]})
            case "sts.googleapis.com", "v1/token":
                asked = json.loads(body)
                assert asked["audience"] == f"//iam.googleapis.com/{POOL}"
                assert asked["subjectToken"] == f"token for https://iam.googleapis.com/{POOL}"
                self._answer({"access_token": "federated"})
            case "iamcredentials.googleapis.com", _ if path.endswith(f"/serviceAccounts/{ACCOUNT}:generateAccessToken"):
                self._answer({"accessToken": "login to Google"} if bearer == "Bearer federated" else None)
            case "login.microsoftonline.com", _ if path == f"{TENANT}/oauth2/v2.0/token":
                assert form["client_assertion"] == "token for api://AzureADTokenExchange"
                assert form["scope"] == "https://containerregistry.azure.net/.default"
                self._answer({"access_token": "a/t+k"} if form["client_id"] == APPLICATION else None)
            case "acme.azurecr.io", "oauth2/exchange" if "a/t+k" in form["access_token"]:
                assert (form["service"], form["tenant"]) == ("acme.azurecr.io", TENANT)
                self._answer({"refresh_token": "login to Azure"})
            case _:
                self._answer(None)

    def _answer(self, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(200 if document else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def signature(asked: BaseHTTPRequestHandler, body: str) -> str:
    """Return how AWS signs a request: https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html."""
    scheme, credential, signed, _ = re.split(r",? (?:\w+=)?", asked.headers["Authorization"])
    assert scheme == "AWS4-HMAC-SHA256"
    names = signed.split(";")
    assert {"host", "x-amz-date", "x-amz-target"} <= set(names)
    assert ("X-Amz-Security-Token" in asked.headers) == ("x-amz-security-token" in names)
    headers = "".join(f"{name}:{asked.headers[name].strip()}\n" for name in names)
    hashed = hashlib.sha256(body.encode()).hexdigest()
    canonical = "\n".join([asked.command, asked.path, "", headers, signed, hashed])
    key_id, date, region, service, end = credential.split("/")
    assert (service, end) == ("ecr", "aws4_request")
    text = "\n".join(
        [
            scheme,
            asked.headers["X-Amz-Date"],
            f"{date}/{region}/{service}/{end}",
            hashlib.sha256(canonical.encode()).hexdigest(),
        ]
    )
    key = f"AWS4{SECRET}".encode()
    for part in (date, region, service, end):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest() if key_id == "AKIA" else "unknown key"


@pytest.fixture
def clouds() -> Iterator[tuple[str, list[str]]]:
    """The address of the server, and the hosts that were asked."""
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Here", (Clouds,), {"asked": asked}))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


@pytest.fixture
def tools(tmp_path: Path, clouds: tuple[str, list[str]]) -> Toolbox:
    """The real curl, which finds every host at the server, and a skopeo that writes down what it is given."""
    tools = Toolbox(tmp_path / "tools")
    tools.add_curl(clouds[0])
    tools.add("skopeo", SKOPEO)
    return tools


def log_in(repository: Path, tools: Toolbox, *args: str, **env: str) -> "subprocess.CompletedProcess[str]":
    github = {
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request-token",
        "ACTIONS_ID_TOKEN_REQUEST_URL": "https://github.example/?v=1",
        "GITHUB_ACTIONS": "true",
        "GITHUB_ENV": str(tools.folder / "env"),
        "GITHUB_REF": "refs/heads/main",
        "RUNNER_TEMP": str(tools.folder),
    }
    return run(repository / "scripts/login-registry.sh", *args, env={**tools.env, **github, **env}, check=False)


def point_to(repository: Path, folder: Path, registry: str, login: dict[str, str]) -> Path:
    """Copy a repository and give it another registry."""
    shutil.copytree(repository, folder / repository.name)
    config = folder / repository.name / "config/platform.json"
    data = json.loads(config.read_text())
    everything = {"identity": login.get("identity", ""), "reader": login.get("reader") or login.get("identity", "")}
    data.update(imageRegistry=registry, registryLogin={**everything, "provider": login.get("provider", "")})
    config.write_text(json.dumps(data))
    return folder / repository.name


GIVEN = {
    f"{ECR}/acme": ("AWS", f"login by session of {ROLE}"),
    "europe-west4-docker.pkg.dev/acme/images": ("oauth2accesstoken", "login to Google"),
    "acme.azurecr.io": ("00000000-0000-0000-0000-000000000000", "login to Azure"),
}


@pytest.mark.parametrize("registry", CLOUDS)
def test_github_s_token_becomes_a_login(amazon: Platform, tools: Toolbox, tmp_path: Path, registry: str) -> None:
    ci = point_to(amazon.ci, tmp_path, registry, CLOUDS[registry])
    done = log_in(ci, tools)
    assert done.returncode == 0, done.stderr
    username, password = GIVEN[registry]
    assert logins(tools.folder / "docker") == {registry.split("/", maxsplit=1)[0]: {"auth": password}}
    (skopeo,) = [call for call in tools.calls if call[0] == "skopeo"]
    assert skopeo[skopeo.index("--username") + 1] == username
    assert f"::add-mask::{password}" in done.stdout
    said = " ".join(word for call in tools.calls for word in call)
    secrets = ("request-token", "token for", SECRET, "session of", "federated", "a/t+k", "login by", "login to")
    assert not [secret for secret in secrets if secret in said], "what is on a command line, other processes can read"


@pytest.mark.parametrize(("args", "ref"), [(("--read",), "refs/heads/main"), ((), "refs/heads/try")])
def test_what_pushes_nothing_logs_in_as_who_may_not(
    amazon: Platform, tools: Toolbox, args: tuple[str, ...], ref: str
) -> None:
    assert log_in(amazon.ci, tools, *args, GITHUB_REF=ref).returncode == 0
    assert logins(tools.folder / "docker")[ECR] == {"auth": f"login by session of {READER}"}


def test_cd_repo_only_reads(amazon: Platform, tools: Toolbox) -> None:
    done = log_in(amazon.cd, tools)
    assert done.returncode == 0, done.stderr
    assert logins(tools.folder / "docker")[ECR] == {"auth": f"login by session of {READER}"}
    assert ROLE not in "".join(file.read_text() for file in amazon.cd.rglob("*.json"))


@pytest.mark.parametrize("repository", ["ci", "cd"])
def test_an_access_key_is_exchanged_as_well(amazon: Platform, tools: Toolbox, tmp_path: Path, repository: str) -> None:
    host = "123456789012.dkr.ecr-fips.us-east-2.amazonaws.com"
    copy = point_to(getattr(amazon, repository), tmp_path, f"{host}/acme", {})
    done = log_in(copy, tools, REGISTRY_USERNAME="AKIA", REGISTRY_PASSWORD=SECRET)
    assert done.returncode == 0, done.stderr
    assert logins(tools.folder / "docker") == {host: {"auth": "login by an access key"}}
    refused = log_in(copy, tools, REGISTRY_USERNAME="AKIB", REGISTRY_PASSWORD=SECRET)
    assert refused.returncode == 1
    assert "needs ecr:GetAuthorizationToken" in refused.stderr


@pytest.mark.parametrize(
    ("registry", "identity", "said"),
    [
        ("acme.azurecr.io", ROLE, "Azure does not let in"),
        ("europe-west4-docker.pkg.dev/acme/images", "a@b", "does not let this workflow act"),
    ],
)
def test_who_is_not_let_in_stops_the_job(
    amazon: Platform, tools: Toolbox, registry: str, identity: str, said: str
) -> None:
    login = {**CLOUDS[registry], "identity": identity}
    done = log_in(point_to(amazon.ci, tools.folder, registry, login), tools)
    assert done.returncode == 1
    assert said in done.stderr
    assert [call for call in tools.calls if call[0] == "skopeo"] == []


def test_a_job_that_may_not_ask_for_a_token_asks_no_cloud(
    amazon: Platform, tools: Toolbox, clouds: tuple[str, list[str]]
) -> None:
    done = log_in(amazon.ci, tools, ACTIONS_ID_TOKEN_REQUEST_TOKEN="")
    assert done.returncode == 1
    assert "only a job with `id-token: write` gets a token" in done.stderr
    assert clouds[1] == []


def test_no_password_is_kept_and_the_permission_is_where_a_login_is(amazon: Platform) -> None:
    for repository in (amazon.ci, amazon.cd):
        run(tool("actionlint"), "-shellcheck", tool("shellcheck"), cwd=repository)
        run(tool("zizmor"), "--offline", "--persona=pedantic", repository)
        run(tool("yamllint"), "--strict", ".", cwd=repository)
        checks = "--enable=check-unassigned-uppercase,deprecate-which,quote-safe-concat"
        run(tool("shellcheck"), checks, *(repository / "scripts").glob("*.sh"))
        for file in (repository / ".github/workflows").glob("*.yml"):
            assert "REGISTRY_" not in file.read_text(), file
            for name, job in yaml.safe_load(file.read_text())["jobs"].items():
                logs_in = "login-registry.sh" in json.dumps(job.get("steps", []))
                asks = "id-token" in job["permissions"]
                assert asks is logs_in or ("uses" in job and not job.get("steps")), f"{file.name}: {name}"
        assert "REGISTRY_PASSWORD" not in (repository / "README.md").read_text()


def test_a_team_s_code_runs_where_nothing_can_sign(amazon: Platform) -> None:
    folder = amazon.ci / ".github/workflows"
    pipeline = yaml.safe_load((folder / "shared-pipeline.yml").read_text())["jobs"]
    # Who may sign is told by the file that holds the job.
    signer = json.loads((amazon.ci / "config/platform.json").read_text())["signer"]["identity"]
    assert signer.endswith("/shared-pipeline.yml@refs/heads/main")
    assert "id-token" not in pipeline["test"]["permissions"]
    assert "id-token" not in pipeline["quality"]["permissions"]
    assert pipeline["image"]["uses"] == "./.github/workflows/image.yml"
    assert "build-image.sh" not in json.dumps(pipeline)


@pytest.mark.parametrize(
    ("registry", "login", "said"),
    [
        ("quay.io/acme", {"identity": ROLE}, "quay.io lets nobody in by an identity of a cloud"),
        ("ghcr.io/acme", {"identity": ROLE}, "ghcr.io lets nobody in by an identity of a cloud"),
        (f"{ECR}/acme", {"identity": APPLICATION}, "Amazon ECR takes the ARN of an IAM role"),
        (f"{ECR}/acme", {"identity": ROLE, "provider": TENANT}, "Amazon ECR needs none"),
        (f"{ECR}/acme", {"identity": ROLE, "reader": "pull"}, "registryLogin.reader: Amazon ECR takes the ARN"),
        ("acme.azurecr.io", {"identity": APPLICATION}, "needs `provider`, the id of the tenant"),
        ("acme.azurecr.io", {"identity": APPLICATION, "provider": POOL}, "takes the id of the tenant, not"),
        ("eu-docker.pkg.dev/a/b", {"identity": ACCOUNT, "provider": TENANT}, "takes `projects/<number>/"),
        (f"{ECR}/acme", {"identity": "$(id)"}, "ARN of an IAM role, address of a service account"),
    ],
)
def test_an_identity_that_the_registry_does_not_know_is_refused(
    tmp_path: Path, registry: str, login: dict[str, str], said: str
) -> None:
    with pytest.raises(SpecError) as error:
        load_spec(spec(tmp_path, registry, login))
    assert said in str(error.value)


def test_clusters_read_signatures_as_an_identity_of_the_same_cloud(amazon: Platform) -> None:
    policy = policies_of(amazon.cd, "ImageValidatingPolicy")["signed-images"]
    assert policy["spec"]["credentials"] == {"providers": ["amazon"]}
    readme = (amazon.cd / "README.md").read_text()
    assert "AmazonEC2ContainerRegistryPullOnly" in readme
    assert "kyverno-admission-controller" in readme


def test_other_registries_ask_for_no_identity(minimal: Platform) -> None:
    for policy in policies_of(minimal.cd, "ImageValidatingPolicy").values():
        assert "credentials" not in policy["spec"]
