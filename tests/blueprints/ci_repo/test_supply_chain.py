"""What is built is listed, signed, and verified by the real Syft and Cosign, or it is stopped.

The rest of the tests of ci-repo have fakes of these tools: they show what the scripts do, and these that it is the
right thing.
"""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.blueprints.ci_repo.machine import commit
from tests.blueprints.ci_repo.supply_chain import SupplyChain, key_pair
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


def test_an_image_is_listed_signed_and_verified(chain: SupplyChain) -> None:
    plan = chain.plan()
    image = chain.build()
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


def test_an_image_for_two_kinds_of_machines_is_signed_as_one_and_listed_as_two(chain: SupplyChain) -> None:
    config = chain.ci / "config/platform.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "imagePlatforms": "linux/amd64,linux/arm64"}))
    plan = chain.plan()
    image = chain.build()
    reference = chain.push(image, plan["version"])
    chain.sign(image, reference, plan["commit"])
    index = json.loads(run("skopeo", "inspect", "--raw", f"docker://{reference}", env=chain.env).stdout)
    parts = {one["digest"] for one in index["manifests"]}
    assert len(parts) == 2
    assert f"{reference} is signed by" in chain.step("verify-image.sh", reference)

    options = ("--key", chain.ci / "config/signing.pub", "--type", "cyclonedx")
    said = run(exhaustive_tool("bin/cosign"), "verify-attestation", *options, reference, env=chain.env).stdout
    statements = [json.loads(base64.b64decode(json.loads(line)["payload"])) for line in said.splitlines()]
    listed = {statement["predicate"]["metadata"]["component"]["version"] for statement in statements}
    assert listed == parts, "a list for each platform"
    (build,) = chain.registered()
    assert build["digest"] == reference.partition("@")[2], "clusters are told of the index"


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
