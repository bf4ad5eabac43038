"""What becomes of a user's work and of the robots' state when services and environments leave the spec, or move."""

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.blueprints.cd_repo import support
from tests.workbench import Workbench, git, triptych

CATALOG = "  - {name: catalog, language: python}\n"
ENVIRONMENTS = "environments: [{name: dev}, {name: staging}, {name: prod}]\n"
PER_ENVIRONMENT = "[% yield environment from environments %][[ environment.name ]][% endyield %]"
REGISTRY = """\
services:
  catalog:
    dev: {version: "1"}
  orders:
    dev: {version: "1"}
    staging: {version: "1"}
"""


@pytest.fixture
def platform(bench: Workbench) -> Workbench:
    """Three environments, with state that robots wrote."""
    bench.change_spec("services:\n", f"{ENVIRONMENTS}services:\n")
    bench.template.write("blueprints/cd-repo/registry/versions.yaml", "services: {}\n")
    bench.template.write(f"blueprints/cd-repo/umbrella-chart/values-{PER_ENVIRONMENT}.yaml", "{}\n")
    bench.template.write(f"blueprints/cd-repo/environments/{PER_ENVIRONMENT}/values.yaml", "spot: true\n")
    bench.template.release("v1.1.0")
    bench.apply()
    (bench.cd / "registry/versions.yaml").write_text(REGISTRY)
    bench.change_file(bench.cd / "umbrella-chart/values-staging.yaml", "{}\n", "orders: {enabled: true}\n")
    return bench


def test_what_robots_wrote_of_an_environment_outlives_it_and_refuses_nothing(platform: Workbench) -> None:
    platform.change_spec("{name: staging}, ", "")

    result = platform.apply()

    assert "removed                environments/staging/values.yaml" in result.out
    assert "umbrella-chart" not in result.out
    assert (platform.cd / "umbrella-chart/values-staging.yaml").read_text() == "orders: {enabled: true}\n"
    assert (platform.cd / "registry/versions.yaml").read_text() == REGISTRY


def test_what_robots_never_wrote_goes_with_its_environment(platform: Workbench) -> None:
    platform.change_spec("{name: dev}, ", "")

    platform.apply()

    assert not (platform.cd / "umbrella-chart/values-dev.yaml").exists()


def test_an_environment_that_the_registry_still_has_is_told_with_the_command_that_forgets_it(
    platform: Workbench,
) -> None:
    platform.change_spec("{name: staging}, ", "")
    command = f"`python3 {platform.cd}/scripts/registry --remove-environment staging`"

    plan, apply, again = platform.run("plan"), platform.apply(), platform.apply()

    for result in (plan, apply, again):
        assert result.err.count(command) == 1
        assert "--remove-service" not in result.err
    assert command in json.loads(platform.run("plan", "--json").out)["leftovers"][0]


def test_a_service_that_the_registry_still_has_is_told_with_the_command_that_forgets_it(platform: Workbench) -> None:
    platform.change_spec(CATALOG, "")

    result = platform.apply()

    assert f"`python3 {platform.cd}/scripts/registry --remove-service catalog`" in result.err
    assert "--remove-environment" not in result.err


@pytest.mark.parametrize("text", ["", "services: [\n", "services: [1]\n", "services: {catalog: 1}\n", "other: 1\n"])
def test_a_registry_that_cannot_be_read_is_no_reason_to_refuse(platform: Workbench, text: str) -> None:
    platform.change_file(platform.cd / "registry/versions.yaml", REGISTRY, text)
    platform.change_spec(CATALOG, "")

    assert "registry" not in platform.apply().err


@pytest.mark.slow
def test_the_commands_that_are_told_leave_a_registry_in_order(tmp_path: Path) -> None:
    spec = tmp_path / "services.yaml"
    text = (
        f"apiVersion: triptych/v1\nplatform: {{name: acme, github: {{organization: acme}}}}\n{ENVIRONMENTS}services:\n"
        f"  - {{name: orders, language: python}}\n{CATALOG}"
    )
    spec.write_text(text)
    assert triptych("apply", "--file", spec).code == 0
    cd = tmp_path / "cd-repo"
    released = support.release_everything(cd, tmp_path / "released")
    shutil.rmtree(cd)
    released.rename(cd)
    spec.write_text(text.replace(CATALOG, "").replace("{name: staging}, ", ""))

    told = triptych("apply", "--file", spec)

    assert told.code == 0, told.err
    commands = told.err.split("`")[1::2]
    assert len(commands) == 2
    for command in commands:
        subprocess.run(shlex.split(command), check=True, capture_output=True)
    git(cd, "add", "--all")
    git(cd, "commit", "--quiet", "--message", "Forget what is gone")
    support.script(cd, "registry", "--check")
    support.script(cd, "umbrella", "--check")
    assert not [path for path in git(cd, "ls-files").splitlines() if "staging" in path or "catalog" in path]
    after = triptych("apply", "--file", spec)
    assert after.err == ""
    assert "Plan: nothing changes." in after.out


