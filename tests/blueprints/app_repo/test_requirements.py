"""The pinned dependencies."""

import re
from pathlib import Path

from tests.platform import Platform

HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}( \\)?")
PIN = re.compile(r"[a-z0-9][a-z0-9-]*==[0-9][^ ]*( ; [^\\]+)? \\")


def locks(app: Path) -> list[Path]:
    return sorted([*app.glob("shared/python/requirements*.txt"), *app.glob("services/*/requirements.txt")])


def test_everything_is_pinned_by_hash_and_from_nowhere_in_particular(platform: Platform) -> None:
    for path in locks(platform.app):
        lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
        for line in lines:
            assert HASH.fullmatch(line.strip()) if line.startswith(" ") else PIN.fullmatch(line), f"{path}: {line}"


def test_the_library_needs_nothing_that_is_not_pinned(example: Platform) -> None:
    folder = example.app / "shared/python"
    wanted = set(re.findall(r'^  "([a-z0-9-]+)>=', (folder / "pyproject.toml").read_text(), re.MULTILINE))
    pinned = {
        name for path in locks(example.app) for name in re.findall(r"^([a-z0-9-]+)==", path.read_text(), re.MULTILINE)
    }
    assert {"fastapi", "uvicorn", "prometheus-client", "pytest"} <= wanted <= pinned


def test_a_service_begins_with_nothing_of_its_own(example: Platform) -> None:
    folder = example.app / "services/catalog"
    assert "-c ../../shared/python/requirements.txt" in (folder / "requirements.in").read_text()
    assert "==" not in (folder / "requirements.txt").read_text()
