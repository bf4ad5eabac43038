"""Pipelines read their secrets from Vault as who they are; GitHub keeps what it takes to begin.

A Vault on loopback is configured by cd-repo's script and decides by the roles and policies that it was given; jobs show
it the claims that GitHub's token of such a job has.
"""

import json
import re
import subprocess
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import yaml

from generator.errors import SpecError
from generator.spec import load_spec
from tests.blueprints.cd_repo.support import script
from tests.blueprints.cd_repo.test_vault import policies_of
from tests.blueprints.cd_repo.vaults import TOKEN, FakeVault, serving
from tests.blueprints.ci_repo.test_login_registry import SKOPEO, logins
from tests.blueprints.ci_repo.test_scan_deployed import GH
from tests.blueprints.ci_repo.toolbox import Toolbox
from tests.platform import Platform, render_spec, spec_of
from tests.tools import run, tool

ADDRESS = "https://vault.acme.example:8200"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIE+100%\n-----END RSA PRIVATE KEY-----\n"
SECRETS = {
    "registrar": {"private-key": KEY, "other": "not asked for"},
    "registry": {"username": "pusher", "password": "may-push"},
    "registry-reader": {"username": "puller", "password": "may-pull"},
    "snyk": {"token": "token-of-snyk"},
    "sonarqube": {"token": ""},
}
MAIN = "refs/heads/main"


def spec(folder: Path, **features: Any) -> Path:
    data = yaml.safe_load(spec_of("minimal").read_text())
    data["platform"]["imageRegistry"] = "registry.acme.example/shop"
    data["features"] = features
    path = folder / "services.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


