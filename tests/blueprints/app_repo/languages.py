"""The languages whose skeletons the behaviour suite asks: how a service of each is built and started."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.tools import run, tool


@dataclass(frozen=True)
class Language:
    """How one service of tests/specs/platforms/languages.yaml runs, as its image runs it."""

    service: str
    # Given an app-repo that is set up: builds the service and returns its command, for the folder services/<service>.
    build: Callable[[Path], tuple[str, ...]]


def _python(app: Path) -> tuple[str, ...]:
    return str(app / ".venv/bin/python"), "-m", "app"


def _go(app: Path) -> tuple[str, ...]:
    binary = app / ".go/service"
    run(tool("go"), "build", "-o", binary, ".", cwd=app / "services/catalog")
    return (str(binary),)


def _node(app: Path) -> tuple[str, ...]:
    # The program itself: the one in .tools is a script that would stand between a signal and the service.
    return run(tool("node"), "-p", "process.execPath", cwd=app).stdout.strip(), "src/main.ts"


LANGUAGES = {
    "python": Language("orders", _python),
    "go": Language("catalog", _go),
    "node": Language("basket", _node),
}


def programs() -> tuple[str, ...]:
    """The variables that have `make` in app-repo use the programs of this project's tools."""
    return f"PYTHON={sys.executable}", *(f"{name.upper()}={tool(name)}" for name in ("go", "node", "npm"))
