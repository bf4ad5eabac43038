"""A push to app-repo, executed: app-push.yml, release.yml, batch.yml, shared-pipeline.yml, and one commit in cd-repo.

act runs the workflows on this machine; git, buildah, skopeo, and the image registry are real. Actions that only GitHub
can run have stand-ins in `actions/`; Cosign, Trivy, and Syft are fakes that the installing steps put on PATH.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.blueprints.ci_repo.conftest import commit
from tests.blueprints.ci_repo.test_build_image import point_to
from tests.blueprints.ci_repo.test_gates import TRIVY
from tests.blueprints.ci_repo.test_library import LIBRARY, change, raise_version
from tests.blueprints.ci_repo.toolbox import COSIGN, GH, SYFT, Toolbox
from tests.platform import Platform
from tests.tools import run, tool

ACTIONS = Path(__file__).parent / "actions"
STAND_INS = {
    "actions/checkout": "checkout",
    "actions/create-github-app-token": "create-github-app-token",
    "actions/download-artifact": "download-artifact",
    "actions/setup-python": "nothing",
    "actions/upload-artifact": "upload-artifact",
    "anchore/sbom-action": "install-syft",
    "aquasecurity/trivy-action": "install-trivy",
    "azure/setup-helm": "install-helm",
    "docker/setup-buildx-action": "nothing",
    "sigstore/cosign-installer": "install-cosign",
}
SECRETS = ("GITHUB_TOKEN", "READER_APP_PRIVATE_KEY", "REGISTRAR_APP_PRIVATE_KEY")
VARIABLES = ("READER_APP_CLIENT_ID", "REGISTRAR_APP_CLIENT_ID")
# act's last line of a job: `[orders-2/Shared pipeline/Image] 🏁  Job succeeded`; the first part is the caller's name.
JOB = re.compile(
    r"^\[(?P<caller>[^\]/]+)/(?:(?P<workflow>[^\]/]+)/)?(?P<job>[^\]/]+?)(?:-\d+)? *\] .*Job succeeded", re.MULTILINE
)


@dataclass
class Run:
    """What a workflow run did."""

    succeeded: bool
    output: str

    @property
    def jobs(self) -> set[str]:
        """The jobs that ran to their end, as `<service>/<job>` where they belong to a service."""
        return {
            f"{re.sub(r'-[0-9]+$', '', m['caller'])}/{m['job']}" if m["workflow"] == "Shared pipeline" else m["job"]
            for m in JOB.finditer(self.output)
        }


@dataclass
class GitHub:
    """The three repositories on a server, and the runner of ci-repo's workflows."""

    folder: Path
    source: Path
    ci: Path
    cd: Path
    registry: str
    env: dict[str, str]

    def push(self, branch: str = "develop") -> str:
        """Push to a branch of app-repo and return the commit."""
        bare = self.folder / "acme" / "app-repo"
        run("git", "push", "--quiet", "--force", bare, f"HEAD:refs/heads/{branch}", cwd=self.source)
        return run("git", "rev-parse", "HEAD", cwd=self.source).stdout.strip()

    def app_push(self, sha: str, ref: str = "refs/heads/develop", **env: str) -> Run:
        """Deliver the event that app-repo sends after a push."""
        payload = {"repository": "acme/app-repo", "ref": ref, "sha": sha, "before": "f" * 40, "actor": "octo-cat"}
        event = {"action": "app-push", "client_payload": payload}
        return self.act("repository_dispatch", "app-push.yml", event, env)

    def run_by_hand(self, service: str, *, deploy: bool, branch: str = "main") -> Run:
        # GitHub sends all inputs as text.
        event = {"ref": f"refs/heads/{branch}", "inputs": {"ref": "develop", "deploy": str(deploy).lower()}}
        return self.act("workflow_dispatch", f"{service}-pipeline.yml", event, {})

    def act(self, name: str, workflow: str, event: Any, env: dict[str, str]) -> Run:
        path = self.folder / "event.json"
        path.write_text(json.dumps(event))
        pins = re.findall(r"uses: ([\w-]+/[\w-]+)\S*@([0-9a-f]{40})", "".join(w.read_text() for w in self.workflows))
        replace = [f"--local-repository={a}@{commit}={ACTIONS / STAND_INS[a]}" for a, commit in sorted(set(pins))]
        # GitHub says which workflow runs; act does not.
        env = {**self.env, "GITHUB_WORKFLOW_REF": f"acme/ci-repo/.github/workflows/{workflow}@refs/heads/main", **env}
        result = run(
            *(tool("act"), name, "--workflows", f".github/workflows/{workflow}", "--eventpath", path),
            *("--platform=ubuntu-24.04=-self-hosted", "--use-new-action-cache", *replace),
            *(f"--secret={name}=value-of-{name}" for name in SECRETS),
            *(f"--var={name}=value-of-{name}" for name in VARIABLES),
            *("--action-cache-path", self.folder / "cache"),
            *(f"--env={key}={value}" for key, value in env.items()),
            cwd=self.ci,
            env={"XDG_CACHE_HOME": str(self.folder / "cache"), **self.env},
            check=False,
        )
        return Run(result.returncode == 0, result.stdout + result.stderr)

    @property
    def workflows(self) -> list[Path]:
        return sorted((self.ci / ".github" / "workflows").glob("*.yml"))

    def commits(self) -> list[str]:
        """The subjects of cd-repo's commits, newest first, without the one that created it."""
        return run("git", "log", "--format=%s", "main", cwd=self.cd).stdout.splitlines()[:-1]

    def tags(self, service: str) -> list[str]:
        """Return the tags of a service's image in the registry."""
        image = f"docker://{self.registry}/acme/{service}"
        found = run("skopeo", "list-tags", image, env=self.env, check=False)
        return sorted(json.loads(found.stdout)["Tags"]) if found.returncode == 0 else []

    def digest(self, service: str) -> str:
        """Return the digest that cd-repo's registry has for a service in dev."""
        text = run("git", "show", f"main:registry/releases/dev/{service}.yaml", cwd=self.cd).stdout
        (digest,) = re.findall(r"sha256:[0-9a-f]{64}", text)
        return str(digest)