@pytest.fixture(scope="module")
def vaulted(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    folder = tmp_path_factory.mktemp("vaulted")
    features = {
        "vault": {"address": ADDRESS, "pipeline": True},
        "previews": True,
        "scanning": {"snyk": True, "sonarqube": True},
    }
    return render_spec(spec(folder, **features), folder / "out")


def claims(repository: str, file: str, ref: str = MAIN) -> dict[str, str]:
    """Return what GitHub says of a job, as far as it matters here."""
    return {"repository": repository, "ref": ref, "job_workflow_ref": f"{repository}/.github/workflows/{file}@{ref}"}


@dataclass
class Server:
    """GitHub and a Vault that was configured.

    Attributes:
        job: The claims of the job that asks.
        alive: Tokens of Vault that were given out and not given back.
    """

    policies: dict[str, set[str]]
    vault: FakeVault
    job: dict[str, str] = field(default_factory=lambda: claims("acme/ci-repo", "image.yml"))
    alive: dict[str, str] = field(default_factory=dict)
    address: str = ""

    def get(self, host: str, path: str, token: str) -> Any:
        if host == "github.example":
            shown = {**self.job, "aud": parse_qs(path[1:])["audience"][0]}
            return {"value": b64encode(json.dumps(shown).encode()).decode()}
        readable = self.policies.get(self.alive.get(token, ""), set())
        place = path.removeprefix("v1/")
        secret = SECRETS.get(place.rpartition("/")[2])
        if "/metadata/" in place and place in readable:
            return {"data": {"updated_time": "2026-01-02T03:04:05.1234567Z", "custom_metadata": None}}
        return (
            {"data": {"data": secret}} if host == "vault.acme.example:8200" and secret and place in readable else None
        )

    def post(self, path: str, token: str, body: Any) -> Any:
        if path == "v1/auth/token/revoke-self":
            return {"gone": self.alive.pop(token)}
        role = self.vault.held.get(f"auth/jwt-github/role/{body['role']}")
        if path != "v1/auth/jwt-github/login" or role is None:
            return None
        shown = json.loads(b64decode(body["jwt"]))
        bound = {**role["bound_claims"], "aud": role["bound_audiences"]}
        if any(shown[claim] not in allowed for claim, allowed in bound.items()):
            return None
        (policy,) = role["token_policies"]
        self.alive["s.token"] = policy
        return {"auth": {"client_token": "s.token"}}


@contextmanager
def listening(known: Server) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host, _, path = self.path[1:].partition("/")
            self._answer(known.get(host, path, self.headers.get("X-Vault-Token", "")))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null"
            _, _, path = self.path[1:].partition("/")
            self._answer(known.post(path, self.headers.get("X-Vault-Token", ""), json.loads(body)))

        def _answer(self, document: Any) -> None:
            text = json.dumps(document).encode()
            self.send_response(403 if document is None else 200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        known.address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield known
        server.shutdown()


def configure(cd: Path, vault: FakeVault, *args: str) -> "subprocess.CompletedProcess[str]":
    env = {"VAULT_ADDR": vault.address, "VAULT_TOKEN": TOKEN, "PYTHONDONTWRITEBYTECODE": "1"}
    return script(cd, "vault-configure", *args, env=env, check=False)


@pytest.fixture
def server(vaulted: Platform) -> Iterator[Server]:
    with serving() as vault:
        assert configure(vaulted.cd, vault).returncode == 0
        with listening(Server(policies_of(vaulted.cd), vault)) as known:
            yield known


@pytest.fixture
def tools(tmp_path: Path, server: Server) -> Toolbox:
    tools = Toolbox(tmp_path / "tools")
    tools.add_curl(server.address)
    tools.add("skopeo", SKOPEO)
    return tools


def in_job(tools: Toolbox, command: Path, *args: str, **env: str) -> "subprocess.CompletedProcess[str]":
    github = {
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request-token",
        "ACTIONS_ID_TOKEN_REQUEST_URL": "https://github.example/?v=1",
        "GITHUB_ACTIONS": "true",
        "GITHUB_ENV": str(tools.folder / "env"),
        "GITHUB_OUTPUT": str(tools.folder / "output"),
        "GITHUB_REF": MAIN,
        "RUNNER_TEMP": str(tools.folder),
    }
    return run(command, *args, env={**tools.env, **github, **env}, check=False)


# Who may read what: by repository, workflow, and branch.
JOBS = {
    ("acme/ci-repo", "image.yml", MAIN): {"push", "read", "scan"},
    ("acme/ci-repo", "shared-pipeline.yml", MAIN): {"push", "read", "scan"},
    ("acme/ci-repo", "base-images.yml", MAIN): {"push", "read", "scan"},
    ("acme/ci-repo", "library.yml", MAIN): {"push", "read", "scan", "register"},
    ("acme/ci-repo", "release.yml", MAIN): {"read", "scan", "register"},
    ("acme/ci-repo", "app-preview.yml", MAIN): {"read", "scan", "register"},
    ("acme/ci-repo", "quality.yml", MAIN): {"read", "scan"},
    ("acme/ci-repo", "late-rotation.yml", MAIN): {"read", "scan", "age"},
    ("acme/ci-repo", "release.yml", "refs/heads/try"): {"read", "scan"},
    ("acme/ci-repo", "image.yml", "refs/pull/1/merge"): {"read", "scan"},
    ("acme/cd-repo", "validate.yml", "refs/pull/1/merge"): {"read"},
    ("acme/cd-repo", "release.yml", MAIN): {"read"},
    ("acme/app-repo", "image.yml", MAIN): set(),
    ("evil/ci-repo", "release.yml", MAIN): set(),
}


def test_a_job_reads_what_its_workflow_is_for_and_nothing_else(server: Server) -> None:
    for job, role in product(JOBS, ("push", "read", "register", "scan", "age")):
        shown = b64encode(json.dumps({**claims(*job), "aud": ADDRESS}).encode()).decode()
        asked = {"role": f"acme.platform.pipeline.{role}", "jwt": shown}
        let_in = server.post("v1/auth/jwt-github/login", "", asked) is not None
        assert let_in is (role in JOBS[job]), (job, role)
    # Whoever calls the workflow from another repository is that repository.
    called = {**claims("acme/ci-repo", "release.yml"), "repository": "acme/app-repo", "aud": ADDRESS}
    shown = b64encode(json.dumps(called).encode()).decode()
    asked = {"role": "acme.platform.pipeline.register", "jwt": shown}
    assert server.post("v1/auth/jwt-github/login", "", asked) is None
    everything = {name: paths for name, paths in server.policies.items() if ".pipeline." in name}
    assert everything == {
        "acme.platform.pipeline.push": {"acme-platform/data/pipeline/registry"},
        "acme.platform.pipeline.read": {"acme-platform/data/pipeline/registry-reader"},
        "acme.platform.pipeline.register": {"acme-platform/data/pipeline/registrar"},
        "acme.platform.pipeline.age": {f"acme-platform/metadata/pipeline/{name}" for name in SECRETS},
        "acme.platform.pipeline.scan": {f"acme-platform/data/pipeline/{name}" for name in ("snyk", "sonarqube")},
    }


def test_every_workflow_can_read_what_it_asks_for(vaulted: Platform) -> None:
    asking = set()
    for repository in (vaulted.ci, vaulted.cd):
        for file in (repository / ".github/workflows").glob("*.yml"):
            for job in yaml.safe_load(file.read_text())["jobs"].values():
                text = json.dumps(job.get("steps", []))
                roles = set(re.findall(r"read-vault\.sh --output (\w+)", text))
                roles |= {
                    "read" if found else "push"
                    for found in re.findall(r"ci/scripts/login-registry\.sh( --read)?", text)
                }
                if repository == vaulted.cd and "login-registry.sh" in text:
                    roles = {"read"}
                if not roles:
                    continue
                assert job["permissions"]["id-token"] == "write", file.name
                asking.add((f"acme/{repository.name}", file.name, frozenset(roles)))
    assert len(asking) > 8
    for name, workflow, asked in asking:
        known = JOBS.get((name, workflow, MAIN), {"read", "scan"} if name == "acme/ci-repo" else {"read"})
        assert asked <= known, (name, workflow)


def test_what_is_read_is_masked_and_the_token_is_given_back(vaulted: Platform, server: Server, tools: Toolbox) -> None:
    server.job = claims("acme/ci-repo", "release.yml")
    done = in_job(tools, vaulted.ci / "scripts/read-vault.sh", "--output", "register", "registrar", "private-key")
    assert done.returncode == 0, done.stderr
    lines = KEY.splitlines()
    assert done.stdout.splitlines() == [f"::add-mask::{line.replace('%', '%25')}" for line in lines]
    name, value = (tools.folder / "output").read_text().split("<<", 1)
    end, *kept, last = value.splitlines()
    assert (name, kept, last) == ("private-key", [*lines, ""], end)
    assert server.alive == {}
    said = json.dumps(tools.calls)
    assert not [secret for secret in ("request-token", "s.token", "MIIE", "eyJ") if secret in said]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            ("image.yml", "register", "registrar", "private-key"),
            "lets this job not in as acme.platform.pipeline.register",
        ),
        (("image.yml", "scan", "registry", "password"), "nothing at acme-platform/data/pipeline/registry that"),
        (("image.yml", "scan", "snyk", "password"), "acme-platform/data/pipeline/snyk has no password"),
        (("quality.yml", "scan", "sonarqube", "token"), "acme-platform/data/pipeline/sonarqube has no token"),
    ],
)
def test_what_is_missing_is_named_and_no_token_stays(
    vaulted: Platform, server: Server, tools: Toolbox, asked: tuple[str, str, str, str], said: str
) -> None:
    file, *args = asked
    server.job = claims("acme/ci-repo", file)
    done = in_job(tools, vaulted.ci / "scripts/read-vault.sh", "--output", *args)
    assert done.returncode == 1
    assert said in done.stderr
    assert server.alive == {}
    assert not (tools.folder / "output").exists()


