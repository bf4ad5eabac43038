"""list-services.sh: the matrix of the pull-request checks."""

import json
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.platform import Platform
from tests.tools import run


def list_services(app: Path, *options: str, cwd: Path) -> CompletedProcess[str]:
    return run(app / ".github/scripts/list-services.sh", *options, cwd=cwd, check=False)


def groups(result: CompletedProcess[str]) -> list[str]:
    assert result.returncode == 0, result.stderr
    name, _, value = result.stdout.partition("=")
    assert name == "groups"
    parsed: list[str] = json.loads(value)
    return parsed


def services(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / "services" / name).mkdir(parents=True)
        (folder / "services" / name / "service.toml").touch()
    return folder


def test_each_service_is_a_group(platform: Platform) -> None:
    found = groups(list_services(platform.app, cwd=platform.app))
    assert found == sorted(path.name for path in (platform.app / "services").iterdir())


def test_no_service_is_an_empty_list(example: Platform, tmp_path: Path) -> None:
    assert groups(list_services(example.app, cwd=tmp_path)) == []


@pytest.mark.parametrize("count", [1, 255, 256, 257, 1000])
def test_a_matrix_never_has_more_than_256_legs(example: Platform, tmp_path: Path, count: int) -> None:
    names = [f"service-{number:04}" for number in range(count)]
    found = groups(list_services(example.app, cwd=services(tmp_path, *names)))
    assert len(found) <= 256
    assert [name for group in found for name in group.split()] == names


def test_the_size_can_be_chosen(example: Platform, tmp_path: Path) -> None:
    folder = services(tmp_path, "a", "b", "c")
    assert groups(list_services(example.app, "--max-groups", "2", cwd=folder)) == ["a b", "c"]


@pytest.mark.parametrize("name", ["$(touch hacked)", "a b", "-n", "Orders", "a\nb", '"'])
def test_a_folder_that_is_no_service_name_is_refused(example: Platform, tmp_path: Path, name: str) -> None:
    result = list_services(example.app, cwd=services(tmp_path, "orders", name))
    assert (result.returncode, result.stdout) == (1, "")
    assert "is no service name" in result.stderr
    assert not (tmp_path / "hacked").exists()
