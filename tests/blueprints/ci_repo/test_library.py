"""The library chart in ci-repo: tested with Helm alone, and what its tests must find."""

from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.tools import BIN, run, tool

LIBRARY = "helm-templates/base"


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
    assert "has no orders; it has autoscaling-off, " in check(ci, "orders", passes=False)


def test_without_helm_nothing_passes(ci: Path) -> None:
    result = run(ci / "scripts/test-library", env={"PATH": "/usr/bin:/bin"}, check=False)
    assert (result.returncode, "helm is not on PATH" in result.stderr) == (1, True)
