"""How long cd-repo's scripts take with many services: `make bench-registry`, or with ARGS="--services 300".

Every figure is a whole run of a script as people and robots start it. The umbrella script is to stay below a second at
1,000 services.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.blueprints.cd_repo.support import build, environments_of
from tests.platform import render
from tests.tools import run

IDENTITY = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Bench"), ("EMAIL", "bench@acme.example"))
}
COMMANDS = (
    ("umbrella",),
    ("umbrella", "--check"),
    ("registry", "--check"),
    ("status",),
    ("status", "--html", "status.html"),
    ("history",),
    ("promote", "--to=staging", "--train", "--list"),
    ("rollback", "--environment=dev", "--service=service-0000", "--reason=bench", "--dry-run"),
)


def timed(cd: Path, name: str, *args: str) -> float:
    """Run a script and return how many seconds it took."""
    start = time.perf_counter()
    run(cd / "scripts" / name, *args, cwd=cd, env=IDENTITY)
    return time.perf_counter() - start


def fill(cd: Path, count: int) -> None:
    """Put so many services in place of those that are there."""
    names = [f"service-{number:04}" for number in range(count)]
    first, *others = sorted((cd / "services").iterdir())
    for name in names:
        shutil.copytree(first, cd / "services" / name, symlinks=True)
    for service in (first, *others):
        shutil.rmtree(service)
    run("git", "add", "--all", cwd=cd)
    run("git", "commit", "--quiet", "--message", "Fill the platform", cwd=cd, env=IDENTITY)


def release(cd: Path, environment: str, services: list[str], number: int) -> float:
    """Release one build of each service, and return how many seconds it took."""
    file = cd.parent / "builds.json"
    file.write_text(json.dumps([build(service, number) for service in services]), encoding="utf-8")
    return timed(cd, "release", f"--environment={environment}", f"--builds={file}")


def main() -> None:
    """Measure, and print a line for each command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=1000, help="how many; default: 1,000")
    size = parser.parse_args().services
    with TemporaryDirectory(prefix="bench-registry-") as scratch:
        cd = render("example", Path(scratch)).cd
        fill(cd, size)
        services = sorted(path.name for path in (cd / "services").iterdir())
        print(f"{size:,} services, seconds:")
        for environment in environments_of(cd):
            seconds = release(cd, environment["name"], services, 1)
            print(f"{seconds:7.2f}  release of all to {environment['name']}, one commit")
        print(f"{release(cd, 'dev', ['service-0000'], 2):7.2f}  release of one")
        for command in COMMANDS:
            best = min(timed(cd, *command) for _ in range(3))
            print(f"{best:7.2f}  {' '.join(command)}")


if __name__ == "__main__":
    main()