@pytest.mark.parametrize(
    ("job", "password"),
    [
        (("acme/ci-repo", "image.yml", MAIN), "may-push"),
        (("acme/ci-repo", "release.yml", MAIN, "--read"), "may-pull"),
        (("acme/ci-repo", "image.yml", "refs/heads/try"), "may-pull"),
        (("acme/cd-repo", "validate.yml", "refs/pull/1/merge"), "may-pull"),
    ],
)
def test_the_account_of_the_image_registry_comes_from_vault(
    vaulted: Platform, tools: Toolbox, server: Server, job: tuple[str, ...], password: str
) -> None:
    name, file, ref, *args = job
    server.job = claims(name, file, ref)
    repository = vaulted.ci if name == "acme/ci-repo" else vaulted.cd
    done = in_job(tools, repository / "scripts/login-registry.sh", *args, GITHUB_REF=ref)
    assert done.returncode == 0, done.stderr
    assert logins(tools.folder / "docker") == {"registry.acme.example": {"auth": password}}
    assert f"::add-mask::{password}" in done.stdout
    assert server.alive == {}


def test_vault_says_when_secrets_were_written(vaulted: Platform, server: Server, tools: Toolbox) -> None:
    tools.add("gh", "")
    server.job = claims("acme/ci-repo", "late-rotation.yml")
    done = in_job(tools, vaulted.ci / "scripts/list-secrets", "--output", str(tools.folder / "secrets.json"))
    assert done.returncode == 0, done.stderr
    listed = json.loads((tools.folder / "secrets.json").read_text())
    assert {one["name"] for one in listed} == {f"pipeline/{name}" for name in SECRETS}
    assert {one["written"] for one in listed} == {"2026-01-02T03:04:05.1234567Z"}
    assert server.alive == {}
    tools.add("gh", GH)
    state = {"FAKE_GH_STATE": str(tools.folder / "issues.json")}
    late = in_job(
        tools, vaulted.ci / "scripts/report-secrets", "--secrets", str(tools.folder / "secrets.json"), **state
    )
    assert late.returncode == 1
    assert "5 secrets are to be replaced" in late.stderr


