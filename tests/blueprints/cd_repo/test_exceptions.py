"""Exceptions from the policies: each says why it is, and ends."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.blueprints.cd_repo.addons import own_objects
from tests.blueprints.cd_repo.policies import policies_of
from tests.blueprints.cd_repo.schemas import custom_problems
from tests.blueprints.cd_repo.support import script

Exception_ = dict[str, Any]


@pytest.fixture
def exception(cd: Path) -> Exception_:
    """The example of policies/exceptions/README.md, which ends in a week."""
    text = (cd / "policies/exceptions/README.md").read_text().split("```")[1].removeprefix("yaml\n")
    found: Exception_ = yaml.safe_load(text)
    found["spec"]["expiresAt"] = (datetime.now(UTC) + timedelta(days=7)).isoformat(timespec="seconds")
    return found


def objections(cd: Path, text: str, name: str = "importer.yaml") -> str:
    """Return what `validate` says of an exception."""
    (cd / "policies/exceptions" / name).write_text(text)
    return script(cd, "validate", check=False).stderr


def test_an_exception_with_a_reason_and_an_end_is_applied(cd: Path, exception: Exception_) -> None:
    assert objections(cd, json.dumps(exception)) == ""
    (made,) = (item for item in own_objects(cd, "policies") if item["kind"] == "PolicyException")
    assert made == exception
    assert custom_problems([made]) == []
    # Kyverno heeds those of its own namespace alone.
    features = yaml.safe_load((cd / "platform/kyverno/values.yaml").read_text())["kyverno"]["features"]
    assert features["policyExceptions"] == {"enabled": True, "namespace": made["metadata"]["namespace"]}
    kinds = dict.fromkeys(policies_of(cd), "ValidatingPolicy")
    assert all(kinds[ref["name"]] == ref["kind"] for ref in made["spec"]["policyRefs"])


def without(*path: str) -> Callable[[Exception_], object]:
    def change(exception: Exception_) -> None:
        place = exception
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("metadata", "annotations"), "metadata.annotations.reason does not say why"),
        (lambda e: e["metadata"]["annotations"].update(reason=" "), "metadata.annotations.reason does not say why"),
        (without("spec", "expiresAt"), "spec.expiresAt does not say until when"),
        (lambda e: e["spec"].update(expiresAt="2026-01-01T00:00:00Z"), "it ended at 2026-01-01T00:00:00Z"),
        (lambda e: e["spec"].update(expiresAt="next week"), "must be a moment such as"),
        (lambda e: e["metadata"].update(namespace="acme-prod"), "metadata.namespace is not kyverno"),
        (lambda e: e["spec"].update(policyRefs=[]), "names no policy"),
        (lambda e: e["spec"]["policyRefs"][0].update(name="restricted"), "there is no policy 'restricted'"),
        (lambda e: e.update(apiVersion="kyverno.io/v2"), "not a PolicyException of policies.kyverno.io/v1"),
    ],
)
def test_what_is_no_exception_is_refused(
    cd: Path, exception: Exception_, change: Callable[[Exception_], object], said: str
) -> None:
    change(exception)
    (line,) = (line for line in objections(cd, json.dumps(exception)).splitlines() if "importer.yaml" in line)
    assert said in line


def test_a_file_that_nobody_would_read_is_refused(cd: Path, exception: Exception_) -> None:
    assert "importer.yml: it must end with .yaml" in objections(cd, json.dumps(exception), "importer.yml")


def test_one_exception_in_each_file(cd: Path, exception: Exception_) -> None:
    text = f"{json.dumps(exception)}\n---\n{json.dumps(exception)}\n"
    assert "importer.yaml: one exception in each file" in objections(cd, text)
