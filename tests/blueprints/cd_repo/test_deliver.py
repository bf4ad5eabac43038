"""scripts/deliver and scripts/rollback-failed: what goes on, by which way, and what goes back, against real git."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.blueprints.cd_repo.github import GitHub
from tests.blueprints.cd_repo.services import Cluster, serving
from tests.blueprints.cd_repo.support import build, release
from tests.blueprints.ci_repo.toolbox import COSIGN
from tests.platform import Platform
from tests.tools import path_without, run


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with serving(tmp_path / "cluster", "orders", "catalog") as cluster:
        yield cluster


@pytest.fixture
def github(example: Platform, tmp_path: Path) -> GitHub:
    """A server on which both services run in dev, signed."""
    github = GitHub.at(tmp_path, example.cd)
    github.tools.add("cosign", COSIGN)
    release(github.work, "dev", [build("orders"), build("catalog")], env=github.env)
    for service in ("orders", "catalog"):
        github.images.push(service)
    github.push()
    return github


@pytest.fixture
def running(cluster: Cluster) -> Cluster:
    """The cluster of dev, as the registry says."""
    for service in ("orders", "catalog"):
        cluster.run(service, build(service)["version"])
    return cluster


def call(github: GitHub, script: str, *args: str | Path, cluster: Cluster | None = None) -> CompletedProcess[str]:
    github.pull()
    path = f"{cluster.path}{os.pathsep}{github.env['PATH']}" if cluster else github.env["PATH"]
    env = {**github.env, "PATH": path, "GH_TOKEN": "token-of-nobody", "GITHUB_ACTOR": "ada"}
    return run(github.work / "scripts" / script, *args, cwd=github.work, env=env, check=False)


def results(github: GitHub, environment: str, **outcomes: str) -> Path:
    """Write the results of a smoke test; a service in the outcome `passed`, or else it failed in those words."""
    registry = github.registry()
    found = {
        service: {
            "outcome": "passed" if outcome == "passed" else "failed",
            "message": outcome,
            "version": registry[service][environment]["version"],
            "digest": registry[service][environment]["digest"],
        }
        for service, outcome in outcomes.items()
    }
    moves = [{"service": name, "digest": one["digest"]} for name, one in found.items() if one["outcome"] == "passed"]
    file = github.folder / "results.json"
    file.write_text(json.dumps({"environment": environment, "moves": moves, "results": found}))
    return file


def both(github: GitHub) -> Path:
    return results(github, "dev", orders="passed", catalog="passed")


def configure(github: GitHub, environment: str, **settings: Any) -> None:
    """Change what the platform says of an environment."""
    github.pull()
    file = github.work / "config/platform.json"
    document = json.loads(file.read_text())
    (entry,) = (one for one in document["environments"] if one["name"] == environment)
    entry.update(settings)
    file.write_text(json.dumps(document, indent=2) + "\n")
    github.git("commit", "--all", "--quiet", "--message", f"Configure {environment}")
    github.push()


def impatient_and_without_routes(github: GitHub) -> None:
    """Let services be asked through the cluster, since no route leads to this machine, and not for long."""
    smoke, deliver = github.work / "scripts/smoke-test", github.work / "scripts/deliver"
    smoke.write_text(smoke.read_text().replace("default=900", "default=0.5").replace("default=10", "default=0.1"))
    deliver.write_text(deliver.read_text().replace("PATIENCE = 300", "PATIENCE = 0.5"))
    addresses = github.work / "config/addresses.json"
    document = json.loads(addresses.read_text())
    for address in document["services"].values():
        address["routes"] = {}
    addresses.write_text(json.dumps(document))
    github.git("commit", "--all", "--quiet", "--message", "Ask through the cluster, and not for long")
    github.push()


def versions(github: GitHub, environment: str) -> dict[str, str]:
    return {
        service: entries[environment]["version"]
        for service, entries in github.registry().items()
        if environment in entries
    }


def waiting(github: GitHub, branch: str) -> dict[str, str]:
    """Return what the branch of a pull request would bring, by service."""
    github.git("fetch", "--quiet", "origin", branch)
    names = github.git("diff", "--name-only", "origin/main", "FETCH_HEAD", "--", "registry/releases").splitlines()
    return {Path(name).stem: Path(name).parent.name for name in names}


def test_an_automatic_environment_gets_what_was_tested_and_signed(github: GitHub) -> None:
    configure(github, "staging", deploy="automatic")
    done = call(github, "deliver", "promotion", "--to=staging", "--train", f"--tested={both(github)}")
    assert done.returncode == 0, done.stderr
    assert versions(github, "staging") == versions(github, "dev")
    assert github.subjects()[0] == "promote(staging): 2 services"
    assert github.state["pulls"] == []


def test_by_pull_request_somebody_decides(github: GitHub) -> None:
    done = call(github, "deliver", "promotion", "--to=staging", "--train", f"--tested={both(github)}")
    assert done.returncode == 0, done.stderr
    assert versions(github, "staging") == {}
    (pull,) = github.state["pulls"]
    assert (pull["headRefName"], pull["title"], pull["auto"]) == (
        "promote/staging",
        "promote(staging): 2 services",
        False,
    )
    assert waiting(github, "promote/staging") == {"orders": "staging", "catalog": "staging"}
    first = build("orders")
    link = f"https://github.com/acme/app-repo/commit/{first['commit']}"
    assert f"| orders | `{first['version']}` | [{first['commit'][:12]}]({link}) |" in pull["body"]
    assert "Merging it deploys." in pull["body"]

    # The next version joins what waits.
    release(github.work, "dev", [build("orders", 2)], "--push", env=github.env)
    github.images.push("orders", 2)
    done = call(github, "deliver", "promotion", "--to=staging", "--train", f"--tested={both(github)}")
    assert done.returncode == 0, done.stderr
    (pull,) = github.state["pulls"]
    assert build("orders", 2)["version"] in pull["body"]
    assert build("catalog")["version"] in pull["body"]


def test_with_an_approval_github_merges_once_it_is_given(github: GitHub) -> None:
    release(github.work, "staging", [build("orders")], env=github.env)
    github.push()
    tested = results(github, "staging", orders="passed")
    done = call(github, "deliver", "promotion", "--to=prod", "--service=orders", f"--tested={tested}")
    assert done.returncode == 0, done.stderr
    (pull,) = github.state["pulls"]
    assert (pull["headRefName"], pull["auto"]) == ("promote/prod", ["--auto", "--rebase"])
    assert versions(github, "prod") == {}


def test_where_github_may_not_merge_somebody_is_told_to(github: GitHub) -> None:
    release(github.work, "staging", [build("orders")], env=github.env)
    github.push()
    fake = github.tools.folder / "bin/gh"
    refusal = 'if args[:2] == ["pr", "merge"]:\n    sys.exit("Auto merge is not allowed for this repository")\n'
    fake.write_text(fake.read_text().replace("args = sys.argv[1:]\n", f"args = sys.argv[1:]\n{refusal}"))
    tested = results(github, "staging", orders="passed")
    done = call(github, "deliver", "promotion", "--to=prod", "--train", f"--tested={tested}")
    assert done.returncode == 0, done.stderr
    assert "somebody has to merge it once it is approved: gh pr merge failed: Auto merge is not allowed" in done.stdout
    assert len(github.state["pulls"]) == 1


def test_services_are_tested_where_they_run(github: GitHub, running: Cluster) -> None:
    running.run("catalog", "another-version")
    configure(github, "staging", deploy="automatic")
    impatient_and_without_routes(github)
    done = call(github, "deliver", "promotion", "--to=staging", "--train", cluster=running)
    assert done.returncode == 0, done.stderr
    assert f"failed: catalog {build('catalog')['version']} in dev" in done.stdout
    assert f"waiting: catalog {build('catalog')['version']} has not passed its smoke test in dev" in done.stdout
    assert versions(github, "staging") == {"orders": build("orders")["version"]}


def test_what_was_tested_in_another_version_does_not_go(github: GitHub) -> None:
    tested = both(github)
    release(github.work, "dev", [build("orders", 2)], "--push", env=github.env)
    github.images.push("orders", 2)
    done = call(github, "deliver", "promotion", "--to=staging", "--train", f"--tested={tested}")
    assert done.returncode == 0, done.stderr
    assert f"waiting: orders {build('orders', 2)['version']} has not passed" in done.stdout
    assert waiting(github, "promote/staging") == {"catalog": "staging"}


def test_nothing_is_written_of_what_is_not_to_be_trusted(github: GitHub) -> None:
    (github.images.folder / "signatures").write_text("")
    github.images.push("catalog")
    done = call(github, "deliver", "promotion", "--to=staging", "--train", f"--tested={both(github)}")
    assert done.returncode == 1
    assert "not to be trusted: orders: cosign verify: Error: no signatures found" in done.stderr
    assert waiting(github, "promote/staging") == {"catalog": "staging"}
    together = ["--service=orders", "--service=catalog", f"--tested={both(github)}"]
    release(github.work, "dev", [build("catalog", 2)], "--push", env=github.env)
    done = call(github, "deliver", "promotion", "--to=staging", *together)
    assert done.returncode == 1
    assert "nothing is promoted: services that are named go together" in done.stderr


def test_without_cosign_nothing_goes(github: GitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (github.tools.folder / "bin/cosign").unlink()
    others = path_without("cosign", github.env["PATH"], tmp_path / "others")
    monkeypatch.setattr(GitHub, "env", {**github.env, "PATH": others})
    done = call(github, "deliver", "promotion", "--to=staging", "--train", f"--tested={both(github)}")
    assert done.returncode == 1
    assert "cosign not on PATH" in done.stderr
    assert github.state["pulls"] == []


def test_a_pin_holds(github: GitHub) -> None:
    release(github.work, "staging", [build("orders")], env=github.env)
    github.push()
    why = ["--reason=2 loses orders", "--until=2d", "--push"]
    assert call(github, "pin", "--environment=staging", "--service=orders", *why).returncode == 0
    release(github.work, "dev", [build("orders", 2)], "--push", env=github.env)
    github.images.push("orders", 2)
    named = call(github, "deliver", "promotion", "--to=staging", "--service=orders", f"--tested={both(github)}")
    assert named.returncode == 1
    assert f"nothing is promoted: orders is pinned to {build('orders')['version']} in staging" in named.stderr
    train = call(github, "deliver", "promotion", "--to=staging", "--train", f"--tested={both(github)}")
    assert train.returncode == 0, train.stderr
    assert "refused: orders is pinned" in train.stdout
    assert waiting(github, "promote/staging") == {"catalog": "staging"}


def test_nothing_to_do_is_said(github: GitHub) -> None:
    release(github.work, "staging", [build("orders"), build("catalog")], env=github.env)
    github.push()
    done = call(github, "deliver", "promotion", "--to=staging", "--train")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "nothing goes to staging"
    assert github.state["pulls"] == []


def test_a_rehearsal_writes_nothing(github: GitHub) -> None:
    before = github.subjects()
    done = call(github, "deliver", "promotion", "--to=staging", "--train", f"--tested={both(github)}", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "dry run: nothing is committed" in done.stdout
    assert github.subjects() == before
    assert github.state["pulls"] == []


def test_builds_are_verified_and_released(github: GitHub) -> None:
    github.pull()
    file = github.folder / "builds.json"
    file.write_text(json.dumps([build("orders", 2)]))
    done = call(github, "deliver", "release", "--environment=dev", f"--builds={file}")
    assert done.returncode == 1
    assert "not to be trusted: orders" in done.stderr
    github.images.push("orders", 2)
    done = call(github, "deliver", "release", "--environment=dev", f"--builds={file}")
    assert done.returncode == 0, done.stderr
    assert versions(github, "dev")["orders"] == build("orders", 2)["version"]
    done = call(github, "deliver", "release", "--environment=prod", f"--builds={file}")
    assert done.returncode == 0, done.stderr
    assert [pull["headRefName"] for pull in github.state["pulls"]] == ["release/prod"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["promotion", "--to=dev", "--train"], "dev is the first environment"),
        (["promotion", "--to=nowhere", "--train"], "there is no environment nowhere"),
        (["promotion", "--to=staging"], "one of the arguments --service --train is required"),
        (["promotion", "--to=staging", "--train", "--tested=nothing.json"], "holds no results of scripts/smoke-test"),
        (["release", "--environment=dev", "--builds=nothing.json"], "nothing.json cannot be read"),
        ([], "required: release|promotion"),
    ],
)
def test_bad_input_is_refused(github: GitHub, arguments: list[str], message: str) -> None:
    done = call(github, "deliver", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_results_of_another_environment_are_refused(github: GitHub) -> None:
    release(github.work, "staging", [build("orders")], env=github.env)
    github.push()
    done = call(github, "deliver", "promotion", "--to=prod", "--train", f"--tested={both(github)}")
    assert done.returncode == 2
    assert "holds the results of dev, and versions come from staging" in done.stderr


# What failed goes back.


def second(github: GitHub, environment: str = "dev") -> None:
    """Release a second version of both services, in one commit."""
    release(github.work, environment, [build("orders", 2), build("catalog", 2)], env=github.env)
    github.push()


def test_what_failed_goes_back_and_the_commit_says_why(github: GitHub) -> None:
    second(github)
    file = results(github, "dev", orders="http://orders.acme-dev:9000/readyz answers 500", catalog="passed")
    done = call(github, "rollback-failed", f"--results={file}")
    assert done.returncode == 1, "a deployment failed, also when it was taken back"
    assert versions(github, "dev") == {"orders": build("orders")["version"], "catalog": build("catalog", 2)["version"]}
    message = github.git("log", "-1", "--format=%B")
    assert message.startswith(f"rollback(dev): orders {build('orders')['version']}\n")
    assert "Reason: smoke test failed: http://orders.acme-dev:9000/readyz answers 500" in message
    assert "Deployed-by: smoke test" in message
    # Where releases arrive by themselves, the repaired version gets through.
    assert "pinned" not in github.registry()["orders"]["dev"]


def test_where_people_decide_it_is_pinned(github: GitHub) -> None:
    release(github.work, "prod", [build("orders"), build("catalog")], env=github.env)
    second(github, "prod")
    call(github, "rollback-failed", f"--results={results(github, 'prod', orders='it answers 500')}")
    entry = github.registry()["orders"]["prod"]
    assert entry["version"] == build("orders")["version"]
    assert entry["pinned"]["reason"] == "smoke test failed: it answers 500"


def test_what_was_released_meanwhile_stays(github: GitHub) -> None:
    second(github)
    file = results(github, "dev", orders="it answers 500")
    release(github.work, "dev", [build("orders", 3)], "--push", env=github.env)
    done = call(github, "rollback-failed", f"--results={file}")
    assert done.stdout == f"superseded: orders {build('orders', 2)['version']} in dev by another version\n"
    assert done.returncode == 0, "what replaced it is asked by a run of its own"
    assert versions(github, "dev")["orders"] == build("orders", 3)["version"]


def test_a_rollback_that_fails_goes_no_farther(github: GitHub) -> None:
    second(github)
    call(github, "rollback-failed", f"--results={results(github, 'dev', orders='it answers 500')}")
    done = call(github, "rollback-failed", f"--results={results(github, 'dev', orders='it answers 500')}")
    assert done.returncode == 1
    assert f"stays: orders {build('orders')['version']} in dev: it is a rollback itself" in done.stdout
    assert versions(github, "dev")["orders"] == build("orders")["version"]


def test_a_first_release_has_nothing_to_go_back_to(github: GitHub) -> None:
    done = call(github, "rollback-failed", f"--results={results(github, 'dev', orders='it answers 500')}")
    assert done.returncode == 1
    assert versions(github, "dev")["orders"] == build("orders")["version"]


def test_a_pin_stops_the_robot_too(github: GitHub) -> None:
    second(github)
    why = ["--reason=we look at it", "--until=2d", "--push"]
    call(github, "pin", "--environment=dev", "--service=orders", *why)
    done = call(github, "rollback-failed", f"--results={results(github, 'dev', orders='it answers 500')}")
    assert f"refused: orders is pinned to {build('orders', 2)['version']} in dev" in done.stdout
    assert versions(github, "dev")["orders"] == build("orders", 2)["version"]


def test_it_can_be_switched_off(github: GitHub) -> None:
    second(github)
    configure(github, "dev", rollbackOnFailure=False)
    done = call(github, "rollback-failed", f"--results={results(github, 'dev', orders='it answers 500')}")
    assert done.returncode == 1
    assert f"stays: orders {build('orders', 2)['version']} in dev: `rollbackOnFailure` is off" in done.stdout
    assert versions(github, "dev")["orders"] == build("orders", 2)["version"]


def test_a_rehearsal_rolls_nothing_back(github: GitHub) -> None:
    second(github)
    file = results(github, "dev", orders="it answers 500")
    done = call(github, "rollback-failed", f"--results={file}", "--dry-run")
    assert f"rolled-back: orders in dev from {build('orders', 2)['version']}" in done.stdout
    assert versions(github, "dev")["orders"] == build("orders", 2)["version"]


def test_the_switch_comes_from_the_spec(platform: Platform) -> None:
    document = json.loads((platform.cd / "config/platform.json").read_text())
    off = {one["name"] for one in document["environments"] if one.get("rollbackOnFailure") is False}
    assert off == ({"test"} if platform.name == "five-environments" else set())