def test_github_keeps_what_it_takes_to_begin(vaulted: Platform) -> None:
    kept = {}
    for repository in (vaulted.ci, vaulted.cd):
        run(tool("actionlint"), "-shellcheck", tool("shellcheck"), cwd=repository)
        run(tool("zizmor"), "--offline", "--persona=pedantic", repository)
        run(tool("yamllint"), "--strict", ".", cwd=repository)
        checks = "--enable=check-unassigned-uppercase,deprecate-which,quote-safe-concat"
        run(tool("shellcheck"), checks, *(repository / "scripts").glob("*.sh"))
        texts = [file.read_text() for file in (repository / ".github/workflows").glob("*.yml")]
        kept[repository.name] = set(re.findall(r"secrets\.([A-Z_]+)", "".join(texts)))
    assert kept["ci-repo"] == {"READER_APP_PRIVATE_KEY"}
    assert kept["cd-repo"] == {"DEPLOYER_APP_PRIVATE_KEY", "SMOKE_KUBECONFIG"}
    # The jobs that run a team's tests, and the one that signs, are in a file whose other jobs ask for nothing.
    pipeline = yaml.safe_load((vaulted.ci / ".github/workflows/shared-pipeline.yml").read_text())["jobs"]
    assert [name for name, job in pipeline.items() if "steps" in job and "id-token" in job["permissions"]] == ["sign"]
    readme = (vaulted.ci / "README.md").read_text()
    assert all(f"`pipeline/{secret}`" in readme for secret in SECRETS)


def test_vault_becomes_what_the_repository_says_and_is_looked_after(vaulted: Platform, server: Server) -> None:
    vault = server.vault
    assert vault.logins["jwt-github/"] == {"options": None, "type": "jwt"}
    issuer = "https://token.actions.githubusercontent.com"
    assert vault.held["auth/jwt-github/config"] == {"oidc_discovery_url": issuer, "bound_issuer": issuer}
    role = vault.held["auth/jwt-github/role/acme.platform.pipeline.push"]
    assert role["bound_audiences"] == [ADDRESS]
    assert (role["role_type"], role["token_max_ttl"]) == ("jwt", 300)
    vault.asked.clear()
    configure(vaulted.cd, vault)
    assert vault.asked == []
    role["bound_claims"] = {"repository": ["acme/ci-repo"]}
    vault.held["auth/jwt-github/config"]["bound_issuer"] = "https://evil.example"
    found = configure(vaulted.cd, vault, "--check")
    assert "differs: write the role acme.platform.pipeline.push at jwt-github" in found.stdout
    assert "differs: tell jwt-github whose tokens hold" in found.stdout


def test_roles_of_jobs_go_when_the_spec_no_longer_asks(vaulted: Platform, server: Server, tmp_path: Path) -> None:
    run("cp", "-r", vaulted.cd, tmp_path / "cd")
    file = tmp_path / "cd/vault/roles.json"
    data = json.loads(file.read_text())
    del data["github"]
    file.write_text(json.dumps(data))
    server.vault.logins["jwt/"] = {"type": "jwt"}
    server.vault.held["auth/jwt/role/acme.signing"] = {}
    server.vault.asked.clear()
    configure(tmp_path / "cd", server.vault)
    assert sorted(server.vault.asked) == [
        f"DELETE auth/jwt-github/role/acme.platform.pipeline.{role}"
        for role in ("age", "push", "read", "register", "scan")
    ], "and what somebody else made at another login stays"


def test_runners_must_know_where_vault_is(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"give `features.vault.address`, which must lead there"):
        load_spec(spec(tmp_path, vault={"pipeline": True}))
