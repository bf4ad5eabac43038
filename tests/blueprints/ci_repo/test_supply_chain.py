"""What is built is scanned, listed, signed, and verified by the real Trivy, Syft, and Cosign, or it is stopped.

The rest of the tests of ci-repo have fakes of these tools: they show what the scripts do, and these that it is the
right thing.
"""

import base64
import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.blueprints.ci_repo.github import GitHub
from tests.blueprints.ci_repo.machine import commit
from tests.blueprints.ci_repo.supply_chain import SupplyChain, key_pair, tools_first, tools_without_internet, use_key
from tests.blueprints.ci_repo.toolbox import Toolbox
from tests.platform import Platform
from tests.tools import exhaustive_tool, run

pytestmark = pytest.mark.exhaustive

DOCKERFILE = """\
FROM scratch
COPY services/orders/hello /hello
COPY services/orders/site-packages /usr/lib/python3/site-packages
USER 10001:10001
"""
# A package as pip leaves it behind.
METADATA = "Metadata-Version: 2.1\nName: PyYAML\nVersion: {version}\nLicense: {licence}\n"
TODAY = datetime.datetime.now(datetime.UTC).date()
TOMORROW = TODAY + datetime.timedelta(days=1)


@pytest.fixture
def chain(tmp_path: Path, ci: Path, source: Path, pushing: tuple[str, dict[str, str]]) -> SupplyChain:
    """A supply chain whose service `orders` has one package, without a known fault."""
    (source / "services/orders/Dockerfile").write_text(DOCKERFILE)
    holds(source, version="6.0.2")
    folder = tmp_path / "chain"
    folder.mkdir()
    return SupplyChain.at(folder, ci, source, *pushing)


def holds(source: Path, *, version: str, licence: str = "MIT") -> None:
    """Let the image of `orders` hold a version of PyYAML."""
    package = source / "services/orders/site-packages/PyYAML.dist-info/METADATA"
    package.parent.mkdir(parents=True, exist_ok=True)
    package.write_text(METADATA.format(version=version, licence=licence))
    commit(source, f"Take PyYAML {version}")


def attested(chain: SupplyChain, reference: str, kind: str) -> Any:
    """Return the predicate of an attestation that the key pair of the chain signed."""
    options = ("--key", chain.ci / "config/signing.pub", "--type", kind)
    said = run(exhaustive_tool("bin/cosign"), "verify-attestation", *options, reference, env=chain.env).stdout
    return json.loads(base64.b64decode(json.loads(said.splitlines()[0])["payload"]))["predicate"]


def test_an_image_is_scanned_listed_signed_and_verified(chain: SupplyChain) -> None:
    plan = chain.plan()
    image = chain.build()
    code, said = chain.scan(image)
    assert code == 0, said
    reference = chain.push(image, plan["version"])
    chain.sign(image, reference, plan["commit"])
    assert f"{reference} is signed by" in chain.step("verify-image.sh", reference)

    packages = {(one["name"], one.get("version")) for one in attested(chain, reference, "cyclonedx")["components"]}
    assert ("pyyaml", "6.0.2") in packages
    built_from = attested(chain, reference, "slsaprovenance1")["buildDefinition"]["resolvedDependencies"][0]
    assert built_from["digest"] == {"gitCommit": plan["commit"]}

    (build,) = chain.registered()
    assert build["digest"] == reference.partition("@")[2]
    # The next run finds it by what it was built from, whatever the commit.
    chain.step("name-by-source", reference)
    (chain.folder / "deployed.json").write_text("{}")
    chain.step("find-images", "--plan", "plan.json", "--deployed", "deployed.json")
    found = json.loads((chain.folder / "plan.json").read_text())
    assert (found["builds"], found["reused"]["orders"]["digest"]) == ([], build["digest"])


def a_known_vulnerability(source: Path) -> str:
    holds(source, version="5.3.1")
    return "CVE-2020-14343"


def a_forbidden_licence(source: Path) -> str:
    holds(source, version="6.0.2", licence="AGPL-3.0-only")
    return "AGPL-3.0-only"


def a_secret_in_the_image(source: Path) -> str:
    # In two parts: whoever searches this file for secrets finds none.
    token = "ghp_" + "x7Hq2LmN9vRt4WzB8cKd3FsG6jPy1QaE5uTo"
    (source / "services/orders/hello").write_text(f"token = {token}\n")
    commit(source, "Leave a token behind")
    return "github-pat"


def an_image_that_runs_as_root(source: Path) -> str:
    (source / "services/orders/Dockerfile").write_text(DOCKERFILE.replace("USER 10001:10001\n", ""))
    commit(source, "Run as root")
    return "DS-0002"


