"""Specs that must load, specs that must not, and what is said of the faults."""

from pathlib import Path

import pytest

from generator import document
from generator.errors import InputError, SpecError
from generator.models import Spec
from generator.spec import load_spec, parse_spec
from tests.workbench import SPEC, triptych

SPECS = Path(__file__).parent / "specs"
VALID = sorted((SPECS / "valid").glob("*.yaml"))
INVALID = sorted((SPECS / "invalid").glob("*.yaml"))


@pytest.mark.parametrize("file", VALID, ids=lambda file: file.stem)
def test_valid(file: Path) -> None:
    spec = load_spec(file)

    assert spec.platform.name == "acme"
    assert spec.services
    assert spec.environments


@pytest.mark.parametrize("file", INVALID, ids=lambda file: file.stem)
def test_invalid(file: Path, tmp_path: Path) -> None:
    expected = file.with_suffix(".expected").read_text().splitlines()

    result = triptych("apply", "--file", file, "--output", tmp_path / "output")

    assert result.code == 2
    for fragment in expected:
        assert fragment in result.err
    assert f"{file}:" in result.err
    assert "Traceback" not in result.err
    assert "1 fault in" in result.err, f"one fault, one message: {result.err}"
    assert list(tmp_path.iterdir()) == [], "nothing is written"


def test_a_cluster_has_no_more_hosts_than_its_gateway_can_certify() -> None:
    services = "".join(f"  - {{name: service-{index}, language: go, route: {{}}}}\n" for index in range(64))
    text = (
        "apiVersion: triptych/v1\n"
        "platform: {name: acme, domain: acme.example, github: {organization: acme}}\n"
        "environments: [{name: prod}]\n"
        "features: {certManager: {enabled: true}}\n"
        f"services:\n{services}"
    )
    with pytest.raises(SpecError) as caught:
        parse_spec(Path("services.yaml"), text)
    assert "65 hosts are routed to in the cluster `prod`" in str(caught.value)
    parse_spec(Path("services.yaml"), text.replace("enabled: true", "enabled: false"))


def test_every_fault_is_told_at_once() -> None:
    text = """\
apiVersion: triptych/v1
platform: {name: acme, githb: x, github: {organization: acme}}
environments:
  - {name: dev, brnch: x}
  - {name: prod, approvers: [nobody]}
services:
  - {name: 123, language: python}
  - name: orders
    langage: python
    language: python
    port: 80
    dependsOn: [orders, catalog]
    autoscaling: {min: 20}
    environments: {prd: {}, prod: {autoscaling: {mx: 3}}}
  - {language: python}
"""
    with pytest.raises(SpecError) as caught:
        parse_spec(Path("services.yaml"), text)

    places = [(problem.line, problem.path) for problem in caught.value.problems]
    assert places == [
        (2, "platform.githb"),
        (4, "environments[0].brnch"),
        (5, "environments[1].approvers[0]"),
        (7, "services[0].name"),
        (9, "services[1].langage"),
        (11, "services[1].port"),
        (12, "services[1].dependsOn[0]"),
        (12, "services[1].dependsOn[1]"),
        (13, "services[1].autoscaling.min"),
        (14, "services[1].environments.prd"),
        (14, "services[1].environments.prod.autoscaling.mx"),
        (15, "services[2].name"),
    ]


def test_a_faulty_service_is_no_missing_one() -> None:
    """`orders` is there; that its port is wrong is one fault, not two."""
    text = SPEC.replace("orders, language: python}", "orders, language: python, port: 1}").replace(
        "catalog, language: python}", "catalog, language: python, dependsOn: [orders]}"
    )
    with pytest.raises(SpecError) as caught:
        parse_spec(Path("services.yaml"), text)

    assert [problem.path for problem in caught.value.problems] == ["services[0].port"]


def test_the_minimal_spec_gets_every_default() -> None:
    spec = parse_spec(Path("services.yaml"), SPEC)

    assert [environment.name for environment in spec.environments] == ["dev", "staging", "prod"]
    assert spec.defaults.port == 8080
    assert spec.features.scanning.trivy
    assert not spec.features.scanning.snyk


def test_merge_keys_do_not_move_the_place_of_a_fault() -> None:
    text = SPEC.replace("- {name: orders", "- &first {name: orders").replace(
        "- {name: catalog, language: python}", "- {<<: *first, name: catalog, port: 80}"
    )
    with pytest.raises(SpecError) as caught:
        parse_spec(Path("services.yaml"), text)

    assert [(problem.line, problem.path) for problem in caught.value.problems] == [(5, "services[1].port")]


@pytest.mark.parametrize(
    ("name", "message"),
    [("missing.yaml", "does not exist"), (".", "is a directory")],
)
def test_what_is_no_file_is_told_in_the_same_way(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_spec(tmp_path / name)


def test_a_file_that_is_too_large_is_not_parsed(tmp_path: Path) -> None:
    file = tmp_path / "services.yaml"
    file.write_text("#" * (document.MAX_BYTES + 1))

    with pytest.raises(SpecError, match="at most 4194304 are read"):
        load_spec(file)


def test_a_spec_is_immutable() -> None:
    spec: Spec = parse_spec(Path("services.yaml"), SPEC)

    with pytest.raises(ValueError, match="frozen"):
        spec.platform = spec.platform
