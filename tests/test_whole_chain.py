"""The whole chain: services.yaml, three repositories, a commit, a signed image, three environments, and the way back.

Real: the generator, git, the workflows (act runs them here), buildah, skopeo, an image registry, Helm, all generated
scripts. Stand-ins: GitHub's pull requests and tokens, Sigstore (Cosign), the scanners, and the clusters' pods.

`make demo-pipeline` runs this and shows what it says.
"""

import json
import os
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import demo_pipeline
from tests import platform as platforms
from tests.blueprints.cd_repo.github import GH
from tests.blueprints.cd_repo.services import Cluster, serving
from tests.blueprints.ci_repo import machine
from tests.blueprints.ci_repo.github import GitHub
from tests.blueprints.ci_repo.machine import commit
from tests.blueprints.ci_repo.toolbox import Toolbox
from tests.tools import BIN, run

SPEC = """\
apiVersion: triptych/v1
platform:
  name: acme
  github: {organization: acme}
environments:
  - {name: dev, branch: develop, deploy: automatic}
  - {name: staging, branch: staging, deploy: pull-request}
  - {name: prod, branch: main, deploy: approval, approvers: [platform]}
teams: [{name: platform}]
services:
  - {name: orders, language: other, dependsOn: [catalog]}
  - {name: catalog, language: other}
"""
# A team's own code: base images are out of reach of this machine, so the image holds a file and nothing else.
DOCKERFILE = """\
FROM scratch
COPY services/{service}/hello /hello
USER 10001:10001
"""
MAKEFILE = """\
lint test run:
\t@test -s hello && echo "$@: {service} says $$(cat hello)"
"""


@dataclass
class Company:
    """Who uses the platform: a server with the three repositories, a clone of cd-repo, and a cluster."""

    github: GitHub
    cd: Path
    cluster: Cluster
    env: dict[str, str]

    def change(self, service: str, text: str, hour: int) -> str:
        """Let a team change a service and push it."""
        (self.github.source / f"services/{service}/hello").write_text(text + "\n")
        commit(self.github.source, text, when=f"2026-11-23T{hour:02}:00:00+00:00")
        return self.github.push()

    def pipeline(self, sha: str, branch: str = "develop") -> set[str]:
        """Run what ci-repo does when it hears of a push, and return the jobs that ran."""
        done = self.github.app_push(sha, f"refs/heads/{branch}", **self.env)
        assert done.succeeded, done.output
        self.pull()
        return done.jobs

    def script(self, name: str, *args: str, check: bool = True) -> str:
        """Run a script of cd-repo and return all that it printed."""
        done = run(self.cd / "scripts" / name, *args, cwd=self.cd, env=self.env, check=check)
        assert check or done.returncode != 0, f"{name} should have refused"
        return done.stdout + done.stderr

    def merge(self, branch: str) -> None:
        """Let somebody merge the pull request of a branch, as GitHub does: by a rebase, and the branch goes."""
        run("git", "fetch", "--quiet", "origin", branch, cwd=self.cd)
        run("git", "merge", "--quiet", "--ff-only", "FETCH_HEAD", cwd=self.cd)
        run("git", "push", "--quiet", "origin", "main", f":{branch}", cwd=self.cd)

    def pull(self) -> None:
        run("git", "pull", "--quiet", "--ff-only", "origin", "main", cwd=self.cd)

    def last_commit(self) -> tuple[str, list[str]]:
        """Return the newest commit of cd-repo: its subject, and the files that it changes."""
        subject, _, *files = run(
            "git", "log", "-1", "--format=%s", "--name-only", "origin/main", cwd=self.cd
        ).stdout.splitlines()
        return subject, files

    def pods(self, environment: str, *options: str) -> dict[str, str]:
        """Return the digest that the pods of each service run, as the manifests of an environment are rendered."""
        objects = yaml.safe_load_all(self.script("render", "--environment", environment, *options))
        return {one["metadata"]["name"]: _digest(one) for one in objects if one and "template" in one.get("spec", {})}

    def version(self, service: str, environment: str) -> str:
        """Return the version that the registry has of a service in an environment."""
        version: str = json.loads(self.script("registry", "--json"))[service][environment]["version"]
        return version

    def proposals(self) -> list[dict[str, Any]]:
        """Return the pull requests of cd-repo."""
        pulls: list[dict[str, Any]] = json.loads(Path(self.env["FAKE_GH_STATE"]).read_text())["pulls"]
        return pulls


