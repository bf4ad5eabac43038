"""CODEOWNERS: whose review a change of a file needs."""

import re
from pathlib import Path

from tests.platform import Platform, answers_of
from tests.tools import run

# Files that nobody must agree to, each with the reason why.
UNOWNED = {
    "registry/versions.yaml": "robots write it with registry/releases/, whose owners decide",
    "umbrella-chart/": "robots derive it from registry/versions.yaml",
    "registry/releases/": "the environment takes releases without an approval",
}


def rules(cd: Path) -> list[tuple[str, list[str]]]:
    lines = (cd / ".github/CODEOWNERS").read_text().splitlines()
    words = [line.split() for line in lines if line and not line.startswith("#")]
    return [(pattern, owners) for pattern, *owners in words]


def owners_of(cd: Path, path: str) -> list[str]:
    """Return the owners by the last pattern that matches, as GitHub does; of the forms that the file uses."""
    found: list[str] = []
    for pattern, owners in rules(cd):
        form = ".*" if pattern == "*" else re.escape(pattern.lstrip("/")).replace(r"\*", "[^/]*")
        if re.fullmatch(form + ".*" if pattern.endswith("/") else form, path):
            found = owners
    return found


def test_every_file_has_an_owner_or_a_reason_to_have_none(platform: Platform) -> None:
    owner = answers_of(platform.name, "cd-repo")["platform"]["owner"]
    for path in run("git", "ls-files", cwd=platform.cd).stdout.splitlines():
        if not owners_of(platform.cd, path) and owner:
            assert any(path.startswith(known) for known in UNOWNED), path
    text = (platform.cd / ".github/CODEOWNERS").read_text()
    assert ("Nobody is named for the whole" in text) == (owner is None)


def test_teams_own_their_services_and_the_platform_s_team_the_rest(example: Platform) -> None:
    assert owners_of(example.cd, "services/catalog/values.yaml") == ["@acme/payments"]
    assert owners_of(example.cd, "services/orders/values.yaml") == ["@acme/platform"]
    for path in ("argocd/root.yaml", "platform/argocd/values.yaml", "scripts/release", "registry/README.md"):
        assert owners_of(example.cd, path) == ["@acme/platform"]


def test_approvers_decide_what_reaches_their_environment(platform: Platform) -> None:
    for environment in answers_of(platform.name, "cd-repo")["environments"]:
        name = environment["name"]
        files = (
            f"registry/releases/{name}/orders.yaml",
            f"environments/{name}/values.yaml",
            f"environments/{name}/regions/eu.yaml",
            f"services/orders/values-{name}.yaml",
            f"services/orders/custom/{name}.yaml",
        )
        for path in files:
            if environment["approvers"]:
                assert owners_of(platform.cd, path) == environment["approvers"]


def test_a_promotion_asks_the_approvers_alone(example: Platform) -> None:
    written = ("registry/versions.yaml", "umbrella-chart/Chart.yaml", "umbrella-chart/values-prod.yaml")
    assert all(owners_of(example.cd, path) == [] for path in written)
    assert owners_of(example.cd, "registry/releases/prod/orders.yaml") == ["@acme/platform"]
    assert owners_of(example.cd, "registry/releases/dev/orders.yaml") == []
