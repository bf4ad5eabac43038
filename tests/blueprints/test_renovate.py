"""Renovate's configuration in the three repositories: it is valid, and finds every pin that is there to be raised."""

import json
import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from tests.platform import Platform
from tests.tools import exhaustive_tool, run, tool

CONFIGURATION = ".github/renovate.json5"
DIGEST = re.compile(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}")
# What Renovate's own managers of containers and actions read.
DOCKERFILES = re.compile(r"(^|/)(Dockerfile|compose\.yaml)$|^\.devcontainer/devcontainer\.json$")
IMAGE = re.compile(r"^ +image: (\S+)$", re.MULTILINE)
WORKFLOWS = re.compile(r"^\.github/workflows/[^/]+\.yml$")


def configuration(repository: Path) -> Any:
    """Read JSON5, which is what a literal of JavaScript may be."""
    script = "process.stdout.write(JSON.stringify(eval('(' + require('fs').readFileSync(0, 'utf8') + ')')))"
    return json.loads(run(tool("node"), "-e", script, stdin=(repository / CONFIGURATION).read_text()).stdout)


def files(repository: Path) -> list[str]:
    return [
        name for name in run("git", "ls-files", cwd=repository).stdout.splitlines() if (repository / name).is_file()
    ]


def ignored(name: str, config: Any) -> bool:
    return any(fnmatch(name, pattern.replace("**", "*")) for pattern in config.get("ignorePaths", ()))


def custom(name: str, text: str, config: Any) -> list[str]:
    """Return what the patterns of our own find in a file."""
    return [
        match.group(0)
        for manager in config["customManagers"]
        if any(fnmatch(name, pattern) for pattern in manager["managerFilePatterns"])
        for expression in manager["matchStrings"]
        for match in re.finditer(expression.replace("(?<", "(?P<"), text)
    ]


def test_every_image_that_is_pinned_by_digest_is_found(platform: Platform) -> None:
    for repository in platform.repositories:
        config = configuration(repository)
        for name in files(repository):
            text = (repository / name).read_text()
            pins = DIGEST.findall(text)
            # What is written down for people, and what robots write, is no pin.
            if not pins or name.endswith(".md") or ignored(name, config) or DOCKERFILES.search(name):
                continue
            found = custom(name, text, config) + (IMAGE.findall(text) if WORKFLOWS.search(name) else [])
            assert [pin for pin in pins if not any(pin in match for match in found)] == [], f"{repository.name}/{name}"


def test_each_pattern_of_our_own_finds_something(rendered: Callable[[str], Platform]) -> None:
    for repository in rendered("shop").repositories:
        config = configuration(repository)
        for pattern in (pattern for manager in config["customManagers"] for pattern in manager["managerFilePatterns"]):
            if pattern == "shared/images/*/image":  # There is none before the first base was built.
                assert custom("shared/images/go/image", f"ghcr.io/acme/base-go:stable@sha256:{'0' * 64}\n", config)
                continue
            if pattern == "scripts/install-runners.sh":  # There is none where GitHub brings the runners.
                script = (rendered("five-environments").ci / pattern).read_text()
                (found,) = custom(pattern, script, config)
                assert found.endswith("/gha-runner-scale-set\nversion=0.14.2")
                continue
            names = [name for name in files(repository) if fnmatch(name, pattern)]
            assert any(custom(name, (repository / name).read_text(), config) for name in names), pattern


def test_actions_stand_where_renovate_looks(platform: Platform) -> None:
    for repository in platform.repositories:
        for name in files(repository):
            if re.search(r"^ *-? *uses: [\w-]+/[\w./-]+@[0-9a-f]{40}", (repository / name).read_text(), re.MULTILINE):
                assert WORKFLOWS.search(name), f"{repository.name}/{name}"


def test_nothing_is_merged_by_itself(platform: Platform) -> None:
    for repository in platform.repositories:
        config = configuration(repository)
        assert config["automerge"] is False
        assert not [rule for rule in config["packageRules"] if rule.get("automerge")]


def test_each_environment_s_images_have_a_pull_request_of_their_own(platform: Platform) -> None:
    places = {
        (place, rule["groupName"])
        for rule in configuration(platform.cd)["packageRules"]
        for place in rule.get("matchFileNames", ())
    }
    folders = {path.name for path in (platform.cd / "environments").iterdir()}
    assert places == {(f"environments/{name}/**", f"images of {name}") for name in folders}