@dataclass
class Machine:
    """A machine that builds and pushes: the image registry's address, and its environment."""

    registry: str
    env: dict[str, str]


@pytest.fixture
def machine(builder: dict[str, str], registry: tuple[str, dict[str, str]]) -> Machine:
    address, env = registry
    return Machine(address, {**builder, **env})


@pytest.fixture
def github(example: Platform, ci: Path, source: Path, tools: Toolbox, machine: Machine) -> GitHub:
    server = source.parent / "server"
    address = machine.registry
    point_to(ci, f"{address}/acme")
    for workflow in (ci / ".github" / "workflows").glob("*.yml"):
        workflow.write_text(workflow.read_text().replace("ghcr.io/acme", f"{address}/acme"))
    commit(ci, "Use the registry of the test")
    run("git", "remote", "add", "origin", "https://github.com/acme/ci-repo.git", cwd=ci)
    for name, path in (("app-repo", source), ("ci-repo", ci), ("cd-repo", example.cd)):
        bare = server / "acme" / name
        run("git", "clone", "--quiet", "--bare", path, bare)
        run("git", "config", "uploadpack.allowAnySHA1InWant", "true", cwd=bare)
    (server / "acme" / "cd-repo.git").symlink_to(server / "acme" / "cd-repo")
    config = server / "gitconfig"
    config.write_text(
        f'[url "{server}/"]\n\tinsteadOf = https://github.com/\n[user]\n\tname = Test\n\temail = test@acme.example\n'
    )
    for name, body in (("cosign", COSIGN), ("trivy", TRIVY), ("syft", SYFT)):
        tools.add(name, body, folder=name)
    (tools.folder / "helm").mkdir()
    (tools.folder / "helm/helm").symlink_to(tool("helm"))
    env = {
        "ARTIFACTS": str(server / "artifacts"),
        "TOOLBOX": str(tools.folder),
        "FAKE_COSIGN_STATE": str(server / "signatures"),
        "GIT_CONFIG_GLOBAL": str(config),
        **machine.env,
    }
    return GitHub(server, source, ci, server / "acme" / "cd-repo", address, env)


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
    commit(github.source, "Say good morning", when="2026-11-23T11:00:00+02:00")
    one = github.app_push(github.push())
    assert one.succeeded, one.output
    assert one.jobs == {"Accept", "Plan", "Register", *LEGS["orders"]}
    assert github.commits()[0].startswith("release(dev): orders 20261123.090000-")
    assert github.digest("catalog") == before["catalog"]
    assert github.digest("orders") != before["orders"]


@pytest.mark.slow
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


@pytest.mark.slow
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
    # The next run finds what is missing: nothing was lost.
    healed = github.app_push(github.push())
    assert healed.succeeded, healed.output
    assert github.commits() == ["release(dev): 2 services"]


@pytest.mark.slow
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
    monkeypatch.setattr("tests.blueprints.ci_repo.test_chain.VARIABLES", ())
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
    assert not list(github.folder.parent.rglob("pwned"))


@pytest.mark.slow
def test_a_change_of_the_library_is_tested_published_and_proposed(github: GitHub, tools: Toolbox) -> None:
    tools.add("gh", GH)
    env = {"FAKE_GH_STATE": str(github.folder / "pulls.json"), **tools.env}
    change(github.ci / LIBRARY / "templates/_pod.yaml", "GracePeriodSeconds: 45", "GracePeriodSeconds: 46")
    commit(github.ci, "Give pods a second more")
    run("git", "push", "--quiet", github.folder / "acme/ci-repo", "HEAD:main", cwd=github.ci)
    refused = github.act("pull_request", "library.yml", {"pull_request": {"number": 1}}, env)
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
