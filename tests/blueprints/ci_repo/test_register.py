"""scripts/collect-builds and notify-cd: only what the registry has and the signer signed reaches cd-repo."""

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.blueprints.ci_repo.toolbox import COSIGN, GH, Toolbox
from tests.platform import Platform, answers_of, copy_of
from tests.tools import run

VERSION = "20261123.081500-0123456789ab"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
PLAN = {
    "environment": "dev",
    "commit": COMMIT,
    "committed_at": "2026-11-23T08:15:00Z",
    "version": VERSION,
    "services": {"catalog": "c" * 64, "orders": "0" * 64},
    "builds": ["catalog", "orders"],
    "reused": {},
}
DIGESTS = {"catalog": f"sha256:{'1' * 64}", "orders": f"sha256:{'2' * 64}"}

# A registry that holds the images of the file IMAGES: {reference: [digest, labels]}.
SKOPEO = """
images = json.load(open(os.environ["IMAGES"]))
digest, labels = images.get(args[-1].removeprefix("docker://")) or sys.exit("manifest unknown")
print(json.dumps({"Digest": digest, "Labels": labels}))
"""


@dataclass
class Store:
    """An image registry, what is signed in it, and the scripts that ask it."""

    scripts: Path
    folder: Path
    env: dict[str, str]
    images: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)

    def push(
        self, service: str, *, commit: str = COMMIT, source: str = "", signed: bool = True, by_source: bool = False
    ) -> None:
        """Push an image as the pipeline does; `by_source` gives it the tag of its content alone."""
        source = source or PLAN["services"][service]  # type: ignore[index]
        labels = {"version": VERSION, "revision": commit, "created": "2026-11-23T10:15:00+02:00"}
        labels = {f"org.opencontainers.image.{name}": value for name, value in labels.items()}
        name = f":source-{PLAN['services'][service]}" if by_source else f":{VERSION}"  # type: ignore[index]
        for reference in (name, f"@{DIGESTS[service]}"):
            self.images[f"ghcr.io/acme/{service}{reference}"] = (
                DIGESTS[service],
                {**labels, "triptych.source": source},
            )
        if signed:
            with (self.folder / "signatures").open("a") as file:
                reference = f"ghcr.io/acme/{service}@{DIGESTS[service]}"
                file.writelines(f"{what} {reference}\n" for what in ("sign", "cyclonedx", "slsaprovenance1"))

    def run(self, script: str, *args: str | Path, plan: Any = PLAN) -> tuple[Any, str, str]:
        """Run a script on a plan, and return what it wrote, its outputs, and its warnings."""
        (self.folder / "plan.json").write_text(json.dumps(plan))
        (self.folder / "images.json").write_text(json.dumps(self.images))
        (self.folder / "outputs").unlink(missing_ok=True)
        paths = {"IMAGES": "images.json", "FAKE_COSIGN_STATE": "signatures", "GITHUB_OUTPUT": "outputs"}
        env = {**self.env, **{name: str(self.folder / path) for name, path in paths.items()}}
        done = run(self.scripts / script, *args, cwd=self.folder, env=env)
        written = "builds.json" if script == "collect-builds" else "plan.json"
        return json.loads((self.folder / written).read_text()), (self.folder / "outputs").read_text(), done.stderr


@pytest.fixture
def store(scripts: Path, tools: Toolbox, tmp_path: Path) -> Store:
    tools.add("skopeo", SKOPEO)
    tools.add("cosign", COSIGN)
    return Store(scripts, tmp_path, tools.env)


def test_what_was_built_and_signed_is_registered(store: Store) -> None:
    store.push("catalog")
    store.push("orders")
    builds, outputs, _ = store.run("collect-builds")
    assert outputs == "count=2\nmissing=\n"
    assert builds[1] == {
        "service": "orders",
        "version": VERSION,
        "digest": DIGESTS["orders"],
        "commit": COMMIT,
        "committed_at": "2026-11-23T08:15:00Z",
        "source": "0" * 64,
    }


@pytest.mark.parametrize(
    "orders",
    [
        pytest.param(None, id="not built"),
        pytest.param({"signed": False}, id="not signed"),
        pytest.param({"commit": "f" * 40}, id="of another commit"),
        pytest.param({"source": "f" * 64}, id="of other content"),
        pytest.param({"source": "none"}, id="of nobody knows what"),
    ],
)
def test_a_service_that_failed_is_missing_and_the_others_are_registered(
    store: Store, orders: dict[str, Any] | None
) -> None:
    store.push("catalog")
    if orders:
        store.push("orders", **orders)
    builds, outputs, warnings = store.run("collect-builds")
    assert [build["service"] for build in builds] == ["catalog"]
    assert outputs == "count=1\nmissing=orders\n"
    assert "no trusted image of orders" in warnings


