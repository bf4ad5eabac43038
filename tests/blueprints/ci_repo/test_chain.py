"""A push to app-repo, executed: app-push.yml, release.yml, batch.yml, shared-pipeline.yml, and one commit in cd-repo.

tests/test_whole_chain.py follows one change from services.yaml to production and back.
"""

import json

import pytest

from tests.blueprints.ci_repo.github import GitHub
from tests.blueprints.ci_repo.machine import commit
from tests.blueprints.ci_repo.test_library import LIBRARY, change, raise_version
from tests.blueprints.ci_repo.toolbox import GH, Toolbox
from tests.tools import run

LEGS = {service: {f"{service}/{job}" for job in ("Test", "Image", "Sign")} for service in ("catalog", "orders")}


@pytest.mark.slow
def test_a_push_becomes_signed_images_and_one_commit(github: GitHub, tools: Toolbox) -> None:
    first = github.app_push(github.push())
    assert first.succeeded, first.output
    assert first.jobs == {"Accept", "Plan", "Register", *LEGS["catalog"], *LEGS["orders"]}
    assert github.commits() == ["release(dev): 2 services"]
    registry = run("git", "show", "main:registry/versions.yaml", cwd=github.cd).stdout
    assert registry.count('deployed_by: "octo-cat"') == 2, "who pushed, not the App that told of it"
    signed = [call[-1] for call in tools.calls if call[:2] == ["cosign", "sign"]]
    assert sorted(reference.partition("@")[2] for reference in signed) == sorted(map(github.digest, LEGS))

    # The same event once more: nothing is left to do.
    again = github.app_push(github.push())
    assert again.succeeded, again.output
    assert again.jobs == {"Accept", "Plan"}
    assert len(github.commits()) == 1

    # One service changes: exactly its jobs run, and cd-repo gets its digest alone.
    before = {service: github.digest(service) for service in LEGS}
    (github.source / "services/orders/hello").write_text("good morning\n")
    # Whatever a team calls its files, and says of them, is text.
    (github.source / "services/orders/$(touch pwned); `touch pwned`").write_text("hostile")
    commit(
        github.source,
        "Say good morning\n\n$(touch pwned) `touch pwned` ::set-output name=count::0\n${{ github.token }}",
        when="2026-11-23T11:00:00+02:00",
    )
    one = github.app_push(github.push())
    assert one.succeeded, one.output
    assert one.jobs == {"Accept", "Plan", "Register", *LEGS["orders"]}
    assert github.commits()[0].startswith("release(dev): orders 20261123.090000-")
    assert github.digest("catalog") == before["catalog"]
    assert github.digest("orders") != before["orders"]
    assert not list(github.folder.parent.rglob("pwned"))


@pytest.mark.exhaustive
def test_what_was_built_once_is_not_built_again(github: GitHub) -> None:
    github.app_push(github.push())
    first = github.digest("orders")
    (github.source / "services/orders/hello").write_text("good morning\n")
    commit(github.source, "Say good morning", when="2026-11-23T11:00:00+02:00")
    github.app_push(github.push())
    assert github.digest("orders") != first

    # The team takes its change back: the image of that content is there, and is deployed as the newest.
    (github.source / "services/orders/hello").write_text("orders\n")
    commit(github.source, "Say it as before", when="2026-11-23T12:00:00+02:00")
    back = github.app_push(github.push())
    assert back.succeeded, back.output
    assert back.jobs == {"Accept", "Plan", "Register"}
    assert "orders is built already" in back.output
    assert github.digest("orders") == first

    # Somebody pins it: the next change is built once, held back at each push, and the run says so.
    with_registry = github.folder / "cd"
    run("git", "clone", "--quiet", github.cd, with_registry)
    options = ("--reason", "holidays", "--until", "7d", "--by", "jo", "--push")
    run("python3", "scripts/pin", "--service", "orders", "--environment", "dev", *options, cwd=with_registry)
    (github.source / "services/orders/hello").write_text("good evening\n")
    commit(github.source, "Say good evening", when="2026-11-23T13:00:00+02:00")
    built = github.app_push(github.push())
    assert built.jobs == {"Accept", "Plan", "Register", *LEGS["orders"]}
    again = github.app_push(github.push())
    assert again.jobs == {"Accept", "Plan", "Register"}
    assert "refused: orders is pinned to" in again.output
    assert github.digest("orders") == first


