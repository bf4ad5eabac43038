"""The library chart: one source in ci-repo, one copy in cd-repo, and a lock that is true."""

import hashlib
import json
from pathlib import Path

import pytest
import yaml

from tests.blueprints.cd_repo.support import script, services_of
from tests.platform import Platform
from tests.tools import ROOT, run, tool

SOURCE = ROOT / "blueprints/ci-repo/helm-templates/base"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_both_repositories_hold_the_same_library(platform: Platform) -> None:
    assert contents(platform.cd / "library/base") == contents(platform.ci / "helm-templates/base") == contents(SOURCE)


def test_the_lock_names_each_file_with_its_hash(example: Platform) -> None:
    lock = json.loads((example.cd / "library/base.lock.json").read_text())
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in contents(SOURCE).items()}
    assert lock == {"chart": "base", "version": "1.0.0", "files": hashes}


def test_the_library_is_no_template_of_copier() -> None:
    # cd-repo's copy is made by including the files, and what Jinja would read in them would be lost.
    assert [name for name, data in contents(SOURCE).items() for mark in (b"[[", b"[%", b"[#") if mark in data] == []


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
        assert listed == ["base", "1.0.0", "unpacked"]


def test_the_vendored_library_passes_its_check(platform: Platform) -> None:
    script(platform.cd, "vendor", "--check")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda root: (root / "library/base/templates/_pod.yaml").write_text(""), "_pod.yaml was changed"),
        (lambda root: (root / "library/base/templates/_pod.yaml").unlink(), "_pod.yaml is missing"),
        (lambda root: (root / "library/base/templates/_more.yaml").write_text(""), "_more.yaml is not in"),
        (
            lambda root: (root / "services/orders/Chart.yaml").write_text(
                "dependencies:\n  - name: base\n    version: 2.0.0\n"
            ),
            "services/orders/Chart.yaml asks for version 2.0.0 of base, and 1.0.0 is vendored",
        ),
        (lambda root: (root / "services/orders/charts/base").unlink(), "services/orders/charts/base is not a link"),
    ],
    ids=["changed", "missing", "added", "other version", "no link"],
)
def test_a_library_that_is_not_what_it_claims_is_refused(cd: Path, change: "object", complaint: str) -> None:
    assert callable(change)
    change(cd)
    result = script(cd, "vendor", "--check", check=False)
    assert result.returncode == 1
    assert complaint in result.stderr


def test_a_newer_library_is_taken_over(cd: Path, tmp_path: Path) -> None:
    newer = tmp_path / "base"
    run("cp", "-r", cd / "library/base", newer)
    chart = (newer / "Chart.yaml").read_text()
    (newer / "Chart.yaml").write_text(chart.replace("version: 1.0.0", "version: 1.1.0"))

    named = script(cd, "vendor", "--from", newer, "--dry-run").stdout.split()
    assert named == ["library/base/Chart.yaml"]
    script(cd, "vendor", "--from", newer)

    script(cd, "validate")
    chart = yaml.safe_load((cd / "services/orders/Chart.yaml").read_text())
    assert chart["dependencies"] == [{"name": "base", "version": "1.1.0"}]


def test_a_service_can_be_packaged(example: Platform, tmp_path: Path) -> None:
    run(tool("helm"), "package", example.cd / "services/orders", f"--destination={tmp_path}")
    packed = run("tar", "--list", "--file", tmp_path / "orders-1.0.0.tgz").stdout.split()
    assert {"orders/values.schema.json", "orders/charts/base/templates/_pod.yaml"} <= set(packed)
