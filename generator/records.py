"""Read YAML that programs write: Copier's answers, the registry.

PyYAML, because Copier writes and reads answers with it; libyaml's loader is ten times as fast.
"""

from __future__ import annotations

from typing import Any

import yaml

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse(text: str) -> Any:
    """Return the data in a YAML text.

    Raises:
        yaml.YAMLError: It is not YAML.
    """
    return yaml.load(text, Loader=_Loader)  # noqa: S506 -- one of the safe loaders
