"""The library chart in ci-repo: tested with Helm alone, and what its tests must find."""

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.blueprints.ci_repo.machine import commit
from tests.tools import BIN, ROOT, run, tool

LIBRARY = "helm-templates/base"
(VERSION,) = re.findall(
    r"^version: (.*)$", (ROOT / "blueprints/ci-repo" / LIBRARY / "Chart.yaml").read_text(), re.MULTILINE
)


def check(ci: Path, *args: str, passes: bool) -> str:
    """Run the library's tests and return what they say."""
    tool("helm")
    result: CompletedProcess[str] = run(
        ci / "scripts/test-library", *args, env={"PATH": f"{BIN}:/usr/bin:/bin"}, check=False
    )
    assert (result.returncode == 0) == passes, result.stdout + result.stderr
    return result.stdout + result.stderr


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_generated_library_passes_its_tests(ci: Path) -> None:
    cases = len(list((ci / "helm-templates/tests/cases").iterdir()))
    assert f"{cases} of {cases} cases passed" in check(ci, passes=True)
    assert "1 of 1 cases passed" in check(ci, "helm-templates/tests/cases/canary.yaml", passes=True)


@pytest.mark.parametrize(
    ("case", "file", "old", "new", "complaint"),
    [
        (
            "monitoring-off",
            "_servicemonitor.yaml",
            "if .Values.global.monitoring.enabled",
            "if true",
            "there is a ServiceMonitor",
        ),
        (
            "smallest",
            "_poddisruptionbudget.yaml",
            "kind: PodDisruptionBudget",
            "kind: Pdb",
            "there is no PodDisruptionBudget;",
        ),
        (
            "route",
            "_service.yaml",
            "port: {{ int .Values.port }}",
            "port: 80",
            "Service.spec.ports[0].port is 80, and must be 9090",
        ),
        (
            "autoscaling-on",
            "_workload.yaml",
            'if not (include "base.autoscales" .)',
            "if true",
            "Deployment.spec.replicas is 3, and must be missing",
        ),
        (
            "autoscaling-wrong",
            "validations/_autoscaling.yaml",
            "if gt ",
            "if lt ",
            "Helm renders these values, and has to refuse them",
        ),
        (
            "route-wrong",
            "validations/_route.yaml",
            "is missing",
            "is needed",
            "Helm does not say 'route.host is missing', but:",
        ),
        ("smallest", "_pod.yaml", "enableServiceLinks: false", "enableServiceLinks: [", "helm template fails"),
    ],
    ids=["kind on", "kind off", "value", "value left over", "no validation", "other sentence", "no YAML"],
)
def test_a_change_that_breaks_the_library_is_found(
    ci: Path, *, case: str, file: str, old: str, new: str, complaint: str
) -> None:
    change(ci / LIBRARY / "templates" / file, old, new)
    assert complaint in check(ci, case, passes=False)


@pytest.mark.parametrize(
    ("case", "complaint"),
    [
        ("rollout: canary\n", "broken.yaml expects nothing"),
        ("# has: Deployments\n{}\n", "there is no Deployments; there are Deployment, "),
        ("# Deployment.spec.paused = yes\n{}\n", 'text stands in quotes: "yes"'),
        (
            "# has: Deployment\n# has Rollout: yes\n# Deployment.spec.replicas == 3\n{}\n",
            "is written '# Deployment.spec.replicas == 3'",
        ),
        ("# Deployment.spec..replicas = 3\n{}\n", "is not a place in an object"),
        ("# has: Deployment\nport: http\n", "helm template fails:"),
    ],
    ids=["no expectation", "unknown kind", "not JSON", "not an expectation", "not a place", "refused values"],
)
def test_a_case_that_is_wrong_says_why(ci: Path, case: str, complaint: str) -> None:
    (ci / "helm-templates/tests/cases/broken.yaml").write_text(case)
    assert complaint in check(ci, "broken", passes=False)


def test_a_case_that_is_not_there_is_named(ci: Path) -> None:
    said = check(ci, "orders", passes=False)
    assert "has no orders; it has " in said
    assert ", canary, " in said


@pytest.mark.exhaustive
def test_a_kind_that_no_case_asks_for_is_named(ci: Path) -> None:
    kind = '{{- define "base.secret" }}\nkind: Secret\n{{- end }}\n'
    (ci / LIBRARY / "templates/_secret.yaml").write_text(kind)
    assert "no case says that the library renders a Secret;" in check(ci, passes=False)
    (ci / "helm-templates/tests/cases/secret.yaml").write_text("# lacks: Secret\n{}\n")
    assert "no case says that the library renders a Secret;" in check(ci, passes=False)


def test_without_helm_nothing_passes(ci: Path) -> None:
    result = run(ci / "scripts/test-library", env={"PATH": "/usr/bin:/bin"}, check=False)
    assert (result.returncode, "helm is not on PATH" in result.stderr) == (1, True)


@pytest.fixture
def branch(ci: Path) -> Path:
    """A ci-repo on a branch of its own, with main at hand."""
    run("git", "checkout", "--quiet", "-b", "change", cwd=ci)
    return ci


def check_version(ci: Path, *, passes: bool = True, base: str = "main") -> str:
    result = run(ci / "scripts/check-library-version", "--base", base, check=False)
    assert (result.returncode == 0) == passes, result.stdout + result.stderr
    return result.stdout + result.stderr


