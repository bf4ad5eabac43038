"""The Dockerfiles: what the linters say, and that what they copy reaches the build."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.blueprints.app_repo.process import free_port, started
from tests.blueprints.ci_repo.machine import builder
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
@pytest.mark.parametrize(
    ("name", "until", "environment"),
    [
        ("basket", "/readyz", {}),
        # Its migrations are in the image; its database is not there.
        ("wishes", "/healthz", {"DATABASE_URL": "postgresql://app@127.0.0.1:1/app", "LOG_LEVEL": "error"}),
    ],
)
def test_the_steps_of_a_node_service_make_one_that_runs(
    languages: Platform, tmp_path: Path, name: str, until: str, environment: dict[str, str]
) -> None:
    command = execute(languages.app / f"services/{name}/Dockerfile", languages.app, tmp_path)
    node = run(tool("node"), "-p", "process.execPath").stdout.strip()
    folder = tmp_path / f"srv/services/{name}"
    environment = {"SERVICE_VERSION": "1.2.3", "NODE_ENV": "production", **environment}
    with started(node, *command, cwd=folder, until=until, **environment) as service:
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


# What the two bases of a Go service hold: a shell and the toolchain; and no more than the certificates of authorities.
BASES = """\
FROM scratch AS build
COPY build /
ENV PATH=/usr/local/go/bin:/bin GOTOOLCHAIN=local GOPATH=/go
FROM scratch AS base
COPY certificates /etc/ssl/certs
"""


def make_bases(folder: Path, env: dict[str, str]) -> None:
    """Make localhost/build and localhost/base out of what packages brought to this machine."""
    shell = system_tool("dash", package="dash")
    libraries = re.findall(r"(/\S+) \(0x", run("ldd", shell).stdout)
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    toolchain = run(tool("go"), "env", "GOROOT", cwd=folder).stdout.strip()
    for source, target in [
        (shell, "build/bin/sh"),
        *((library, f"build{library}") for library in libraries),
        (certificates, f"build{certificates}"),
        (certificates, f"certificates/{certificates.name}"),
    ]:
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, folder / target)
    shutil.copytree(toolchain, folder / "build/usr/local/go")
    (folder / "build/tmp").mkdir(mode=0o777)
    (folder / "Dockerfile").write_text(BASES)
    for name in ("build", "base"):
        run("buildah", "build", f"--target={name}", f"--tag=localhost/{name}", folder, env=env)


@pytest.mark.exhaustive
def test_a_go_image_is_built_and_runs_as_nobody(languages: Platform, tmp_path: Path) -> None:
    env = builder(tmp_path)
    (tmp_path / "bases").mkdir()
    make_bases(tmp_path / "bases", env)
    dockerfile = languages.app / "services/catalog/Dockerfile"
    arguments = [f"--build-arg={name}_IMAGE=localhost/{name.lower()}" for name in ("BUILD", "BASE")]
    arguments += ["--build-arg=VERSION=1.2.3", "--tag=localhost/catalog", f"--file={dockerfile}"]
    run("buildah", "build", *arguments, languages.app, env=env)
    container = run("buildah", "from", "localhost/catalog", env=env).stdout.strip()
    root = Path(run("buildah", "mount", container, env=env).stdout.strip())
    # Beside the service there is nothing that could be run.
    assert [path for path in root.rglob("*") if path.is_file() and os.access(path, os.X_OK)] == [root / "service"]

    port = free_port()
    command = ("buildah", "run", f"--env=PORT={port}", container, "--", "/service")
    with subprocess.Popen(command, env={**os.environ, **env}, stdout=subprocess.DEVNULL) as process:
        try:
            about = json.loads(answer_of(f"http://127.0.0.1:{port}/"))
            (service,) = run("pgrep", "--full", "--exact", "/service").stdout.split()
            status = Path(f"/proc/{service}/status").read_text()
        finally:
            process.terminate()
    assert (about["service"], about["version"]) == ("catalog", "1.2.3")
    assert re.search(r"^Uid:\s+10001\s+10001", status, re.MULTILINE)
    assert re.search(r"^CapEff:\s+0{16}$", status, re.MULTILINE)


def answer_of(url: str) -> bytes:
    """Return what a server says, once it is there."""
    for _ in range(200):
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 (an address of this test)
                content: bytes = answer.read()
                return content
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"no answer from {url}")
