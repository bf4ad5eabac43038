"""A build's way to the registry of images and of releases, with the real Cosign, Syft, and Trivy.

What these tools ask the Internet for is beside them: Trivy's database knows the vulnerabilities of ADVISORIES, and
images are signed by a key pair, without Sigstore's public log. All of it is told by the tools' own environment
variables: the scripts' command lines are those that run on GitHub.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.blueprints.ci_repo.toolbox import GITHUB
from tests.tools import BIN, exhaustive_tool, run

ADVISORIES = [
    {
        "ecosystem": "pip",
        "package": "pyyaml",
        "id": "CVE-2020-14343",
        "title": "Arbitrary code is run by a file that is loaded",
        "severity": "CRITICAL",
        "vulnerable": ["<5.4"],
        "patched": ["5.4"],
    }
]
SIGNING = {"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json", "rekorTlogConfig": {}, "tsaConfig": {}}
TRUST = {"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}


def tools_without_internet(folder: Path) -> dict[str, str]:
    """Return the environment in which the three tools find in `folder` what they else ask the Internet for."""
    for name in ("cosign", "syft", "trivy"):
        exhaustive_tool(f"bin/{name}")
    folder.mkdir()
    (folder / "signing-config.json").write_text(json.dumps(SIGNING))
    (folder / "trusted-root.json").write_text(json.dumps(TRUST))
    run(exhaustive_tool("bin/trivy-db"), folder / "trivy", stdin=json.dumps(ADVISORIES))
    return {
        "COSIGN_PASSWORD": "",
        "COSIGN_SIGNING_CONFIG": str(folder / "signing-config.json"),
        "COSIGN_TRUSTED_ROOT": str(folder / "trusted-root.json"),
        "COSIGN_INSECURE_IGNORE_TLOG": "true",
        "SYFT_CHECK_FOR_APP_UPDATE": "false",
        "TRIVY_CACHE_DIR": str(folder / "trivy"),
        "TRIVY_SKIP_DB_UPDATE": "true",
        "TRIVY_SKIP_JAVA_DB_UPDATE": "true",
        "TRIVY_SKIP_CHECK_UPDATE": "true",
        "TRIVY_SKIP_VERSION_CHECK": "true",
        "TRIVY_DISABLE_TELEMETRY": "true",
    }


def key_pair(folder: Path) -> Path:
    """Make a key pair in `folder`; return the key that signs. The public part is beside it, `cosign.pub`."""
    folder.mkdir()
    run(exhaustive_tool("bin/cosign"), "generate-key-pair", cwd=folder, env={"COSIGN_PASSWORD": ""})
    return folder / "cosign.key"


def use_key(ci: Path, key: Path) -> None:
    """Let a ci-repo sign by a key, and verify by its public part."""
    path = ci / "config/platform.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "signingKey": str(key)}))
    (ci / "config/signing.pub").write_bytes(key.with_suffix(".pub").read_bytes())


def tools_first() -> dict[str, str]:
    """Return the PATH on which the real tools come first."""
    return {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}


@dataclass
class SupplyChain:
    """The scripts of a ci-repo, which signs by a key pair, and what they work with.

    Attributes:
        source: A clone of app-repo.
        registry: Address of the image registry.
    """

    ci: Path
    source: Path
    folder: Path
    registry: str
    env: dict[str, str]

    @classmethod
    def at(cls, folder: Path, ci: Path, source: Path, registry: str, env: dict[str, str]) -> "SupplyChain":
        """Let a ci-repo push to a registry, and sign by a key pair of its own."""
        told = tools_without_internet(folder / "tools")
        chain = cls(ci, source, folder, registry, {**GITHUB, **env, **told, **tools_first()})
        path = ci / "config/platform.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "imageRegistry": f"{registry}/acme"}))
        use_key(ci, key_pair(folder / "keys"))
        return chain

    def sign_by(self, key: Path) -> None:
        """Let the scripts sign by another key; they verify by the public part that they know."""
        known = (self.ci / "config/signing.pub").read_bytes()
        use_key(self.ci, key)
        (self.ci / "config/signing.pub").write_bytes(known)

    def script(self, name: str, *args: str | Path) -> tuple[int, str]:
        """Run a script of ci-repo; return its exit code and all that it printed."""
        done = run(self.ci / "scripts" / name, *args, cwd=self.folder, env=self.env, check=False)
        return done.returncode, done.stdout + done.stderr

    def step(self, name: str, *args: str | Path) -> str:
        """Run a script that must succeed, and return all that it printed."""
        code, said = self.script(name, *args)
        assert code == 0, f"{name} ended with {code}:\n{said}"
        return said

    def build(self, service: str = "orders") -> Path:
        """Build a service's image and return its layout."""
        image = self.folder / f"image-{service}-{len(list(self.folder.glob('image-*')))}"
        self.step("build-image.sh", "--service", service, "--source", self.source, "--output", image)
        return image

    def scan(self, image: Path, service: str = "orders") -> tuple[int, str]:
        """Ask the vulnerability gate; return its exit code and all that it printed."""
        options = ("--source", self.source, "--service", service, "--reports", self.folder / "reports")
        return self.script("scan-vulnerabilities.sh", "--image", image, *options)

    def plan(self, *options: str) -> dict[str, Any]:
        """Plan a service, as the workflow does, and return the plan."""
        self.step("detect-changes", "--source", self.source, "--only", "orders", "--output", "plan.json", *options)
        plan: dict[str, Any] = json.loads((self.folder / "plan.json").read_text())
        return plan

    def push(self, image: Path, version: str, service: str = "orders") -> str:
        """Push an image and return its reference by digest."""
        said = self.step("push-image.sh", "--image", image, "--to", f"{self.registry}/acme/{service}:{version}")
        return next(line for line in said.splitlines() if line.startswith(f"{self.registry}/acme/{service}@"))

    def sign(self, image: Path, reference: str, commit: str) -> None:
        """Sign an image, and attest what is in it and how it came to be."""
        self.step("generate-sbom.sh", "--image", image, "--output", "sbom.json")
        self.step("write-provenance", "--commit", commit, "--output", "provenance.json")
        self.step("sign-image.sh", reference, "--sbom", "sbom.json", "--provenance", "provenance.json")

    def registered(self) -> list[dict[str, str]]:
        """Return what cd-repo would be told of the planned builds."""
        self.step("collect-builds", "--plan", "plan.json", "--output", "builds.json")
        builds: list[dict[str, str]] = json.loads((self.folder / "builds.json").read_text())
        return builds
