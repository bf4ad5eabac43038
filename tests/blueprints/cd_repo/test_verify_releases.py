"""scripts/verify-releases passes only what the pipeline signed, listed and built; when that is unknown, nothing."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.blueprints.cd_repo.github import SKOPEO, Images, reference
from tests.blueprints.cd_repo.support import build, release, script
from tests.blueprints.ci_repo.toolbox import COSIGN, Toolbox
from tests.platform import Platform
from tests.tools import run

SIGNER = [
    "--certificate-oidc-issuer=https://token.actions.githubusercontent.com",
    "--certificate-identity=https://github.com/acme/ci-repo/.github/workflows/shared-pipeline.yml@refs/heads/main",
    "--certificate-github-workflow-repository=acme/ci-repo",
    "--certificate-github-workflow-ref=refs/heads/main",
]


@pytest.fixture
def images(tmp_path: Path) -> Images:
    return Images(tmp_path)


@pytest.fixture
def tools(tmp_path: Path) -> Toolbox:
    tools = Toolbox(tmp_path / "tools")
    tools.add("cosign", COSIGN)
    tools.add("skopeo", SKOPEO)
    return tools


@pytest.fixture
def verify(cd: Path, images: Images, tools: Toolbox) -> Callable[..., CompletedProcess[str]]:
    release(cd, "dev", [build("orders")])

    def run_it(*args: str, **env: str) -> CompletedProcess[str]:
        arguments = args or ("--environment=dev",)
        return script(cd, "verify-releases", *arguments, env={**images.env, **tools.env, **env}, check=False)

    return run_it


Verify = Callable[..., CompletedProcess[str]]


def test_what_the_pipeline_made_is_verified(verify: Verify, images: Images, tools: Toolbox) -> None:
    images.push("orders")
    result = verify()
    assert (result.returncode, result.stdout) == (0, f"verified: orders {build('orders')['version']} in dev\n")
    assert [call for call in tools.calls if call[0] == "cosign"] == [
        ["cosign", "verify", *SIGNER, reference("orders")],
        ["cosign", "verify-attestation", *SIGNER, "--type=cyclonedx", reference("orders")],
        ["cosign", "verify-attestation", *SIGNER, "--type=slsaprovenance1", reference("orders")],
    ]


@pytest.mark.parametrize(
    ("pushed", "reason"),
    [
        ({"what": ()}, "cosign verify: Error: no signatures found"),
        ({"what": ("cyclonedx", "slsaprovenance1")}, "cosign verify: Error: no signatures found"),
        ({"what": ("sign", "slsaprovenance1")}, "cosign verify-attestation: Error: no signatures found"),
        ({"what": ("sign", "cyclonedx")}, "cosign verify-attestation: Error: no signatures found"),
        ({"revision": "f" * 40}, f"its label org.opencontainers.image.revision is '{'f' * 40}', not "),
        (
            {"source": "https://github.com/evil/app"},
            "its label org.opencontainers.image.source is 'https://github.com/e",
        ),
    ],
)
def test_anything_else_is_not(verify: Verify, images: Images, pushed: dict[str, str], reason: str) -> None:
    images.push("orders", **pushed)  # type: ignore[arg-type]
    result = verify()
    assert result.returncode == 1
    assert result.stdout == ""
    assert f"not to be trusted: orders {build('orders')['version']} in dev: {reason}" in result.stderr


def test_an_image_that_is_gone_is_not(verify: Verify, images: Images) -> None:
    images.push("orders")
    (images.folder / "images.json").write_text("{}")
    result = verify()
    assert result.returncode == 1
    assert "skopeo inspect: FATA[0000]" in result.stderr


@pytest.mark.parametrize("tool", ["cosign", "skopeo"])
def test_without_a_tool_nothing_passes(cd: Path, images: Images, tools: Toolbox, tool: str) -> None:
    release(cd, "dev", [build("orders")])
    images.push("orders")
    (tools.folder / "bin" / tool).unlink()
    # This machine may have it.
    env = {**images.env, "PATH": str(tools.folder / "bin")}
    result = run(sys.executable, cd / "scripts/verify-releases", "--environment=dev", env=env, check=False)
    assert result.returncode == 1
    assert f"{tool} not on PATH: nothing is verified, so nothing may pass" in result.stderr


def test_a_registry_that_is_away_lets_nothing_pass(verify: Verify, images: Images, tools: Toolbox) -> None:
    images.push("orders")
    tools.add("cosign", 'sys.exit("Error: dial tcp 127.0.0.1:443: connect: connection refused")')
    result = verify()
    assert result.returncode == 1
    assert "connection refused" in result.stderr


def test_the_others_are_verified_all_the_same(cd: Path, verify: Verify, images: Images) -> None:
    release(cd, "dev", [build("catalog")])
    images.push("catalog")
    result = verify()
    assert result.returncode == 1
    assert result.stdout == f"verified: catalog {build('catalog')['version']} in dev\n"
    assert verify("--environment=dev", "--service=catalog").returncode == 0


def test_a_pull_request_is_asked_for_what_it_moves(cd: Path, verify: Verify, images: Images) -> None:
    release(cd, "dev", [build("orders", 2)])
    release(cd, "prod", [build("orders", 2), build("catalog", 3)])
    images.push("orders", 2)
    result = verify("--base=HEAD^")
    assert result.returncode == 1
    assert result.stdout == f"verified: orders {build('orders', 2)['version']} in prod\n"
    images.push("catalog", 3)
    assert verify("--base=HEAD^").returncode == 0
    # Where the earlier commit is not known, everything is asked for.
    assert len(verify(f"--base={'0' * 40}").stdout.splitlines()) == 3


def test_nothing_to_verify_needs_no_tool(cd: Path) -> None:
    release(cd, "dev", [build("orders")])
    assert script(cd, "verify-releases", "--base=HEAD").stdout == ""


def test_a_change_of_the_commit_alone_is_verified_too(cd: Path, verify: Verify, images: Images) -> None:
    release(cd, "dev", [{**build("orders"), "commit": "e" * 40, "source": "e" * 64}])
    images.push("orders")
    result = verify("--base=HEAD^")
    assert result.returncode == 1
    assert "org.opencontainers.image.revision" in result.stderr


def test_bad_input_is_refused(verify: Verify) -> None:
    for arguments in (
        ["--environment=nowhere"],
        ["--environment=dev", "--service=nothing"],
        [],
        ["--base=HEAD^", "--environment=dev"],
    ):
        result = verify(*arguments) if arguments else verify("--service=orders")
        assert result.returncode == 2, arguments
        assert "Traceback" not in result.stderr


def test_ci_and_cd_say_the_same_signer(platform: Platform) -> None:
    ci = json.loads((platform.ci / "config/platform.json").read_text())
    cd = json.loads((platform.cd / "config/signatures.json").read_text())
    assert cd["signer"] == ci["signer"]
    assert cd["source"] == f"https://github.com/{ci['organization']}/{ci['repositories']['app']}"
    attested = re.findall("--type ([a-z0-9]+)", (platform.ci / "scripts/sign-image.sh").read_text())
    assert cd["attestations"] == sorted(attested), "what ci-repo attests is asked for"
