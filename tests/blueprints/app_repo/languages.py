"""The languages whose skeletons the behaviour suite asks: how a service of each is built and started."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.tools import run, system_tool, tool


@dataclass(frozen=True)
class Language:
    """How one service of tests/specs/platforms/languages.yaml runs, as its image runs it."""

    service: str
    # Given an app-repo that is set up and a service: builds it and returns its command, for the service's folder.
    build: Callable[[Path, str], tuple[str, ...]]
    # The one that uses PostgreSQL and Redis; none where the language cannot yet.
    stores: str = ""
    # Which service it calls; none where the language has no clients yet.
    calls: str = ""


def _python(app: Path, service: str) -> tuple[str, ...]:
    del service
    return str(app / ".venv/bin/python"), "-m", "app"


def _go(app: Path, service: str) -> tuple[str, ...]:
    binary = app / ".go/tested" / service
    run(tool("go"), "build", "-o", binary, ".", cwd=app / "services" / service)
    return (str(binary),)


def _node(app: Path, service: str) -> tuple[str, ...]:
    del service
    # The program itself: the one in .tools is a script that would stand between a signal and the service.
    return run(tool("node"), "-p", "process.execPath", cwd=app).stdout.strip(), "src/main.ts"


def _java(app: Path, service: str) -> tuple[str, ...]:
    # Built by `make setup`. The flags make the start short, and change nothing else.
    del app, service
    java = system_tool("java", package="default-jdk-headless")
    return java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-jar", "target/service.jar"


LANGUAGES = {
    "python": Language("orders", _python, stores="ledger", calls="catalog"),
    "go": Language("catalog", _go, stores="stock", calls="basket"),
    "node": Language("basket", _node, stores="wishes", calls="billing"),
    "java": Language("billing", _java, stores="parcels", calls="legacy"),
}


def having(part: str) -> list[object]:
    """Return the languages that have `stores` or `calls`, for the tests that ask each of them.

    Without the long tests Python stands for all of them; the services' own tests ask the others.
    """
    return [
        pytest.param(name, marks=() if name == "python" else pytest.mark.exhaustive)
        for name, found in LANGUAGES.items()
        if getattr(found, part)
    ]


def programs() -> tuple[str, ...]:
    """The variables that have `make` in app-repo use the programs of this project's tools."""
    tools = {name: tool(name) for name in ("go", "node", "npm")}
    tools["mvn"] = system_tool("mvn", package="maven")
    tools["java"] = system_tool("java", package="default-jdk-headless")
    return f"PYTHON={sys.executable}", *(f"{name.upper()}={path}" for name, path in tools.items())
