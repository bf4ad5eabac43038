"""`make lock`: one resolution for the library and all services, from a small index of packages that hold nothing."""

import base64
import hashlib
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.platform import Platform, copy_of
from tests.tools import run, tool

LIBRARY = """\
[project]
name = "platformkit"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["alpha>=1,<3"]

[dependency-groups]
build = ["builder"]
dev = ["tester"]
lock = ["locker"]
"""


@pytest.fixture
def index(tmp_path: Path) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    for name in ("alpha", "beta", "builder", "tester", "locker"):
        publish(folder, name, "1.0")
    publish(folder, "beta", "2.0")
    return folder


def publish(index: Path, name: str, version: str, *needs: str) -> None:
    """Put a wheel without content into the index."""
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {
        "METADATA": metadata + "".join(f"Requires-Dist: {need}\n" for need in needs),
        "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(index / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for file, text in files.items():
            wheel.writestr(f"{info}/{file}", text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
            record += f"{info}/{file},sha256={digest},{len(text)}\n"
        wheel.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")


@pytest.fixture
def app(example: Platform, tmp_path: Path) -> Path:
    """An app-repo whose library needs little."""
    app = copy_of(example.app, tmp_path)
    (app / "shared/python/pyproject.toml").write_text(LIBRARY)
    wishes = app / "services/catalog/requirements.in"
    shutil.copy(wishes, app / "services/orders/requirements.in")
    for path in pinned(app):
        path.unlink()
    return app


def pinned(app: Path) -> list[Path]:
    return sorted([*app.glob("shared/python/requirements*.txt"), *app.glob("services/*/requirements.txt")])


def lock(app: Path, index: Path, *args: str) -> subprocess.CompletedProcess[str]:
    env = {"UV": tool("uv"), "UV_NO_INDEX": "1", "UV_FIND_LINKS": str(index), "UV_NO_CONFIG": "1"}
    return run(app / "shared/python/lock.sh", *args, cwd=app.parent, env=env, check=False)


def need(app: Path, service: str, *requirements: str) -> None:
    with (app / f"services/{service}/requirements.in").open("a") as file:
        file.writelines(f"{requirement}\n" for requirement in requirements)


def versions(path: Path) -> list[str]:
    return [line.split(" ")[0] for line in path.read_text().splitlines() if "==" in line]


def test_two_services_get_one_version_of_what_both_need(app: Path, index: Path) -> None:
    need(app, "catalog", "beta")
    need(app, "orders", "beta<2")
    assert lock(app, index).returncode == 0
    assert versions(app / "services/catalog/requirements.txt") == ["beta==1.0"]
    assert versions(app / "services/orders/requirements.txt") == ["beta==1.0"]


def test_what_a_service_asks_for_holds_for_the_library_as_well(app: Path, index: Path) -> None:
    publish(index, "alpha", "2.0")
    need(app, "orders", "alpha<2")
    assert lock(app, index).returncode == 0
    assert versions(app / "shared/python/requirements.txt") == ["alpha==1.0"]


def test_each_file_has_its_own_share_by_hash_and_from_nowhere_in_particular(app: Path, index: Path) -> None:
    need(app, "orders", "beta")
    assert lock(app, index).returncode == 0
    assert {path.relative_to(app).as_posix(): versions(path) for path in pinned(app)} == {
        "services/catalog/requirements.txt": [],
        "services/orders/requirements.txt": ["beta==2.0"],
        "shared/python/requirements.txt": ["alpha==1.0"],
        "shared/python/requirements-build.txt": ["builder==1.0"],
        "shared/python/requirements-dev.txt": ["tester==1.0"],
        "shared/python/requirements-lock.txt": ["locker==1.0"],
    }
    for path in pinned(app):
        text = path.read_text()
        assert text.startswith("# Written by robots")
        assert text.count("--hash=sha256:") == len(versions(path))
        assert str(index) not in text


def test_wishes_that_cannot_be_met_together_change_nothing(app: Path, index: Path) -> None:
    assert lock(app, index).returncode == 0
    before = {path: path.read_text() for path in pinned(app)}
    need(app, "catalog", "beta>=2")
    need(app, "orders", "beta<2")
    refused = lock(app, index)
    assert refused.returncode == 1
    assert "beta>=2" in refused.stderr
    assert "Nothing is written" in refused.stderr
    assert {path: path.read_text() for path in pinned(app)} == before


def test_pins_stay_until_somebody_asks_for_the_newest(app: Path, index: Path) -> None:
    need(app, "orders", "beta")
    assert lock(app, index).returncode == 0
    publish(index, "alpha", "2.0")
    publish(index, "beta", "3.0")
    assert lock(app, index).returncode == 0
    assert versions(app / "shared/python/requirements.txt") == ["alpha==1.0"]
    assert versions(app / "services/orders/requirements.txt") == ["beta==2.0"]
    assert lock(app, index, "--upgrade").returncode == 0
    assert versions(app / "shared/python/requirements.txt") == ["alpha==2.0"]
    assert versions(app / "services/orders/requirements.txt") == ["beta==3.0"]


@pytest.mark.slow
def test_make_lock_brings_its_own_uv_and_finds_the_pins_as_they_should_be(example: Platform, tmp_path: Path) -> None:
    app = copy_of(example.app, tmp_path)
    before = {path: versions(path) for path in pinned(app)}
    run("make", "lock", cwd=app)
    assert {path: versions(path) for path in pinned(app)} == before
    assert (app / ".venv/uv/bin/uv").exists()
    assert not (app / ".venv/.installed").exists(), (
        "pins that cannot be installed must not keep new ones from being made"
    )
