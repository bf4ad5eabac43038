"""Hold manifests of Kubernetes' own kinds against its schemas, strictly: `python validate_core.py VERSION FILE`.

The program of kubernetes-validate reads the schema again for each object, which takes most of its time; here each is
read once. The Python of .tools runs it, which has kubernetes-validate.
"""

import importlib.resources
import json
import sys
from functools import cache
from pathlib import Path

import jsonschema
import referencing
import yaml
from referencing.jsonschema import DRAFT7


def main(version: str, file: str) -> int:
    folder = (
        Path(str(importlib.resources.files("kubernetes_validate")))
        / f"kubernetes-json-schema/v{version}.0-local-strict"
    )

    @cache
    def resource(name: str) -> referencing.Resource:
        return DRAFT7.create_resource(json.loads((folder / name).read_text()))

    # mypy does not see through the private name of the attribute behind `retrieve`.
    registry = referencing.Registry(retrieve=lambda uri: resource(uri.rpartition("/")[2]))  # type: ignore[call-arg]

    @cache
    def validator(api_version: str, kind: str) -> jsonschema.Draft7Validator:
        group, _, version = api_version.rpartition("/")
        name = "-".join(part for part in (kind, group.partition(".")[0], version) if part).lower()
        return jsonschema.Draft7Validator(resource(f"{name}.json").contents, registry=registry)

    status = 0
    for item in yaml.load_all(Path(file).read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        for error in validator(item["apiVersion"], item["kind"]).iter_errors(item):
            print(f"{item['kind']} {item['metadata']['name']}: {error.json_path}: {error.message}")
            status = 1
    return status


sys.exit(main(*sys.argv[1:]))
