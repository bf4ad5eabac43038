"""Where a value comes from: the files of values, the last of which wins."""

from pathlib import Path
from typing import Any

import pytest

from tests.blueprints.cd_repo.support import by_kind, objects, script
from tests.platform import Platform, copy_of

# From the weakest to the strongest; below them all is the chart's own values.yaml.
LAYERS = (
    "environments/prod/values.yaml",
    "environments/prod/custom.yaml",
    "environments/prod/regions/eu.yaml",
    "services/catalog/values-prod.yaml",
    "services/catalog/custom/values.yaml",
    "services/catalog/custom/prod.yaml",
)


@pytest.fixture
def cd(released_example: Path, tmp_path: Path) -> Path:
    """A cd-repo of one's own with everything released."""
    return copy_of(released_example, tmp_path)


def add(repository: Path, path: str, text: str) -> None:
    """Put further lines of values into a file, which may not be there yet."""
    file = repository / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text((file.read_text() if file.is_file() else "") + text)


def render(repository: Path, *args: str) -> dict[str, Any]:
    return by_kind(objects(script(repository, "render", "--environment=prod", *args).stdout))


def variables(repository: Path, *args: str) -> dict[str, str]:
    objects = render(repository, *args).values()
    maps = [item for item in objects if item["kind"] == "ConfigMap" and item["metadata"]["name"].startswith("catalog-")]
    return {name: value for item in maps for name, value in item["data"].items()}


def test_the_later_file_wins(cd: Path) -> None:
    for number, path in enumerate(LAYERS):
        add(cd, path, f'config: {{WHERE: "{number}", LAYER_{number}: "yes"}}\n')
        assert variables(cd, "--region=eu")["WHERE"] == str(number), path
    # Mappings are merged: what an earlier file says alone is still there.
    assert set(variables(cd, "--region=eu")) >= {f"LAYER_{number}" for number in range(len(LAYERS))}


def test_only_clusters_of_the_region_read_its_file(cd: Path) -> None:
    add(cd, "environments/prod/regions/eu.yaml", "config: {REGION: eu}\n")
    assert variables(cd, "--region=eu")["REGION"] == "eu"
    assert "REGION" not in variables(cd)
    assert "REGION" not in variables(cd, "--region=us")


def test_the_umbrella_reads_every_layer(cd: Path) -> None:
    for number, path in enumerate(LAYERS):
        add(cd, path, f'config: {{WHERE: "{number}", LAYER_{number}: "yes"}}\n')
    add(cd, "services/catalog/custom/prod.yaml", "global: {imagePullSecrets: [mirror]}\ncallers: null\n")
    for region in ((), ("--region=eu",)):
        assert render(cd, *region) == render(cd, "--umbrella", *region)


def test_the_release_goes_over_everything(cd: Path) -> None:
    add(cd, "services/catalog/custom/prod.yaml", "image: {tag: mine}\n")
    (container,) = render(cd)["Deployment/catalog"]["spec"]["template"]["spec"]["containers"]
    assert ":mine@" not in container["image"]


def test_files_of_ones_own_are_validated(cd: Path) -> None:
    add(cd, "environments/prod/custom.yaml", "config: {LOG_LEVEL: debug}\n")
    add(cd, "environments/prod/regions/eu.yaml", "autoscaling: {max: 20}\n")
    assert "0 failed" in script(cd, "validate").stdout
    add(cd, "environments/prod/regions/us.yaml", "autoscaling: {maximum: 20}\n")
    result = script(cd, "validate", check=False)
    assert "failed: orders in prod, region us" in result.stderr
    assert "failed: orders in prod, region eu" not in result.stderr
    assert "failed: orders in prod\n" not in result.stderr


@pytest.mark.parametrize(
    "path",
    [
        "services/catalog/custom/production.yaml",
        "services/catalog/custom/prod.yml",
        "services/catalog/values-production.yaml",
        "services/catalogue/custom/values.yaml",
        "environments/prod/customs.yaml",
        "environments/prod/regions/eu.yml",
    ],
)
def test_a_file_that_nothing_reads_is_named(cd: Path, path: str) -> None:
    add(cd, path, "config: {LOG_LEVEL: debug}\n")
    result = script(cd, "validate", check=False)
    assert f"nothing reads these files; README.md says what files of values are called:\n  {path}\n" in result.stderr


def test_files_of_ones_own_are_never_generated(platform: Platform) -> None:
    assert [path for path in platform.cd.rglob("*") if path.stem in {"custom", "regions"}] == []
