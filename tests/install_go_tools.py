"""Build into .tools the tools that come as Go modules alone (`make tools-exhaustive`); the longest tests run them.

A tool is built in its own module as published, with its own locked dependencies and replacements, which `go install`
would refuse. Run as `python -m tests.install_go_tools` after tests.install_tools, which brings the compiler.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.install_tools import ROOT, TOOLS

# Programs that nobody publishes: each is a module of ours, which puts parts of others together.
OWN = ROOT / "tests" / "go-tools"
# Hundreds of modules are fetched, and what was fetched before is kept.
ATTEMPTS = 3


@dataclass(frozen=True)
class GoTool:
    """A program that is built from source.

    Attributes:
        name: What it is called in .tools/bin.
        module: The module, with its version.
        checksum: What go.sum would say of it.
        package: The folder of its main package.
        environment: What the compiler has to be told besides.
    """

    name: str
    module: str
    checksum: str
    package: str
    environment: tuple[tuple[str, str], ...] = ()


# Of Cosign, Syft and Trivy the versions that the actions of the generated workflows install.
GO_TOOLS = (
    GoTool(
        name="cosign",
        module="github.com/sigstore/cosign/v3@v3.0.6",
        checksum="h1:k8XaUd9pmLknHBst/v0rUGHVdB4D9cfaBmWUaMAOocE=",
        package="./cmd/cosign",
    ),
    GoTool(
        name="kyverno",
        module="github.com/kyverno/kyverno@v1.19.0",
        checksum="h1:KV42j5lv9lN6WgFlt4X+Mhn0aQD0wLWzlJ/5jdWVdqI=",
        package="./cmd/cli/kubectl-kyverno",
    ),
    GoTool(
        name="syft",
        module="github.com/anchore/syft@v1.42.3",
        checksum="h1:eIeeGyqfXm/C8wpBWU50xFbOjdL37VbLatMj9nEJ6n4=",
        package="./cmd/syft",
    ),
    GoTool(
        name="trivy",
        module="github.com/aquasecurity/trivy@v0.70.0",
        checksum="h1:9yeA7tZQjHGZxDad/piT3B1yUUrZ9vxySW+PfNnHoO0=",
        package="./cmd/trivy",
        # It is written for the JSON package as it was tried out before Go 1.27.
        environment=(("GOTOOLCHAIN", "go1.26.6"), ("GOEXPERIMENT", "jsonv2")),
    ),
)


def go(*args: str, cwd: str | Path = ".", told: tuple[tuple[str, str], ...] = ()) -> str:
    """Run the compiler of .tools; the environment decides where modules come from and how many builds run at once."""
    command = [str(TOOLS / "bin" / "go"), *args]
    environment = {"GOFLAGS": "-mod=readonly -buildvcs=false", **os.environ, **dict(told)}
    for _ in range(ATTEMPTS):
        result = subprocess.run(command, cwd=cwd, env=environment, stdout=subprocess.PIPE, text=True, check=False)
        if result.returncode == 0:
            return result.stdout
    sys.exit(f"failed: {' '.join(command)}\n{result.stdout}")


def build(tool: GoTool) -> None:
    """Fetch one tool's module, hold it against its checksum, and build it."""
    module = json.loads(go("mod", "download", "-json", tool.module))
    if module["Sum"] != tool.checksum:
        sys.exit(f"{tool.module} is {module['Sum']}, not {tool.checksum}")
    output = str(TOOLS / "bin" / tool.name)
    flags = ("-trimpath", "-ldflags=-s -w", "-o", output)
    go("build", *flags, tool.package, cwd=module["Dir"], told=tool.environment)


def build_own(module: Path) -> None:
    """Build the program of a folder; its go.sum holds what it is made of."""
    go("build", "-o", str(TOOLS / "bin" / module.name), ".", cwd=module)


def main() -> None:
    """Build every tool."""
    for module in sorted(OWN.iterdir()):
        print(f"Building {module.name} …", flush=True)
        build_own(module)
    for tool in GO_TOOLS:
        print(f"Building {tool.name} from {tool.module} …", flush=True)
        build(tool)


if __name__ == "__main__":
    main()
