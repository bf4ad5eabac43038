"""What holds objects against the schemas of their kinds, and against checkov."""

import json
from collections.abc import Iterable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from tests.blueprints.cd_repo.support import Object
from tests.tools import BIN, ROOT, run, tool

KUBERNETES = "1.35"
# A validator with the CRDs of everything, where it lies beside the checkout.
VALIDATOR = ROOT.parent / "shared/bin/validate-manifests"
CORE_GROUPS = {"", "apps", "autoscaling", "batch", "networking.k8s.io", "policy", "rbac.authorization.k8s.io"}


def as_deployment(item: Object) -> Object:
    """Return a Rollout as the Deployment that runs the same pods: tools know what to ask of that."""
    if item["kind"] != "Rollout":
        return item
    spec = {key: value for key, value in item["spec"].items() if key not in {"strategy", "progressDeadlineAbort"}}
    return {**item, "apiVersion": "apps/v1", "kind": "Deployment", "spec": spec}


def group_of(item: Object) -> str:
    return str(item["apiVersion"]).rpartition("/")[0]


def write(items: list[Object], file: Path) -> Path:
    file.write_text("".join(f"---\n{json.dumps(item)}\n" for item in items))
    return file


@cache
def custom_kinds() -> dict[str, Any]:
    kinds: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "custom-kinds.yaml").read_text())["kinds"]
    return {name: strict({"type": "object", "properties": deepcopy(kind)}) for name, kind in kinds.items()}


def strict(schema: Any) -> Any:
    """Close every object, and require what has no default."""
    if isinstance(schema, dict):
        schema = {key: strict(value) for key, value in schema.items()}
        if schema.get("type") == "object" and "properties" in schema:
            fields = schema["properties"]
            schema["additionalProperties"] = False
            schema["required"] = [name for name, field in fields.items() if "default" not in field]
    return schema


def custom_problems(items: list[Object]) -> list[str]:
    problems = []
    for item in items:
        kind = f"{item['apiVersion']}/{item['kind']}"
        schema = custom_kinds().get(kind)
        if schema is None:
            problems.append(f"no schema for {kind}: add it to custom-kinds.yaml")
            continue
        body = {key: value for key, value in item.items() if key not in {"apiVersion", "kind"}}
        for error in jsonschema.Draft202012Validator(schema).iter_errors(body):
            problems.append(f"{kind} {item['metadata']['name']}: {error.json_path}: {error.message}")
    return problems


def assert_core_kinds(items: Iterable[Object], folder: Path) -> None:
    """Hold the objects of Kubernetes' own kinds against its schemas: no field that they do not know."""
    assert core_problems(items, folder) == ""


def core_problems(items: Iterable[Object], folder: Path) -> str:
    """Return how the objects of Kubernetes' own kinds differ from its schemas, a line each."""
    core = [item for item in map(as_deployment, items) if group_of(item) in CORE_GROUPS]
    file = write(core, folder / "core.yaml")
    result = run(BIN / "python", Path(__file__).parent / "validate_core.py", KUBERNETES, file, check=False)
    return result.stdout + result.stderr


def checkov(folder: Path) -> dict[str, Any]:
    """Return checkov's report on the manifests in a folder."""
    result = run(
        *(tool("checkov"), "--framework", "kubernetes", "--directory", folder),
        *("--skip-download", "--compact", "--output", "json"),
        check=False,
    )
    report: dict[str, Any] = json.loads(result.stdout)
    return report
