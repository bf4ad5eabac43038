"""The gates: what must not pass does not pass, and a gate that cannot work lets nothing pass."""

import datetime
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.blueprints.ci_repo.toolbox import COSIGN, GITHUB, SYFT, Toolbox, write_layout
from tests.platform import Platform, copy_of
from tests.tools import run

REFERENCE = f"ghcr.io/acme/orders@sha256:{'a' * 64}"
NO_TOOLS = "/usr/bin:/bin"
TODAY = datetime.datetime.now(datetime.UTC).date()
TOMORROW = TODAY + datetime.timedelta(days=1)

# What Trivy does: it reads the ignore file, and its exit code says whether it found something.
TRIVY = """
if os.environ.get("TRIVY_BROKEN"):
    sys.exit(1)
if args[0] == "convert":
    report = open(args[-1]).read()
    if "--output" in args:
        open(args[args.index("--output") + 1], "w").write(report)
    else:
        print(report)
    sys.exit()
ignored = open(args[args.index("--ignorefile") + 1]).read()
# FOUND is what there is: an id, or <scanner>:<id>; without a scanner it is a vulnerability of the image.
scanners = args[args.index("--scanners") + 1].split(",")
kind = "" if args[0] == "image" else "code-"
known = [one.rpartition(":") for one in os.environ.get("FOUND", "").split()]
found = [cve for by, _, cve in known if (by or "vuln") in [kind + s for s in scanners] and cve not in ignored]
open(args[args.index("--output") + 1], "w").write("\\n".join(found))
sys.exit(int(args[args.index("--exit-code") + 1]) if found else 0)
"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    write_layout(tmp_path / "image")
    return tmp_path / "image"


def scan(
    scripts: Path, image: Path, tools: Toolbox, exceptions: str = "", *options: str | Path, **env: str
) -> tuple[int, str]:
    tools.add("trivy", TRIVY)
    file = image.parent / "exceptions.txt"
    file.write_text(exceptions)
    result = run(
        *(scripts / "scan-vulnerabilities.sh", "--image", image, "--exceptions", file, *options),
        env={**tools.env, **env},
        check=False,
    )
    return result.returncode, result.stderr


def test_a_clean_image_passes(scripts: Path, image: Path, tools: Toolbox) -> None:
    assert scan(scripts, image, tools)[0] == 0
    call = tools.calls[0]
    assert call[call.index("--severity") + 1] == "HIGH,CRITICAL"
    assert call[call.index("--input") + 1].endswith("/image/linux-amd64")
    assert "--ignore-unfixed" in call


def test_a_vulnerability_stops_the_image(scripts: Path, image: Path, tools: Toolbox) -> None:
    assert scan(scripts, image, tools, FOUND="CVE-2026-1")[0] == 3


@pytest.mark.parametrize(
    "found",
    ["secret:aws-access-key-id", "license:AGPL-3.0", "code-vuln:CVE-2026-2", "code-secret:x", "code-misconfig:DS-2"],
)
def test_a_secret_a_licence_and_what_is_wrong_in_the_code_stop_it_as_well(
    scripts: Path, image: Path, tools: Toolbox, found: str
) -> None:
    (image.parent / "app/services/orders").mkdir(parents=True)
    reports = image.parent / "reports"
    options = ("--source", image.parent / "app", "--service", "orders", "--reports", reports)
    assert scan(scripts, image, tools, "", *options, FOUND=found)[0] == 3
    assert {file.name for file in reports.iterdir()} == {"image.sarif", "licences.sarif", "code.sarif"}
    name = found.partition(":")[2]
    assert [file.read_text() for file in reports.iterdir() if file.read_text()] == [name]
    excepted = f"{name} exp:{TOMORROW} # known\n"
    assert scan(scripts, image, tools, excepted, *options, FOUND=found)[0] == 0


@pytest.mark.parametrize("service", ["", "../..", "$(touch pwned)", "nobody"])
def test_only_a_service_is_scanned(scripts: Path, image: Path, tools: Toolbox, service: str) -> None:
    options = ("--source", image.parent, "--service", service)
    assert scan(scripts, image, tools, "", *options)[0] == 1
    assert tools.calls == []


def test_an_exception_in_force_lets_it_pass(scripts: Path, image: Path, tools: Toolbox) -> None:
    assert scan(scripts, image, tools, f"CVE-2026-1 exp:{TOMORROW} # not reachable\n", FOUND="CVE-2026-1")[0] == 0


def test_an_exception_that_has_ended_does_not(scripts: Path, image: Path, tools: Toolbox) -> None:
    code, message = scan(scripts, image, tools, f"CVE-2026-1 exp:{TODAY} # not reachable\n", FOUND="CVE-2026-1")
    assert code == 3
    assert f"the exception of CVE-2026-1 ended on {TODAY}" in message


@pytest.mark.parametrize(
    "entry",
    [
        "CVE-2026-1",
        "CVE-2026-1 # no end",
        f"CVE-2026-1 exp:{TOMORROW}",
        f"CVE-2026-1 exp:{TOMORROW} #",
        "CVE-2026-1 exp:2026-02-31 # there is no such day",
        "CVE-2026-1 exp:tomorrow # soon",
        f"* exp:{TOMORROW} # all of them",
        f"CVE-2026-1 CVE-2026-2 exp:{TOMORROW} # two at once",
    ],
)
def test_an_exception_needs_an_end_and_a_reason(scripts: Path, image: Path, tools: Toolbox, entry: str) -> None:
    code, message = scan(scripts, image, tools, f"# a comment\n{entry}\n")
    assert code == 2
    assert "exceptions.txt:2" in message
    assert tools.calls == []


def test_the_generated_exceptions_are_valid(ci: Path) -> None:
    run(ci / "scripts" / "scan-vulnerabilities.sh", "--check-exceptions")


def test_a_scan_that_cannot_be_made_stops_the_image(scripts: Path, image: Path, tools: Toolbox) -> None:
    assert scan(scripts, image, tools, TRIVY_BROKEN="1")[0] == 1
    missing = run(scripts / "scan-vulnerabilities.sh", "--image", image, env={"PATH": NO_TOOLS}, check=False)
    assert missing.returncode == 1
    assert "trivy is not on PATH" in missing.stderr
    nothing = run(scripts / "scan-vulnerabilities.sh", "--image", image.parent, env=tools.env, check=False)
    assert nothing.returncode == 1


def test_snyk_tests_what_was_built(scripts: Path, image: Path, tools: Toolbox) -> None:
    tools.add("snyk", 'assert os.path.getsize(args[2].removeprefix("oci-archive:"))')
    args = ("--image", image, "--service", "orders", "--source", image.parent)
    run(scripts / "scan-dependencies.sh", *args, env={**tools.env, "SNYK_TOKEN": "secret"})
    (call,) = tools.calls
    assert call[1:3] == ["container", "test"]
    assert "--severity-threshold=high" in call
    assert "secret" not in " ".join(call)


@pytest.mark.parametrize("code", [1, 2, 3])
def test_snyk_stops_the_image_whatever_it_ends_with(scripts: Path, image: Path, tools: Toolbox, code: int) -> None:
    tools.add("snyk", f"sys.exit({code})")
    args = ("--image", image, "--service", "orders", "--source", image.parent)
    env = {**tools.env, "SNYK_TOKEN": "secret"}
    result = run(scripts / "scan-dependencies.sh", *args, env=env, check=False)
    assert result.returncode == code
    assert ("repair what is listed" if code == 1 else "is not tested and must not pass") in result.stderr


def test_snyk_without_a_token_stops_the_image(scripts: Path, image: Path, tools: Toolbox) -> None:
    tools.add("snyk")
    args = ("--image", image, "--service", "orders", "--source", image.parent)
    result = run(scripts / "scan-dependencies.sh", *args, env={**tools.env, "SNYK_TOKEN": ""}, check=False)
    assert result.returncode == 1
    assert tools.calls == []


@pytest.fixture
def quality(rendered: Callable[[str], Platform], tmp_path: Path) -> Path:
    """The script of a platform that has SonarQube."""
    return copy_of(rendered("five-environments").ci, tmp_path / "quality") / "scripts/scan-quality.sh"


SONAR = {"SONAR_HOST_URL": "https://sonar.acme.example", "SONAR_TOKEN": "secret"}


def test_sonarqube_is_asked_and_its_gate_waited_for(quality: Path, source: Path, tools: Toolbox) -> None:
    tools.add("sonar-scanner")
    args = ("--service", "orders", "--source", source, "--version", "1-abc")
    run(quality, *args, env={**tools.env, **SONAR})
    (call,) = tools.calls
    assert call[1:5] == [
        f"-Dsonar.projectBaseDir={source}/services/orders",
        "-Dsonar.projectKey=acme-orders",
        "-Dsonar.projectVersion=1-abc",
        "-Dsonar.qualitygate.wait=true",
    ]
    assert "-Dsonar.java.binaries=." in call, "without it the analysis of Java ends with an error"
    assert "secret" not in " ".join(call)
    (source / "services/orders/sonar-project.properties").write_text("sonar.sources=src\n")
    run(quality, *args, env={**tools.env, **SONAR})
    assert not [option for option in tools.calls[-1] if option.startswith(("-Dsonar.sources", "-Dsonar.tests"))]


@pytest.mark.parametrize("code", [1, 2, 3])
def test_sonarqube_stops_the_image_whatever_it_ends_with(
    quality: Path, source: Path, tools: Toolbox, code: int
) -> None:
    tools.add("sonar-scanner", f"sys.exit({code})")
    args = ("--service", "orders", "--source", source, "--version", "1")
    result = run(quality, *args, env={**tools.env, **SONAR}, check=False)
    assert result.returncode == 1
    assert "the quality gate has failed or could not be asked" in result.stderr


def test_sonarqube_without_a_server_or_a_scanner_stops_the_image(quality: Path, source: Path, tools: Toolbox) -> None:
    args = ("--service", "orders", "--source", source, "--version", "1")
    result = run(quality, *args, env={**SONAR, "PATH": NO_TOOLS}, check=False)
    assert (result.returncode, "sonar-scanner is not on PATH" in result.stderr) == (1, True)
    tools.add("sonar-scanner")
    for missing in SONAR:
        result = run(quality, *args, env={**tools.env, **SONAR, missing: ""}, check=False)
        assert (result.returncode, f"{missing} is not set" in result.stderr) == (1, True)
    for service in ("../orders", "payments", "$(touch pwned)"):
        assert run(quality, "--service", service, *args[2:], env={**tools.env, **SONAR}, check=False).returncode == 1
    assert tools.calls == []


def test_a_setting_that_is_missing_is_named(scripts: Path) -> None:
    env = {"SONAR_HOST_URL": "https://sonar.acme.example", "SONAR_TOKEN": ""}
    result = run(scripts / "require-settings.sh", "SONAR_HOST_URL", "SONAR_TOKEN", env=env, check=False)
    assert result.returncode == 1
    assert "not set: SONAR_TOKEN;" in result.stderr


def test_a_bill_of_materials_is_written(scripts: Path, image: Path, tools: Toolbox, tmp_path: Path) -> None:
    tools.add("syft", SYFT)
    run(scripts / "generate-sbom.sh", "--image", image, "--output", tmp_path / "sbom", env=tools.env)
    (call,) = tools.calls
    assert call[:2] + call[3:] == ["syft", "scan", "--output", f"cyclonedx-json={tmp_path}/sbom/linux-amd64.json"]
    assert call[2].endswith("/image/linux-amd64")


def test_no_bill_of_materials_is_an_error(scripts: Path, image: Path, tools: Toolbox, tmp_path: Path) -> None:
    tools.add("syft")
    args = ("--image", image, "--output", tmp_path / "sbom")
    assert run(scripts / "generate-sbom.sh", *args, env=tools.env, check=False).returncode == 1
    assert run(scripts / "generate-sbom.sh", *args, env={"PATH": NO_TOOLS}, check=False).returncode == 1


@pytest.fixture
def cosign(tools: Toolbox, tmp_path: Path) -> dict[str, str]:
    tools.add("cosign", COSIGN)
    return {**tools.env, "FAKE_COSIGN_STATE": str(tmp_path / "signatures")}


def test_what_was_signed_is_verified(scripts: Path, tools: Toolbox, tmp_path: Path, cosign: dict[str, str]) -> None:
    sbom = tmp_path / "orders.sbom.json"
    sbom.write_text("{}")
    provenance = tmp_path / "orders.provenance.json"
    run(scripts / "write-provenance", f"--commit={'b' * 40}", f"--output={provenance}", env=GITHUB)
    run(scripts / "sign-image.sh", REFERENCE, "--sbom", sbom, "--provenance", provenance, env=cosign)
    assert tools.calls == [
        ["cosign", "sign", "--yes", REFERENCE],
        ["cosign", "attest", "--yes", "--type", "cyclonedx", "--predicate", str(sbom), REFERENCE],
        ["cosign", "attest", "--yes", "--type", "slsaprovenance1", "--predicate", str(provenance), REFERENCE],
    ]
    run(scripts / "verify-image.sh", REFERENCE, env=cosign)
    verify = tools.calls[3]
    assert verify[verify.index("--certificate-identity") + 1] == (
        "https://github.com/acme/ci-repo/.github/workflows/shared-pipeline.yml@refs/heads/main"
    )
    assert verify[verify.index("--certificate-oidc-issuer") + 1] == "https://token.actions.githubusercontent.com"
    assert verify[verify.index("--certificate-github-workflow-repository") + 1] == "acme/ci-repo"
    assert verify[verify.index("--certificate-github-workflow-ref") + 1] == "refs/heads/main"


def test_the_provenance_names_the_run_and_the_commit(scripts: Path, tmp_path: Path) -> None:
    file = tmp_path / "provenance.json"
    run(scripts / "write-provenance", f"--commit={'b' * 40}", f"--output={file}", env=GITHUB)
    predicate = json.loads(file.read_text())
    definition, details = predicate["buildDefinition"], predicate["runDetails"]
    assert definition["externalParameters"]["workflow"] == {
        "repository": "https://github.com/acme/ci-repo",
        "ref": "refs/heads/main",
        "path": ".github/workflows/app-push.yml",
    }
    assert definition["resolvedDependencies"] == [
        {"uri": "git+https://github.com/acme/app-repo", "digest": {"gitCommit": "b" * 40}},
        {"uri": "git+https://github.com/acme/ci-repo@refs/heads/main", "digest": {"gitCommit": "c" * 40}},
    ]
    assert details["builder"]["id"].endswith("/ci-repo/.github/workflows/shared-pipeline.yml@refs/heads/main")
    assert details["metadata"]["invocationId"] == "https://github.com/acme/ci-repo/actions/runs/7/attempts/2"


def test_only_a_workflow_says_how_an_image_came_to_be(scripts: Path, tmp_path: Path) -> None:
    arguments = (f"--commit={'b' * 40}", f"--output={tmp_path / 'provenance.json'}")
    result = run(scripts / "write-provenance", *arguments, env={**GITHUB, "GITHUB_RUN_ID": ""}, check=False)
    assert result.returncode == 1
    assert "GITHUB_RUN_ID is not set" in result.stderr
    assert not (tmp_path / "provenance.json").exists()


def test_an_image_without_signature_or_sbom_is_not_verified(scripts: Path, cosign: dict[str, str]) -> None:
    assert run(scripts / "verify-image.sh", REFERENCE, env=cosign, check=False).returncode != 0
    run(scripts / "sign-image.sh", REFERENCE, env=cosign)
    assert run(scripts / "verify-image.sh", REFERENCE, env=cosign, check=False).returncode != 0


@pytest.mark.parametrize("script", ["sign-image.sh", "verify-image.sh"])
@pytest.mark.parametrize(
    "reference",
    [
        "ghcr.io/acme/orders:1.0",
        "ghcr.io/acme/orders",
        "ghcr.io/acme/orders@sha256:abc",
        f"ghcr.io/acme/orders@sha256:{'A' * 64}",
        f"$(touch pwned)@sha256:{'a' * 64}",
        f"--key=x@sha256:{'a' * 64}",
        f"{REFERENCE}\n",
        "",
    ],
)
def test_only_a_digest_is_signed_or_verified(
    scripts: Path, tools: Toolbox, cosign: dict[str, str], script: str, reference: str
) -> None:
    result = run(scripts / script, reference, env=cosign, cwd=scripts, check=False)
    assert result.returncode == 1
    assert tools.calls == []
    assert not (scripts / "pwned").exists()


def test_a_dry_run_signs_nothing(scripts: Path, tools: Toolbox, cosign: dict[str, str]) -> None:
    assert run(scripts / "sign-image.sh", REFERENCE, "--dry-run", env=cosign).stdout.startswith("cosign sign --yes")
    assert tools.calls == []


def test_without_cosign_nothing_is_signed_or_verified(scripts: Path) -> None:
    for script in ("sign-image.sh", "verify-image.sh"):
        result = run(scripts / script, REFERENCE, env={"PATH": NO_TOOLS + os.pathsep + "/usr/local/bin"}, check=False)
        assert result.returncode == 1
        assert "cosign is not on PATH" in result.stderr


def test_a_service_is_tested_by_its_own_command(scripts: Path, source: Path, tmp_path: Path) -> None:
    result = run(scripts / "test-service.sh", "--service", "orders", "--source", source)
    assert "lint orders" in result.stdout
    assert "test orders" in result.stdout
    (source / "Makefile").write_text("lint test:\n\t@false\n")
    failed = run(scripts / "test-service.sh", "--service", "orders", "--source", source, check=False)
    assert failed.returncode != 0
    for bad in ("payments", "../orders", "orders;touch pwned", "-n"):
        refused = run(scripts / "test-service.sh", "--service", bad, "--source", source, cwd=tmp_path, check=False)
        assert refused.returncode == 1
    assert not (tmp_path / "pwned").exists()


def test_a_service_is_held_against_its_contracts_as_provider_and_as_consumer(scripts: Path, source: Path) -> None:
    folder = source / "contracts"
    folder.mkdir()
    held = (scripts / "test-service.sh", "--source", source, "--contracts", "--service")
    assert run(*held, "catalog").stdout == "No contract names catalog.\n", "nothing is installed for it"
    (folder / "orders--catalog.json").write_text("BROKEN")
    for service in ("catalog", "orders"):
        done = run(*held, service, check=False)
        assert done.returncode != 0
        assert f"a contract of {service} is broken" in done.stdout
    (folder / "orders--catalog.json").write_text("{}")
    assert "contract orders" in run(*held, "orders").stdout


def test_tests_that_need_stores_have_a_command_of_their_own(scripts: Path, source: Path) -> None:
    result = run(scripts / "test-service.sh", "--service", "orders", "--source", source, "--integration")
    assert "integration orders" in result.stdout
    assert "lint" not in result.stdout
