"""The library chart: one source in ci-repo, one copy in cd-repo, and a lock that is true."""

import hashlib
import json
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.blueprints.cd_repo.support import build, objects, release, script, services_of
from tests.platform import Platform
from tests.tools import ROOT, run, tool

SOURCE = ROOT / "blueprints/ci-repo/helm-templates/base"
VERSION = yaml.safe_load((SOURCE / "Chart.yaml").read_text())["version"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_both_repositories_hold_the_same_library(platform: Platform) -> None:
    assert contents(platform.cd / "library/base") == contents(platform.ci / "helm-templates/base") == contents(SOURCE)


def test_the_lock_names_each_file_with_its_hash(example: Platform) -> None:
    lock = json.loads((example.cd / f"library/base-{VERSION}.lock.json").read_text())
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in contents(SOURCE).items()}
    assert lock == {"chart": "base", "version": VERSION, "files": hashes}


def test_the_schema_is_self_contained() -> None:
    # Helm fetches a remote $ref, and cannot render without a network then.
    text = (SOURCE / "service.schema.json").read_text()
    assert text.count('"$ref"') == text.count('"$ref": "#/')


def test_every_service_uses_the_one_copy(platform: Platform) -> None:
    for service in services_of(platform.cd):
        folder = platform.cd / "services" / service
        assert (folder / "charts/base").resolve() == (platform.cd / "library/base").resolve()
        # Helm renders with any version that it finds, and says here alone that it is another.
        listed = run(tool("helm"), "dependency", "list", folder).stdout.split("\n")[1].split()
        assert listed == ["base", ">=0.0.0-0", "unpacked"]


def test_the_vendored_library_passes_its_check(platform: Platform) -> None:
    script(platform.cd, "vendor", "--check")


COPY = f"library/base-{VERSION}"
POD = f"{COPY}/templates/_pod.yaml"


def lead(link: Path, target: str) -> None:
    """Let a link lead elsewhere, whatever was in its place."""
    link.unlink()
    link.symlink_to(target)


def link_away(root: Path) -> None:
    """Move a file out of the copy and leave a link to it: its content, and so its hash, are the same."""
    (root / POD).rename(root / "elsewhere.yaml")
    (root / POD).symlink_to(root / "elsewhere.yaml")


def say_version(root: Path, version: str) -> None:
    """Change the version of the copy and make its lock agree."""
    chart, lock = root / COPY / "Chart.yaml", root / f"{COPY}.lock.json"
    before = hashlib.sha256(chart.read_bytes()).hexdigest()
    chart.write_text(chart.read_text().replace(f"version: {VERSION}", f"version: {version}"))
    after = hashlib.sha256(chart.read_bytes()).hexdigest()
    lock.write_text(lock.read_text().replace(before, after))


def drop_schema(root: Path) -> None:
    """Take the schema of values out of the copy and out of its lock."""
    (root / COPY / "service.schema.json").unlink()
    lock = json.loads((root / f"{COPY}.lock.json").read_text())
    del lock["files"]["service.schema.json"]
    (root / f"{COPY}.lock.json").write_text(json.dumps(lock))


