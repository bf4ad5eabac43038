"""Runners of one's own: an image that has what the steps need, a pod for each job, and a command that installs them."""

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from generator import resolve
from generator.spec import load_spec
from tests.blueprints.ci_repo.toolbox import Toolbox
from tests.platform import Platform, answers_of, copy_of, spec_of
from tests.tools import ROOT, run, tool

SELF_HOSTED = "five-environments"
DIGEST = "sha256:" + "a" * 64
# Says what it pushed, as buildx does.
DOCKER = """
with open(args[args.index("--metadata-file") + 1], "w") as file:
    file.write('{\\n  "containerimage.digest": "sha256:' + "a" * 64 + '"\\n}')
"""


@pytest.fixture
def ci(rendered: Callable[[str], Platform], tmp_path: Path) -> Path:
    return copy_of(rendered(SELF_HOSTED).ci, tmp_path)


def values(ci: Path) -> Any:
    return yaml.safe_load((ci / "runners/values.yaml").read_text())


def install(ci: Path, tools: Toolbox, *options: str) -> tuple[int, list[list[str]], str]:
    for name, body in (("docker", DOCKER), ("helm", ""), ("kubectl", "")):
        tools.add(name, body)
    done = run(ci / "scripts/install-runners.sh", *options, env=tools.env, check=False)
    return done.returncode, tools.calls, done.stdout + done.stderr


def test_only_a_platform_with_runners_of_its_own_has_them(platform: Platform) -> None:
    own = answers_of(platform.name, "ci-repo")["platform"].get("selfHosted", False)
    assert (platform.ci / "runners").is_dir() is own
    assert (platform.ci / "scripts/install-runners.sh").is_file() is own


def test_jobs_ask_for_the_runners_that_there_are(ci: Path) -> None:
    assert values(ci)["runnerScaleSetName"] == answers_of(SELF_HOSTED, "ci-repo")["platform"]["runsOn"]
    assert values(ci)["maxRunners"] == load_spec(spec_of(SELF_HOSTED)).platform.runners.max_parallel


def test_each_class_of_jobs_runs_where_the_spec_says(rendered: Callable[[str], Platform]) -> None:
    platform = rendered(SELF_HOSTED)
    places: dict[str, set[str]] = {}
    for repository in platform.repositories:
        for file in (repository / ".github/workflows").glob("*.yml"):
            for name, job in yaml.safe_load(file.read_text())["jobs"].items():
                if "runs-on" in job:
                    places.setdefault(job["runs-on"], set()).add(f"{repository.name}/{file.name}: {name}")
    assert set(places) == {"acme-runners", "acme-large", "ubuntu-24.04"}
    assert places["acme-large"] == {
        "app-repo/checks.yml: image",
        "ci-repo/base-images.yml: build",
        "ci-repo/chaos.yml: run",
        "ci-repo/image.yml: image",
        "ci-repo/nightly.yml: run",
    }
    assert places["ubuntu-24.04"] == {"ci-repo/library.yml: publish", "ci-repo/shared-pipeline.yml: sign"}


def test_each_label_that_is_not_github_s_is_a_scale_set(ci: Path, tools: Toolbox) -> None:
    (ci / "runners/custom-acme-large.yaml").write_text("maxRunners: 3\n")
    small, large = (" ".join(call) for call in install(ci, tools)[1][-2:])
    assert "--install runners " in small
    assert "runnerScaleSetName=acme-runners" in small
    assert "custom" not in small
    assert "--install runners-acme-large " in large
    assert "runnerScaleSetName=acme-large" in large
    assert f"--values {ci}/runners/custom-acme-large.yaml" in large


def test_runners_prefer_the_nodes_that_services_prefer(ci: Path) -> None:
    """The library chart knows the marks of the clouds as well."""
    pod = values(ci)["template"]["spec"]
    chart = (ROOT / "blueprints/ci-repo/helm-templates/base/templates/_pod.yaml").read_text()
    known = yaml.safe_load(re.findall(r'define "base.spotNodes" -}}\n(.*?){{- end', chart, re.DOTALL)[0])
    assert known == resolve.SPOT_NODES
    taints = {key: value for cloud in known.values() for key, value in cloud["taints"].items()}
    assert {one["key"]: one["value"] for one in pod["tolerations"]} == taints
    preferred = pod["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    labels = {key: [value] for cloud in known.values() for key, value in cloud["labels"].items()}
    expressions = [one for term in preferred for one in term["preference"]["matchExpressions"]]
    assert {one["key"]: one["values"] for one in expressions} == labels


def test_the_image_has_what_the_readme_asks_of_runners(ci: Path) -> None:
    dockerfile = (ci / "runners/Dockerfile").read_text()
    (needed,) = re.findall(r"^Runners \(.*\) need (.*),? and a Docker", (ci / "README.md").read_text(), re.MULTILINE)
    packages = [re.split("[ ,]", one)[0].lower() for one in needed.split(", ") if one]
    assert len(packages) > 6
    assert [one for one in packages if not re.search(rf"\b{one}", dockerfile)] == []
    assert run(tool("hadolint"), ci / "runners/Dockerfile").stdout == ""


def test_one_command_builds_the_image_and_installs_both_charts(ci: Path, tools: Toolbox) -> None:
    code, calls, said = install(ci, tools)
    assert code == 0, said
    assert [call[0] for call in calls] == ["docker", "kubectl", "kubectl", "helm", "helm", "helm"]
    controller, runners = (" ".join(call) for call in calls[3:5])
    assert "gha-runner-scale-set-controller --version 0.14.2 --namespace arc-systems" in controller
    assert "gha-runner-scale-set --version 0.14.2 --namespace arc-runners" in runners
    registry = answers_of(SELF_HOSTED, "ci-repo")["platform"]["imageRegistry"]
    assert f'template.spec.containers[0].image="{registry}/runner@{DIGEST}"' in runners
    assert "custom.yaml" not in runners


def test_what_is_one_s_own_wins(ci: Path, tools: Toolbox) -> None:
    (ci / "runners/custom.yaml").write_text("maxRunners: 3\n")
    call = install(ci, tools)[1][-2]
    files = [Path(after).name for before, after in itertools.pairwise(call) if before == "--values"]
    assert files == ["values.yaml", "custom.yaml"]


@pytest.mark.parametrize("image", ["runner", "ghcr.io/acme/runner:stable", f"$(id)@{DIGEST}"])
def test_runners_have_an_image_by_digest(ci: Path, tools: Toolbox, image: str) -> None:
    code, calls, said = install(ci, tools, "--image", image)
    assert (code, calls) == (1, [])
    assert "not a reference by digest" in said


def test_without_the_app_s_key_no_runner_is_installed(ci: Path, tools: Toolbox) -> None:
    tools.add("helm")
    tools.add("kubectl", 'sys.exit("get" in args)')
    image = f"--image=ghcr.io/acme/runner@{DIGEST}".split("=")
    done = run(ci / "scripts/install-runners.sh", *image, env=tools.env, check=False)
    assert done.returncode == 1
    assert "has no Secret github-app" in done.stderr
    assert not [call for call in tools.calls if call[0] == "helm"]


def test_a_dry_run_installs_nothing(ci: Path, tools: Toolbox) -> None:
    code, calls, said = install(ci, tools, "--dry-run")
    assert (code, calls) == (0, [])
    assert "helm upgrade --install runners" in said
