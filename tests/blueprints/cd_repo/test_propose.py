"""What waits in a pull request: scripts/release --propose against real git repositories."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.blueprints.cd_repo.support import build, clone, head, log, registry, release, script
from tests.tools import run

BRANCH = "release/staging"


def propose(
    work: Path,
    builds: list[dict[str, str]],
    *args: str,
    environment: str = "staging",
    env: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Propose builds, and return the outcome."""
    outcome: dict[str, Any] = json.loads(
        release(work, environment, builds, "--propose", "--json", *args, env=env).stdout
    )
    return outcome


def statuses(outcome: dict[str, Any]) -> dict[str, str]:
    return {result["service"]: result["status"] for result in outcome["results"]}


def proposed(remote: Path, branch: str = BRANCH) -> dict[str, str]:
    """Return the versions that the branch of a proposal changes, by service."""
    run("git", "fetch", "--quiet", "origin", cwd=(work := _looker(remote)))
    run("git", "checkout", "--quiet", "--detach", "origin/main", cwd=work)
    main = registry(work)
    run("git", "checkout", "--quiet", "--detach", f"origin/{branch}", cwd=work)
    script(work, "registry", "--check")
    script(work, "umbrella", "--check")
    return {
        service: entry["version"]
        for service, entries in registry(work).items()
        for environment, entry in entries.items()
        if main.get(service, {}).get(environment) != entry
    }


def _looker(remote: Path) -> Path:
    folder = remote.parent / "looker" / "cd-repo"
    return folder if folder.exists() else clone(remote, "looker")


def version(service: str, number: int = 1) -> str:
    return build(service, number)["version"]


def exists(remote: Path, branch: str = BRANCH) -> bool:
    return run("git", "rev-parse", "--verify", f"refs/heads/{branch}", cwd=remote, check=False).returncode == 0


def test_a_proposal_is_one_commit_on_the_newest_main(remote: Path) -> None:
    work = clone(remote, "one")
    main = head(remote)
    outcome = propose(work, [build("orders"), build("catalog")], "--by=ada")

    assert (outcome["outcome"], outcome["branch"], outcome["environment"]) == ("proposed", BRANCH, "staging")
    assert outcome["title"] == "release(staging): 2 services"
    assert f"Deployed: orders staging {build('orders')['committed_at']} {build('orders')['digest']}" in outcome["body"]
    assert statuses(outcome) == {"catalog": "released", "orders": "released"}
    assert log(remote, "%H %P", "-1", BRANCH) == [f"{outcome['commit']} {main}"]
    assert log(remote, "%(trailers:key=Proposal,valueonly)", "-1", BRANCH)[0] == BRANCH
    assert proposed(remote) == {"orders": version("orders"), "catalog": version("catalog")}
    assert head(remote) == main
    assert registry(work) == {}


def test_what_waits_stays_when_more_comes(remote: Path) -> None:
    propose(clone(remote, "one"), [build("orders")], "--by=ada")
    outcome = propose(clone(remote, "two"), [build("catalog")], "--by=bob")

    assert outcome["title"] == "release(staging): 2 services"
    assert proposed(remote) == {"orders": version("orders"), "catalog": version("catalog")}
    assert log(remote, "%H", f"main..{BRANCH}") == [outcome["commit"]]
    assert log(remote, "%(trailers:key=Deployed-by,valueonly)", "-1", BRANCH)[:2] == ["ada", "bob"]


def test_a_newer_build_takes_the_place_of_the_one_that_waits_and_an_older_one_does_not(remote: Path) -> None:
    work = clone(remote, "one")
    propose(work, [build("orders", 2), build("catalog", 2)])
    outcome = propose(work, [build("orders", 3), build("catalog", 1)])
    assert statuses(outcome) == {"orders": "released", "catalog": "skipped"}
    assert proposed(remote) == {"orders": version("orders", 3), "catalog": version("catalog", 2)}


def test_the_same_again_leaves_the_branch_as_it_is(remote: Path) -> None:
    work = clone(remote, "one")
    first = propose(work, [build("orders")])
    again = propose(work, [build("orders")])
    assert (again["outcome"], again["commit"]) == ("unchanged", first["commit"])
    assert "waits in release/staging already" in again["results"][0]["text"]
    assert log(remote, "%H", "-1", BRANCH) == [first["commit"]]


def test_a_proposal_follows_main(remote: Path) -> None:
    work = clone(remote, "one", "--depth=1")
    propose(work, [build("orders")])
    release(clone(remote, "two"), "dev", [build("catalog")], "--push")
    outcome = propose(work, [])
    assert log(remote, "%P", "-1", BRANCH) == [head(remote)]
    assert proposed(remote) == {"orders": version("orders")}
    assert outcome["outcome"] == "proposed"


def test_what_was_merged_waits_no_longer(remote: Path) -> None:
    work = clone(remote, "one")
    propose(work, [build("orders")])
    run("git", "branch", "--force", "main", BRANCH, cwd=remote)
    propose(work, [build("catalog")])
    assert proposed(remote) == {"catalog": version("catalog")}