def raise_version(ci: Path, version: str) -> None:
    chart = ci / LIBRARY / "Chart.yaml"
    chart.write_text(re.sub(r"^version: .*$", f"version: {version}", chart.read_text(), flags=re.MULTILINE))


def test_a_library_that_did_not_change_needs_no_version(branch: Path) -> None:
    change(branch / "README.md", "Build automation", "Automation")
    assert f"{LIBRARY} is as it was" in check_version(branch)


@pytest.mark.parametrize(
    ("edit", "file"),
    [
        (lambda chart: (chart / "templates/_pod.yaml").write_text("{}\n"), "templates/_pod.yaml"),
        (lambda chart: (chart / "templates/_pod.yaml").unlink(), "templates/_pod.yaml"),
        (lambda chart: (chart / "templates/_more.yaml").write_text("{}\n"), "templates/_more.yaml"),
    ],
    ids=["changed", "removed", "added"],
)
def test_a_change_without_a_higher_version_is_refused(branch: Path, edit: Callable[[Path], None], file: str) -> None:
    edit(branch / LIBRARY)
    message = check_version(branch, passes=False)
    assert f"{LIBRARY} changed ({file})" in message
    assert f"Raise `version` in {LIBRARY}/Chart.yaml." in message
    commit(branch, "Change the library")
    assert check_version(branch, passes=False) == message


def test_versions_rise_as_semver_says(branch: Path) -> None:
    rising = ["1.0.0", "1.0.1", "1.9.0", "1.10.0", "1.11.0-rc.2", "1.11.0-rc.10", "1.11.0", "2.0.0"]
    for before, after in pairwise(rising):
        raise_version(branch, before)
        commit(branch, before)
        run("git", "branch", "--force", "main", cwd=branch)
        raise_version(branch, after)
        assert f"rises from {before} to {after}" in check_version(branch)
    for lower in rising[:-2]:
        raise_version(branch, lower)
        assert f"its version is {lower}, and {rising[-2]} is taken" in check_version(branch, passes=False)


def test_a_version_that_is_none_is_refused(branch: Path) -> None:
    for version in ("1.2", "v1.2.0", "1.2.0+acme", "01.2.0", "latest"):
        raise_version(branch, version)
        assert f"{version!r} is no version; write three numbers" in check_version(branch, passes=False)


def test_a_version_that_somebody_else_took_meanwhile_is_refused(branch: Path) -> None:
    change(branch / LIBRARY / "templates/_pod.yaml", "restricted", "Restricted")
    raise_version(branch, "7.0.0")
    commit(branch, "Change the library")
    run("git", "checkout", "--quiet", "main", cwd=branch)
    raise_version(branch, "7.0.0")
    commit(branch, "Change it in another way")
    run("git", "checkout", "--quiet", "change", cwd=branch)
    assert "its version is 7.0.0, and 7.0.0 is taken" in check_version(branch, passes=False)


def test_what_happened_on_main_is_no_change_of_the_branch(branch: Path) -> None:
    run("git", "checkout", "--quiet", "main", cwd=branch)
    raise_version(branch, "7.0.0")
    commit(branch, "Change the library")
    run("git", "checkout", "--quiet", "change", cwd=branch)
    assert f"{LIBRARY} is as it was" in check_version(branch)


def test_a_base_that_is_not_there_is_named(branch: Path) -> None:
    assert "'origin/gone' is no commit that this one comes from" in check_version(
        branch, base="origin/gone", passes=False
    )


def test_a_stricter_schema_is_told_of(branch: Path) -> None:
    set_in_schema(branch, ("required",), ["image", "port", "autoscaling", "resources", "rollout", "route"])
    set_in_schema(branch, ("properties", "rollout", "enum"), ["rolling", "canary"])
    set_in_schema(branch, ("properties", "port"), {"type": "string"})
    set_in_schema(branch, ("properties", "autoscaling", "properties", "min", "minimum"), 2)
    set_in_schema(branch, ("properties", "image", "properties"), {})
    set_in_schema(branch, ("$defs", "name", "pattern"), "^x")
    set_in_schema(branch, ("properties", "route", "properties", "host", "maxLength"), 9)
    raise_version(branch, "1.99.0")
    message = check_version(branch)
    for said in (
        "the values must have `route`",
        "rollout may not be blueGreen",
        "port may not be of type integer",
        "autoscaling.min has minimum 2",
        "`image.digest` is unknown",
        "dependsOn[].name must match ^x",
        "route.host has maxLength 9",
        "raise the first number of the version",
    ):
        assert said in message
    raise_version(branch, "99.0.0")
    assert "refuses" not in check_version(branch)


def test_a_wider_schema_is_nothing_to_tell_of(branch: Path) -> None:
    set_in_schema(branch, ("properties", "rollout", "enum"), ["rolling", "canary", "blueGreen", "recreate"])
    set_in_schema(branch, ("properties", "port", "minimum"), 80)
    set_in_schema(branch, ("properties", "replicas"), {"type": "integer"})
    raise_version(branch, "1.99.0")
    assert "refuses" not in check_version(branch)


def set_in_schema(ci: Path, keys: tuple[str, ...], value: object) -> None:
    path = ci / LIBRARY / "service.schema.json"
    schema = json.loads(path.read_text())
    place = schema
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path.write_text(json.dumps(schema))
