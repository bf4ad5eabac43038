"""scripts/changed-services: which services a change has to do with, whatever it consists of."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.blueprints.cd_repo.support import build, release, script
from tests.platform import Platform, copy_of
from tests.tools import run

NONE: dict[str, list[str]] = {"dev": [], "staging": [], "prod": []}
ALL = {environment: ["catalog", "orders"] for environment in NONE}


def commit(cd: Path) -> None:
    run("git", "add", "--all", cwd=cd)
    run("git", "commit", "--quiet", "--allow-empty", "--message", "Change something", cwd=cd)


def change(cd: Path, path: str, text: str = "# changed\n") -> None:
    file = cd / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text((file.read_text() if file.is_file() else "") + text)
    commit(cd)


def changed(cd: Path, base: str = "HEAD^") -> Any:
    return json.loads(script(cd, "changed-services", f"--base={base}", "--json").stdout)


@pytest.mark.parametrize(
    ("path", "services"),
    [
        ("services/orders/values.yaml", {**NONE, "dev": ["orders"], "staging": ["orders"], "prod": ["orders"]}),
        ("services/orders/Chart.yaml", {**NONE, "dev": ["orders"], "staging": ["orders"], "prod": ["orders"]}),
        ("services/orders/custom/values.yaml", {**NONE, "dev": ["orders"], "staging": ["orders"], "prod": ["orders"]}),
        ("services/orders/values-prod.yaml", {**NONE, "prod": ["orders"]}),
        ("services/catalog/custom/dev.yaml", {**NONE, "dev": ["catalog"]}),
        ("environments/staging/values.yaml", {**NONE, "staging": ["catalog", "orders"]}),
        ("environments/staging/regions/eu.yaml", {**NONE, "staging": ["catalog", "orders"]}),
        ("config/platform.json", ALL),
        ("scripts/render", ALL),
        (".github/workflows/validate.yml", ALL),
        ("a-folder-that-nobody-knows/file", ALL),
        ("services/gone/values.yaml", NONE),
        ("README.md", NONE),
        ("argocd/root.yaml", NONE),
        ("policies/signed.yaml", NONE),
    ],
)
def test_a_file_has_a_part_in_services(cd: Path, path: str, services: dict[str, list[str]]) -> None:
    change(cd, path, "\n" if path.endswith(".json") else "# changed\n")
    assert changed(cd) == {"services": services, "releases": NONE}


def test_a_release_is_of_its_service_alone(cd: Path) -> None:
    release(cd, "dev", [build("orders")])
    only = {**NONE, "dev": ["orders"]}
    assert changed(cd) == {"services": only, "releases": only}


def test_a_service_that_left_the_registry_is_named(cd: Path) -> None:
    release(cd, "dev", [build("orders")])
    script(cd, "registry", "--remove-service=orders")
    commit(cd)
    assert changed(cd)["releases"] == {**NONE, "dev": ["orders"]}


def test_a_new_library_is_of_all_services_that_follow(cd: Path, tmp_path: Path) -> None:
    (link,) = [(cd / "library/base").readlink()]
    newer = tmp_path / "base"
    run("cp", "-r", cd / "library" / link, newer)
    chart = newer / "Chart.yaml"
    chart.write_text(chart.read_text().replace(f"version: {str(link).removeprefix('base-')}", "version: 9.9.9"))
    # Catalog stays where it is.
    folder = cd / "services/catalog"
    for name in ("charts/base", "values.schema.json"):
        target = str((folder / name).readlink()).replace("library/base", f"library/{link}")
        (folder / name).unlink()
        (folder / name).symlink_to(target)
    text = (folder / "Chart.yaml").read_text()
    (folder / "Chart.yaml").write_text(text.replace(">=0.0.0-0", str(link).removeprefix("base-")))
    commit(cd)
    script(cd, "vendor", f"--from={newer}")
    commit(cd)
    assert changed(cd) == {"services": {environment: ["orders"] for environment in NONE}, "releases": NONE}


def test_moved_files_count_in_both_places(cd: Path) -> None:
    change(cd, "services/orders/custom/dev.yaml", "config: {A: b}\n")
    (cd / "services/catalog/custom").mkdir()
    run("git", "mv", "services/orders/custom/dev.yaml", "services/catalog/custom/dev.yaml", cwd=cd)
    commit(cd)
    assert changed(cd)["services"] == {**NONE, "dev": ["catalog", "orders"]}


@pytest.mark.parametrize("base", ["0" * 40, "1" * 40, "no-such-branch"])
def test_without_an_earlier_commit_everything_is_changed(cd: Path, base: str) -> None:
    # A new branch, a forced push, a shallow clone.
    release(cd, "dev", [build("orders")])
    assert changed(cd, base) == {"services": ALL, "releases": {**NONE, "dev": ["orders"]}}


def test_a_base_is_no_option_of_git(cd: Path) -> None:
    assert changed(cd, "--output=pwned")["services"] == ALL
    assert not (cd / "pwned").exists()


def outputs(cd: Path, base: str = "HEAD^") -> dict[str, Any]:
    """Return what the workflow's step gives to the jobs behind it."""
    file = cd.parent / "output"
    file.unlink(missing_ok=True)
    script(cd, "changed-services", f"--base={base}", env={"GITHUB_OUTPUT": str(file)})
    return {key: json.loads(value) for key, _, value in (line.partition("=") for line in file.read_text().splitlines())}


