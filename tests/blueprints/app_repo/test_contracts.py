"""Contracts: what callers ask for, held against the services that answer."""

import json
from pathlib import Path

import pytest

from tests.blueprints.app_repo.languages import programs
from tests.platform import copy_of, render_spec
from tests.tools import run

pytestmark = pytest.mark.slow


SPEC_WITH_OTHER = """\
apiVersion: triptych/v1
platform: {name: acme, github: {organization: acme}}
services:
  - {name: basket, language: node, dependsOn: [legacy]}
  - {name: legacy, language: other}
"""


def results_of(printed: str) -> list[str]:
    return [line for line in printed.splitlines() if line.startswith("contracts/")]


def test_exactly_the_consumers_of_what_a_provider_no_longer_says_fail(bench: Path) -> None:
    contract = bench / "contracts/orders--catalog.json"
    other = json.loads(contract.read_text())
    other["consumer"]["name"] = "shop"
    other["interactions"] = [one for one in other["interactions"] if one["description"] == "who it is"]
    (bench / "contracts/shop--catalog.json").write_text(json.dumps(other))
    assert results_of(run("make", "contract", cwd=bench).stdout) == [
        "contracts/orders--catalog.json: holds",
        "contracts/shop--catalog.json: holds",
    ]

    models = bench / "services/catalog/app/models.py"
    models.write_text(models.read_text().replace("    created_at: Annotated", "    made_at: Annotated"))
    broken = run("make", "contract", "svc=catalog", cwd=bench, check=False)
    assert broken.returncode != 0
    assert results_of(broken.stdout) == [
        "contracts/orders--catalog.json: BROKEN",
        "contracts/shop--catalog.json: holds",
    ]
    assert "created_at" in broken.stdout


def test_code_that_a_team_brings_is_asked_who_it_is_and_nothing_more(tmp_path: Path) -> None:
    spec = tmp_path / "services.yaml"
    spec.write_text(SPEC_WITH_OTHER)
    contract = json.loads((render_spec(spec, tmp_path).app / "contracts/basket--legacy.json").read_text())
    (interaction,) = contract["interactions"]
    assert interaction["request"] == {"method": "GET", "path": "/"}
    assert interaction["response"]["body"] == {"service": "legacy", "version": "1.2.3"}


@pytest.mark.exhaustive
def test_in_a_chain_of_all_languages_exactly_the_consumers_of_a_lost_field_fail(
    languages: Path, tmp_path: Path
) -> None:
    app = copy_of(languages, tmp_path)
    assert results_of(run("make", "contract", *programs(), cwd=app).stdout) == [
        "contracts/basket--billing.json: holds",
        "contracts/billing--legacy.json: not verified: its provider has no Dockerfile yet",
        "contracts/catalog--basket.json: holds",
        "contracts/orders--catalog.json: holds",
    ]

    items = app / "services/catalog/items.go"
    items.write_text(items.read_text().replace('json:"created_at"', 'json:"made_at"'))
    broken = run("make", "contract", "svc=catalog", *programs(), cwd=app, check=False)
    assert broken.returncode != 0
    assert results_of(broken.stdout) == [
        "contracts/catalog--basket.json: holds",
        "contracts/orders--catalog.json: BROKEN",
    ]
    assert "created_at" in broken.stdout
