"""The languages whose skeletons the behaviour suite asks: how a service of each is started."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Language:
    """How a service of the example runs, as its image runs it."""

    service: str
    # The command, given the app-repo in which `make setup` has run; its folder is services/<service>.
    command: Callable[[Path], tuple[str, ...]]


LANGUAGES = {
    "python": Language("orders", lambda app: (str(app / ".venv/bin/python"), "-m", "app")),
}
