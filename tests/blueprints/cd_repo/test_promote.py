"""scripts/promote against real git repositories: from one environment to the next, when the time has come."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.blueprints.cd_repo.support import at, build, change_platform, clone, head, log, registry, release, script
from tests.tools import run

DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def promote(
    repository: Path, *args: str | Path, check: bool = True, env: Mapping[str, str] | None = None
) -> CompletedProcess[str]:
    return script(repository, "promote", *args, check=check, env=env)


def listed(repository: Path, *args: str | Path) -> dict[str, Any]:
    """Return what would go, and the verdict on each service."""
    outcome: dict[str, Any] = json.loads(promote(repository, *args, "--list", "--json").stdout)
    return outcome


def statuses(outcome: dict[str, Any]) -> dict[str, str]:
    return {result["service"]: result["status"] for result in outcome["results"]}


def version(service: str, number: int = 1) -> str:
    return build(service, number)["version"]


def pin(repository: Path, service: str, environment: str) -> None:
    """Pin a service by hand."""
    script(
        repository,
        "pin",
        f"--environment={environment}",
        f"--service={service}",
        "--reason=the next one loses orders",
        "--until=7d",
        "--by=ada",
    )


def test_a_train_takes_all_that_differ(cd: Path) -> None:
    release(cd, "dev", [build("orders", 2), build("catalog")])
    release(cd, "staging", [build("catalog")])
    before = registry(cd)["catalog"]["staging"]
    result = promote(cd, "--to=staging", "--train", "--by=ada")

    assert f"promoted: orders {version('orders', 2)} from dev to staging" in result.stdout
    assert f"unchanged: catalog {version('catalog')} is in staging already" in result.stdout
    entry = registry(cd)["orders"]["staging"]
    source = registry(cd)["orders"]["dev"]
    for name in ("version", "digest", "commit", "committed_at", "source"):
        assert entry[name] == source[name]
    assert entry["deployed_by"] == "ada"
    assert registry(cd)["catalog"]["staging"] == before
    script(cd, "registry", "--check")
    script(cd, "umbrella", "--check")


def test_the_commit_says_from_where(cd: Path) -> None:
    release(cd, "dev", [build("orders"), build("catalog")])
    promote(cd, "--from=dev", "--train", "--by=ada")
    assert log(cd, "%s", "-1") == ["promote(staging): 2 services"]
    body = log(cd, "%(trailers)", "-1")
    assert f"Deployed: orders staging {build('orders')['committed_at']} {build('orders')['digest']}" in body
    assert "Promoted-from: dev" in body
    assert "Deployed-by: ada" in body


def test_services_that_are_named_go_together_or_not_at_all(cd: Path) -> None:
    release(cd, "dev", [build("orders", 2), build("catalog", 2)])
    release(cd, "staging", [build("orders")])
    pin(cd, "orders", "staging")
    before = head(cd)
    result = promote(cd, "--to=staging", "--service=orders", "--service=catalog", check=False)
    assert result.returncode == 1
    assert "nothing is promoted: orders is pinned" in result.stderr
    assert head(cd) == before

    promote(cd, "--to=staging", "--service=catalog")
    assert registry(cd)["catalog"]["staging"]["version"] == version("catalog", 2)


def test_a_train_leaves_what_is_pinned_and_says_so(cd: Path) -> None:
    release(cd, "dev", [build("orders", 2), build("catalog", 2)])
    release(cd, "staging", [build("orders")])
    pin(cd, "orders", "staging")
    result = promote(cd, "--to=staging", "--train")
    assert f"refused: orders is pinned to {version('orders')} in staging until" in result.stdout
    assert "by ada: the next one loses orders" in result.stdout
    assert registry(cd)["orders"]["staging"]["version"] == version("orders")
    assert registry(cd)["catalog"]["staging"]["version"] == version("catalog", 2)


def test_what_is_older_stays_where_it_is(cd: Path) -> None:
    release(cd, "dev", [build("orders", 1)])
    release(cd, "staging", [build("orders", 2)])
    assert statuses(listed(cd, "--to=staging", "--train")) == {"orders": "skipped"}
    result = promote(cd, "--to=staging", "--service=orders", check=False)
    assert result.returncode == 1
    assert "older than" in result.stderr


def test_the_list_writes_nothing(cd: Path) -> None:
    release(cd, "dev", [build("orders"), build("catalog")])
    before = head(cd)
    outcome = listed(cd, "--to=staging", "--train")
    assert [move["service"] for move in outcome["moves"]] == ["catalog", "orders"]
    assert outcome["moves"][1] == build("orders")
    assert (outcome["outcome"], outcome["commit"]) == ("dry-run", None)
    assert head(cd) == before
    assert run("git", "status", "--porcelain", cwd=cd).stdout == ""


def test_only_what_was_listed_goes(cd: Path, tmp_path: Path) -> None:
    # Between the check of a signature and the write, another version may have come.
    release(cd, "dev", [build("orders"), build("catalog")])
    moves = tmp_path / "moves.json"
    moves.write_text(json.dumps(listed(cd, "--to=staging", "--train")))
    release(cd, "dev", [build("orders", 2)])
    result = promote(cd, "--to=staging", "--train", f"--moves={moves}")
    assert f"waiting: orders {version('orders', 2)} in dev is not the one that was listed" in result.stdout
    assert "orders" not in {name for name, entries in registry(cd).items() if "staging" in entries}
    assert registry(cd)["catalog"]["staging"]["version"] == version("catalog")


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"service": "orders"}]', '[{"service": "orders", "digest": "x"}]'])
def test_a_list_of_another_form_is_refused(cd: Path, tmp_path: Path, text: str) -> None:
    moves = tmp_path / "moves.json"
    moves.write_text(text)
    result = promote(cd, "--to=staging", "--train", f"--moves={moves}", check=False)
    assert result.returncode == 2
    assert str(moves) in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["--from=dev", "--to=prod"], "prod comes after staging, not after dev: promote from there"),
        (["--from=prod"], "prod is the last environment"),
        (["--to=dev"], "dev is the first environment: builds get there by scripts/release"),
        (["--to=qa"], "there is no environment qa; there are dev, staging, prod"),
        ([], "where to? Give --to, --from, or both"),
    ],
)
def test_environments_follow_each_other(cd: Path, args: list[str], complaint: str) -> None:
    result = promote(cd, *args, "--train", check=False)
    assert result.returncode == 2
    assert complaint in result.stderr


def test_a_service_that_is_not_there_is_named(cd: Path) -> None:
    release(cd, "dev", [build("orders")])
    result = promote(cd, "--to=staging", "--service=catalog", check=False)
    assert result.returncode == 1
    assert "catalog is not in dev" in result.stderr


# ── time ──


def test_a_version_soaks_from_the_moment_at_which_it_reached_main(cd: Path) -> None:
    change_platform(cd, "dev", soak="24h")
    release(cd, "dev", [build("catalog")], env=at(hours=-25))
    release(cd, "dev", [build("orders")], env=at(hours=-2))
    outcome = listed(cd, "--to=staging", "--train")
    assert statuses(outcome) == {"catalog": "promoted", "orders": "waiting"}
    text = next(result["text"] for result in outcome["results"] if result["service"] == "orders")
    assert "has run in dev for 2h of 1d; it may go on from" in text

    result = promote(cd, "--to=staging", "--service=orders", check=False)
    assert result.returncode == 1
    promote(cd, "--to=staging", "--service=orders", "--ignore-soak")
    assert log(cd, "%(trailers:key=Overridden,valueonly)", "-1")[0] == "soak"


def test_a_proposal_that_was_merged_late_soaks_from_the_merge(cd: Path) -> None:
    change_platform(cd, "staging", soak="24h")
    run("git", "checkout", "--quiet", "-b", "proposal", cwd=cd)
    release(cd, "staging", [build("orders")], env=at(hours=-50))
    run("git", "checkout", "--quiet", "main", cwd=cd)
    run(
        "git", "merge", "--quiet", "--no-ff", "--message", "Merge pull request #1", "proposal", cwd=cd, env=at(hours=-2)
    )
    assert statuses(listed(cd, "--to=prod", "--train")) == {"orders": "waiting"}


def test_what_only_got_a_pin_does_not_soak_anew(cd: Path) -> None:
    change_platform(cd, "dev", soak="24h")
    release(cd, "dev", [build("orders")], env=at(hours=-30))
    pin(cd, "orders", "dev")
    assert statuses(listed(cd, "--to=staging", "--train")) == {"orders": "promoted"}


def test_a_shallow_clone_learns_what_it_lacks(remote: Path) -> None:
    first = clone(remote, "first")
    change_platform(first, "dev", soak="24h")
    release(first, "dev", [build("orders")], env=at(hours=-30))
    release(first, "dev", [build("catalog")])
    run("git", "push", "--quiet", "origin", "main", cwd=first)
    shallow = clone(remote, "shallow", "--depth=1")
    assert statuses(listed(shallow, "--to=staging", "--train")) == {"catalog": "waiting", "orders": "promoted"}


def test_outside_its_windows_an_environment_waits(cd: Path) -> None:
    release(cd, "dev", [build("orders")])
    now = datetime.now(UTC)
    # The one day on which no test runs: that of tomorrow.
    closed = {"days": [DAYS[(now.weekday() + 2) % 7]], "from": "00:00", "to": "24:00", "timezone": "UTC"}
    change_platform(cd, "staging", windows=[closed])
    result = promote(cd, "--to=staging", "--train")
    opens = (now + timedelta(days=2)).strftime("%Y-%m-%d 00:00")
    assert f"waits until staging takes releases again: {opens} UTC" in result.stdout
    assert "nothing to promote" in result.stdout

    promote(cd, "--to=staging", "--train", "--ignore-windows")
    assert registry(cd)["orders"]["staging"]["version"] == version("orders")
    assert log(cd, "%(trailers:key=Overridden,valueonly)", "-1")[0] == "windows"


# ── pushing and proposing ──


def test_a_push_goes_to_environments_that_deploy_automatically_alone(remote: Path) -> None:
    work = clone(remote, "one")
    release(work, "dev", [build("orders")], "--push")
    result = promote(work, "--to=staging", "--train", "--push", check=False)
    assert result.returncode == 1
    assert "staging does not deploy automatically (its `deploy` is pull-request)" in result.stderr

    run("git", "pull", "--quiet", cwd=work)
    change_platform(work, "staging", deploy="automatic")
    run("git", "push", "--quiet", "origin", "main", cwd=work)
    # Another clone that is behind reads the newest state, which it lacks.
    release(clone(remote, "two"), "dev", [build("orders", 2)], "--push")
    promote(work, "--to=staging", "--train", "--push")
    assert registry(clone(remote, "after"))["orders"]["staging"]["version"] == version("orders", 2)


def test_a_proposal_takes_along_what_waits(remote: Path) -> None:
    work = clone(remote, "one")
    release(work, "dev", [build("orders")], "--push")
    promote(work, "--to=staging", "--service=orders", "--propose")
    release(work, "dev", [build("orders", 2), build("catalog")], "--push")
    outcome = json.loads(promote(work, "--to=staging", "--service=catalog", "--propose", "--json").stdout)
    assert outcome["branch"] == "promote/staging"
    assert outcome["title"] == "promote(staging): 2 services"
    after = registry(clone(remote, "after", "--branch=promote/staging"))
    assert after["orders"]["staging"]["version"] == version("orders")
    assert after["catalog"]["staging"]["version"] == version("catalog")
    assert "Promoted-from: dev" in outcome["body"]


def test_a_proposal_that_git_cannot_merge_any_more_is_refreshed(remote: Path) -> None:
    # The first entry of an environment stands right below one that changes: to git, the same place.
    work = clone(remote, "one")
    change_platform(work, "dev", deploy="pull-request")
    change_platform(work, "staging", deploy="automatic")
    run("git", "push", "--quiet", "origin", "main", cwd=work)
    release(work, "dev", [build("orders")])
    release(work, "staging", [build("orders")])
    run("git", "push", "--quiet", "origin", "main", cwd=work)
    promote(work, "--to=prod", "--train", "--propose")
    release(work, "dev", [build("orders", 2)])
    run("git", "push", "--quiet", "origin", "main", cwd=work)
    person = clone(remote, "person", "--branch=promote/prod")
    assert run("git", "merge", "origin/main", cwd=person, check=False).returncode == 1

    promote(work, "--to=prod", "--refresh", "--propose")
    after = clone(remote, "after", "--branch=promote/prod")
    assert log(after, "%P", "-1") == [head(remote)]
    assert registry(after)["orders"]["prod"]["version"] == version("orders")
    assert registry(after)["orders"]["dev"]["version"] == version("orders", 2)


def test_a_look_at_a_proposal_leaves_it_alone(remote: Path) -> None:
    work = clone(remote, "one")
    release(work, "dev", [build("orders")], "--push")
    promote(work, "--to=staging", "--train", "--propose")
    before = log(remote, "%H", "-1", "promote/staging")
    release(work, "dev", [build("orders", 2)], "--push")
    outcome = listed(work, "--to=staging", "--train", "--propose")
    assert outcome["moves"] == [build("orders", 2)]
    assert log(remote, "%H", "-1", "promote/staging") == before