@pytest.mark.parametrize(
    "fault", [a_known_vulnerability, a_forbidden_licence, a_secret_in_the_image, an_image_that_runs_as_root]
)
def test_what_must_not_pass_is_stopped_until_an_exception_is_in_force(
    chain: SupplyChain, fault: Callable[[Path], str]
) -> None:
    finding = fault(chain.source)
    image = chain.build()
    code, said = chain.scan(image)
    assert code == 3, said
    assert finding in said
    assert finding in "".join(report.read_text() for report in (chain.folder / "reports").iterdir())

    exceptions = chain.ci / "config/vulnerability-exceptions.txt"
    exceptions.write_text(f"{finding} exp:{TOMORROW} # repaired this week\n")
    assert chain.scan(image)[0] == 0
    exceptions.write_text(f"{finding} exp:{TODAY} # repaired this week\n")
    code, said = chain.scan(image)
    assert code == 3, said
    assert f"the exception of {finding} ended on {TODAY}" in said


def test_an_image_that_nobody_signed_is_not_registered(chain: SupplyChain) -> None:
    plan = chain.plan()
    reference = chain.push(chain.build(), plan["version"])
    assert chain.script("verify-image.sh", reference)[0] != 0
    assert chain.registered() == []


def test_a_signature_alone_is_not_enough(chain: SupplyChain) -> None:
    plan = chain.plan()
    reference = chain.push(chain.build(), plan["version"])
    chain.step("sign-image.sh", reference)
    code, said = chain.script("verify-image.sh", reference)
    assert code != 0, said
    assert chain.registered() == []


def test_what_another_key_signed_is_not_registered(chain: SupplyChain) -> None:
    plan = chain.plan()
    image = chain.build()
    reference = chain.push(image, plan["version"])
    chain.sign_by(key_pair(chain.folder / "stolen"))
    chain.sign(image, reference, plan["commit"])
    code, said = chain.script("verify-image.sh", reference)
    assert code != 0, said
    assert chain.registered() == []


def test_an_image_that_took_the_place_of_a_signed_one_is_not_registered(chain: SupplyChain) -> None:
    plan = chain.plan()
    image = chain.build()
    reference = chain.push(image, plan["version"])
    chain.sign(image, reference, plan["commit"])
    (build,) = chain.registered()

    # Somebody who may push, and not sign, builds another image of the same labels and gives it the version.
    layer = chain.source / "services/orders/hello"
    layer.write_text("tampered\n")
    tampered = chain.push(chain.build(), plan["version"])
    assert tampered != reference
    assert chain.script("verify-image.sh", tampered)[0] != 0
    assert chain.registered() == []
    chain.step("verify-image.sh", f"{chain.registry}/acme/orders@{build['digest']}")


def test_services_pass_the_gate_as_they_are_generated(chain: SupplyChain, rendered: Callable[[str], Platform]) -> None:
    image = chain.build()
    chain.source = rendered("languages").app
    for service in ("basket", "catalog", "ledger", "orders", "parcels", "stock"):
        code, said = chain.scan(image, service)
        assert code == 0, f"{service}: {said}"


def test_a_push_goes_its_whole_way_with_the_real_tools(github: GitHub, tools: Toolbox, tmp_path: Path) -> None:
    env = tools_without_internet(tmp_path / "offline")
    for name in ("cosign", "syft", "trivy"):
        (tools.folder / name / name).unlink()
        (tools.folder / name / name).symlink_to(exhaustive_tool(f"bin/{name}"))
    use_key(github.ci, key_pair(tmp_path / "keys"))
    commit(github.ci, "Sign by a key pair")
    run("git", "push", "--quiet", github.folder / "acme/ci-repo", "HEAD:main", cwd=github.ci)

    # Images that run as root, which Trivy says of their Dockerfiles.
    env["TRIVY_DATABASE"] = env["TRIVY_CACHE_DIR"]  # The action downloads it.
    refused = github.app_push(github.push(), **env)
    assert not refused.succeeded
    assert "DS-0002" in refused.output, refused.output
    assert (github.tags("orders"), github.commits()) == ([], [])

    for service in ("catalog", "orders"):
        with (github.source / f"services/{service}/Dockerfile").open("a") as dockerfile:
            dockerfile.write("USER 10001:10001\n")
    commit(github.source, "Run as nobody", when="2026-11-23T11:00:00+02:00")
    done = github.app_push(github.push(), **env)
    assert done.succeeded, done.output
    assert github.commits() == ["release(dev): 2 services"]
    reference = f"{github.registry}/acme/orders@{github.digest('orders')}"
    run(github.ci / "scripts/verify-image.sh", reference, env={**env, **github.env, **tools_first()})