def deployed(folder: Path, committed_at: str) -> Path:
    """Write what cd-repo's registry says of orders."""
    path = folder / "deployed.json"
    path.write_text(json.dumps({"orders": {"dev": {"source": "f" * 64, "committed_at": committed_at}}}))
    return path


def test_what_is_built_already_is_not_built_again(store: Store, tmp_path: Path) -> None:
    store.push("orders", commit="e" * 40, by_source=True)
    plan, outputs, _ = store.run("find-images", "--deployed", deployed(tmp_path, "2026-11-22T00:00:00Z"))
    assert plan["builds"] == ["catalog"]
    assert outputs.splitlines()[0] == "builds=1"
    assert json.loads(json.loads(outputs.splitlines()[1].removeprefix("chunks="))[0]["services"]) == ["catalog"]
    store.push("catalog")
    builds, _, _ = store.run("collect-builds", plan=plan)
    assert [build["service"] for build in builds] == ["catalog", "orders"]
    # It is the image of the commit that built it, with the time of that commit.
    assert (builds[1]["commit"], builds[1]["digest"]) == ("e" * 40, DIGESTS["orders"])
    assert builds[1]["committed_at"] == "2026-11-23T08:15:00Z"


def test_content_that_comes_back_is_newer_than_what_runs(store: Store, tmp_path: Path) -> None:
    store.push("orders", by_source=True)
    reverted = {**PLAN, "committed_at": "2026-11-25T00:00:00Z"}
    plan, _, _ = store.run("find-images", "--deployed", deployed(tmp_path, "2026-11-24T00:00:00Z"), plan=reverted)
    assert plan["reused"]["orders"]["committed_at"] == "2026-11-25T00:00:00Z"


@pytest.mark.parametrize(
    "orders",
    [
        pytest.param({"signed": False}, id="not signed"),
        pytest.param({"source": "f" * 64}, id="under a tag that somebody moved"),
    ],
)
def test_an_image_that_is_not_to_be_trusted_is_built_again(
    store: Store, tmp_path: Path, orders: dict[str, Any]
) -> None:
    store.push("orders", by_source=True, **orders)
    plan, _, _ = store.run("find-images", "--deployed", deployed(tmp_path, "2026-11-22T00:00:00Z"))
    assert plan["builds"] == ["catalog", "orders"]
    assert plan["reused"] == {}


@pytest.mark.parametrize("missing", ["skopeo", "cosign"])
def test_without_its_tools_nothing_is_collected(scripts: Path, tools: Toolbox, tmp_path: Path, missing: str) -> None:
    (tmp_path / "plan.json").write_text(json.dumps(PLAN))
    tools.add("cosign" if missing == "skopeo" else "skopeo")
    (tools.folder / "bin" / "python3").symlink_to(sys.executable)
    (tools.folder / "bin" / "env").symlink_to(run("sh", "-c", "command -v env").stdout.strip())
    result = run(scripts / "collect-builds", cwd=tmp_path, env={"PATH": str(tools.folder / "bin")}, check=False)
    assert result.returncode == 1
    assert f"{missing} is not on PATH" in result.stderr
    assert not (tmp_path / "builds.json").exists()


@pytest.fixture
def cd(example: Platform, tmp_path: Path) -> Path:
    """A cd-repo on a server."""
    bare = tmp_path / "cd.git"
    run("git", "clone", "--quiet", "--bare", example.cd, bare)
    return bare


@pytest.fixture
def builds(tmp_path: Path) -> Path:
    path = tmp_path / "builds.json"
    fields = {key: PLAN[key] for key in ("commit", "committed_at", "version")}
    path.write_text(json.dumps([{"service": "orders", "digest": DIGESTS["orders"], "source": "0" * 64, **fields}]))
    return path


def notify(scripts: Path, cd: Path, builds: Path, *args: str, **env: str) -> str:
    what = ("--builds", str(builds), "--repository", str(cd))
    return run(scripts / "notify-cd", *what, *args, env={"GITHUB_ACTOR": "jo", **env}).stdout


def log(cd: Path, branch: str = "main") -> list[str]:
    return run("git", "log", "--format=%s", branch, cwd=cd).stdout.splitlines()


