"""The Dockerfiles: what the linters say, and that what they copy reaches the build."""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.blueprints.app_repo.process import started
from tests.platform import Platform
from tests.tools import run, system_tool, tool


def dockerfiles(app: Path) -> list[Path]:
    found = sorted(app.glob("services/*/Dockerfile"))
    assert found
    return found


def test_hadolint_finds_nothing(platform: Platform) -> None:
    bases = sorted(platform.app.glob("shared/images/*/Dockerfile"))
    assert run(tool("hadolint"), *dockerfiles(platform.app), *bases).stdout == ""


@pytest.fixture
def languages(rendered: Callable[[str], Platform]) -> Platform:
    return rendered("languages")


@pytest.mark.slow
def test_checkov_finds_nothing(languages: Platform) -> None:
    out = run(
        tool("checkov"),
        "--quiet",
        "--compact",
        "--skip-download",
        "--framework",
        "dockerfile",
        "--directory",
        languages.app,
    ).stdout
    assert "Failed checks: 0" in out


def test_the_bases_are_pinned_and_the_user_is_a_number(platform: Platform) -> None:
    for path in dockerfiles(platform.app):
        text = path.read_text()
        pinned = re.findall(r"^ARG (\w+_IMAGE)=[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}$", text, re.MULTILINE)
        assert "BASE_IMAGE" in pinned
        assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {f"${{{name}}}" for name in pinned}
        (user,) = re.findall(r"^USER (\d+):\d+$", text, re.MULTILINE)
        assert int(user) >= 10000


def test_what_is_copied_is_in_the_context(platform: Platform) -> None:
    ignore = [line for line in (platform.app / ".dockerignore").read_text().splitlines() if line[0] not in "#*!"]
    ignore += [line for line in (platform.app / ".dockerignore").read_text().splitlines() if line.startswith("**")]
    for path in dockerfiles(platform.app):
        copies = re.findall(r"^COPY (?!--from)(.+) \S+$", path.read_text(), re.MULTILINE)
        sources = [source for line in copies for source in line.split()]
        folders = {"/".join(source.split("/")[:2]) for source in sources}
        assert f"services/{path.parent.name}" in folders
        # Nothing of another service, and one shared library.
        assert len(folders) == 2
        for source in sources:
            assert (platform.app / source).exists(), source
            assert source.split("/")[0] in {"services", "shared"}
            assert not any(fnmatch(f"/{source}", pattern.removeprefix("**")) for pattern in ignore)


def test_no_free_text_gets_in(hostile: Platform) -> None:
    for path in dockerfiles(hostile.app):
        assert not re.search("PELICAN|BADGER|MAGPIE|FERRET|LLAMA", path.read_text())


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, each on one line."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.lstrip().startswith("#")]
    logical = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in logical) if name]


def execute(dockerfile: Path, context: Path, root: Path) -> list[str]:
    """Do on this machine, below `root`, what a build does in its container; return the command of the image."""
    run(sys.executable, "-m", "venv", root / "system")
    environment = {"PATH": f"{root / 'system/bin'}:{Path(tool('node')).parent}:{os.environ['PATH']}"}
    workdir = root
    command: list[str] = []
    for name, rest in instructions(dockerfile):
        if name == "WORKDIR":
            workdir = root / rest.strip("/")
            workdir.mkdir(parents=True, exist_ok=True)
        elif name == "ENV" and "$" not in rest:
            environment |= dict(setting.split("=", 1) for setting in rest.split())
        elif name == "COPY" and not rest.startswith("--from"):
            *sources, target = rest.split()
            place = root / target.strip("/") if target.startswith("/") else workdir / target
            for source in sources:
                if (context / source).is_dir():
                    ignored = shutil.ignore_patterns("tests", "node_modules", "target")
                    shutil.copytree(context / source, place, ignore=ignored, dirs_exist_ok=True)
                else:
                    place.mkdir(parents=True, exist_ok=True)
                    shutil.copy(context / source, place)
        elif name == "RUN":
            script = re.sub(r"--mount=\S+ ", "", rest).replace("/opt/venv", str(root / "venv"))
            script = script.replace(" -o /service ", f" -o {root / 'service'} ")
            run("sh", "-ec", script, cwd=workdir, env=environment)
        elif name in ("CMD", "ENTRYPOINT"):
            command = json.loads(rest)
    return command


