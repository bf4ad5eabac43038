"""The JSON Schema that editors use says what the models say."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from generator.schema import schema, schema_text
from tests.test_spec import INVALID, VALID
from tests.tools import ROOT


def test_the_committed_schema_is_fresh() -> None:
    assert (ROOT / "services.schema.json").read_text() == schema_text(), "run `make schema`"


def test_it_is_a_valid_schema_of_its_draft() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


def test_the_example_names_the_schema_in_its_first_line() -> None:
    first = (ROOT / "services.example.yaml").read_text().splitlines()[0]

    assert first == "# yaml-language-server: $schema=./services.schema.json"


@pytest.mark.parametrize("file", [*VALID, ROOT / "services.example.yaml"], ids=lambda file: file.stem)
def test_valid_specs_pass_the_schema(file: Path) -> None:
    jsonschema.validate(yaml.safe_load(file.read_text(encoding="utf-8-sig")), schema())


@pytest.mark.parametrize(
    "name",
    ["missing-language", "misspelt-key", "unknown-language", "wrong-version", "quoted-port", "port-too-low",
     "name-that-climbs-out", "name-with-a-newline", "text-with-a-newline", "no-services", "secret-without-a-property"],
)  # fmt: skip
def test_faulty_specs_fail_the_schema(name: str) -> None:
    (file,) = (file for file in INVALID if file.stem == name)

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(file.read_text()), schema())


def test_every_key_is_described() -> None:
    def missing(node: object, path: str) -> list[str]:
        if not isinstance(node, dict):
            return []
        found = [] if "description" in node or "$ref" in node or "properties" not in node else [path]
        for key, value in node.get("properties", {}).items():
            if not {"description", "$ref"} & value.keys():  # what is referred to has one
                found.append(f"{path}.{key}")
        for name, definition in node.get("$defs", {}).items():
            found += missing(definition, name)
        return found

    assert missing(schema(), "spec") == []
    assert json.loads(schema_text())["$schema"].endswith("2020-12/schema")