ORDERS = "services/orders"
OTHER_VERSION = "dependencies:\n  - name: base\n    version: 2.0.0\n"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda root: (root / POD).write_text(""), "_pod.yaml was changed"),
        (lambda root: (root / POD).unlink(), "_pod.yaml is missing"),
        (lambda root: (root / COPY / "templates/_more.yaml").write_text(""), "_more.yaml is not in"),
        (lambda root: (root / POD).chmod(0o755), "_pod.yaml is executable"),
        (link_away, "_pod.yaml is a link"),
        (lambda root: (root / COPY / "more").symlink_to("nowhere"), "more is a link"),
        (lambda root: say_version(root, "9.9.9"), "says that it is version 9.9.9"),
        (lambda root: (root / f"{COPY}.lock.json").unlink(), f"{COPY}.lock.json is not what it should be"),
        (lambda root: (root / f"{COPY}.lock.json").write_text("[]"), f"{COPY}.lock.json is not what it should be"),
        (lambda root: (root / "library/notes.txt").write_text(""), "library/notes.txt belongs to no version"),
        (lambda root: lead(root / "library/base", "base-2.0.0"), "library/base is not a link to a version"),
        (lambda root: lead(root / "library/base", f"../{ORDERS}"), "library/base is not a link to a version"),
        (
            lambda root: (root / ORDERS / "Chart.yaml").write_text(OTHER_VERSION),
            "asks for version 2.0.0 of base, which",
        ),
        (lambda root: (root / ORDERS / "charts/base").unlink(), f"{ORDERS}/charts/base is not a link"),
        (lambda root: lead(root / ORDERS / "charts/base", f"../../../{COPY}"), f"{ORDERS}/charts/base is not a link"),
        (lambda root: lead(root / ORDERS / "values.schema.json", "nowhere"), f"{ORDERS}/values.schema.json is not a"),
        (drop_schema, f"{ORDERS}/values.schema.json leads nowhere"),
    ],
    ids=[
        "changed",
        "missing",
        "added",
        "mode",
        "link to the same content",
        "link added",
        "other version inside",
        "no lock",
        "no lock but JSON",
        "strange file",
        "library that is not there",
        "library elsewhere",
        "version that is not there",
        "no link",
        "service that lags behind",
        "schema elsewhere",
        "no schema",
    ],
)
def test_a_library_that_is_not_what_it_claims_is_refused(
    cd: Path, change: Callable[[Path], object], complaint: str
) -> None:
    change(cd)
    result = script(cd, "vendor", "--check", check=False)
    assert result.returncode == 1
    assert complaint in result.stderr


def test_a_pull_request_is_checked_against_the_lock(cd: Path) -> None:
    (cd / POD).write_text((cd / POD).read_text().replace("runAsNonRoot: true", "runAsNonRoot: false"))
    result = script(cd, "validate", check=False)
    assert result.returncode == 1
    assert "failed: vendor --check" in result.stderr
    assert f"{POD} was changed" in result.stderr
    workflow = yaml.safe_load((cd / ".github/workflows/validate.yml").read_text())
    assert any("scripts/validate" in step.get("run", "") for step in workflow["jobs"]["charts"]["steps"])


def newer_library(cd: Path, folder: Path, version: str = "99.0.0") -> Path:
    """Return a library chart that says its version in a label of every object."""
    newer = folder / "base"
    shutil.copytree(cd / "library/base", newer)
    chart, metadata = newer / "Chart.yaml", newer / "templates/_metadata.yaml"
    chart.write_text(chart.read_text().replace(f"version: {VERSION}", f"version: {version}"))
    label = "app.kubernetes.io/part-of:"
    metadata.write_text(metadata.read_text().replace(label, f'library: "{version}"\n{label}'))
    return newer


def test_a_newer_library_is_taken_over(cd: Path, tmp_path: Path) -> None:
    newer = newer_library(cd, tmp_path)
    before = contents(cd)

    named = script(cd, "vendor", "--from", newer, "--dry-run").stdout.split()
    assert contents(cd) == before
    changed = script(cd, "vendor", "--from", newer).stdout.split()

    assert changed == named
    assert "library/base" in changed
    assert "library/base-99.0.0/Chart.yaml" in changed
    assert not (cd / f"library/base-{VERSION}").exists()
    assert script(cd, "vendor", "--from", newer).stdout == ""
    script(cd, "validate")


def test_an_older_library_is_not_taken_over(cd: Path, tmp_path: Path) -> None:
    older = tmp_path / "older"
    shutil.copytree(cd / "library/base", older)
    script(cd, "vendor", "--from", newer_library(cd, tmp_path))
    before = contents(cd)
    refused = script(cd, "vendor", "--from", older, check=False)
    assert refused.returncode == 1
    assert f"has version 99.0.0, and the chart to take over is the older {VERSION}" in refused.stderr
    assert contents(cd) == before


