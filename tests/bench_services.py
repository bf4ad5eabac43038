"""What a generated service costs, in each language: `make bench-services`.

Lines, the way from `triptych add` to the first green test, and requests a second beside the least that answers with the
same framework, all in one run. Load comes from wrk (package wrk), on loopback.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.blueprints.app_repo.languages import LANGUAGES, programs
from tests.blueprints.app_repo.process import free_port
from tests.platform import render
from tests.tools import ROOT, run, system_tool, tool

HELLO = ROOT / "tests/hello"
TRIPTYCH = Path(sys.executable).with_name("triptych")
# What other programs write: pins of dependencies.
PINNED = re.compile(r"requirements.*\.txt|go\.sum|package-lock\.json")
# The port is the least of it; nothing else differs from what an image runs.
SPEC = "apiVersion: triptych/v1\nplatform: {name: acme, github: {organization: acme}}\nservices: []\n"


@dataclass(frozen=True)
class Load:
    """What wrk says: requests a second, and the time within which 99 of 100 were answered, in milliseconds."""

    rate: float
    p99: float


def hello(language: str, app: Path, scratch: Path) -> tuple[tuple[str, ...], Path]:
    """Return the command of the least that answers with the framework of a language, and where it runs."""
    match language:
        case "python":
            return (str(app / ".venv/bin/python"), str(HELLO / "hello.py")), scratch
        case "go":
            run(tool("go"), "build", "-o", scratch / "hello", HELLO / "hello.go", cwd=scratch)
            return (str(scratch / "hello"),), scratch
        case "node":
            # Modules are looked for from where a file is.
            file = shutil.copy(HELLO / "hello.mjs", app / "shared/node/hello.mjs")
            return (LANGUAGES["node"].build(app, LANGUAGES["node"].service)[0], str(file)), app / "shared/node"
        case _:
            jar = app / "services" / LANGUAGES["java"].service / "target/service.jar"
            javac = system_tool("javac", package="default-jdk-headless")
            run(javac, "-cp", jar, "-d", scratch, HELLO / "Hello.java")
            return ("java", "-cp", f"{jar}:{scratch}", "Hello"), scratch


def served(command: tuple[str, ...], folder: Path, stack: ExitStack) -> str:
    """Start a server, which `stack` stops, and return its address once it answers."""
    port = free_port()
    environment = {"PATH": "/usr/bin:/bin", "HOST": "127.0.0.1", "PORT": str(port)}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    stack.callback(process.wait, timeout=30)
    stack.callback(process.terminate)
    for _ in range(300):
        if run("curl", "--silent", "--fail", f"http://127.0.0.1:{port}/", check=False).returncode == 0:
            return f"http://127.0.0.1:{port}/"
        time.sleep(0.1)
    sys.exit(f"{command[0]} did not answer within 30 s")


def wrk(url: str, seconds: int) -> Load:
    """Ask with 16 connections for so many seconds, after three to warm up."""
    program = system_tool("wrk", package="wrk")
    run(program, "-t1", "-c16", "-d3s", url)
    out = run(program, "-t1", "-c16", f"-d{seconds}s", "--latency", url).stdout
    found = re.search(r"99%\s+([\d.]+)(us|ms|s)", out)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    if not found or not rate or "Non-2xx" in out:
        sys.exit(f"wrk says:\n{out}")
    return Load(float(rate[1]), float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]])


def lines(*folders: Path) -> int:
    """Count the lines of what is generated, without pins."""
    files = [
        file
        for name in run("git", "ls-files", "-z", *folders, cwd=folders[0]).stdout.split("\0")
        if name and (file := folders[0] / name).is_file() and not PINNED.fullmatch(file.name)
    ]
    return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)


def first_green(language: str, folder: Path) -> Iterator[float]:
    """Yield how long it takes to the first green test of a new service: of the repository's first, then of a second."""
    folder.mkdir()
    (folder / "services.yaml").write_text(SPEC, encoding="utf-8")
    for name in ("first", "second"):
        start = time.perf_counter()
        run(TRIPTYCH, "add", name, "--language", language, cwd=folder)
        run(TRIPTYCH, "apply", cwd=folder)
        run("make", "test", f"svc={name}", *programs(), cwd=folder / "app-repo")
        yield time.perf_counter() - start


def row(*cells: object, width: Callable[[int], int] = lambda at: 10 if at else 8) -> None:
    """Print a line of the table."""
    print("".join(f"{cell!s:>{width(at)}}" for at, cell in enumerate(cells)), flush=True)


def main() -> None:
    """Measure, and print a line for each language."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=8, help="of each load; default: 8")
    seconds = parser.parse_args().seconds
    row("", "service", "shared", "first", "second", "req/s", "bare", "share", "p99", "bare p99")
    row("", "lines", "lines", "s", "s", "", "req/s", "", "ms", "ms")
    with TemporaryDirectory(prefix="bench-services-") as name:
        scratch = Path(name)
        app = render("languages", scratch / "platform").app
        run("make", "setup", *programs(), cwd=app)
        for language, how in LANGUAGES.items():
            service, shared = app / "services" / how.service, app / "shared" / language
            counted = lines(service), lines(shared)
            first, second = first_green(language, scratch / language)
            with ExitStack() as stack:
                mine = wrk(served(how.build(app, how.service), service, stack), seconds)
            (scratch / f"hello-{language}").mkdir()
            with ExitStack() as stack:
                bare = wrk(served(*hello(language, app, scratch / f"hello-{language}"), stack), seconds)
            share = f"{100 * mine.rate / bare.rate:.0f} %"
            times = f"{first:.1f}", f"{second:.1f}"
            row(
                language,
                *counted,
                *times,
                f"{mine.rate:.0f}",
                f"{bare.rate:.0f}",
                share,
                f"{mine.p99:.1f}",
                f"{bare.p99:.1f}",
            )


if __name__ == "__main__":
    main()
