"""scripts/recover-database: a database comes back from the backups as it was at a moment."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from tests.blueprints.cd_repo.pages import assert_known, commands_of
from tests.blueprints.cd_repo.schemas import KUBERNETES, VALIDATOR, custom_problems, write
from tests.blueprints.cd_repo.support import by_kind, objects, script
from tests.platform import Platform, copy_of
from tests.tools import BIN, run

YESTERDAY = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"


@pytest.fixture
def writable(released_example: Path, tmp_path: Path) -> Path:
    return copy_of(released_example, tmp_path)


def test_the_values_bring_a_second_database_that_reads_the_first_ones_archive(writable: Path, tmp_path: Path) -> None:
    result = script(writable, "recover-database", "orders", "prod", f"--to={YESTERDAY}")
    file = writable / "services/orders/custom/prod.yaml"
    assert result.stderr == "Put this into services/orders/custom/prod.yaml.\n"
    file.parent.mkdir(exist_ok=True)
    file.write_text(result.stdout)
    made = by_kind(objects(script(writable, "render", "--environment=prod", "--service=orders").stdout))
    recovered = made["Cluster/orders-postgres-2"]["spec"]
    assert "Cluster/orders-postgres" not in made
    assert recovered["bootstrap"]["recovery"]["recoveryTarget"] == {"targetTime": YESTERDAY}
    assert recovered["externalClusters"][0]["plugin"]["parameters"] == {
        "barmanObjectName": "orders-postgres",
        "serverName": "orders-postgres",
    }
    assert recovered["instances"] == 1
    # It archives under its own name into the same store, and has a first backup at once.
    assert made["ObjectStore/orders-postgres"]
    assert made["ScheduledBackup/orders-postgres-2"]["spec"]["immediate"] is True
    # The service moves over to it, and may still reach what it comes from.
    (container,) = made["Rollout/orders"]["spec"]["template"]["spec"]["containers"]
    assert {"name": "orders-postgres-2-app", "key": "uri"} in [
        one.get("valueFrom", {}).get("secretKeyRef") for one in container["env"]
    ]
    names = made["NetworkPolicy/orders-postgres"]["spec"]["podSelector"]["matchExpressions"][0]["values"]
    assert names == ["orders-postgres-2", "orders-postgres"]
    assert " 0 failed\n" in script(writable, "validate").stdout
    assert custom_problems([made["Cluster/orders-postgres-2"]]) == []
    if VALIDATOR.is_file():
        run(BIN / "python", VALIDATOR, "--kubernetes", KUBERNETES, write(list(made.values()), tmp_path / "all.yaml"))


def test_the_manifest_is_what_argo_cd_would_make_of_the_values(writable: Path) -> None:
    shown = objects(script(writable, "recover-database", "orders", "prod", "--to=latest", "--manifest").stdout)
    file = writable / "services/orders/custom/prod.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(script(writable, "recover-database", "orders", "prod", "--to=latest").stdout)
    made = by_kind(objects(script(writable, "render", "--environment=prod", "--service=orders").stdout))
    assert shown == [made["Cluster/orders-postgres-2"]]
    assert "recoveryTarget" not in shown[0]["spec"]["bootstrap"]["recovery"]


def test_a_second_recovery_begins_with_the_first_one(writable: Path) -> None:
    file = writable / "services/orders/custom/prod.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(script(writable, "recover-database", "orders", "prod", "--to=latest").stdout)
    again = script(writable, "recover-database", "orders", "prod", "--to=2 days ago", check=False)
    assert again.returncode == 2
    again = script(writable, "recover-database", "orders", "prod", "--to=latest")
    assert yaml.safe_load(again.stdout)["postgres"] == {
        "cluster": "orders-postgres-3",
        "instances": 1,
        "recoverFrom": {"cluster": "orders-postgres-2"},
    }
    assert "which is there already: add it to what it says" in again.stderr


def test_a_time_with_a_zone_is_told_in_utc(released_example: Path) -> None:
    local = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=5)
    text = (local + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S+02:00")
    result = script(released_example, "recover-database", "orders", "dev", f"--to={text}")
    assert yaml.safe_load(result.stdout)["postgres"]["recoverFrom"]["time"] == f"{local:%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("catalog", "prod", "--to=latest"), "catalog has no database in prod"),
        (("order", "prod", "--to=latest"), "there is no service order; there are catalog, orders"),
        (("orders", "live", "--to=latest"), "live"),
        (("orders", "prod", "--to=noon"), "write it as 2026-11-25T03:00:00Z, or `latest`"),
        (("orders", "prod", "--to=2026-11-20T03:00:00"), "say in which time zone: 2026-11-20T03:00:00Z for UTC"),
        (("orders", "prod", "--to=2999-01-01T00:00:00Z"), "is yet to come"),
        (("orders", "prod", "--to=2020-01-01T00:00:00Z"), "backups are kept for 30 days"),
        (("orders", "prod", "--to=latest", "--name=orders-postgres"), "a name other than orders-postgres"),
        (("orders", "prod", "--to=latest", f"--name={'x' * 51}"), "of at most 50 characters"),
    ],
)
def test_bad_input_is_told(arguments: tuple[str, ...], said: str, released_example: Path) -> None:
    result = script(released_example, "recover-database", *arguments, check=False)
    assert result.returncode == 2
    assert said in result.stderr
    assert result.stdout == ""


def test_without_backups_there_is_nothing_to_recover_from(writable: Path) -> None:
    (writable / "environments/dev/custom.yaml").write_text("global: {backup: {destination: ''}}\n")
    result = script(writable, "recover-database", "orders", "dev", "--to=latest", check=False)
    assert result.returncode == 2
    assert "nothing is backed up in dev: global.backup.destination is empty" in result.stderr


def test_the_runbook_walks_through_it(released_example: Path, minimal: Platform) -> None:
    text = (released_example / "docs/runbooks/recover-database.md").read_text()
    assert any("recover-database orders prod --to" in line for line in commands_of(text))
    assert_known(commands_of(text), released_example)
    # Objects by the names that the chart gives them.
    assert "orders-postgres" in text
    assert not (minimal.cd / "docs/runbooks/recover-database.md").exists()