def test_a_version_has_one_content(cd: Path, tmp_path: Path) -> None:
    other = newer_library(cd, tmp_path, VERSION)
    before = contents(cd)
    refused = script(cd, "vendor", "--from", other, check=False)
    assert refused.returncode == 1
    assert f"version {VERSION} has one content. Raise the version" in refused.stderr
    assert contents(cd) == before


def test_the_true_content_of_a_version_puts_a_copy_right(cd: Path, tmp_path: Path) -> None:
    source = tmp_path / "base"
    shutil.copytree(cd / "library/base", source)
    (cd / POD).write_text("")
    (cd / COPY / "templates/_more.yaml").write_text("")
    assert script(cd, "vendor", "--from", source).stdout.split() == [f"{COPY}/templates/_more.yaml", POD]
    script(cd, "vendor", "--check")


def hold_back(cd: Path, service: str) -> None:
    """Let a service stay on the present version, as `chart.base` in services.yaml does."""
    folder = cd / "services" / service
    chart = (folder / "Chart.yaml").read_text()
    (folder / "Chart.yaml").write_text(chart.replace('">=0.0.0-0"', f'"{VERSION}"'))
    for name, target in {
        "charts/base": f"../../../library/base-{VERSION}",
        "values.schema.json": f"../../library/base-{VERSION}/service.schema.json",
    }.items():
        (folder / name).unlink()
        (folder / name).symlink_to(target)


def test_a_service_stays_while_the_others_move(cd: Path, tmp_path: Path) -> None:
    release(cd, "dev", map(build, services_of(cd)))
    hold_back(cd, "orders")
    script(cd, "vendor", "--from", newer_library(cd, tmp_path))

    script(cd, "validate")

    def used(*args: str) -> dict[str, set[str | None]]:
        found: dict[str, set[str | None]] = defaultdict(set)
        for item in objects(script(cd, "render", "--environment=dev", *args).stdout):
            labels = item["metadata"]["labels"]
            found[labels["app.kubernetes.io/instance"]].add(labels.get("library"))
        return found

    expected = {service: {None if service == "orders" else "99.0.0"} for service in services_of(cd)}
    # Helm keeps one template of a name: the umbrella must not render all services with one version.
    assert used() == used("--umbrella") == expected


def test_an_older_library_lets_be_what_only_a_later_one_reads(cd: Path, tmp_path: Path) -> None:
    hold_back(cd, "orders")
    newer = newer_library(cd, tmp_path)
    validation = newer / "templates/validations/_global.yaml"
    validation.write_text(validation.read_text().replace('list "platform"', 'list "weather" "platform"'))
    script(cd, "vendor", "--from", newer)
    (cd / "environments/dev/custom.yaml").write_text("global: {weather: fine}\n")
    script(cd, "validate")
    (cd / "environments/dev/custom.yaml").write_text("global: {wether: fine}\n")
    said = script(cd, "validate", check=False).stderr
    assert "failed: orders in dev" not in said
    assert "catalog: global.wether is no setting of an environment. There are weather, platform" in said


def test_helm_refuses_to_render_two_versions_in_one_go(cd: Path, tmp_path: Path) -> None:
    release(cd, "dev", map(build, services_of(cd)))
    hold_back(cd, "orders")
    script(cd, "vendor", "--from", newer_library(cd, tmp_path))

    values = [f"--values={file}" for file in ("environments/dev/values.yaml", "umbrella-chart/values-dev.yaml")]
    result = run(tool("helm"), "template", "acme", "umbrella-chart", *values, cwd=cd, check=False)

    assert result.returncode == 1
    assert "the services use several versions of the library chart" in result.stderr
    assert "99.0.0 (" in result.stderr


def test_a_service_can_be_packaged(example: Platform, tmp_path: Path) -> None:
    run(tool("helm"), "package", example.cd / "services/orders", f"--destination={tmp_path}")
    packed = run("tar", "--list", "--file", tmp_path / "orders-1.0.0.tgz").stdout.split()
    assert {"orders/values.schema.json", "orders/charts/base/templates/_pod.yaml"} <= set(packed)
