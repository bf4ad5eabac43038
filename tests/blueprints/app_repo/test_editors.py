"""What a developer's editor, dev container, and commits find in app-repo."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.blueprints.test_hygiene import parse_json
from tests.platform import Platform
from tests.tools import run, tool

FEATURE = re.compile(r"ghcr\.io/devcontainers/features/([a-z-]+):\d+")


def read(app: Path, name: str) -> Any:
    return parse_json((app / name).read_text())


def features_of(app: Path) -> dict[str, dict[str, Any]]:
    """The features of the dev container by their short names."""
    features = read(app, ".devcontainer/devcontainer.json")["features"]
    return {FEATURE.fullmatch(name)[1]: options for name, options in features.items()}  # type: ignore[index]


def test_the_dev_container_has_what_the_languages_in_use_need(platform: Platform) -> None:
    used = {path.parent.name for path in platform.app.glob("shared/*/rules.mk")}
    # Python is there for the scripts of the repository.
    assert features_of(platform.app).keys() == used | {"python", "docker-in-docker"}


def test_the_dev_container_has_the_versions_of_the_images(rendered: Callable[[str], Platform]) -> None:
    app = rendered("languages").app
    features = features_of(app)
    images = {"go": r"golang:", "java": r"eclipse-temurin-", "node": r"node:", "python": r"python:"}
    for language, before in images.items():
        texts = [path.read_text() for path in app.glob("services/*/Dockerfile")]
        (version,) = {match[1] for text in texts if (match := re.search(rf"_IMAGE=\S*{before}([\d.]+)", text))}
        assert f"{version}.".startswith(f"{features[language]['version']}."), language


def test_the_editor_is_recommended_what_the_dev_container_installs(platform: Platform) -> None:
    installed = read(platform.app, ".devcontainer/devcontainer.json")["customizations"]["vscode"]["extensions"]
    assert read(platform.app, ".vscode/extensions.json")["recommendations"] == installed
    # What formats a language is among them.
    formatters = re.findall(
        r'"editor\.defaultFormatter": "(.+?)"', (platform.app / ".vscode/settings.json").read_text()
    )
    assert set(formatters) <= set(installed)


def test_the_dev_container_forwards_every_port(rendered: Callable[[str], Platform]) -> None:
    ports = read(rendered("languages").app, ".devcontainer/devcontainer.json")["forwardPorts"]
    assert ports == [3000, 8080, *range(9000, 9007), 9090, 16686]


@pytest.fixture
def committing(bench: Path, tmp_path: Path) -> Callable[[str], tuple[int, str]]:
    """Commits what is in the repository, with the hooks installed; returns the exit code and what was said."""
    env = {"PRE_COMMIT_HOME": str(tmp_path / "cache")}
    run(tool("pre-commit"), "install", cwd=bench, env=env)

    def commit(message: str) -> tuple[int, str]:
        run("git", "add", "--all", cwd=bench)
        identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
        result = run("git", *identity, "commit", "--message", message, cwd=bench, env=env, check=False)
        return result.returncode, result.stdout + result.stderr

    return commit


@pytest.mark.slow
def test_a_commit_is_checked_by_what_make_runs(bench: Path, committing: Callable[[str], tuple[int, str]]) -> None:
    routes = bench / "services/catalog/app/routes.py"
    well = routes.read_text()
    routes.write_text(f"{well}\nsecret='x'\n")
    code, said = committing("Badly formatted")
    assert code
    assert "== services/catalog" in said
    assert "services/orders" not in said
    routes.write_text(f"{well}\n\nIDLE = 1\n")
    (bench / "notes.md").write_text("<<<<<<< mine\n")
    code, said = committing("With a conflict in it")
    assert code
    assert "leftover conflict marker" in said
    (bench / "notes.md").write_text("Nothing to see.\n")
    code, said = committing("Well formatted")
    assert code == 0, said
    assert "== services/catalog" not in said


def test_what_is_in_no_service_and_no_library_has_nothing_to_lint(platform: Platform) -> None:
    app = platform.app
    assert run("scripts/lint-changed", "shared/images/python/image", "services/gone/main.py", cwd=app).stdout == ""
    assert run("scripts/lint-changed", "--help", cwd=app).stdout.startswith("Usage: lint-changed FILE")