def _digest(workload: Any) -> str:
    (image,) = [container["image"] for container in workload["spec"]["template"]["spec"]["containers"]]
    return str(image).partition("@")[2]


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    """A company on its first day: services.yaml was applied, and the team has brought the code of two services."""
    (tmp_path / "services.yaml").write_text(SPEC)
    platform = platforms.render_spec(tmp_path / "services.yaml", tmp_path / "work")
    for service in ("orders", "catalog"):
        folder = platform.app / "services" / service
        (folder / "hello").write_text(f"{service} one\n")
        (folder / "Dockerfile").write_text(DOCKERFILE.format(service=service))
        (folder / "Makefile").write_text(MAKEFILE.format(service=service))
    commit(platform.app, "Bring the code of two services", when="2026-11-23T08:00:00+00:00")
    tools = Toolbox(tmp_path / "tools")
    tools.add("gh", GH)
    with machine.registry(tmp_path) as (address, env), serving(tmp_path / "cluster", "orders", "catalog") as cluster:
        config = platform.cd / "config/platform.json"
        config.write_text(config.read_text().replace("ghcr.io/acme", f"{address}/acme"))
        commit(platform.cd, "Use the registry of the test")
        github = GitHub.at(tmp_path / "server", platform, tools, address, {**machine.builder(tmp_path), **env})
        clone = tmp_path / "cd-repo"
        run("git", "clone", "--quiet", github.cd, clone)
        paths = [tools.folder / "bin", tools.folder / "cosign", cluster.path, BIN, os.environ["PATH"]]
        secrets = {"GH_TOKEN": "token-of-nobody", "FAKE_GH_STATE": str(tmp_path / "pulls.json")}
        path = os.pathsep.join(map(str, paths))
        yield Company(github, clone, cluster, {**github.env, **secrets, "PATH": path, "GITHUB_ACTOR": "ada"})


def say(text: str, *shown: str) -> None:
    """Tell the reader of `make demo-pipeline` what happens, and show what programs printed."""
    print("\n" + textwrap.fill(text, 110, subsequent_indent="   "))
    for part in shown:
        print("\n" + textwrap.indent(part.strip(), "     "))


@pytest.mark.slow
def test_a_commit_reaches_production_step_by_step_and_is_taken_back(company: Company) -> None:
    say("1. services.yaml says it all. `triptych apply` makes app-repo, ci-repo and cd-repo of it:", SPEC)
    first = two_services_run_everywhere(company)
    second = {**first, "orders": one_service_changes(company, first)}
    a_merge_to_staging_moves_its_digest(company, first, second)
    prod_gets_it_with_an_approval(company, first, second)
    one_command_takes_it_back(company, first, second)
    history = company.script("history", "--service", "orders")
    assert all(what in history for what in ("release", "promote", "rollback", "Too loud at night"))
    say("7. Who did what and when is in git alone. This is scripts/history of cd-repo:", history)


def two_services_run_everywhere(company: Company) -> dict[str, str]:
    """Bring the first version of both services to all environments, and return their digests."""
    jobs = company.pipeline(company.github.push())
    first = company.pods("dev")
    assert set(first) == {"orders", "catalog"}
    say(
        "2. The team pushes the code of both to develop. The workflows of ci-repo test it, build and scan the images, "
        "sign them, and deploy them to dev by one commit in cd-repo. These jobs ran:",
        by_service(jobs),
    )
    for environment in ("staging", "prod"):
        company.script("promote", "--to", environment, "--train", "--propose")
        company.merge(f"promote/{environment}")
    assert company.pods("staging") == company.pods("prod") == first
    say("   After some days they run everywhere. This is scripts/status of cd-repo:", company.script("status"))
    return first


