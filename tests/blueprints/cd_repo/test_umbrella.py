"""What scripts/umbrella makes of the registry."""

from pathlib import Path

import pytest
import yaml

from tests.blueprints.cd_repo.support import build, environments_of, release, script, services_of
from tests.platform import Platform
from tests.tools import run


def test_the_first_state_is_what_the_script_makes(platform: Platform) -> None:
    script(platform.cd, "umbrella", "--check")
    assert script(platform.cd, "umbrella").stdout == ""


def test_every_release_keeps_it_up_to_date(released: Path) -> None:
    script(released, "umbrella", "--check")
    assert run("git", "status", "--porcelain", cwd=released).stdout == ""


def test_the_registry_alone_decides(cd: Path) -> None:
    release(cd, "dev", [build("orders"), build("catalog")])
    before = run("git", "rev-parse", "HEAD^{tree}", cwd=cd).stdout
    run("git", "rm", "-r", "--quiet", "umbrella-chart/charts", "umbrella-chart/Chart.yaml", "registry/releases", cwd=cd)
    script(cd, "umbrella")
    run("git", "add", "--all", cwd=cd)
    assert run("git", "write-tree", cwd=cd).stdout == before


def test_services_and_environments_are_those_of_the_registry(cd: Path) -> None:
    release(cd, "dev", [build("orders"), build("catalog")])
    release(cd, "prod", [build("orders")])

    chart = yaml.safe_load((cd / "umbrella-chart/Chart.yaml").read_text())
    assert [part["name"] for part in chart["dependencies"]] == ["catalog", "orders"]

    def enabled(environment: str) -> set[str]:
        values = yaml.safe_load((cd / f"umbrella-chart/values-{environment}.yaml").read_text())
        return {service for service, part in values.items() if part["enabled"]}

    assert (enabled("dev"), enabled("staging"), enabled("prod")) == ({"catalog", "orders"}, set(), {"orders"})
    files = {path.relative_to(cd / "registry/releases").as_posix() for path in cd.glob("registry/releases/*/*")}
    assert files == {"dev/catalog.yaml", "dev/orders.yaml", "prod/orders.yaml"}


def test_an_environment_without_releases_stays_as_it_was_rendered(cd: Path) -> None:
    # So an environment that joins the platform later fits a registry that is full.
    file = cd / "umbrella-chart/values-prod.yaml"
    before = file.read_bytes()
    release(cd, "dev", [build("orders")])
    assert file.read_bytes() == before


def test_names_stay_names(released: Path) -> None:
    # A service may be called `no`, which YAML 1.1 takes for false.
    for environment in environments_of(released):
        values = yaml.safe_load((released / f"umbrella-chart/values-{environment['name']}.yaml").read_text())
        assert sorted(values) == services_of(released)


@pytest.mark.parametrize(
    "path",
    ["umbrella-chart/Chart.yaml", "umbrella-chart/values-dev.yaml", "registry/releases/dev/orders.yaml"],
)
def test_an_edit_by_hand_is_found(cd: Path, path: str) -> None:
    release(cd, "dev", [build("orders")])
    (cd / path).write_text((cd / path).read_text().replace("orders", "catalog"))
    result = script(cd, "umbrella", "--check", check=False)
    assert result.returncode == 1
    assert f"  {path}" in result.stderr
    assert "run scripts/umbrella" in result.stderr
    assert script(cd, "umbrella", "--dry-run").stdout == f"{path}\n"
    script(cd, "umbrella")
    script(cd, "umbrella", "--check")


def test_a_superfluous_file_is_found_and_removed(cd: Path) -> None:
    release(cd, "dev", [build("orders")])
    extra = cd / "registry/releases/prod/orders.yaml"
    extra.parent.mkdir()
    extra.write_text("service: orders\n")
    (cd / "umbrella-chart/charts/old").symlink_to("../../services/old")
    stale = ["registry/releases/prod/orders.yaml", "umbrella-chart/charts/old"]
    assert script(cd, "umbrella", "--dry-run").stdout.split() == stale
    script(cd, "umbrella")
    script(cd, "umbrella", "--check")
    assert not extra.exists()
    assert not (cd / "umbrella-chart/charts/old").is_symlink()