def test_workflows_learn_what_must_be_approved_and_asked(cd: Path) -> None:
    release(cd, "prod", [build("orders"), build("catalog")])
    asked = {"environment": "prod", "services": "catalog orders", "next": "", "undo": True}
    assert outputs(cd) == {"releases": 2, "approvals": ["prod"], "deployed": [asked]}
    release(cd, "dev", [build("orders")])
    asked = {"environment": "dev", "services": "orders", "next": "staging", "undo": True}
    assert outputs(cd) == {"releases": 1, "approvals": [], "deployed": [asked]}
    assert script(cd, "changed-services", "--base=HEAD^").stdout == "dev: orders\nstaging: -\nprod: -\n"


def test_a_pin_deploys_nothing(cd: Path) -> None:
    release(cd, "dev", [build("orders")])
    script(cd, "pin", "--environment=dev", "--service=orders", "--reason=wait", "--until=1d")
    assert outputs(cd) == {"releases": 1, "approvals": [], "deployed": []}


def test_nothing_is_released_over_a_pin(cd: Path) -> None:
    release(cd, "dev", [build("orders")])
    script(cd, "pin", "--environment=dev", "--service=orders", "--reason=2 loses orders", "--until=1d")
    pinned = run("git", "rev-parse", "HEAD", cwd=cd).stdout.strip()
    script(cd, "unpin", "--environment=dev", "--service=orders", "--reason=never mind")
    release(cd, "dev", [build("orders", 2)])
    # A pull request that does both at once would go over the pin; one after the other is somebody's decision.
    result = script(cd, "validate", f"--base={pinned}", check=False)
    assert result.returncode == 1
    assert "failed: pins\norders is pinned in dev until" in result.stderr
    assert ": 2 loses orders; lift the pin first" in result.stderr
    assert script(cd, "validate", "--base=HEAD^").returncode == 0


def test_a_rollback_may_go_over_a_pin_where_somebody_says_so(cd: Path) -> None:
    release(cd, "dev", [build("orders")])
    release(cd, "dev", [build("orders", 2)])
    script(cd, "pin", "--environment=dev", "--service=orders", "--reason=wait", "--until=1d")
    script(cd, "rollback", "--environment=dev", "--service=orders", "--reason=2 is slow", "--over-pin")
    assert script(cd, "validate", "--base=HEAD^").returncode == 0


def test_nothing_is_taken_back_where_it_is_not_known_what_was_released(cd: Path) -> None:
    release(cd, "dev", [build("orders")])
    (deployed,) = outputs(cd, "0" * 40)["deployed"]
    assert deployed["undo"] is False


def test_only_changed_services_are_validated(cd: Path) -> None:
    (cd / "services/catalog/values.yaml").write_text("port: eighty\n")
    commit(cd)
    change(cd, "services/orders/custom/dev.yaml", "config: {A: b}\n")
    result = script(cd, "validate", "--base=HEAD^")
    assert "0 failed" in result.stdout
    assert script(cd, "validate", check=False).returncode == 1


def test_names_that_yaml_reads_otherwise_are_names(hostile: Platform, tmp_path: Path) -> None:
    cd = copy_of(hostile.cd, tmp_path)
    change(cd, "services/no/values-on.yaml")
    assert changed(cd)["services"] == {"on": ["no"], "production": []}