def one_service_changes(company: Company, first: dict[str, str]) -> str:
    """Push a change of orders; return the digest of its new image, which runs in dev and nowhere else."""
    jobs = company.pipeline(company.change("orders", "orders two", hour=9))
    assert {job.partition("/")[0] for job in jobs if "/" in job} == {"orders"}
    second = company.pods("dev")["orders"]
    assert second != first["orders"]
    assert company.pods("dev") == {**first, "orders": second}
    assert company.pods("staging") == company.pods("prod") == first
    subject, files = company.last_commit()
    assert subject.startswith("release(dev): orders ")
    assert files == ["registry/releases/dev/orders.yaml", "registry/versions.yaml", "umbrella-chart/values-dev.yaml"]
    assert company.pods("dev", "--umbrella") == company.pods("dev"), "the umbrella chart followed"
    say(
        "3. Somebody changes orders. Its jobs run and no other's, and one commit brings the new digest to the pods of "
        "orders in dev, to no other service and no other environment:",
        by_service(jobs),
        "\n".join([subject, *(f"  {file}" for file in files)]),
        f"orders in dev: {first['orders'][:19]}… -> {second[:19]}…",
    )
    return second


def a_merge_to_staging_moves_its_digest(company: Company, first: dict[str, str], second: dict[str, str]) -> None:
    """Merge develop to staging in app-repo: the image of that content is promoted, by a pull request."""
    jobs = company.pipeline(company.github.push("staging"), "staging")
    assert jobs == {"Accept", "Plan", "Register"}, "nothing is built"
    assert company.pods("staging") == first, "a pull request waits"
    (pull,) = company.proposals()
    assert pull["headRefName"] == "promote/staging"
    company.merge("promote/staging")
    assert company.pods("staging") == second
    assert company.pods("prod") == first
    say(
        "4. develop is merged to staging. Nothing is built, since an image of this content exists: cd-repo gets a pull "
        "request that promotes it by its digest. Once merged, it runs there:",
        by_service(jobs),
        f"pull request: {pull['title']}",
        company.script("status"),
    )


def prod_gets_it_with_an_approval(company: Company, first: dict[str, str], second: dict[str, str]) -> None:
    """Promote to prod: tested where it runs, verified, proposed, approved, and merged."""
    refused = company.script("promote", "--to", "prod", "--train", "--push", check=False)
    assert "prod does not deploy automatically" in refused
    company.cluster.run("orders", company.version("orders", "staging"))
    delivered = company.script("deliver", "promotion", "--to", "prod", "--train")
    pull = company.proposals()[-1]
    assert (pull["headRefName"], pull["auto"]) == ("promote/prod", ["--auto", "--rebase"])
    checks = yaml.safe_load((company.cd / ".github/workflows/validate.yml").read_text())["jobs"]
    assert any("environment" in job for job in checks.values()), "the approval is a job of the pull request"
    assert company.pods("prod") == first, "nothing moves before the approval"
    company.merge("promote/prod")
    assert company.pods("prod") == second
    say("5. Nobody pushes to prod, not even by mistake:", refused)
    say(
        "   Orders is asked whether it works in staging, its signature is verified, and a pull request waits in "
        "GitHub's environment `prod`. The approvers agree, GitHub merges, and it runs in prod:",
        delivered,
        company.script("status"),
    )


def one_command_takes_it_back(company: Company, first: dict[str, str], second: dict[str, str]) -> None:
    """Roll back prod: the digest from before runs again, pinned, and the other environments stay."""
    options = ("--environment", "prod", "--service", "orders", "--reason", "Too loud at night", "--push")
    rolled_back = company.script("rollback", *options)
    company.pull()
    assert company.pods("prod") == first
    assert company.pods("staging") == company.pods("dev") == second
    again = company.script("promote", "--to", "prod", "--service", "orders", "--propose", check=False)
    assert "orders is pinned to" in again, "no robot brings back what somebody took away"
    say(
        "6. At night it is too loud. One command brings back what ran before, in one commit, and pins it, so that no "
        "robot promotes it again before somebody has looked:",
        rolled_back,
        company.script("status"),
    )


def by_service(jobs: set[str]) -> str:
    """Write the jobs that ran: those of a service on a line."""
    services: dict[str, list[str]] = {}
    for job in jobs:
        service, _, name = job.rpartition("/")
        services.setdefault(service, []).append(name)
    order = ("Accept", "Plan", "Test", "Image", "Sign", "Register").index
    return "\n".join(
        f"{service or 'ci-repo':9}{' -> '.join(sorted(names, key=order))}"
        for service, names in sorted(services.items())
    )


def test_the_demonstration_says_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo_pipeline, "PROGRAMS", {"git": "git", "no-such-program": "its-package"})
    assert demo_pipeline.main() == 1
    assert "sudo apt-get install its-package\n" in capsys.readouterr().err