def test_a_renamed_environment_needs_prune_where_its_files_were_edited(platform: Workbench) -> None:
    platform.change_file(platform.cd / "environments/staging/values.yaml", "true", "false")
    platform.change_spec("{name: staging}", "{name: qa}")
    before = platform.heads()

    refused = platform.run("apply")

    assert refused.code == 1
    assert "cd-repo/environments/staging/values.yaml" in refused.err
    assert "values-staging.yaml" not in refused.err
    assert platform.heads() == before

    pruned = platform.apply("--prune")
    assert "--remove-environment staging" in pruned.err
    assert (platform.cd / "environments/qa/values.yaml").is_file()
    assert (platform.cd / "umbrella-chart/values-qa.yaml").read_text() == "{}\n"
    assert "app-repo: new branch qa" in pruned.out


def test_an_environment_that_comes_back_finds_what_robots_wrote(platform: Workbench) -> None:
    platform.change_spec("{name: staging}, ", "")
    platform.apply()
    platform.change_spec("{name: dev}, ", "{name: dev}, {name: staging}, ")

    result = platform.apply()

    assert (platform.cd / "umbrella-chart/values-staging.yaml").read_text() == "orders: {enabled: true}\n"
    assert "--remove-environment" not in result.err, "the registry's entries are of use again"


@pytest.mark.parametrize("content", [b"mine\n", bytes(range(256))])
def test_a_file_made_by_hand_that_the_spec_now_generates_is_a_conflict(bench: Workbench, content: bytes) -> None:
    mine = bench.cd / "services/orders/values-prod.yaml"
    mine.write_bytes(content)
    bench.commit(mine)
    bench.template.write(
        "blueprints/cd-repo/services/[% yield service from services %][[ service.name ]][% endyield %]/values-"
        "[% yield override from service.environments %][[ override.name ]][% endyield %].yaml",
        "theirs\n",
    )
    bench.template.release("v1.1.0")
    bench.change_spec("orders, language: python}", "orders, language: python, environments: {prod: {rollout: canary}}}")
    before = bench.heads()

    refused = bench.run("apply")

    assert refused.code == 1
    assert "conflict               services/orders/values-prod.yaml" in refused.out
    assert "cd-repo/services/orders/values-prod.yaml" in refused.err
    assert bench.heads() == before

    assert bench.run("apply", "--keep-conflicts").code == 1
    assert content in mine.read_bytes()
    assert "services/orders/values-prod.yaml" in git(bench.cd, "ls-files", "--unmerged")


def test_a_service_that_went_with_its_edits_comes_back_as_new(bench: Workbench) -> None:
    about = bench.app / "services/catalog/about.txt"
    fresh = about.read_text()
    bench.change_file(about, "line 3\n", "line 3, ours\n")
    bench.add_file(about.with_name("NOTES.md"), "ours\n")
    bench.change_spec(CATALOG, "")
    bench.apply("--prune")
    bench.change_spec("services:\n", f"services:\n{CATALOG}")

    bench.apply()

    assert about.read_text() == fresh
    assert not about.with_name("NOTES.md").exists()
    assert "line 3, ours" in git(bench.app, "show", "HEAD~2:services/catalog/about.txt"), "the history has it"


def test_a_removal_that_is_reverted_in_every_repository_brings_the_edits_back(bench: Workbench) -> None:
    about = bench.app / "services/catalog/about.txt"
    bench.change_file(about, "line 3\n", "line 3, ours\n")
    bench.change_spec(CATALOG, "")
    bench.apply("--prune")
    bench.change_spec("services:\n", f"services:\n{CATALOG}")
    for repository in bench.repositories:
        git(repository, "revert", "--no-edit", "HEAD")

    result = bench.apply()

    assert "Plan: nothing changes." in result.out
    assert "line 3, ours" in about.read_text()


def test_a_service_that_moves_to_another_team_keeps_its_edits(bench: Workbench) -> None:
    owners = "blueprints/app-repo/.github/CODEOWNERS.jinja"
    bench.template.write(
        owners, "[% for service in services %]\n/services/[[ service.name ]]/ [[ service.owner ]]\n\n[% endfor %]\n"
    )
    bench.template.release("v1.1.0")
    teams = "teams: [{name: payments}, {name: sales}]\nservices:\n"
    bench.change_spec("services:\n", teams)
    bench.change_spec("{name: catalog,", "{name: catalog, team: sales,")
    bench.change_spec("{name: orders,", "{name: orders, team: sales,")
    bench.apply()
    codeowners = bench.app / ".github/CODEOWNERS"
    bench.change_file(codeowners, "/services/catalog/ @acme/sales\n", "/services/catalog/ @acme/sales @me\n")
    bench.change_file(bench.app / "services/orders/about.txt", "line 3\n", "line 3, ours\n")
    bench.change_spec("{name: orders, team: sales,", "{name: orders, team: payments,")

    result = bench.apply()

    assert "/services/catalog/ @acme/sales @me\n" in codeowners.read_text()
    assert "/services/orders/ @acme/payments\n" in codeowners.read_text()
    assert 'services[orders].owner: "@acme/sales" → "@acme/payments"' in result.out
    assert "line 3, ours" in (bench.app / "services/orders/about.txt").read_text()
