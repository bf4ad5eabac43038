"""Images for several kinds of machines: an index, whose digest is what is pushed, signed, and deployed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from generator.errors import SpecError
from generator.spec import load_spec
from tests.blueprints.ci_repo.test_build_image import build, point_to
from tests.blueprints.ci_repo.test_gates import TRIVY
from tests.blueprints.ci_repo.toolbox import COSIGN, SYFT, Toolbox
from tests.platform import Platform, render_spec, spec_of
from tests.tools import run, tool

INDEX = "application/vnd.oci.image.index.v1+json"
BOTH = "linux/amd64,linux/arm64"


def blob(layout: Path, digest: str) -> Any:
    return json.loads((layout / "blobs" / digest.replace(":", "/")).read_text())


@pytest.fixture
def image(scripts: Path, source: Path, tmp_path: Path, builder: dict[str, str]) -> Path:
    """An image of two platforms, as buildah makes it."""
    build(scripts, source, tmp_path / "image", builder, "--platforms", BOTH)
    return tmp_path / "image"


def test_an_image_for_two_kinds_of_machines_is_pushed_as_one(
    scripts: Path, image: Path, registry: tuple[str, dict[str, str]], builder: dict[str, str], tmp_path: Path
) -> None:
    (entry,) = json.loads((image / "index.json").read_text())["manifests"]
    assert entry["mediaType"] == INDEX
    parts = {one["platform"]["architecture"]: one for one in blob(image, entry["digest"])["manifests"]}
    assert set(parts) == {"amd64", "arm64"}
    for part in parts.values():
        labels = blob(image, blob(image, part["digest"])["config"]["digest"])["config"]["Labels"]
        assert len(labels["triptych.source"]) == 64
    assert run("buildah", "images", "--quiet", env=builder).stdout == "", "nothing piles up"

    address, env = registry
    outputs = tmp_path / "outputs"
    name = f"{address}/acme/orders"
    pushed = run(
        *(scripts / "push-image.sh", "--image", image, "--to", f"{name}:1"), env={**env, "GITHUB_OUTPUT": str(outputs)}
    )
    assert outputs.read_text() == f"digest={entry['digest']}\n"
    assert pushed.stdout == f"{name}@{entry['digest']}\n"
    # What the pipeline does with it later: it is named by its content, and found so with the same digest.
    run(scripts / "name-by-source", f"{name}@{entry['digest']}", env=env)
    found = f"docker://{name}:source-{labels['triptych.source']}"
    index = json.loads(run("skopeo", "inspect", "--raw", found, env=env).stdout)
    assert {one["digest"] for one in index["manifests"]} == {one["digest"] for one in parts.values()}
    assert json.loads(run("skopeo", "inspect", "--no-tags", found, env=env).stdout)["Digest"] == entry["digest"]
    for architecture in parts:
        run("skopeo", "--override-arch", architecture, "copy", found, f"oci:{tmp_path / architecture}", env=env)


def test_each_platform_is_scanned_and_has_its_own_bill_of_materials(
    scripts: Path, image: Path, tools: Toolbox, tmp_path: Path
) -> None:
    tools.add("syft", SYFT)
    tools.add("trivy", TRIVY)
    tools.add("cosign", COSIGN)
    tools.add("snyk")
    env = {**tools.env, "FAKE_COSIGN_STATE": str(tmp_path / "signatures"), "SNYK_TOKEN": "a-token"}
    run(scripts / "scan-vulnerabilities.sh", "--image", image, "--reports", tmp_path / "reports", env=env)
    names = {file.name for file in (tmp_path / "reports").iterdir()}
    assert names == {f"{what}-linux-{arch}.sarif" for what in ("image", "licences") for arch in ("amd64", "arm64")}
    run(scripts / "scan-dependencies.sh", "--image", image, "--service", "orders", "--source", tmp_path, env=env)
    assert len([call for call in tools.calls if call[0] == "snyk"]) == 2

    run(scripts / "generate-sbom.sh", "--image", image, "--output", tmp_path / "sbom", env=env)
    assert sorted(file.name for file in (tmp_path / "sbom").iterdir()) == ["linux-amd64.json", "linux-arm64.json"]
    (tmp_path / "provenance.json").write_text("{}")
    reference = f"ghcr.io/acme/orders@sha256:{'a' * 64}"
    files = ("--sbom", tmp_path / "sbom", "--provenance", tmp_path / "provenance.json")
    run(scripts / "sign-image.sh", reference, *files, env=env)
    run(scripts / "verify-image.sh", reference, env=env)
    attested = [call for call in tools.calls if call[:2] == ["cosign", "attest"]]
    assert len(attested) == 3
    assert {call[-1] for call in attested} == {reference}, "of the index, which is what clusters name"


def test_a_finding_in_one_platform_stops_all(scripts: Path, image: Path, tools: Toolbox) -> None:
    tools.add("trivy", f'os.environ["FOUND"] = "CVE-2026-1" if any("arm64" in arg for arg in args) else ""\n{TRIVY}')
    done = run(scripts / "scan-vulnerabilities.sh", "--image", image, env=tools.env, check=False)
    assert done.returncode == 3


def test_an_image_of_one_platform_is_what_it_was(
    scripts: Path, source: Path, tmp_path: Path, builder: dict[str, str]
) -> None:
    build(scripts, source, tmp_path / "image", builder)
    (entry,) = json.loads((tmp_path / "image/index.json").read_text())["manifests"]
    assert entry["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    shown = run(scripts / "split-image", "--image", tmp_path / "image", "--output", tmp_path / "parts").stdout
    assert shown == f"{tmp_path}/parts/linux-amd64\n"


@pytest.mark.parametrize("index", ["{}", "[]", '{"manifests": [{"digest": "sha256:0", "mediaType": "x"}]}'])
def test_what_is_no_image_is_not_scanned(scripts: Path, tools: Toolbox, tmp_path: Path, index: str) -> None:
    tools.add("trivy")
    (tmp_path / "image").mkdir()
    (tmp_path / "image/oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (tmp_path / "image/index.json").write_text(index)
    done = run(scripts / "scan-vulnerabilities.sh", "--image", tmp_path / "image", env=tools.env, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert tools.calls == []


def test_docker_is_told_which_platforms(scripts: Path, ci: Path, source: Path, tmp_path: Path, tools: Toolbox) -> None:
    tools.add("docker")
    what = ("--service", "orders", "--source", source, "--output", tmp_path / "image")
    run(scripts / "build-image.sh", *what, env=tools.env)
    config = ci / "config/platform.json"
    config.write_text(config.read_text().replace('"imagePlatforms": "linux/amd64"', f'"imagePlatforms": "{BOTH}"'))
    run(scripts / "build-image.sh", *what, env=tools.env)
    told = [call[call.index("--platform") + 1] for call in tools.calls if "--platform" in call]
    assert told == ["linux/amd64", BOTH]


def spec(folder: Path, *platforms: str) -> Path:
    data = yaml.safe_load(spec_of("minimal").read_text())
    data["platform"]["imagePlatforms"] = list(platforms)
    path = folder / "services.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def test_the_workflows_can_build_for_both(tmp_path: Path, rendered: Callable[[str], Platform]) -> None:
    ci = render_spec(spec(tmp_path, "linux/arm64", "linux/amd64"), tmp_path / "out").ci
    run(tool("actionlint"), "-shellcheck", tool("shellcheck"), cwd=ci)
    run(tool("zizmor"), "--offline", "--persona=pedantic", ci)
    assert json.loads((ci / "config/platform.json").read_text())["imagePlatforms"] == BOTH
    for file, job in (("image.yml", "image"), ("base-images.yml", "build")):
        steps = yaml.safe_load((ci / ".github/workflows" / file).read_text())["jobs"][job]["steps"]
        names = [step["name"] for step in steps]
        assert names.index("Let the builder run programs of all platforms") < names.index("Set up BuildKit")
        assert "setup-qemu" not in (rendered("example").ci / ".github/workflows" / file).read_text()


@pytest.mark.parametrize(
    ("platforms", "said"),
    [(("linux/amd64", "linux/amd64"), "is listed twice"), (("windows/amd64",), "linux/arm64"), ((), "at least 1")],
)
def test_platforms_that_are_none_are_refused(tmp_path: Path, platforms: tuple[str, ...], said: str) -> None:
    with pytest.raises(SpecError) as error:
        load_spec(spec(tmp_path, *platforms))
    assert said in str(error.value)


# Finds nothing, and says so in the form of SARIF.
QUIET = """
if "--output" in args:
    json.dump({"runs": []}, open(args[args.index("--output") + 1], "w"))
"""


def test_what_is_deployed_is_scanned_for_every_platform(
    ci: Path, image: Path, registry: tuple[str, dict[str, str]], tools: Toolbox, tmp_path: Path
) -> None:
    address, env = registry
    point_to(ci, f"{address}/acme")
    push = (ci / "scripts/push-image.sh", "--image", image, "--to", f"{address}/acme/orders:1")
    digest = run(*push, env=env).stdout.strip().rpartition("@")[2]
    (tmp_path / "deployed.json").write_text(json.dumps({"orders": {"prod": {"digest": digest}}}))
    tools.add("trivy", QUIET)
    options = (f"--deployed={tmp_path / 'deployed.json'}", f"--output={tmp_path / 'findings.json'}")
    run(ci / "scripts/scan-deployed", *options, env={**env, **tools.env})
    inputs = {call[call.index("--input") + 1].rpartition("/")[2] for call in tools.calls if "--input" in call}
    assert inputs == {"linux-amd64", "linux-arm64"}
