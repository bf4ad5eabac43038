"""The spec's JSON Schema, for editors and other tools."""

from __future__ import annotations

import json
from typing import Any

from generator.models import Spec

SCHEMA_FILE = "services.schema.json"


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a spec."""
    body = Spec.model_json_schema(by_alias=True, mode="validation")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Triptych services.yaml",
        **{key: value for key, value in _tidy(body).items() if key != "title"},
    }


def schema_text() -> str:
    """Return the JSON Schema as the text of a file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _tidy(node: Any) -> Any:
    """Leave out what helps no reader: titles that repeat the key, and null where a key may just be missing."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _tidy(value) for key, value in node.items() if not (key == "title" and isinstance(value, str))}
    if node.get("default", ...) is None:
        del node["default"]
    return node
