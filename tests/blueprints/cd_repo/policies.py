"""The policies of a cd-repo, and the pods that they are asked about."""

import json
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.blueprints.cd_repo.addons import own_objects
from tests.blueprints.cd_repo.schemas import write
from tests.blueprints.cd_repo.support import Object
from tests.tools import BIN, exhaustive_tool, run

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


def kyverno(policies: Iterable[Object], items: Iterable[Object], folder: Path) -> dict[tuple[str, str], str]:
    """Return what Kyverno itself says of objects (pass, fail, skip, or error), by policy and name of the object.

    A policy says nothing of what it does not match; namespaces have the label that Kubernetes gives them.
    """
    folder.mkdir()
    objects = list(items)
    names = sorted({item["metadata"]["namespace"] for item in objects})
    labels = [{"name": name, "labels": {"kubernetes.io/metadata.name": name}} for name in names]
    values = {"apiVersion": "cli.kyverno.io/v1alpha1", "kind": "Values", "namespaceSelector": labels}
    (folder / "values.yaml").write_text(yaml.safe_dump(values))
    write(list(policies), folder / "policies.yaml")
    write(objects, folder / "objects.yaml")
    command = ("apply", folder / "policies.yaml", "--resource", folder / "objects.yaml")
    options = ("--values-file", folder / "values.yaml", "--policy-report", "--output-format", "json")
    # It ends with 1 as soon as something fails, and is silent where no policy matches.
    result = run(exhaustive_tool("bin/kyverno"), *command, *options, check=False)
    assert result.stdout or result.returncode == 0, result.stderr
    report = json.loads(result.stdout or '{"results": []}')
    return {
        (result["policy"], resource["name"]): result["result"]
        for result in report["results"]
        for resource in result["resources"]
    }


def pods_of(items: Iterable[Object]) -> Iterator[Object]:
    """Yield the pods that workloads run, as their controllers make them."""
    for item in items:
        spec = item.get("spec", {})
        if item["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        template = item if item["kind"] == "Pod" else spec.get("template", {})
        if "containers" in template.get("spec", {}):
            place = {key: item["metadata"][key] for key in ("name", "namespace")}
            metadata = {**template.get("metadata", {}), **place}
            yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