def test_a_batch_is_one_commit_in_cd_repo(scripts: Path, cd: Path, builds: Path) -> None:
    notify(scripts, cd, builds)
    assert log(cd) == [f"release(dev): orders {VERSION}", "Create cd-repo from services.yaml"]
    assert DIGESTS["orders"] in run("git", "show", "main:registry/versions.yaml", cwd=cd).stdout


def test_a_dry_run_pushes_nothing(scripts: Path, cd: Path, builds: Path) -> None:
    assert "orders" in notify(scripts, cd, builds, "--dry-run")
    assert log(cd) == ["Create cd-repo from services.yaml"]


def test_the_token_is_in_no_argument_and_no_file(scripts: Path, cd: Path, builds: Path, tools: Toolbox) -> None:
    git = run("sh", "-c", "command -v git").stdout.strip()
    tools.add("git", f'assert os.environ["GIT_CONFIG_COUNT"] == "1"\nos.execv({git!r}, ["git", *args])')
    notify(scripts, cd, builds, CD_REPO_TOKEN="ghs_secret", **tools.env)  # noqa: S106 (a token of nobody)
    calls = json.dumps(tools.calls)
    assert "clone" in calls
    assert "push" in calls
    assert "ghs_secret" not in calls
    assert "eC1hY2Nlc3MtdG9rZW4" not in calls


def test_an_older_build_is_left_out_and_the_runs_page_says_so(
    scripts: Path, cd: Path, builds: Path, tmp_path: Path
) -> None:
    notify(scripts, cd, builds)
    older = {
        **json.loads(builds.read_text())[0],
        "committed_at": "2026-11-22T08:15:00Z",
        "version": "20261122.081500-0",
    }
    builds.write_text(json.dumps([older]))
    page = tmp_path / "page"
    args = ("--builds", builds, "--repository", cd)
    done = run(scripts / "notify-cd", *args, env={"GITHUB_STEP_SUMMARY": str(page), "GITHUB_ACTIONS": "true"})
    assert "- skipped: orders 20261122.081500-0 is of 2026-11-22T08:15:00Z, older than" in page.read_text()
    assert "\n::warning::skipped: orders 20261122.081500-0 is of" in f"\n{done.stderr}"
    assert log(cd) == [f"release(dev): orders {VERSION}", "Create cd-repo from services.yaml"]


def test_a_service_that_cd_repo_does_not_have_fails_the_run_and_stops_no_other(
    scripts: Path, cd: Path, builds: Path
) -> None:
    (orders,) = json.loads(builds.read_text())
    builds.write_text(json.dumps([orders, {**orders, "service": "payments"}]))
    done = run(scripts / "notify-cd", "--builds", builds, "--repository", cd, check=False)
    assert done.returncode == 1
    assert "payments" in done.stderr.splitlines()[-1]
    assert log(cd)[0] == f"release(dev): orders {VERSION}"


