"""Show a change on its way from a commit to production and back: `make demo-pipeline`."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.tools import ROOT

# Programs of the system, and the packages of Debian and Ubuntu that have them.
PROGRAMS = {
    "buildah": "buildah",
    "docker-registry": "docker-registry",
    "git": "git",
    "jq": "jq",
    "make": "make",
    "skopeo": "skopeo",
}
FOLDER = Path("build/demo-pipeline")


def missing() -> list[str]:
    """Return the packages whose programs are not here."""
    path = f"{ROOT}/.tools/bin:/usr/local/sbin:/usr/sbin:/sbin"
    return [package for name, package in PROGRAMS.items() if not (shutil.which(name) or shutil.which(name, path=path))]


def main() -> int:
    """Run the test of the whole chain and let it speak."""
    if packages := missing():
        print(
            "The pipeline builds real images and pushes them to a registry on this machine, without Docker. It needs "
            f"Linux and these packages, which are not installed: {' '.join(packages)}\n"
            f"  sudo apt-get install {' '.join(packages)}",
            file=sys.stderr,
        )
        return 1
    print(
        "A change on its way from a commit to production and back, executed on this machine; about a minute.\n"
        "Real: triptych, git, the workflows (run by act), the images (buildah), an image registry, Helm, all scripts.\n"
        "Stand-ins: GitHub's pull requests and tokens, Sigstore, the scanners' databases, and the clusters' pods."
    )
    FOLDER.parent.mkdir(exist_ok=True)
    test = str(ROOT / "tests/test_whole_chain.py")
    quiet = ("-q", "--no-header", "--capture=no", "-p", "no:cacheprovider", "-p", "no:xdist")
    code = pytest.main([*quiet, "--no-summary", f"--basetemp={FOLDER}", test])
    if code == 0:
        print(f"\nWhat came of it is in {FOLDER}: the three repositories, the server, and the images.")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
