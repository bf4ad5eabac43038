"""The policies of a cd-repo, and the pods that they are asked about."""

import json
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.blueprints.cd_repo.addons import own_objects
from tests.blueprints.cd_repo.support import Object
from tests.tools import BIN, run

HERE = Path(__file__).parent
GROUP = "policies.kyverno.io/v1"


@cache
def cases() -> Any:
    return yaml.safe_load((HERE / "policies.yaml").read_text())


def policies_of(repository: Path, kind: str = "ValidatingPolicy") -> dict[str, Object]:
    """Return the policies of a kind, by name."""
    return {item["metadata"]["name"]: item for item in own_objects(repository, "policies") if item["kind"] == kind}


def pods(policy: str, result: str) -> list[Object]:
    """Return the pods that must pass, or fail, a policy; their names tell the cases."""
    return [changed(name, fields) for name, fields in cases()["policies"][policy][result].items()]


def changed(name: str, fields: Mapping[str, Any]) -> Object:
    """Return the pod of the cases with other values at the paths that `fields` names."""
    pod: Object = deepcopy(cases()["pod"])
    pod["metadata"]["name"] = name.replace(",", "").replace("'", "").replace(" ", "-").lower()
    for path, value in fields.items():
        *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
        place: Any = pod
        for parent in parents:
            place = place[parent]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return pod


def objections(
    policies: Iterable[Object], items: Iterable[Object], signed: Mapping[str, Any] | None = None
) -> list[dict[str, str]]:
    """Return what policies object to, by evaluating their CEL."""
    question = {"policies": list(policies), "objects": list(items), "signed": signed or {}}
    answer = run(BIN / "python", HERE / "evaluate_policies.py", stdin=json.dumps(question)).stdout
    found: list[dict[str, str]] = json.loads(answer)
    return found


def pods_of(items: Iterable[Object]) -> Iterator[Object]:
    """Yield the pods that workloads run, as their controllers make them."""
    for item in items:
        spec = item.get("spec", {})
        if item["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        template = item if item["kind"] == "Pod" else spec.get("template", {})
        if "containers" in template.get("spec", {}):
            metadata = {**template.get("metadata", {}), "name": item["metadata"]["name"]}
            yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