@pytest.mark.exhaustive
def test_an_event_that_was_lost_is_made_up_for(github: GitHub) -> None:
    github.push()
    healed = github.act("schedule", "reconcile.yml", {"schedule": "23 */6 * * *"}, {})
    assert healed.succeeded, healed.output
    assert healed.jobs == {"Plan", "Register", *LEGS["catalog"], *LEGS["orders"]}
    assert github.commits() == ["release(dev): 2 services"]
    again = github.act("schedule", "reconcile.yml", {"schedule": "23 */6 * * *"}, {})
    assert again.jobs == {"Plan"}


@pytest.mark.slow
def test_a_vulnerable_image_is_neither_pushed_nor_deployed(github: GitHub, tools: Toolbox) -> None:
    done = github.app_push(github.push(), FOUND="CVE-2026-1")
    assert not done.succeeded
    assert {"catalog/Test", "orders/Test"} <= done.jobs
    assert not {"catalog/Image", "orders/Image", "catalog/Sign", "orders/Sign"} & done.jobs
    assert [call for call in tools.calls if call[0] == "cosign"] == []
    assert github.commits() == []
    reports = github.folder / "artifacts/scans-orders"
    assert "CVE-2026-1" in (reports / "image.sarif").read_text(), "what was found is kept with the run that failed"
    assert (reports / "code.sarif").exists()
    # The next run finds what is missing: nothing was lost.
    healed = github.app_push(github.push())
    assert healed.succeeded, healed.output
    assert github.commits() == ["release(dev): 2 services"]


@pytest.mark.exhaustive
def test_a_provider_that_breaks_who_calls_it_is_not_pushed_and_stops_no_other(github: GitHub) -> None:
    contract = github.source / "contracts/shop--catalog.json"
    contract.parent.mkdir()
    contract.write_text("BROKEN")
    commit(github.source, "Break the shop")
    broken = github.app_push(github.push())
    assert not broken.succeeded
    assert "a contract of catalog is broken" in broken.output
    assert broken.jobs == {"Accept", "Plan", *LEGS["orders"]}, "act runs no job after a failed workflow"
    assert github.tags("catalog") == []
    assert github.tags("orders") != []

    contract.write_text("{}")
    commit(github.source, "Mend it", when="2026-11-23T11:00:00+02:00")
    mended = github.app_push(github.push())
    assert mended.succeeded, mended.output
    assert mended.jobs == {"Accept", "Plan", "Register", *LEGS["catalog"]}
    assert github.commits() == ["release(dev): 2 services"]


@pytest.mark.exhaustive
def test_a_service_is_built_by_hand(github: GitHub) -> None:
    github.push()
    tried = github.run_by_hand("orders", deploy=False)
    assert tried.succeeded, tried.output
    assert tried.jobs == {"Plan", *LEGS["orders"]}
    assert github.commits() == []
    deployed = github.run_by_hand("orders", deploy=True)
    assert deployed.succeeded, deployed.output
    assert deployed.jobs == {"Plan", "Register", *LEGS["orders"]}
    assert len(github.commits()) == 1


@pytest.mark.slow
def test_on_another_branch_of_ci_repo_a_run_is_a_trial(github: GitHub, tools: Toolbox) -> None:
    github.push()
    refused = github.run_by_hand("orders", deploy=True, branch="faster-builds")
    assert not refused.succeeded
    assert "Clusters trust only what main of this repository signs" in refused.output
    assert refused.jobs == set()
    trial = github.run_by_hand("orders", deploy=False, branch="faster-builds")
    assert trial.succeeded, trial.output
    assert trial.jobs == {"Plan", "orders/Test", "orders/Image"}
    assert "nothing is pushed or signed" in trial.output
    assert [call[0] for call in tools.calls if call[0] in ("cosign", "syft")] == []
    assert github.tags("orders") == []


