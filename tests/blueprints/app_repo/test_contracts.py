"""Contracts: what callers ask for, held against the services that answer."""

import json
from pathlib import Path

import pytest

from tests.tools import run

pytestmark = pytest.mark.slow


def test_exactly_the_consumers_of_what_a_provider_no_longer_says_fail(bench: Path) -> None:
    contract = bench / "contracts/orders--catalog.json"
    other = json.loads(contract.read_text())
    other["consumer"]["name"] = "shop"
    other["interactions"] = [one for one in other["interactions"] if one["description"] == "who it is"]
    (bench / "contracts/shop--catalog.json").write_text(json.dumps(other))
    results = [line for line in run("make", "contract", cwd=bench).stdout.splitlines() if line.startswith("contracts/")]
    assert results == ["contracts/orders--catalog.json: holds", "contracts/shop--catalog.json: holds"]

    models = bench / "services/catalog/app/models.py"
    models.write_text(models.read_text().replace("    created_at: Annotated", "    made_at: Annotated"))
    broken = run("make", "contract", "svc=catalog", cwd=bench, check=False)
    assert broken.returncode != 0
    results = [line for line in broken.stdout.splitlines() if line.startswith("contracts/")]
    assert results == ["contracts/orders--catalog.json: BROKEN", "contracts/shop--catalog.json: holds"]
    assert "created_at" in broken.stdout
