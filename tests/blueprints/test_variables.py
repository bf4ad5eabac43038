"""The environment variables that a service has without asking: a spec may not give them to a secret."""

import re

from generator.names import VARIABLE_OF_TRACES, VARIABLES_IN_USE, VARIABLES_OF_STORES
from tests.platform import Platform


def test_what_the_chart_sets_is_known_to_the_checks(minimal: Platform) -> None:
    pod = (minimal.ci / "helm-templates/base/templates/_pod.yaml").read_text()
    _, _, variables = pod.partition('define "base.environmentVariables"')

    found = re.findall(r"^ *- name: ([A-Z][A-Z0-9_]*)$", variables, re.MULTILINE)

    assert "PORT" in found
    assert set(found) <= VARIABLES_IN_USE.keys() | {VARIABLE_OF_TRACES, *VARIABLES_OF_STORES.values()}


def test_what_the_image_sets_is_known_to_the_checks(minimal: Platform) -> None:
    (dockerfile,) = minimal.app.glob("services/*/Dockerfile")
    image = dockerfile.read_text().rpartition("\nFROM ")[2]

    found = re.findall(r"^(?:ENV| {4}) *([A-Z][A-Z0-9_]*)=", image, re.MULTILINE)

    assert "SERVICE_VERSION" in found
    assert set(found) <= VARIABLES_IN_USE.keys()
