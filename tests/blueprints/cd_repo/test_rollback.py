"""scripts/rollback against real git repositories: back to what ran before, and kept there."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.blueprints.cd_repo.support import build, clone, head, log, registry, release, script
from tests.tools import run

REASON = "loses orders"


def rollback(
    repository: Path, *args: str, environment: str = "prod", reason: str = REASON, check: bool = True
) -> CompletedProcess[str]:
    return script(
        repository, "rollback", f"--environment={environment}", f"--reason={reason}", "--by=ada", *args, check=check
    )


def version(service: str, number: int) -> str:
    return build(service, number)["version"]


def running(repository: Path, service: str = "orders", environment: str = "prod") -> str:
    """Return the version that runs."""
    return str(registry(repository)[service][environment]["version"])


def day(ahead: int) -> str:
    return (datetime.now(UTC).date() + timedelta(days=ahead)).isoformat()


@pytest.fixture
def third(cd: Path) -> Path:
    """A repository whose orders have had three versions in prod."""
    for number in (1, 2, 3):
        release(cd, "prod", [build("orders", number)])
    return cd


def test_the_version_before_comes_back_and_is_pinned(third: Path) -> None:
    before = head(third)
    result = rollback(third, "--service=orders")
    old, new = version("orders", 2), version("orders", 3)
    assert f"rolled-back: orders in prod from {new} to {old}, pinned until {day(3)}" in result.stdout
    entry = registry(third)["orders"]["prod"]
    expected = {name: value for name, value in build("orders", 2).items() if name != "service"}
    assert {name: entry[name] for name in expected} == expected
    assert entry["deployed_by"] == "ada"
    assert entry["pinned"] == {"by": "ada", "reason": REASON, "until": day(3)}
    assert log(third, "%s", f"{before}..") == [f"rollback(prod): orders {old}"]
    body = log(third, "%(trailers)", "-1")
    assert {
        f"Deployed: orders prod {build('orders', 2)['committed_at']} {build('orders', 2)['digest']}",
        f"Rolled-back: orders prod {new} {build('orders', 3)['digest']}",
        f"Pinned: orders prod {day(3)}",
        f"Reason: {REASON}",
        "Deployed-by: ada",
    } <= set(body)
    script(third, "registry", "--check")
    script(third, "umbrella", "--check")


def test_robots_do_not_undo_it(third: Path) -> None:
    rollback(third, "--service=orders")
    release(third, "staging", [build("orders", 3)])
    assert "refused: orders is pinned" in release(third, "prod", [build("orders", 4)]).stdout
    assert "refused: orders is pinned" in script(third, "promote", "--to=prod", "--train").stdout
    assert running(third) == version("orders", 2)


def test_rolling_back_twice_goes_back_by_two(third: Path) -> None:
    rollback(third, "--service=orders", "--no-pin")
    rollback(third, "--service=orders", "--no-pin")
    assert running(third) == version("orders", 1)
    result = rollback(third, "--service=orders", check=False)
    assert result.returncode == 1
    assert "nothing ran in prod of orders before" in result.stderr


def test_what_came_after_a_rollback_is_rolled_back_to_the_good_one(third: Path) -> None:
    rollback(third, "--service=orders", "--no-pin")
    release(third, "prod", [build("orders", 4)])
    rollback(third, "--service=orders", "--no-pin")
    assert running(third) == version("orders", 2)


def test_a_version_that_ran_before_is_taken_by_name(third: Path) -> None:
    rollback(third, "--service=orders", f"--to={version('orders', 1)}")
    assert running(third) == version("orders", 1)


def test_a_version_that_never_ran_is_refused_with_those_that_did(third: Path) -> None:
    result = rollback(third, "--service=orders", "--to=9.9.9", check=False)
    assert result.returncode == 1
    assert f"orders never ran 9.9.9 in prod; it ran {version('orders', 2)}, {version('orders', 1)}" in result.stderr


def test_a_service_that_never_ran_is_named(third: Path) -> None:
    result = rollback(third, "--service=catalog", check=False)
    assert (result.returncode, result.stderr) == (1, "error: catalog never ran in prod\n")


def test_no_pin_on_request(third: Path) -> None:
    assert "not pinned" in rollback(third, "--service=orders", "--no-pin").stdout
    assert "pinned" not in registry(third)["orders"]["prod"]
    assert "released: orders" in release(third, "prod", [build("orders", 4)]).stdout


def test_over_a_pin_on_request_alone(third: Path) -> None:
    script(third, "pin", "--environment=prod", "--service=orders", "--reason=audit", "--until=7d", "--by=bob")
    result = rollback(third, "--service=orders", check=False)
    assert result.returncode == 1
    assert "by bob: audit; --over-pin goes over it" in result.stderr
    assert running(third) == version("orders", 3)

    rollback(third, "--service=orders", "--over-pin", "--until=9d")
    assert running(third) == version("orders", 2)
    assert registry(third)["orders"]["prod"]["pinned"] == {"by": "ada", "reason": REASON, "until": day(9)}
    assert log(third, "%(trailers:key=Overridden,valueonly)", "-1")[0] == "pin"


# ── one commit ──


def test_one_commit_is_taken_back(cd: Path) -> None:
    release(cd, "prod", [build("orders", 1), build("catalog", 1)])
    release(cd, "prod", [build("orders", 2), build("catalog", 2)])
    bad = head(cd)
    release(cd, "dev", [build("orders", 3)])
    rollback(cd, f"--commit={bad[:10]}")
    assert (running(cd, "orders"), running(cd, "catalog")) == (version("orders", 1), version("catalog", 1))
    assert running(cd, "orders", "dev") == version("orders", 3)
    assert log(cd, "%s", "-1") == ["rollback(prod): 2 services"]


def test_what_changed_again_since_stays(cd: Path) -> None:
    release(cd, "prod", [build("orders", 1), build("catalog", 1)])
    release(cd, "prod", [build("orders", 2), build("catalog", 2)])
    bad = head(cd)
    release(cd, "prod", [build("orders", 3)])
    result = rollback(cd, f"--commit={bad}", check=False)
    assert result.returncode == 1
    assert f"orders was changed again by {head_before_rollback(cd)} since" in result.stderr
    assert (running(cd, "orders"), running(cd, "catalog")) == (version("orders", 3), version("catalog", 1))


def head_before_rollback(repository: Path) -> str:
    return log(repository, "%H", "-1", "HEAD^")[0][:12]


def test_a_first_release_cannot_be_taken_back(cd: Path) -> None:
    release(cd, "prod", [build("orders", 1)])
    before = head(cd)
    result = rollback(cd, f"--commit={before}", check=False)
    assert result.returncode == 1
    assert "nothing ran in prod of orders before" in result.stderr
    assert head(cd) == before


def test_a_merge_is_taken_back_as_a_whole(cd: Path) -> None:
    release(cd, "prod", [build("orders", 1)])
    run("git", "checkout", "--quiet", "-b", "proposal", cwd=cd)
    release(cd, "prod", [build("orders", 2)])
    run("git", "checkout", "--quiet", "main", cwd=cd)
    run("git", "merge", "--quiet", "--no-ff", "--message", "Merge pull request #1", "proposal", cwd=cd)
    rollback(cd, "--commit=HEAD")
    assert running(cd) == version("orders", 1)


@pytest.mark.parametrize(
    ("args", "code", "complaint"),
    [
        (["--commit=0123456"], 2, "there is no commit 0123456"),
        (["--commit=--all"], 2, "there is no commit --all"),
        (["--commit=HEAD~3"], 1, "HEAD~3 deployed nothing to prod"),
        (["--commit=HEAD", "--to=1"], 2, "--to goes with --service"),
        (["--service=orders", "--until=2020-01-01"], 2, "must be a day from today"),
        (["--service=orders", "--until=3d", "--no-pin"], 2, "not allowed with"),
        ([], 2, "required"),
    ],
)
def test_bad_input_is_named(third: Path, args: list[str], code: int, complaint: str) -> None:
    before = head(third)
    result = rollback(third, *args, check=False)
    assert result.returncode == code, result.stderr
    assert complaint in result.stderr
    assert "Traceback" not in result.stderr
    assert head(third) == before


# ── pushing ──


def test_a_rollback_goes_straight_to_main_from_a_shallow_clone(remote: Path) -> None:
    work = clone(remote, "one")
    for number in (1, 2):
        release(work, "prod", [build("orders", number)])
    run("git", "push", "--quiet", "origin", "main", cwd=work)
    shallow = clone(remote, "shallow", "--depth=1")
    outcome = json.loads(rollback(shallow, "--service=orders", "--push", "--json").stdout)
    assert (outcome["outcome"], outcome["commit"], outcome["failure"]) == ("pushed", head(remote), None)
    assert running(clone(remote, "after")) == version("orders", 1)


def test_a_dry_run_says_what_would_come_back(third: Path) -> None:
    before = head(third)
    result = rollback(third, "--service=orders", "--dry-run")
    assert f"rolled-back: orders in prod from {version('orders', 3)} to {version('orders', 2)}" in result.stdout
    assert head(third) == before