@pytest.mark.exhaustive
def test_its_steps_make_a_service_that_runs(example: Platform, tmp_path: Path) -> None:
    program, *arguments = execute(example.app / "services/catalog/Dockerfile", example.app, tmp_path)
    with started(
        str(tmp_path / "venv/bin" / program), *arguments, cwd=tmp_path / "srv", SERVICE_VERSION="1.2.3"
    ) as service:
        assert json.loads(service.get("/")[1])["version"] == "1.2.3"
        assert service.stop()[0] == 0
    # Nothing of the build, of the tests, or of pip is left in what the image gets.
    (site_packages,) = (tmp_path / "venv/lib").glob("python*/site-packages")
    assert not {"pip", "flit_core", "pytest", "mypy"} & {path.name for path in site_packages.iterdir()}
    assert sorted(path.name for path in (tmp_path / "srv").iterdir() if path.name != "__pycache__") == [
        "app",
        "service.toml",
    ]


@pytest.mark.exhaustive
def test_the_steps_of_a_node_service_make_one_that_runs(languages: Platform, tmp_path: Path) -> None:
    command = execute(languages.app / "services/basket/Dockerfile", languages.app, tmp_path)
    node = run(tool("node"), "-p", "process.execPath").stdout.strip()
    folder = tmp_path / "srv/services/basket"
    with started(node, *command, cwd=folder, SERVICE_VERSION="1.2.3", NODE_ENV="production") as service:
        assert json.loads(service.get("/")[1])["version"] == "1.2.3"
        assert service.stop()[0] == 0
    # Nothing that only tests and checks need.
    packages = tmp_path / "srv/shared/node/node_modules"
    assert (packages / "fastify").is_dir()
    assert not (packages / "typescript").exists()
    assert not (packages / "@biomejs").exists()


@pytest.mark.exhaustive
def test_the_steps_of_a_go_service_make_one_that_runs(languages: Platform, tmp_path: Path) -> None:
    command = execute(languages.app / "services/catalog/Dockerfile", languages.app, tmp_path)
    assert command == ["/service"]
    (tmp_path / "empty").mkdir()
    with started(str(tmp_path / "service"), cwd=tmp_path / "empty", SERVICE_VERSION="1.2.3") as service:
        assert json.loads(service.get("/")[1])["version"] == "1.2.3"
        assert service.stop()[0] == 0
    # The image has no loader of libraries, and learns nothing of the machine that built it.
    binary = (tmp_path / "service").read_bytes()
    assert b"/ld-linux" not in binary
    assert str(tmp_path).encode() not in binary


@pytest.mark.exhaustive
def test_the_steps_of_a_java_service_make_one_that_runs(languages: Platform, tmp_path: Path) -> None:
    java = system_tool("java", package="default-jdk-headless")
    system_tool("mvn", package="maven")
    dockerfile = languages.app / "services/billing/Dockerfile"
    program, *arguments = execute(dockerfile, languages.app, tmp_path)
    assert program == "/usr/bin/java"
    # The last stage has what it copies, and nothing else.
    for name, rest in instructions(dockerfile):
        if name == "COPY" and rest.startswith("--from=build"):
            _, source, target = rest.split()
            place = tmp_path / target.strip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(tmp_path / source.strip("/"), place)
    shutil.rmtree(tmp_path / "build")
    command = [argument.replace("/service/", f"{tmp_path}/service/") for argument in arguments]
    with started(java, *command, cwd=tmp_path / "service", SERVICE_VERSION="1.2.3") as service:
        assert json.loads(service.get("/")[1])["version"] == "1.2.3"
        assert service.stop()[0] == 0
    assert not [path.name for path in (tmp_path / "service/lib").iterdir() if "junit" in path.name]
