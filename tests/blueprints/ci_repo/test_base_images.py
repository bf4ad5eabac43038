"""Shared base images: which are built, and which one a service is built from."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.blueprints.ci_repo.github import GitHub
from tests.blueprints.ci_repo.machine import commit
from tests.blueprints.ci_repo.test_build_image import build, config_of
from tests.blueprints.ci_repo.toolbox import Toolbox
from tests.platform import Platform
from tests.tools import run

DIGEST = "sha256:" + "0123456789abcdef" * 4
REFERENCE = f"ghcr.io/acme/base-python:stable@{DIGEST}"


@pytest.fixture
def bases(source: Path) -> Path:
    """The app-repo with base images of two languages."""
    for language in ("go", "python"):
        folder = source / "shared/images" / language
        folder.mkdir(parents=True)
        (folder / "Dockerfile").write_text(f"FROM scratch\nCOPY shared/images/{language}/Dockerfile /\n")
    commit(source, "Share bases")
    return source


def listed(scripts: Path, source: Path, tmp_path: Path, since: str = "") -> Any:
    outputs = tmp_path / "outputs"
    outputs.unlink(missing_ok=True)
    run(scripts / "list-bases", "--source", source, "--since", since, env={"GITHUB_OUTPUT": str(outputs)})
    return json.loads(outputs.read_text().removeprefix("bases="))


@pytest.mark.parametrize("since", ["", "0" * 40, "f" * 40])
def test_without_a_commit_to_compare_with_every_base_is_built(
    scripts: Path, bases: Path, tmp_path: Path, since: str
) -> None:
    assert listed(scripts, bases, tmp_path, since) == ["go", "python"]


def test_after_a_push_only_what_changed_is_built(scripts: Path, bases: Path, tmp_path: Path) -> None:
    before = run("git", "rev-parse", "HEAD", cwd=bases).stdout.strip()
    assert listed(scripts, bases, tmp_path, before) == []
    (bases / "shared/images/go/Dockerfile").write_text("FROM scratch\n")
    (bases / "shared/images/python/image").write_text(f"{REFERENCE}\n")
    commit(bases, "Change one, and name the other")
    assert listed(scripts, bases, tmp_path, before) == ["go"]


@pytest.mark.parametrize("since", ["$(id)", "HEAD", "--output=x"])
def test_a_payload_that_names_no_commit_is_refused(scripts: Path, bases: Path, since: str) -> None:
    result = run(scripts / "list-bases", "--source", bases, f"--since={since}", check=False)
    assert (result.returncode, result.stderr) == (1, f"error: not a commit: {since!r}\n")


def test_a_base_is_built_and_says_what_it_is(
    scripts: Path, bases: Path, tmp_path: Path, builder: dict[str, str]
) -> None:
    what = ("--base", "python", "--source", bases, "--output", tmp_path / "image", "--builder", "buildah")
    run(scripts / "build-image.sh", *what, env=builder)
    labels = config_of(tmp_path / "image")["config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == "base-python"
    assert labels["org.opencontainers.image.revision"] == run("git", "rev-parse", "HEAD", cwd=bases).stdout.strip()
    assert "triptych.source" not in labels, "nobody may take it for a service's image"


def test_a_base_is_built_from_nothing_that_was_built_before(scripts: Path, bases: Path, tools: Toolbox) -> None:
    tools.add("docker")
    what = ("--base", "python", "--source", bases, "--output", bases.parent / "image")
    run(scripts / "build-image.sh", *what, env=tools.env)
    assert "--no-cache" in tools.calls[-1]
    assert not [argument for argument in tools.calls[-1] if "cache-from" in argument]


def test_a_service_is_built_from_what_its_language_names(scripts: Path, bases: Path, tools: Toolbox) -> None:
    tools.add("docker")
    what = ("--service", "orders", "--source", bases, "--output", bases.parent / "image")
    run(scripts / "build-image.sh", *what, env=tools.env)
    assert not [argument for argument in tools.calls[-1] if "BASE_IMAGE" in argument], "the Dockerfile's own default"

    (bases / "shared/images/python/image").write_text(f"# Raised by Renovate.\n{REFERENCE}\n")
    run(scripts / "build-image.sh", *what, env=tools.env)
    assert f"BASE_IMAGE={REFERENCE}" in tools.calls[-1]


def test_the_image_of_a_service_stands_on_its_base(
    scripts: Path, bases: Path, tmp_path: Path, builder: dict[str, str], registry: tuple[str, dict[str, str]]
) -> None:
    address, env = registry
    config = scripts.parent / "config/platform.json"
    config.write_text(config.read_text().replace("ghcr.io/acme", f"{address}/acme"))
    what = ("--base", "python", "--source", bases, "--output", tmp_path / "base", "--builder", "buildah")
    run(scripts / "build-image.sh", *what, env=builder)
    to = f"{address}/acme/base-python:stable"
    pushed = run(scripts / "push-image.sh", "--image", tmp_path / "base", "--to", to, env=env).stdout.strip()

    (bases / "shared/images/python/image").write_text(f"{to}@{pushed.partition('@')[2]}\n")
    dockerfile = bases / "services/orders/Dockerfile"
    dockerfile.write_text(
        "ARG BASE_IMAGE=scratch\n" + dockerfile.read_text().replace("FROM scratch", "FROM ${BASE_IMAGE}")
    )
    commit(bases, "Build from the base")
    build(scripts, bases, tmp_path / "image", {**builder, **env})
    layers = config_of(tmp_path / "image")["rootfs"]["diff_ids"]
    below = config_of(tmp_path / "base")["rootfs"]["diff_ids"]
    assert layers[: len(below)] == below
    assert len(layers) > len(below)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ghcr.io/acme/base-python:stable\n",
        f"docker.io/mallory/python:3@{DIGEST}\n",
        f"{REFERENCE}\n{REFERENCE}\n",
        f"{REFERENCE} --build-arg X=1\n",
    ],
)
def test_what_is_no_image_of_ours_by_its_digest_is_refused(scripts: Path, bases: Path, text: str) -> None:
    (bases / "shared/images/python/image").write_text(text)
    result = run(scripts / "base-image", "--source", bases, "--service", "orders", check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert "shared/images/python/image of app-repo must name one image" in result.stderr


def test_a_new_base_rebuilds_the_services_of_its_language(scripts: Path, bases: Path) -> None:
    def keys() -> list[str]:
        command = (scripts / "source-key", "--source", bases, "--service")
        return [run(*command, service).stdout for service in ("catalog", "orders")]

    catalog, orders = keys()
    (bases / "shared/images/python/image").write_text(f"{REFERENCE}\n")
    commit(bases, "Name a base")
    languages = {
        name: service["language"]
        for name, service in json.loads((scripts.parent / "config/graph.json").read_text())["services"].items()
    }
    now = dict(zip(("catalog", "orders"), keys(), strict=True))
    changed = {name for name, before in (("catalog", catalog), ("orders", orders)) if now[name] != before}
    assert changed == {name for name, language in languages.items() if language == "python"}


def test_each_language_in_use_has_a_base_by_digest(platform: Platform) -> None:
    languages = {
        service["language"]: service["inputs"]
        for service in json.loads((platform.ci / "config/graph.json").read_text())["services"].values()
        if service["language"] != "other"
    }
    found = {path.parent.name: path.read_text() for path in platform.app.glob("shared/images/*/Dockerfile")}
    assert found.keys() == languages.keys()
    for language, text in found.items():
        assert f"shared/images/{language}/image" in languages[language]
        # The one that services are built from where no shared base is named yet.
        (pin,) = (line.removeprefix("FROM ") for line in text.splitlines() if line.startswith("FROM "))
        services = list(platform.app.glob("services/*/Dockerfile"))
        assert [path for path in services if f"ARG BASE_IMAGE={pin}\n" in path.read_text()]


def test_bases_are_built_every_week_and_pushed_from_main_alone(rendered: Callable[[str], Platform]) -> None:
    workflow = yaml.safe_load((rendered("languages").ci / ".github/workflows/base-images.yml").read_text())
    assert workflow[True]["schedule"] == [{"cron": "41 3 * * 0"}]  # YAML 1.1 takes `on` for true
    pushes = [step for step in workflow["jobs"]["build"]["steps"] if "push-image.sh" in step.get("run", "")]
    assert [step["if"] for step in pushes] == ["github.ref == 'refs/heads/main'"]


@pytest.mark.slow
def test_a_push_builds_and_pushes_the_base_that_it_changes(github: GitHub, bases: Path) -> None:
    before = github.push()
    (bases / "shared/images/go/Dockerfile").write_text("FROM scratch\nCOPY shared/images/go/Dockerfile /again\n")
    commit(bases, "Change one")
    payload = {"repository": "acme/app-repo", "ref": "refs/heads/develop", "sha": github.push(), "before": before}

    event = {"action": "app-push", "client_payload": payload}
    result = github.act("repository_dispatch", "base-images.yml", event, {})
    assert result.succeeded, result.output
    assert github.tags("base-go") == ["run-1", "stable"]
    assert github.tags("base-python") == []
