"""The programs that tests run: where they are, and what to do when they are missing."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".tools" / "bin"


def tool(name: str) -> str:
    """Return the path of a tool that `make tools` installs.

    The pinned one in .tools comes first, since an older helm or kubectl on PATH gives other results; PATH serves
    machines for which there is no prebuilt one.
    """
    found = shutil.which(name, path=str(BIN)) or shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is neither in .tools/bin nor on PATH: run `make tools`", pytrace=False)
    return found


def exhaustive_tool(path: str) -> Path:
    """Return a program, by its path in .tools, that `make tools-exhaustive` installs for the long tests alone."""
    program = ROOT / ".tools" / path
    if not program.exists():
        pytest.fail(f"{path} is not in .tools: run `make tools-exhaustive`", pytrace=False)
    return program


def path_without(name: str, path: str, folder: Path) -> str:
    """Return a PATH on which one program of .tools is missing; what else is there is linked in `folder`."""
    folder.mkdir()
    for program in BIN.iterdir():
        if program.name != name:
            (folder / program.name).symlink_to(program)
    return path.replace(str(BIN), str(folder))


def system_tool(name: str, *, package: str) -> str:
    """Return the path of a program that the system's package manager installs.

    A developer's machine may lack it: the test is skipped and says which package to install. CI must have it.
    """
    found = shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")
    if found is not None:
        return found
    reason = f"{name} is not on PATH: install the package {package} (apt-get install {package})"
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def run(
    *args: str | Path,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a program and capture its text output; a failure shows the command and all that it printed.

    `env` is added to this process's environment. `check=False` returns a failed run for the test to look at.
    """
    command = [str(arg) for arg in args]
    result = subprocess.run(
        command, cwd=cwd, env={**os.environ, **(env or {})}, input=stdin, capture_output=True, text=True, check=False
    )
    if check and result.returncode != 0:
        place = f" (in {cwd})" if cwd else ""
        pytest.fail(
            f"exit code {result.returncode}: {' '.join(command)}{place}\n{result.stdout}\n{result.stderr}",
            pytrace=False,
        )
    return result
