"""scripts/pin and scripts/unpin: what is pinned stays, for a reason and until a day."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.blueprints.cd_repo.support import build, clone, head, log, registry, release, script
from tests.tools import run

REASON = "the next one loses orders"


def day(ahead: int) -> str:
    return (datetime.now(UTC).date() + timedelta(days=ahead)).isoformat()


def pin(
    repository: Path, *args: str, environment: str = "prod", until: str = "7d", check: bool = True
) -> CompletedProcess[str]:
    """Pin orders."""
    return script(
        repository,
        "pin",
        f"--environment={environment}",
        "--service=orders",
        f"--reason={REASON}",
        f"--until={until}",
        "--by=ada",
        *args,
        check=check,
    )


def let_pins_end(repository: Path) -> None:
    """Move the last day of all pins to yesterday."""
    file = repository / "registry/versions.yaml"
    file.write_text(re.sub('until: ".*"', f'until: "{day(-1)}"', file.read_text()))
    run("git", "commit", "--all", "--quiet", "--message", "Let time pass", cwd=repository)


def test_a_pin_is_one_commit_that_deploys_nothing(cd: Path) -> None:
    release(cd, "prod", [build("orders"), build("catalog")])
    before = head(cd)
    result = pin(cd)
    version = build("orders")["version"]
    assert f"pinned: orders is pinned to {version} in prod until {day(7)} by ada: {REASON}" in result.stdout
    assert registry(cd)["orders"]["prod"]["pinned"] == {"by": "ada", "reason": REASON, "until": day(7)}
    assert log(cd, "%s", f"{before}..") == [f"pin(prod): orders {version}"]
    body = log(cd, "%(trailers)", "-1")
    assert {f"Pinned: orders prod {day(7)}", f"Reason: {REASON}", "Pinned-by: ada"} <= set(body)
    changed = run("git", "show", "--name-only", "--format=", cwd=cd).stdout.split()
    assert changed == ["registry/versions.yaml"]
    script(cd, "registry", "--check")


def test_until_is_a_day_or_a_number_of_days(cd: Path) -> None:
    release(cd, "prod", [build("orders")])
    pin(cd, until=day(90))
    assert registry(cd)["orders"]["prod"]["pinned"]["until"] == day(90)
    pin(cd, until=day(0))
    assert registry(cd)["orders"]["prod"]["pinned"]["until"] == day(0)


@pytest.mark.parametrize(
    ("until", "complaint"),
    [
        ("soon", "must be a day such as"),
        ("2026-02-30", "must be a day such as"),
        ("0d", "must be a day such as"),
        ("2020-01-01", "must be a day from today to"),
        ("91d", "90 days on"),
    ],
)
def test_a_pin_must_end(cd: Path, until: str, complaint: str) -> None:
    release(cd, "prod", [build("orders")])
    before = head(cd)
    result = pin(cd, until=until, check=False)
    assert result.returncode == 2
    assert complaint in result.stderr
    assert head(cd) == before


@pytest.mark.parametrize("missing", ["--environment", "--reason", "--until"])
def test_a_pin_needs_all_of_it(cd: Path, missing: str) -> None:
    args = {"--environment": "prod", "--reason": REASON, "--until": "7d"}
    given = [f"{name}={value}" for name, value in args.items() if name != missing]
    result = script(cd, "pin", "--service=orders", *given, check=False)
    assert (result.returncode, result.stderr) == (2, f"error: a pin needs {missing}\n")


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * 501])
def test_a_reason_is_one_line(cd: Path, reason: str) -> None:
    release(cd, "prod", [build("orders")])
    args = ["--environment=prod", "--service=orders", f"--reason={reason}", "--until=7d"]
    result = script(cd, "pin", *args, check=False)
    assert result.returncode == 2
    assert "--reason is" in result.stderr


def test_a_service_that_is_not_there_is_named(cd: Path) -> None:
    release(cd, "prod", [build("catalog")])
    result = pin(cd, check=False)
    assert result.returncode == 1
    assert "orders is not in prod" in result.stderr


def test_pinning_anew_replaces_the_pin_and_says_so(cd: Path) -> None:
    release(cd, "prod", [build("orders")])
    pin(cd)
    before = head(cd)
    assert "nothing to pin" in pin(cd).stdout
    assert head(cd) == before
    assert f"(was until {day(7)} by ada: {REASON})" in pin(cd, until="9d").stdout


def test_no_release_gets_past_a_pin(cd: Path) -> None:
    release(cd, "prod", [build("orders")])
    pin(cd)
    result = release(cd, "prod", [build("orders", 2)])
    assert "refused: orders is pinned" in result.stdout
    assert registry(cd)["orders"]["prod"]["version"] == build("orders")["version"]


def test_a_pin_holds_until_it_is_lifted(cd: Path) -> None:
    release(cd, "prod", [build("orders")])
    pin(cd)
    let_pins_end(cd)
    assert "refused: orders is pinned" in release(cd, "prod", [build("orders", 2)]).stdout

    result = script(cd, "unpin", "--environment=prod", "--service=orders", "--reason=fixed", "--by=bob")
    assert "unpinned: orders was pinned to" in result.stdout
    assert log(cd, "%s", "-1") == [f"unpin(prod): orders {build('orders')['version']}"]
    assert {"Unpinned: orders prod", "Reason: fixed", "Unpinned-by: bob"} <= set(log(cd, "%(trailers)", "-1"))
    assert "pinned" not in registry(cd)["orders"]["prod"]
    assert "released: orders" in release(cd, "prod", [build("orders", 2)]).stdout


def test_unpinning_what_is_not_pinned_makes_no_commit(cd: Path) -> None:
    release(cd, "prod", [build("orders")])
    before = head(cd)
    result = script(cd, "unpin", "--environment=prod", "--service=orders")
    assert "unchanged: orders is not pinned in prod" in result.stdout
    assert head(cd) == before


def test_pins_are_listed_and_those_that_are_due_fail_a_check(cd: Path) -> None:
    release(cd, "prod", [build("orders")])
    pin(cd)
    version = build("orders")["version"]
    assert script(cd, "pin", "--list").stdout == f"orders {version} in prod until {day(7)} by ada: {REASON}\n"
    assert script(cd, "pin", "--expired").stdout == ""

    let_pins_end(cd)
    result = script(cd, "pin", "--expired", check=False)
    assert result.returncode == 1
    assert f"orders {version} in prod until {day(-1)} by ada: {REASON} (over:" in result.stdout
    found = json.loads(script(cd, "pin", "--expired", "--json", check=False).stdout)
    assert [(one["service"], one["environment"], one["until"]) for one in found] == [("orders", "prod", day(-1))]


def test_pins_that_are_due_are_lifted_in_every_environment(remote: Path) -> None:
    work = clone(remote, "one")
    for environment in ("dev", "prod"):
        release(work, environment, [build("orders"), build("catalog")])
        pin(work, environment=environment)
    let_pins_end(work)
    script(work, "pin", "--environment=prod", "--service=catalog", f"--reason={REASON}", "--until=7d")
    run("git", "push", "--quiet", "origin", "main", cwd=work)
    script(work, "unpin", "--expired", "--push")
    after = clone(remote, "after")
    pinned = [
        (service, environment)
        for service, entries in registry(after).items()
        for environment, entry in entries.items()
        if "pinned" in entry
    ]
    assert pinned == [("catalog", "prod")]
    assert len(log(after, "%H", f"{head(work)}..")) == 2


def test_a_pin_is_pushed_where_releases_go_by_pull_request(remote: Path) -> None:
    work = clone(remote, "one")
    release(work, "prod", [build("orders")])
    run("git", "push", "--quiet", "origin", "main", cwd=work)
    pin(work, "--push")
    assert "pinned" in registry(clone(remote, "after"))["orders"]["prod"]


def test_the_check_refuses_a_pin_that_reaches_too_far(cd: Path) -> None:
    release(cd, "prod", [build("orders")])
    pin(cd)
    file = cd / "registry/versions.yaml"
    file.write_text(file.read_text().replace(day(7), day(100)))
    result = script(cd, "registry", "--check", check=False)
    assert result.returncode == 1
    assert f"orders.prod is pinned until {day(100)}, more than 90 days from now" in result.stderr


# ── pull requests ──


def test_a_pull_request_that_was_open_when_the_pin_came_cannot_be_merged(cd: Path) -> None:
    release(cd, "prod", [build("orders")])
    run("git", "checkout", "--quiet", "-b", "proposal", cwd=cd)
    release(cd, "prod", [build("orders", 2)])
    run("git", "checkout", "--quiet", "main", cwd=cd)
    pin(cd)
    assert "CONFLICT" in run("git", "merge", "proposal", cwd=cd, check=False).stdout


def test_a_change_by_hand_under_a_pin_fails_the_check(cd: Path) -> None:
    release(cd, "prod", [build("orders"), build("catalog")])
    pin(cd)
    before = head(cd)
    file = cd / "registry/versions.yaml"
    file.write_text(file.read_text().replace(build("orders")["version"], "2"))
    script(cd, "umbrella")
    script(cd, "registry", "--check")
    result = script(cd, "registry", "--check", f"--against={before}", check=False)
    assert result.returncode == 1
    assert f"orders is pinned to {build('orders')['version']} in prod" in result.stderr


def test_what_lifts_a_pin_or_leaves_it_alone_passes_the_check(cd: Path) -> None:
    release(cd, "prod", [build("orders"), build("orders", 2) | {"service": "catalog"}])
    pin(cd)
    before = head(cd)
    release(cd, "prod", [build("catalog", 3)])
    script(cd, "registry", "--check", f"--against={before}")
    script(cd, "unpin", "--environment=prod", "--service=orders")
    release(cd, "prod", [build("orders", 2)])
    script(cd, "registry", "--check", f"--against={before}")


def test_a_dry_run_pins_nothing(cd: Path) -> None:
    release(cd, "prod", [build("orders")])
    before = head(cd)
    assert "dry run: nothing is committed" in pin(cd, "--dry-run").stdout
    assert head(cd) == before
