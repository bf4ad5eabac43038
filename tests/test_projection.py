"""What each repository is told: what its templates read, and nothing else."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from generator.projection import Answers, repositories
from generator.spec import load_spec, parse_spec
from tests.platform import SPECS
from tests.tools import ROOT
from tests.workbench import SPEC

# Chart values, annotations, limits, and hosts and roles by cluster, which templates hand on as a whole.
HANDED_ON = {"values", "defaults", "identity", "quota", "clusters", "kubernetes"}


def _answers(text: str) -> dict[str, Answers]:
    return {r.blueprint: r.answers for r in repositories(parse_spec(Path("services.yaml"), text))}


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            if key not in HANDED_ON:
                yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)


@pytest.mark.parametrize("blueprint", ["app-repo", "ci-repo", "cd-repo"])
def test_every_answer_is_read_by_a_template(blueprint: str) -> None:
    folder = ROOT / "blueprints" / blueprint
    texts = [str(path.relative_to(folder)) for path in folder.rglob("*")]
    texts += [path.read_text() for path in folder.rglob("*.jinja") if not path.is_symlink()]
    # What a template takes from beside the blueprints is read as well.
    texts += [(ROOT / path).read_text() for path in set(re.findall(r"blueprints/steps/[\w-]+\.jinja", " ".join(texts)))]
    code = " ".join(match for text in texts for match in re.findall(r"\[[\[%](.*?)[\]%]\]", text, re.DOTALL))
    keys: set[str] = set()
    for spec in SPECS.glob("*.yaml"):
        keys |= {key for r in repositories(load_spec(spec)) if r.blueprint == blueprint for key in _keys(r.answers)}

    assert {key for key in keys if not re.search(rf"\b{key}\b", code)} == {"blueprint"}, "copier.yml reads that one"


def test_a_change_of_replicas_touches_cd_repo_alone() -> None:
    before = _answers(SPEC)
    after = _answers(SPEC.replace("name: orders, ", "name: orders, autoscaling: {min: 3}, "))

    assert [name for name in before if before[name] != after[name]] == ["cd-repo"]


def test_the_order_of_services_in_the_spec_changes_nothing() -> None:
    first, second = SPEC.splitlines(keepends=True)[-2:]

    assert _answers(SPEC) == _answers(SPEC.replace(first + second, second + first))


def test_a_service_records_only_what_differs_from_the_defaults() -> None:
    text = SPEC.replace("name: orders, ", "name: orders, autoscaling: {min: 2, max: 12}, ")
    (orders,) = (s for s in _answers(text)["cd-repo"]["services"] if s["name"] == "orders")

    assert orders["values"] == {"autoscaling": {"max": 12}}


def test_a_request_that_nobody_stated_is_not_above_the_limit() -> None:
    text = SPEC.replace("name: orders, ", "name: orders, resources: {limits: {cpu: 50m}}, ")
    (orders,) = (s for s in _answers(text)["cd-repo"]["services"] if s["name"] == "orders")

    assert orders["values"]["resources"] == {"requests": {"cpu": "50m"}, "limits": {"cpu": "50m"}}


def test_a_host_of_the_platform_is_another_one_in_each_environment() -> None:
    text = SPEC.replace("{name: acme, ", "{name: acme, domain: acme.example, ").replace(
        "name: orders, ", "name: orders, route: {host: shop.acme.example}, "
    )
    (orders,) = (s for s in _answers(text)["cd-repo"]["services"] if s["name"] == "orders")

    assert orders["values"]["route"]["host"] == "shop.acme.example"
    assert [(e["name"], e["values"]["route"]["host"]) for e in orders["environments"]] == [
        ("dev", "shop.dev.acme.example"),
        ("staging", "shop.staging.acme.example"),
    ]


def test_callers_are_the_other_side_of_depends_on() -> None:
    text = SPEC.replace("name: orders, ", "name: orders, dependsOn: [catalog], ")
    services = {s["name"]: s for s in _answers(text)["cd-repo"]["services"]}

    assert services["catalog"]["callers"] == ["orders"]
    assert services["orders"]["values"]["dependsOn"] == [{"name": "catalog", "port": 8080}]


def test_secrets_are_read_as_often_as_the_service_or_the_platform_says() -> None:
    def refresh(defaults: str, service: str) -> object:
        secret = f"secrets: [{{name: TOKEN, vault: a/b#c}}]{service}"
        spec = SPEC.replace("services:\n", f"{defaults}services:\n").replace(
            "name: orders, ", f"name: orders, {secret}, "
        )
        orders = next(one for one in _answers(spec)["cd-repo"]["services"] if one["name"] == "orders")
        return orders["values"].get("secretRefresh")

    assert refresh("", "") is None, "the library chart's own"
    assert refresh("defaults: {secretRefresh: 15m}\n", "") == "15m"
    assert refresh("defaults: {secretRefresh: 15m}\n", ", secretRefresh: 2d") == "48h", "Kubernetes knows no days"
