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
    """

    name: str
    module: str
    checksum: str
    package: str


GO_TOOLS = (
    GoTool(
        name="kyverno",
        module="github.com/kyverno/kyverno@v1.19.0",
        checksum="h1:KV42j5lv9lN6WgFlt4X+Mhn0aQD0wLWzlJ/5jdWVdqI=",
        package="./cmd/cli/kubectl-kyverno",
    ),
)


def go(*args: str, cwd: str | Path = ".") -> str:
    """Run the compiler of .tools; the environment decides where modules come from and how many builds run at once."""
    command = [str(TOOLS / "bin" / "go"), *args]
    environment = {"GOFLAGS": "-mod=readonly -buildvcs=false", **os.environ}
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
    go("build", "-trimpath", "-ldflags=-s -w", "-o", output, tool.package, cwd=module["Dir"])


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