@pytest.mark.slow
def test_a_missing_setting_stops_the_run_and_is_named(github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.blueprints.ci_repo.github.VARIABLES", ())
    done = github.app_push(github.push())
    assert not done.succeeded
    assert "not set: READER_APP_CLIENT_ID REGISTRAR_APP_CLIENT_ID" in done.output


@pytest.mark.slow
def test_a_merge_to_the_branch_of_the_next_environment_moves_the_digest_and_builds_what_has_none(
    github: GitHub, tools: Toolbox
) -> None:
    tools.add("gh", GH)
    env = {"FAKE_GH_STATE": str(github.folder / "pulls.json"), **tools.env}
    github.app_push(github.push())
    tested = github.digest("orders")

    # What is repaired on the branch itself has no image yet; the other service's content has one.
    (github.source / "services/catalog/hello").write_text("repaired\n")
    commit(github.source, "Repair catalog", when="2026-11-23T11:00:00+02:00")
    merged = github.app_push(github.push("staging"), "refs/heads/staging", **env)
    assert merged.succeeded, merged.output
    assert merged.jobs == {"Accept", "Plan", "Register", *LEGS["catalog"]}
    assert github.commits() == ["release(dev): 2 services"], "staging asks for a pull request"
    promoted = run("git", "log", "-1", "--format=%B", "promote/staging", cwd=github.cd).stdout
    assert promoted.startswith("promote(staging): orders ")
    assert tested in promoted
    released = run("git", "log", "-1", "--format=%B", "release/staging", cwd=github.cd).stdout
    assert released.startswith("release(staging): catalog 20261123.090000-")
    heads = [pull["headRefName"] for pull in json.loads((github.folder / "pulls.json").read_text())]
    assert heads == ["promote/staging", "release/staging"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "ref", ["refs/heads/$(touch pwned)", "`touch pwned`", 'develop"; touch pwned; "', "develop\nenvironment=prod"]
)
def test_a_hostile_branch_name_is_refused_and_not_executed(github: GitHub, ref: str) -> None:
    done = github.app_push(github.push(), ref)
    assert not done.succeeded
    assert done.jobs == set()
    assert "not a branch:" in done.output
    assert not list(github.folder.parent.rglob("pwned"))


@pytest.mark.exhaustive
def test_a_change_of_the_library_is_tested_published_and_proposed(github: GitHub, tools: Toolbox) -> None:
    tools.add("gh", GH)
    env = {"FAKE_GH_STATE": str(github.folder / "pulls.json"), **tools.env}
    change(github.ci / LIBRARY / "templates/_pod.yaml", "GracePeriodSeconds: 45", "GracePeriodSeconds: 46")
    commit(github.ci, "Give pods a second more")
    run("git", "push", "--quiet", github.folder / "acme/ci-repo", "HEAD:main", cwd=github.ci)
    refused = github.act("pull_request", "checks.yml", {"pull_request": {"number": 1}}, env)
    assert not refused.succeeded
    assert "cases passed" in refused.output
    assert f"Raise `version` in {LIBRARY}/Chart.yaml." in refused.output

    raise_version(github.ci, "7.0.0")
    commit(github.ci, "Raise the library's version")
    run("git", "push", "--quiet", github.folder / "acme/ci-repo", "HEAD:main", cwd=github.ci)
    merged = github.act("push", "library.yml", {"ref": "refs/heads/main"}, env)
    assert merged.succeeded, merged.output
    assert merged.jobs == {"Test the library", "Publish", "Propose"}
    (signed,) = [call[-1] for call in tools.calls if call[:2] == ["cosign", "sign"]]
    (pull,) = json.loads((github.folder / "pulls.json").read_text())
    assert (pull["headRefName"], pull["title"]) == ("library/base-7.0.0", "Library chart 7.0.0")
    assert f"`{signed}`" in pull["body"]
    assert github.commits() == [], "nothing reaches main of cd-repo without its checks"
    lock = run("git", "show", "library/base-7.0.0:library/base-7.0.0.lock.json", cwd=github.cd).stdout
    assert json.loads(lock)["version"] == "7.0.0"
