"""What remains to be done in cd-repo's registry when a service or an environment has left the spec.

The registry is the robots' state, which Triptych never writes; so it says which command does it.
"""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Any

import yaml

from generator import records
from generator.changes import names_in
from generator.projection import Answers

REGISTRY = "registry/versions.yaml"


def leftovers(folder: Path, answers: Answers) -> list[str]:
    """Return a sentence for each service and environment that the registry still has and the spec has not.

    Args:
        folder: cd-repo.
        answers: What it is rendered from.
    """
    released = _released(folder / REGISTRY)
    services = names_in(answers, "services")
    environments = {place for service in released.keys() & services for place in released[service]}
    gone = [("service", name) for name in sorted(released.keys() - services)]
    gone += [("environment", name) for name in sorted(environments - names_in(answers, "environments"))]
    command = f"python3 {quote(str(folder / 'scripts/registry'))}"
    return [
        f"The registry of {folder.name} still has the {what} {name}. Once the spec without it is applied, run "
        f"`{command} --remove-{what} {name}` and commit; what runs in the clusters stays until somebody deletes it."
        for what, name in gone
    ]


def _released(registry: Path) -> dict[str, dict[str, Any]]:
    """Return the releases by service and environment; none where the registry is not there or not as it should be.

    cd-repo's own checks say what is wrong with it.
    """
    try:
        services = records.parse(registry.read_text(encoding="utf-8"))["services"]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError):
        return {}
    if not isinstance(services, dict):
        return {}
    return {str(name): entries for name, entries in services.items() if isinstance(entries, dict)}