def extract(repository: Path, report: Path) -> Iterator[tuple[str, str, str]]:
    """Have Renovate read a repository; yield manager, file, and name of each dependency that it would look up."""
    run(
        *(tool("node"), exhaustive_tool("renovate/node_modules/renovate/dist/renovate.js")),
        *("--platform=local", "--dry-run=extract", "--report-type=file", f"--report-path={report}"),
        cwd=repository,
        env={"LOG_LEVEL": "warn", "RENOVATE_BASE_DIR": str(report.parent / "renovate")},
    )
    (result,) = json.loads(report.read_text())["repositories"].values()
    for manager, found in result["packageFiles"].items():
        for file in found:
            for dependency in file["deps"]:
                # Without a token of GitHub it only says that it would need one.
                if dependency.get("skipReason") in (None, "github-token-required"):
                    yield manager, file["packageFile"], dependency["depName"]


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["languages", "shop", "five-environments"])
def test_renovate_takes_the_configuration(rendered: Callable[[str], Platform], name: str) -> None:
    validator = exhaustive_tool("renovate/node_modules/renovate/dist/config-validator.js")
    for repository in rendered(name).repositories:
        said = run(tool("node"), validator, "--strict", "--no-global", CONFIGURATION, cwd=repository).stdout
        assert "Config validated successfully against 1 file(s)" in said


@pytest.mark.exhaustive
def test_renovate_finds_what_is_pinned(rendered: Callable[[str], Platform], tmp_path: Path) -> None:
    platform = rendered("languages")
    found = {place for repository in platform.repositories for place in extract(repository, tmp_path / "report.json")}

    assert {
        ("dockerfile", "services/orders/Dockerfile", "docker.io/library/python"),
        ("dockerfile", "services/catalog/Dockerfile", "gcr.io/distroless/static-debian13"),
        ("dockerfile", "services/basket/Dockerfile", "docker.io/library/node"),
        ("dockerfile", "services/billing/Dockerfile", "docker.io/library/maven"),
        ("docker-compose", "compose.yaml", "docker.io/library/postgres"),
        ("docker-compose", "compose.yaml", "docker.io/grafana/grafana"),
        ("devcontainer", ".devcontainer/devcontainer.json", "mcr.microsoft.com/devcontainers/base"),
        ("gomod", "shared/go/go.mod", "go.opentelemetry.io/otel"),
        ("gomod", "shared/go/tools/go.mod", "honnef.co/go/tools"),
        ("npm", "shared/node/package.json", "fastify"),
        ("maven", "shared/java/pom.xml", "io.javalin:javalin"),
        ("maven", "shared/java/pom.xml", "redis.clients:jedis"),
        ("maven", "shared/java/pom.xml", "com.diffplug.spotless:spotless-maven-plugin"),
        ("regex", "shared/java/pom.xml", "com.google.googlejavaformat:google-java-format"),
        ("github-actions", ".github/workflows/checks.yml", "actions/checkout"),
        ("github-actions", ".github/workflows/checks.yml", "node"),
        ("github-actions", ".github/workflows/checks.yml", "helm"),
        ("github-actions", ".github/workflows/library.yml", "helm"),
        ("regex", "helm-templates/tests/values.yaml", "docker.io/valkey/valkey"),
        ("helmv3", "platform/argocd/Chart.yaml", "argo-cd"),
        ("helmv3", "platform/envoy-gateway/Chart.yaml", "gateway-helm"),
        ("pip-compile", "scripts/requirements.in", "checkov"),
        ("regex", "environments/prod/values.yaml", "ghcr.io/cloudnative-pg/postgresql"),
    } <= found
    # A newer template comes by triptych, Python's pins by `make lock`, and the services' images by promotion.
    assert not {"copier", "pip_requirements", "pep621"} & {manager for manager, _, _ in found}
    assert not [file for manager, file, _ in found if manager == "helm-values" and file.startswith("helm-templates/")]
    assert not [name for _, _, name in found if name.startswith("ghcr.io/acme/")]
    charts = {
        path.parent.name for path in platform.cd.glob("platform/*/Chart.yaml") if "repository:" in path.read_text()
    }
    assert charts == {Path(file).parent.name for manager, file, _ in found if manager == "helmv3"}