@pytest.fixture
def pull_requests(tools: Toolbox, tmp_path: Path) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Return a function that returns the pull requests of cd-repo."""
    tools.add("gh", GH)
    state = tmp_path / "pull-requests.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAKE_GH_STATE", str(state))
        yield lambda: json.loads(state.read_text())


def test_an_environment_that_asks_for_it_gets_a_pull_request(
    scripts: Path, cd: Path, builds: Path, tools: Toolbox, pull_requests: Callable[[], list[dict[str, Any]]]
) -> None:
    assert answers_of("example", "cd-repo")["environments"][1]["deploy"] == "pull-request"
    notify(scripts, cd, builds, "--environment", "staging", **tools.env)
    assert log(cd) == ["Create cd-repo from services.yaml"]
    assert log(cd, "release/staging")[0] == f"release(staging): orders {VERSION}"
    (opened,) = pull_requests()
    assert (opened["headRefName"], opened["base"]) == ("release/staging", "main")
    assert opened["title"] == f"release(staging): orders {VERSION}"
    assert "renewed pull request 1" in notify(scripts, cd, builds, "--environment", "staging", **tools.env)
    assert len(pull_requests()) == 1


def test_a_proposal_keeps_what_waits_in_it(
    scripts: Path, cd: Path, builds: Path, tools: Toolbox, pull_requests: Callable[[], list[dict[str, Any]]]
) -> None:
    notify(scripts, cd, builds, "--environment", "staging", **tools.env)
    (orders,) = json.loads(builds.read_text())
    builds.write_text(json.dumps([{**orders, "service": "catalog", "digest": DIGESTS["catalog"]}]))
    notify(scripts, cd, builds, "--environment", "staging", **tools.env)
    proposed = run("git", "show", "release/staging:registry/versions.yaml", cwd=cd).stdout
    assert all(digest in proposed for digest in DIGESTS.values())
    (opened,) = pull_requests()
    assert opened["title"] == "release(staging): 2 services"


def test_what_runs_in_the_environment_before_is_promoted_and_the_rest_is_released(
    scripts: Path, cd: Path, builds: Path, tools: Toolbox, pull_requests: Callable[[], list[dict[str, Any]]]
) -> None:
    notify(scripts, cd, builds)
    (orders,) = json.loads(builds.read_text())
    builds.write_text(json.dumps([orders, {**orders, "service": "catalog", "digest": DIGESTS["catalog"]}]))
    notify(scripts, cd, builds, "--environment", "staging", **tools.env)
    assert log(cd, "promote/staging")[0] == f"promote(staging): orders {VERSION}"
    assert log(cd, "release/staging")[0] == f"release(staging): catalog {VERSION}"
    assert "Promoted-from: dev" in run("git", "log", "-1", "promote/staging", cwd=cd).stdout
    assert [pull["headRefName"] for pull in pull_requests()] == ["promote/staging", "release/staging"]


def test_a_promotion_waits_until_the_version_has_soaked(
    scripts: Path, example: Platform, tmp_path: Path, builds: Path
) -> None:
    changed = copy_of(example.cd, tmp_path)
    config = changed / "config/platform.json"
    platform = json.loads(config.read_text())
    platform["environments"][0]["soak"] = "2h"
    platform["environments"][1]["deploy"] = "automatic"
    config.write_text(json.dumps(platform))
    run("git", "commit", "--quiet", "--all", "--message=Let versions soak", cwd=changed)
    bare = tmp_path / "cd.git"
    run("git", "clone", "--quiet", "--bare", changed, bare)
    notify(scripts, bare, builds)
    said = notify(scripts, bare, builds, "--environment", "staging")
    assert f"waiting: orders {VERSION} has run in dev for 0m of 2h" in said
    assert log(bare)[0] == f"release(dev): orders {VERSION}"


@pytest.mark.slow
def test_of_proposals_that_race_none_is_lost_and_the_newest_build_of_a_service_wins(
    scripts: Path, cd: Path, tools: Toolbox, tmp_path: Path, pull_requests: Callable[[], list[dict[str, Any]]]
) -> None:
    def propose(job: tuple[str, int]) -> None:
        service, minute = job
        path = tmp_path / f"{service}-{minute}.json"
        digest = f"sha256:{service[0].encode().hex()}{minute:062}"
        fields = {"commit": COMMIT, "source": "0" * 64, "version": f"20261123.08{minute}00-0123456789ab"}
        when = f"2026-11-23T08:{minute}:00Z"
        path.write_text(json.dumps([{"service": service, "digest": digest, "committed_at": when, **fields}]))
        notify(scripts, cd, path, "--environment", "staging", **tools.env)

    jobs = [(service, minute) for minute in (12, 10, 11) for service in ("catalog", "orders")]
    with ThreadPoolExecutor(len(jobs)) as pool:
        list(pool.map(propose, jobs))
    proposed = run("git", "show", "release/staging:registry/versions.yaml", cwd=cd).stdout
    assert proposed.count('version: "20261123.081200-0123456789ab"') == 2
    assert len(log(cd, "release/staging")) == 2, "one commit on top of main"
    (opened,) = pull_requests()
    assert opened["title"] == "release(staging): 2 services"
    assert opened["body"].count("2026-11-23T08:12:00Z") == 2


@pytest.mark.parametrize("environment", ["qa", "$(id)", "--push"])
def test_an_environment_that_is_none_is_refused(scripts: Path, cd: Path, builds: Path, environment: str) -> None:
    args = ("--builds", builds, "--repository", cd, "--environment", environment)
    assert run(scripts / "notify-cd", *args, check=False).returncode != 0
    assert log(cd) == ["Create cd-repo from services.yaml"]


def test_a_repository_that_cannot_be_reached_is_an_error(scripts: Path, builds: Path, tmp_path: Path) -> None:
    args = ("--builds", builds, "--repository", tmp_path / "nowhere")
    assert run(scripts / "notify-cd", *args, check=False).returncode != 0


def test_a_copy_of_a_platform_knows_its_names(example: Platform, tmp_path: Path) -> None:
    scripts = copy_of(example.ci, tmp_path) / "scripts"
    assert run(scripts / "config", "repositories.cd").stdout == "cd-repo\n"
    assert run(scripts / "config", "environments.0.branch").stdout == "develop\n"
    for key in ("nothing", "environments.9.name", "platform.name", ""):
        assert run(scripts / "config", key, check=False).returncode == 1
