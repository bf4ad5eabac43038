"""The add-on that runs scripts/export-metrics: how it comes to its program, its history, and its token."""

import os
from pathlib import Path

import pytest

from generator.addons import wanted
from generator.spec import load_spec
from tests import platform as platforms
from tests.blueprints.cd_repo.addons import own_objects
from tests.blueprints.cd_repo.support import build, by_kind, pod_of, release, script
from tests.platform import Platform
from tests.tools import run


def test_it_runs_a_program_of_this_repository_with_options_that_it_has(example: Platform) -> None:
    pod = pod_of(by_kind(own_objects(example.cd, "delivery-exporter"))["Deployment/delivery-exporter"])
    (container,) = pod["containers"]
    program = container["command"][-1].removeprefix("/work/cd-repo/")
    assert os.access(example.cd / program, os.X_OK)
    assert container["args"][-1] == "--pipeline=acme/ci-repo"
    known = script(example.cd, Path(program).name, "--help").stdout
    assert all(option.split("=")[0] in known for option in container["args"])


@pytest.mark.parametrize(("token", "filled"), [("sesame", True), ("sesame\n", True), (None, False)])
def test_git_gets_the_token_where_there_is_one(
    token: str | None, filled: bool, example: Platform, tmp_path: Path
) -> None:
    pod = pod_of(by_kind(own_objects(example.cd, "delivery-exporter"))["Deployment/delivery-exporter"])
    if token:
        (tmp_path / "token").write_text(token)
    settings = {entry["name"]: entry["value"] for entry in pod["initContainers"][0]["env"]}
    settings = {name: value.replace("/var/run/github", str(tmp_path)) for name, value in settings.items()}
    settings |= {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1"}
    question = "protocol=https\nhost=github.com\n\n"
    result = run("git", "credential", "fill", cwd=tmp_path, env=settings, stdin=question, check=False)
    assert ("password=sesame\n" in result.stdout and "username=x-access-token\n" in result.stdout) == filled
    assert (result.returncode == 0) == filled


def test_the_clone_has_what_the_program_reads(cd: Path, example: Platform, tmp_path: Path) -> None:
    release(cd, "dev", [build("orders")])
    pod = pod_of(by_kind(own_objects(example.cd, "delivery-exporter"))["Deployment/delivery-exporter"])
    (init,) = pod["initContainers"]
    place = tmp_path / "work"
    command = init["args"][0].replace("/work/", f"{place}/")
    for _ in range(2):  # a pod that is begun anew keeps its volumes
        run(*init["command"], command, cwd=tmp_path, env={"REPOSITORY": f"file://{cd}"})
    told = script(place / "cd-repo", "export-metrics").stdout
    assert 'triptych_environment_deployments{environment="dev"} 1' in told


def test_it_is_there_when_it_is_asked_for_and_there_is_a_prometheus(tmp_path: Path) -> None:
    assert "delivery-exporter" not in {addon.name for addon in wanted(load_spec(platforms.spec_of("minimal")))}
    spec = platforms.with_features("minimal", "observability: {delivery: true, metrics: false}", tmp_path)
    assert "delivery-exporter" not in {addon.name for addon in wanted(load_spec(spec))}