def test_when_nothing_is_left_the_branch_goes(remote: Path) -> None:
    work = clone(remote, "one")
    propose(work, [build("orders")])
    run("git", "branch", "--force", "main", BRANCH, cwd=remote)
    outcome = propose(work, [build("orders")])
    assert (outcome["outcome"], outcome["commit"], outcome["title"]) == ("withdrawn", None, None)
    assert not exists(remote)
    assert propose(work, [build("orders")])["outcome"] == "nothing"


def test_main_goes_before_what_waits(remote: Path) -> None:
    work = clone(remote, "one")
    propose(work, [build("orders", 1), build("catalog", 1)])
    # Meanwhile somebody merges a newer version by another way.
    other = clone(remote, "other")
    release(other, "staging", [build("orders", 2)])
    run("git", "push", "--quiet", "origin", "main", cwd=other)
    outcome = propose(work, [])
    assert statuses(outcome) == {"orders": "dropped"}
    assert "older than" in outcome["results"][0]["text"]
    assert proposed(remote) == {"catalog": version("catalog")}


def test_what_a_person_took_out_of_the_branch_stays_out(remote: Path) -> None:
    release(work := clone(remote, "one"), "staging", [build("orders"), build("catalog")])
    run("git", "push", "--quiet", "origin", "main", cwd=work)
    propose(work, [build("orders", 2), build("catalog", 2)])
    person = clone(remote, "person", f"--branch={BRANCH}")
    script(person, "rollback", "--environment=staging", "--service=orders", "--reason=not yet", "--no-pin")
    run("git", "push", "--quiet", "origin", BRANCH, cwd=person)
    propose(work, [])
    assert proposed(remote) == {"catalog": version("catalog", 2)}


def test_a_branch_of_somebody_else_is_left_alone(remote: Path) -> None:
    run("git", "branch", BRANCH, "main", cwd=remote)
    result = release(clone(remote, "one"), "staging", [build("orders")], "--propose", check=False)
    assert result.returncode == 1
    assert "the branch release/staging holds no proposal of this script: merge it, or delete it" in result.stderr
    assert log(remote, "%H", "-1", BRANCH) == [head(remote)]


def test_two_who_propose_at_once_lose_nothing(remote: Path, tmp_path: Path) -> None:
    # The first push meets a proposal that was faster: the hook lets it in between.
    other = clone(remote, "other")
    propose(other, [build("catalog")])
    run("git", "fetch", "--quiet", "origin", cwd=other)
    run("git", "push", "--quiet", "origin", f":{BRANCH}", cwd=other)
    hook = remote / "hooks/pre-receive"
    hook.write_text(
        "#!/bin/sh\n"
        f"[ -e {tmp_path}/once ] && exit 0\n"
        f"touch {tmp_path}/once\n"
        "unset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_DIR\n"
        f"git -C {other} push --quiet origin refs/remotes/origin/{BRANCH}:refs/heads/{BRANCH} >&2\n"
    )
    hook.chmod(0o755)
    # The push by hand above took its own view of the branch along.
    run("git", "update-ref", f"refs/remotes/origin/{BRANCH}", _lost(other), cwd=other)
    result = release(clone(remote, "one"), "staging", [build("orders")], "--propose")
    assert "another writer was first; try 2 of 40" in result.stderr
    assert proposed(remote) == {"orders": version("orders"), "catalog": version("catalog")}


def _lost(repository: Path) -> str:
    """Return the commit of the proposal that is on no branch any more."""
    found = run("git", "fsck", "--unreachable", "--no-reflogs", cwd=repository).stdout
    (commit,) = [line.split()[2] for line in found.splitlines() if line.startswith("unreachable commit")]
    return commit


@pytest.mark.parametrize("text", ["", "services:\n  orders: nonsense\n"])
def test_a_branch_that_cannot_be_read_is_an_error(remote: Path, text: str) -> None:
    work = clone(remote, "one")
    propose(work, [build("orders")])
    person = clone(remote, "person", f"--branch={BRANCH}")
    (person / "registry/versions.yaml").write_text(text)
    run("git", "commit", "--all", "--quiet", "--message", "Break it", cwd=person)
    run("git", "push", "--quiet", "origin", BRANCH, cwd=person)
    result = release(work, "staging", [build("catalog")], "--propose", check=False)
    assert result.returncode == 1
    assert "registry/versions.yaml" in result.stderr
    assert "release/staging" in result.stderr
    assert "Traceback" not in result.stderr


def test_builds_come_from_standard_input_too(cd: Path) -> None:
    run(
        cd / "scripts/release",
        "--environment=dev",
        "--builds=-",
        cwd=cd,
        stdin=json.dumps([build("orders")]),
    )
    assert registry(cd)["orders"]["dev"]["version"] == version("orders")
