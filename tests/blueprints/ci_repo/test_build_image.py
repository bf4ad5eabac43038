"""scripts/build-image.sh and push-image.sh, with a real buildah and a real registry."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.blueprints.ci_repo.machine import commit
from tests.blueprints.ci_repo.toolbox import Toolbox
from tests.tools import run


def build(scripts: Path, source: Path, output: Path, builder: dict[str, str], *args: str) -> None:
    what = ("--service", "orders", "--source", str(source), "--output", str(output), "--builder", "buildah")
    run(scripts / "build-image.sh", *what, *args, env=builder)


def config_of(layout: Path) -> Any:
    """Return the configuration of the one image of an OCI layout."""
    index = json.loads((layout / "index.json").read_text())
    (manifest,) = (_blob(layout, entry["digest"]) for entry in index["manifests"])
    return _blob(layout, manifest["config"]["digest"])


def _blob(layout: Path, digest: str) -> Any:
    return json.loads((layout / "blobs" / digest.replace(":", "/")).read_text())


def test_an_image_knows_what_it_was_built_from(
    scripts: Path, source: Path, tmp_path: Path, builder: dict[str, str]
) -> None:
    head = run("git", "rev-parse", "HEAD", cwd=source).stdout.strip()
    build(scripts, source, tmp_path / "image", builder)
    config = config_of(tmp_path / "image")
    labels = config["config"]["Labels"]
    version = f"20261123.081500-{head[:12]}"
    assert labels["org.opencontainers.image.version"] == labels["built.version"] == version
    assert labels["org.opencontainers.image.revision"] == labels["built.revision"] == head
    assert labels["org.opencontainers.image.source"] == "https://github.com/acme/app-repo"
    assert config["created"] == "2026-11-23T08:15:00Z"
    key = run(scripts / "source-key", "--source", source, "--service", "orders").stdout.strip()
    assert labels["triptych.source"] == key


def test_a_dockerfile_cannot_say_that_it_was_built_from_something_else(
    scripts: Path, source: Path, tmp_path: Path, builder: dict[str, str]
) -> None:
    with (source / "services/orders/Dockerfile").open("a") as file:
        file.write(f'LABEL triptych.source="{"f" * 64}" org.opencontainers.image.revision="{"f" * 40}"\n')
    commit(source, "Pretend")
    build(scripts, source, tmp_path / "image", builder)
    labels = config_of(tmp_path / "image")["config"]["Labels"]
    assert "f" * 40 not in labels.values()
    assert labels["triptych.source"] != "f" * 64


def test_a_build_leaves_no_image_behind(scripts: Path, source: Path, tmp_path: Path, builder: dict[str, str]) -> None:
    build(scripts, source, tmp_path / "image", builder)
    # What stays are layers that have no name: the cache of the next build.
    names = run("buildah", "images", "--format", "{{.Name}}", env=builder).stdout.split()
    assert set(names) <= {"<none>"}


def test_an_empty_cache_is_none(scripts: Path, source: Path, tmp_path: Path, tools: Toolbox) -> None:
    tools.add("docker")
    what = ("--service", "orders", "--source", source, "--output", tmp_path / "image", "--cache", "")
    run(scripts / "build-image.sh", *what, env=tools.env)
    assert "--cache-to" not in tools.calls[-1]


def test_a_built_image_is_pushed_byte_for_byte(
    scripts: Path, source: Path, tmp_path: Path, builder: dict[str, str], registry: tuple[str, dict[str, str]]
) -> None:
    address, env = registry
    build(scripts, source, tmp_path / "image", builder)
    (entry,) = json.loads((tmp_path / "image" / "index.json").read_text())["manifests"]
    outputs = tmp_path / "outputs"
    run(
        *(scripts / "push-image.sh", "--image", tmp_path / "image", "--to", f"{address}/acme/orders:1"),
        env={**env, "GITHUB_OUTPUT": str(outputs)},
    )
    assert outputs.read_text() == f"digest={entry['digest']}\n"
    found = run("skopeo", "inspect", "--no-tags", f"docker://{address}/acme/orders:1", env=env).stdout
    assert json.loads(found)["Digest"] == entry["digest"]


def test_docker_gets_the_same_arguments(scripts: Path, source: Path, tmp_path: Path, tools: Toolbox) -> None:
    tools.add("docker", 'open(os.environ["EPOCH"], "w").write(os.environ.get("SOURCE_DATE_EPOCH", ""))')
    env = {**tools.env, "EPOCH": str(tmp_path / "epoch")}
    run(
        *(scripts / "build-image.sh", "--service", "orders", "--source", source, "--output", tmp_path / "image"),
        *("--cache", "ghcr.io/acme/orders:buildcache"),
        env=env,
    )
    call = tools.calls[-1]
    head = run("git", "rev-parse", "HEAD", cwd=source).stdout.strip()
    assert call[:3] == ["docker", "buildx", "build"]
    assert call[call.index("--file") + 1] == f"{source}/services/orders/Dockerfile"
    assert f"REVISION={head}" in call
    assert f"VERSION=20261123.081500-{head[:12]}" in call
    assert "type=registry,ref=ghcr.io/acme/orders:buildcache,mode=max,image-manifest=true" in call
    assert f"type=oci,tar=false,dest={tmp_path}/image,rewrite-timestamp=true" in call
    assert call[-1] == str(source)
    assert (tmp_path / "epoch").read_text() == "1795421700"


@pytest.mark.parametrize(
    ("told", "cached"),
    [
        (
            ["#5 [build 1/6] FROM base", "#5 CACHED", "#7 [build 3/6] RUN pip install", "#7 DONE 3.1s"],
            "false",
        ),
        (["#7 [build 3/6] RUN pip install", "#8 [stage-1 2/3] COPY app app", "#7 CACHED"], "true"),
        (["[1/2] STEP 2/9: COPY app app", "--> Using cache 5f1", "[1/2] STEP 3/9: RUN make"], "false"),
        (["STEP 3/9: RUN make", "--> Using cache 5f1", "STEP 4/9: COPY app app"], "true"),
    ],
)
def test_it_says_whether_the_cache_served_a_command(
    scripts: Path, source: Path, tools: Toolbox, told: list[str], cached: str
) -> None:
    program = "docker" if told[0].startswith("#") else "buildah"
    tools.add(program, f"print({chr(10).join(told)!r})")
    output = tools.folder / "outputs"
    what = ("--service", "orders", "--source", source, "--output", tools.folder / "image", "--builder", program)
    run(scripts / "build-image.sh", *what, env={**tools.env, "GITHUB_OUTPUT": str(output)})
    assert output.read_text() == f"cached={cached}\n"


def test_a_build_that_fails_fails(scripts: Path, source: Path, tmp_path: Path, tools: Toolbox) -> None:
    tools.add("docker", 'print("ERROR: no such file"); sys.exit(1)')
    what = ("--service", "orders", "--source", source, "--output", tmp_path / "image", "--builder", "docker")
    result = run(scripts / "build-image.sh", *what, env=tools.env, check=False)
    assert (result.returncode, result.stdout) == (1, "ERROR: no such file\n")


def test_buildah_serves_where_no_docker_daemon_answers(scripts: Path, tools: Toolbox) -> None:
    tools.add("docker", 'sys.exit(args[0] == "info")')
    tools.add("buildah")
    output = tools.folder / "output"
    env = {**tools.env, "GITHUB_OUTPUT": str(output)}
    assert run(scripts / "build-image.sh", "--print-builder", env=env).stdout == "buildah\n"
    assert output.read_text() == "builder=buildah\n"


def test_without_a_builder_nothing_is_built(scripts: Path, tools: Toolbox) -> None:
    tools.add("docker", "sys.exit(1)")
    for name in ("bash", "env", "cat", "dirname"):
        (tools.folder / "bin" / name).symlink_to(run("sh", "-c", f"command -v {name}").stdout.strip())
    env = {"PATH": str(tools.folder / "bin")}
    result = run(scripts / "build-image.sh", "--print-builder", env=env, check=False)
    assert result.returncode == 1
    assert "neither a Docker daemon" in result.stderr


def test_a_dry_run_builds_nothing(scripts: Path, source: Path, tmp_path: Path, builder: dict[str, str]) -> None:
    build(scripts, source, tmp_path / "image", builder, "--dry-run")
    assert not (tmp_path / "image").exists()


@pytest.mark.parametrize("service", ["../orders", "orders;id", "$(touch pwned)", "", "payments", "-x"])
def test_a_service_that_is_none_is_refused(scripts: Path, source: Path, tmp_path: Path, service: str) -> None:
    result = run(
        *(scripts / "build-image.sh", "--source", source, "--output", tmp_path / "image", "--service", service),
        check=False,
        cwd=tmp_path,
    )
    assert result.returncode == 1
    assert not (tmp_path / "pwned").exists()


def test_versions_sort_by_time_and_name_their_commit(scripts: Path, source: Path) -> None:
    first = run(scripts / "image-version.sh", "--source", source).stdout.strip()
    later = commit(source, "Later", when="2026-11-24T00:30:00-05:00")
    second = run(scripts / "image-version.sh", "--source", source).stdout.strip()
    assert second == f"20261124.053000-{later[:12]}"
    assert sorted([second, first]) == [first, second]


def test_files_that_are_in_no_commit_cannot_be_pushed(scripts: Path, source: Path, tmp_path: Path) -> None:
    (source / "services/orders/hello").write_text("tried out\n")
    version = run(scripts / "image-version.sh", "--source", source).stdout.strip()
    assert version.endswith("-dirty")
    result = run(scripts / "push-image.sh", "--image", tmp_path, "--to", f"ghcr.io/acme/orders:{version}", check=False)
    assert result.returncode == 1
    assert "in no commit" in result.stderr


@pytest.mark.parametrize("reference", ["ghcr.io/acme/orders", "ghcr.io/acme/orders:a b", "", "--help:1", "X:$(id)"])
def test_only_a_reference_with_a_tag_is_pushed(scripts: Path, tmp_path: Path, tools: Toolbox, reference: str) -> None:
    tools.add("skopeo")
    result = run(*(scripts / "push-image.sh", "--image", tmp_path, "--to", reference), env=tools.env, check=False)
    assert result.returncode == 1
    assert tools.calls == []


def point_to(ci: Path, image_registry: str) -> None:
    """Make a ci-repo push its images elsewhere."""
    path = ci / "config" / "platform.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "imageRegistry": image_registry}))
