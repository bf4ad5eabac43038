"""scripts/login-registry.sh: each kind of registry gets the login that it wants, and no job leaves one behind."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.blueprints.ci_repo.test_build_image import point_to
from tests.blueprints.ci_repo.toolbox import Toolbox
from tests.tools import run

ACCOUNT = {"REGISTRY_USERNAME": "robot", "REGISTRY_PASSWORD": "secret"}
# Writes a login as the real one does, and remembers the password that it was given.
SKOPEO = """
import sys
path = args[args.index("--authfile") + 1]
with open(path, "w") as file:
    json.dump({"auths": {args[-1]: {"auth": sys.stdin.read()}}}, file)
"""


def logins(folder: Path) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads((folder / "config.json").read_text())["auths"]
    return found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    return home


def log_in(scripts: Path, tools: Toolbox, home: Path, registry: str) -> subprocess.CompletedProcess[str]:
    point_to(scripts.parent, registry)
    tools.add("skopeo", SKOPEO)
    env = {**tools.env, **ACCOUNT, "HOME": str(home), "GITHUB_ENV": "", "DOCKER_CONFIG": ""}
    return run(scripts / "login-registry.sh", env=env, check=False)


def test_on_a_laptop_the_login_is_where_all_tools_find_it(
    scripts: Path, ci: Path, registry: tuple[str, dict[str, str]]
) -> None:
    address, env = registry
    point_to(ci, f"{address}/acme")
    run(scripts / "login-registry.sh", env={**env, **ACCOUNT})
    assert list(logins(Path(env["HOME"]) / ".docker")) == [address]


def test_in_a_workflow_the_login_is_the_jobs_own(
    scripts: Path, ci: Path, tmp_path: Path, registry: tuple[str, dict[str, str]]
) -> None:
    address, env = registry
    point_to(ci, f"{address}/acme")
    temporary, variables = tmp_path / "temp", tmp_path / "variables"
    plugins = Path(env["HOME"]) / ".docker/cli-plugins"
    plugins.mkdir(parents=True)
    run(
        scripts / "login-registry.sh",
        env={**env, **ACCOUNT, "RUNNER_TEMP": str(temporary), "GITHUB_ENV": str(variables)},
    )
    assert list(logins(temporary / "docker")) == [address]
    assert variables.read_text().splitlines() == [
        f"DOCKER_CONFIG={temporary}/docker",
        f"REGISTRY_AUTH_FILE={temporary}/docker/config.json",
    ]
    assert (temporary / "docker").stat().st_mode & 0o077 == 0
    assert not (Path(env["HOME"]) / ".docker/config.json").exists()
    assert (temporary / "docker/cli-plugins").resolve() == plugins, "buildx that a user installed is still found"


@pytest.mark.parametrize(
    ("registry", "host"),
    [
        ("ghcr.io/acme", "ghcr.io"),
        ("registry.acme.example:5000/shop/images", "registry.acme.example:5000"),
        ("europe-west4-docker.pkg.dev/acme/images", "europe-west4-docker.pkg.dev"),
        ("acme.azurecr.io", "acme.azurecr.io"),
        ("quay.io/acme", "quay.io"),
    ],
)
def test_an_account_logs_in_at_the_registrys_host(
    scripts: Path, tools: Toolbox, home: Path, registry: str, host: str
) -> None:
    assert log_in(scripts, tools, home, registry).returncode == 0
    assert logins(home / ".docker") == {host: {"auth": "secret"}}
    (call,) = tools.calls
    assert call[call.index("--username") + 1] == "robot"
    assert "secret" not in call


def test_docker_hub_is_known_by_the_name_that_cosign_and_docker_look_for(
    scripts: Path, tools: Toolbox, home: Path
) -> None:
    assert log_in(scripts, tools, home, "docker.io/acme").returncode == 0
    assert logins(home / ".docker") == {
        "docker.io": {"auth": "secret"},
        "https://index.docker.io/v1/": {"auth": "secret"},
    }


def test_a_login_without_a_password_fails(scripts: Path) -> None:
    result = run(scripts / "login-registry.sh", env={**ACCOUNT, "REGISTRY_PASSWORD": ""}, check=False)
    assert result.returncode == 1
    assert "REGISTRY_PASSWORD is not set" in result.stderr
