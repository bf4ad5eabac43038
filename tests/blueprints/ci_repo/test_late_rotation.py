"""Secrets that live long are asked for their age every day: an issue names those that are late, and the run fails."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.blueprints.ci_repo.test_scan_deployed import GH
from tests.blueprints.ci_repo.toolbox import Toolbox
from tests.platform import Platform
from tests.tools import run

# Answers as GitHub does of secrets, from {path: {name: days ago}} in SECRETS; what it does not know is forbidden.
API = """
import datetime
if args[0] == "api":
    assert "--paginate" in args and args[-2] == "--jq"
    known = json.loads(os.environ["SECRETS"])
    path = args[2]
    if path not in known:
        sys.exit("gh: Resource not accessible by integration (HTTP 403)")
    for name, days in known[path].items():
        then = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=days, minutes=1)
        print(name + "\\t" + then.strftime("%Y-%m-%dT%H:%M:%SZ"))
    sys.exit()
"""
PLACES = {
    "app": "repos/acme/app-repo/actions/secrets",
    "ci": "repos/acme/ci-repo/actions/secrets",
    "cd": "repos/acme/cd-repo/actions/secrets",
    "delivery": "repos/acme/cd-repo/environments/delivery/secrets",
    **{f"{name}-organization": f"repos/acme/{name}-repo/actions/organization-secrets" for name in ("app", "ci", "cd")},
}


class Daily:
    """The check of every day, and the issue that it leaves."""

    def __init__(self, scripts: Path, tools: Toolbox, folder: Path) -> None:
        tools.add("gh", API + GH)
        self.scripts, self.tools = scripts, tools
        self.listed, self.state = folder / "secrets.json", folder / "issues.json"

    def check(self, **ages: dict[str, int]) -> tuple[int, str]:
        """Look at secrets that were written so many days ago, by place; return the exit code and what was said."""
        known = {path: ages.get(place.replace("-", "_"), {}) for place, path in PLACES.items()}
        env = {**self.tools.env, "SECRETS": json.dumps(known), "FAKE_GH_STATE": str(self.state)}
        run(self.scripts / "list-secrets", f"--output={self.listed}", env=env)
        done = run(self.scripts / "report-secrets", f"--secrets={self.listed}", env=env, check=False)
        return done.returncode, done.stderr

    @property
    def issues(self) -> Any:
        return json.loads(self.state.read_text()) if self.state.exists() else []


@pytest.fixture
def daily(scripts: Path, tools: Toolbox, tmp_path: Path) -> Daily:
    return Daily(scripts, tools, tmp_path)


def test_one_issue_names_what_is_late_until_it_is_replaced(daily: Daily) -> None:
    young = {"READER_APP_PRIVATE_KEY": 1, "REGISTRAR_APP_PRIVATE_KEY": 89}
    assert daily.check(ci=young, delivery={"DEPLOYER_APP_PRIVATE_KEY": 10}) == (0, "")
    assert daily.issues == []

    code, said = daily.check(ci=young, delivery={"DEPLOYER_APP_PRIVATE_KEY": 100})
    assert (code, said) == (1, "error: A secret is to be replaced: DEPLOYER_APP_PRIVATE_KEY\n")
    (issue,) = daily.issues
    assert issue["label"] == "late-rotation"
    assert "| `DEPLOYER_APP_PRIVATE_KEY, cd-repo, environment delivery` | 100 days ago |" in issue["body"]

    daily.check(ci={**young, "REGISTRAR_APP_PRIVATE_KEY": 90}, delivery={"DEPLOYER_APP_PRIVATE_KEY": 101})
    (issue,) = daily.issues
    assert issue["title"] == "2 secrets are to be replaced"
    assert issue["comments"] == ["New: `REGISTRAR_APP_PRIVATE_KEY, ci-repo`"]

    assert daily.check(ci={**young, "REGISTRAR_APP_PRIVATE_KEY": 0}, delivery={"DEPLOYER_APP_PRIVATE_KEY": 0})[0] == 0
    assert daily.issues[0]["open"] is False


def test_a_secret_of_the_organization_counts_where_the_repository_has_none(daily: Daily) -> None:
    shared = {"READER_APP_PRIVATE_KEY": 200, "DISPATCHER_APP_PRIVATE_KEY": 200}
    code, said = daily.check(ci={"READER_APP_PRIVATE_KEY": 5}, ci_organization=shared, app_organization=shared)
    assert code == 1
    assert said.endswith(": DISPATCHER_APP_PRIVATE_KEY\n")


def test_secrets_that_are_no_part_of_the_platform_are_nobodys_business_here(daily: Daily) -> None:
    assert daily.check(ci={"SOMETHING_ELSE": 900}) == (0, "")


def test_what_cannot_be_asked_is_no_success(daily: Daily) -> None:
    env = {**daily.tools.env, "SECRETS": "{}"}
    done = run(daily.scripts / "list-secrets", f"--output={daily.listed}", env=env, check=False)
    assert done.returncode == 1
    assert "HTTP 403" in done.stderr
    assert not daily.listed.exists()


def test_parts_of_a_second_are_read_as_vault_writes_them(daily: Daily) -> None:
    then = (datetime.now(UTC) - timedelta(days=91)).strftime("%Y-%m-%dT%H:%M:%S")
    daily.listed.write_text(json.dumps([{"name": "pipeline/snyk", "where": "Vault", "written": f"{then}.1234567Z"}]))
    done = run(daily.scripts / "report-secrets", f"--secrets={daily.listed}", "--dry-run", check=False)
    assert done.returncode == 1
    assert "| `pipeline/snyk, Vault` | 91 days ago |" in done.stdout


def test_every_secret_of_the_workflows_is_looked_after(platform: Platform) -> None:
    looked_after: dict[str, set[str]] = {}
    names = {}
    for repository in platform.repositories:
        (remote,) = {repository.name.removesuffix("-repo")}
        names[remote] = json.loads((platform.ci / "config/platform.json").read_text())["repositories"][remote]
    for place in json.loads((platform.ci / "config/secrets.json").read_text())["github"]:
        looked_after.setdefault(place["repository"], set()).update(place["names"])
    for repository in platform.repositories:
        texts = "".join(file.read_text() for file in (repository / ".github/workflows").glob("*.yml"))
        used = set(re.findall(r"secrets\.([A-Z_]+)", texts)) - {"GITHUB_TOKEN"}
        assert used <= looked_after[names[repository.name.removesuffix("-repo")]]
