"""scripts/dora: DORA's four figures, on histories whose figures are known."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.blueprints.cd_repo.support import build, clone, release, script
from tests.tools import run

# The code of every build is committed at this moment, build 1 of `support.build` a second later, and so on.
CODE = datetime(2026, 11, 1, 9, tzinfo=UTC)
ALL = "--until=2026-11-30"


def after(**later: float) -> dict[str, str]:
    """Return an environment in which git commits so long after the code of build 0."""
    moment = (CODE + timedelta(**later)).isoformat()
    return {"GIT_COMMITTER_DATE": moment, "GIT_AUTHOR_DATE": moment}


def dora(repository: Path, *args: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(script(repository, "dora", "--json", *args).stdout)
    return rows


@pytest.fixture
def told(cd: Path) -> Path:
    """Three deployments of orders to dev, the last one taken back after two hours; one of catalog; one to staging."""
    release(cd, "dev", [build("orders", 0), build("catalog", 0)], env=after(hours=1))
    release(cd, "dev", [build("orders", 60)], env=after(hours=3, minutes=1))
    release(cd, "staging", [build("orders", 60)], env=after(days=2))
    release(cd, "dev", [build("orders", 120)], env=after(hours=10, minutes=2))
    rollback = ("--environment=dev", "--service=orders", "--reason=slow", "--by=bob")
    script(cd, "rollback", *rollback, env=after(hours=12, minutes=2))
    return cd


def test_the_four_figures_of_each_service(told: Path) -> None:
    assert dora(told, ALL, "--environment=dev") == [
        {
            "service": "catalog",
            "environment": "dev",
            "deployments": 1,
            "deployments_per_day": 1 / 30,
            "lead_time_seconds": 3600,
            "change_failure_rate": 0,
            "time_to_restore_seconds": None,
        },
        {
            "service": "orders",
            "environment": "dev",
            "deployments": 3,
            "deployments_per_day": 0.1,
            "lead_time_seconds": 3 * 3600,
            "change_failure_rate": pytest.approx(1 / 3),
            "time_to_restore_seconds": 2 * 3600,
        },
    ]


def test_people_read_a_table(told: Path) -> None:
    lines = script(told, "dora", ALL, "--by=environment").stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["ENVIRONMENT", "DEPLOYMENTS", "A", "DAY", "LEAD", "TIME", "FAILED", "RESTORED", "AFTER"],
        ["dev", "4", "0.13", "2h", "25%", "2h"],
        ["staging", "1", "0.03", "1d", "23h", "0%"],
    ]


def test_teams_are_those_of_today(told: Path) -> None:
    teams = told / "config/teams.json"
    teams.write_text(json.dumps({"services": {"orders": "sales", "catalog": ""}}))
    found = [(row["team"], row["environment"], row["deployments"]) for row in dora(told, ALL, "--by=team")]
    assert found == [("", "dev", 1), ("sales", "dev", 3), ("sales", "staging", 1)]
    assert [row["service"] for row in dora(told, ALL, "--team=sales")] == ["orders", "orders"]


def test_only_what_was_deployed_in_the_window_counts(told: Path) -> None:
    assert [row["environment"] for row in dora(told, "--until=2026-11-30", "--days=28")] == ["staging"]
    # What came later is not there yet, though it is in the history.
    assert [row["deployments"] for row in dora(told, "--until=2026-11-01T13:00:00Z", "--service=orders")] == [2]
    assert script(told, "dora", "--until=2026-12-31").stdout == "Nothing was deployed in 30 days.\n"


def test_what_a_person_reverts_was_a_failure_and_the_revert_no_deployment(told: Path) -> None:
    release(told, "staging", [build("orders", 180)], env=after(days=3))
    run("git", "revert", "--no-edit", "HEAD", cwd=told, env=after(days=3, minutes=30))
    (row,) = dora(told, ALL, "--environment=staging")
    assert (row["deployments"], row["change_failure_rate"], row["time_to_restore_seconds"]) == (2, 0.5, 1800)


def test_what_was_blamed_wrongly_and_comes_again_is_a_deployment(told: Path) -> None:
    script(told, "unpin", "--environment=dev", "--service=orders", "--reason=not guilty", "--by=bob", env=after(days=4))
    release(told, "dev", [build("orders", 120)], env=after(days=4, hours=1))
    (row,) = dora(told, ALL, "--environment=dev", "--service=orders")
    assert (row["deployments"], row["change_failure_rate"]) == (4, 0.25)


def test_a_shallow_clone_fetches_the_rest(remote: Path) -> None:
    work = clone(remote, "one")
    release(work, "dev", [build("orders", 0)], "--push", env=after(hours=1))
    release(work, "dev", [build("orders", 60)], "--push", env=after(hours=2))
    assert [row["deployments"] for row in dora(clone(remote, "shallow", "--depth=1"), ALL)] == [2]


def test_before_the_first_deployment(cd: Path) -> None:
    assert dora(cd) == []
    assert script(cd, "dora").stdout == "Nothing was deployed in 30 days.\n"


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["--environment=qa"], "there is no environment qa"),
        (["--team=nobody"], "there is no team nobody; there are"),
        (["--service=Orders!"], "which is no name of a service"),
        (["--days=0"], "--days is 0, but must be from 1 to 3660"),
        (["--until=yesterday"], "--until is 'yesterday', but must be a day"),
    ],
)
def test_bad_input_is_named(cd: Path, args: list[str], complaint: str) -> None:
    result = script(cd, "dora", *args, check=False)
    assert (result.returncode, complaint in result.stderr) == (2, True), result.stderr
