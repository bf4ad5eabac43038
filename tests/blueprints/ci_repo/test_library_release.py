"""A new version of the library chart: published once, signed, and proposed to cd-repo.

Helm, git, and the image registry are real; Cosign and gh are fakes that remember.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.blueprints.cd_repo.test_library import hold_back
from tests.blueprints.ci_repo.machine import commit
from tests.blueprints.ci_repo.test_build_image import point_to
from tests.blueprints.ci_repo.test_library import LIBRARY, VERSION, change, raise_version
from tests.blueprints.ci_repo.toolbox import COSIGN, GH, Toolbox
from tests.platform import Platform, copy_of
from tests.tools import BIN, path_without, run, tool


@dataclass
class Publisher:
    """A ci-repo that publishes to a registry of its own."""

    ci: Path
    registry: str
    env: dict[str, str]
    tools: Toolbox

    def __call__(self, *args: str, code: int = 0) -> str:
        """Publish and return what was said and which outputs were set."""
        outputs = self.ci.parent / "outputs"
        outputs.unlink(missing_ok=True)
        env = {**self.env, "GITHUB_OUTPUT": str(outputs)}
        result = run(self.ci / "scripts/publish-library.sh", *args, env=env, check=False)
        said = result.stdout + result.stderr
        assert result.returncode == code, said
        return said + (outputs.read_text() if outputs.exists() else "")

    @property
    def signed(self) -> list[str]:
        return [call[-1] for call in self.tools.calls if call[:2] == ["cosign", "sign"]]


@pytest.fixture
def publish(ci: Path, tools: Toolbox, registry: tuple[str, dict[str, str]], tmp_path: Path) -> Publisher:
    address, env = registry
    tool("helm")
    point_to(ci, f"{address}/acme")
    tools.add("cosign", COSIGN)
    path = f"{tools.folder / 'bin'}:{BIN}:/usr/local/bin:/usr/bin:/bin"
    return Publisher(ci, address, {**env, "PATH": path, "FAKE_COSIGN_STATE": str(tmp_path / "signatures")}, tools)


def digest_of(output: str) -> str:
    (digest,) = re.findall(r"^reference=\S+@(sha256:[0-9a-f]{64})$", output, re.MULTILINE)
    return str(digest)


def test_a_version_is_published_and_signed_by_its_digest(publish: Publisher, tmp_path: Path) -> None:
    output = publish()

    digest = digest_of(output)
    assert f"@{digest} is version {VERSION}\n" in output
    assert publish.signed == [f"{publish.registry}/acme/charts/base@{digest}"]
    verify = next(call for call in publish.tools.calls if call[:2] == ["cosign", "verify"])
    assert verify[verify.index("--certificate-identity") + 1] == (
        "https://github.com/acme/ci-repo/.github/workflows/library.yml@refs/heads/main"
    )
    # What was published is the chart.
    chart = f"oci://{publish.registry}/acme/charts/base@{digest}"
    run(BIN / "helm", "pull", chart, "--plain-http", "--untar", f"--destination={tmp_path}/pulled")
    pulled, ours = tmp_path / "pulled/base/templates", publish.ci / LIBRARY / "templates"
    assert {path.name: path.read_text() for path in pulled.glob("*.yaml")} == {
        path.name: path.read_text() for path in ours.glob("*.yaml")
    }


def test_a_second_run_changes_nothing(publish: Publisher) -> None:
    first = digest_of(publish())
    assert digest_of(publish()) == first
    assert len(publish.signed) == 1


def test_the_same_chart_has_the_same_digest_on_every_machine(publish: Publisher, tmp_path: Path) -> None:
    first = digest_of(publish())
    clone = tmp_path / "elsewhere"
    run("git", "clone", "--quiet", publish.ci, clone)
    point_to(clone, f"{publish.registry}/again")
    publish.ci = clone
    assert digest_of(publish()) == first


def test_a_run_that_stopped_before_it_signed_is_made_up_for(publish: Publisher) -> None:
    first = digest_of(publish())
    Path(publish.env["FAKE_COSIGN_STATE"]).unlink()
    assert digest_of(publish()) == first
    assert len(publish.signed) == 2


def test_a_version_is_never_published_with_another_content(publish: Publisher) -> None:
    first = digest_of(publish())
    pod = publish.ci / LIBRARY / "templates/_pod.yaml"
    before = pod.read_text()
    pod.write_text(before.replace("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"))
    commit(publish.ci, "Change the library")

    refused = publish(code=1)

    assert f"has version {VERSION} with another content: raise `version`" in refused
    assert "_pod.yaml" in refused
    assert len(publish.signed) == 1
    pod.write_text(before)
    commit(publish.ci, "Take it back")
    assert digest_of(publish()) == first


def test_what_is_not_committed_is_not_published(publish: Publisher) -> None:
    raise_version(publish.ci, "2.0.0")
    assert f"{LIBRARY} has changes that are in no commit" in publish(code=1)


def test_a_registry_that_does_not_answer_is_not_taken_for_an_empty_one(publish: Publisher) -> None:
    point_to(publish.ci, "127.0.0.1:1/acme")
    assert "cannot tell whether 127.0.0.1:1/acme/charts/base has version" in publish(code=1)
    assert publish.signed == []


def test_docker_hub_has_no_folders(publish: Publisher, tools: Toolbox) -> None:
    packs = 'open(f"{args[3]}/base-1.0.0.tgz", "w").close() if args[0] == "package" else sys.exit("Error: no network")'
    tools.add("helm", packs)
    point_to(publish.ci, "docker.io/acme")
    assert "cannot tell whether docker.io/acme/base has version" in publish(code=1)


def test_a_dry_run_publishes_nothing(publish: Publisher) -> None:
    assert "helm push" in publish("--dry-run")
    publish()
    assert "helm push" not in publish("--dry-run")
    assert len(publish.signed) == 1


def test_without_cosign_nothing_is_published(publish: Publisher, tmp_path: Path) -> None:
    (publish.tools.folder / "bin/cosign").unlink()
    publish.env["PATH"] = path_without("cosign", publish.env["PATH"], tmp_path / "others")
    assert "cosign is not on PATH" in publish(code=1)


def test_cd_repo_compares_its_copy_with_what_was_published(
    publish: Publisher, example: Platform, tmp_path: Path
) -> None:
    cd = copy_of(example.cd, tmp_path)
    point_to(cd, f"{publish.registry}/acme")

    def verify(code: int) -> str:
        result = run(cd / "scripts/vendor", "--verify-published", env=publish.env, check=False)
        assert result.returncode == code, result.stdout + result.stderr
        return result.stdout + result.stderr

    assert f"{publish.registry}/acme/charts/base:{VERSION}: not found" in verify(1)
    digest = digest_of(publish())
    assert verify(0) == f"{publish.registry}/acme/charts/base@{digest} is version {VERSION}\n"
    change(cd / f"library/base-{VERSION}/templates/_pod.yaml", "runAsNonRoot: true", "runAsNonRoot: false")
    assert f"is not library/base-{VERSION}; they differ in base/templates/_pod.yaml" in verify(1)


@dataclass
class Proposer:
    """A ci-repo, the cd-repo that it proposes its library to, and the pull requests there."""

    ci: Path
    cd: Path
    env: dict[str, str]

    def __call__(self, *args: str) -> str:
        digest = f"ghcr.io/acme/charts/base@sha256:{'a' * 64}"
        script = self.ci / "scripts/propose-library"
        return run(script, "--repository", self.cd, "--published", digest, *args, env=self.env).stdout

    @property
    def pulls(self) -> list[Any]:
        state = Path(self.env["FAKE_GH_STATE"])
        return list(json.loads(state.read_text())) if state.exists() else []

    def checkout(self, branch: str, folder: Path) -> Path:
        run("git", "clone", "--quiet", f"--branch={branch}", self.cd, folder)
        return folder

    def heads(self) -> str:
        return run("git", "for-each-ref", "--format=%(refname:short) %(objectname)", cwd=self.cd).stdout


@pytest.fixture
def propose(ci: Path, example: Platform, tools: Toolbox, tmp_path: Path) -> Proposer:
    tools.add("gh", GH)
    cd = copy_of(example.cd, tmp_path)
    run("git", "switch", "--quiet", "--detach", cwd=cd)
    env = {"PATH": f"{tools.folder / 'bin'}:{BIN}:/usr/local/bin:/usr/bin:/bin", "GITHUB_ACTOR": "octo-cat"}
    return Proposer(ci, cd, {**env, "FAKE_GH_STATE": str(tmp_path / "pulls.json")})


def release_library(ci: Path, version: str) -> None:
    """Change the library and commit it under a version."""
    change(
        ci / LIBRARY / "templates/_pod.yaml", "terminationGracePeriodSeconds: 45", "terminationGracePeriodSeconds: 46"
    )
    raise_version(ci, version)
    commit(ci, f"Give pods a second more in {version}")


def test_a_new_version_becomes_a_pull_request_that_vendors_it(propose: Proposer, tmp_path: Path) -> None:
    release_library(propose.ci, "7.0.0")

    propose()

    (pull,) = propose.pulls
    assert (pull["headRefName"], pull["base"], pull["title"]) == ("library/base-7.0.0", "main", "Library chart 7.0.0")
    assert f"`ghcr.io/acme/charts/base@sha256:{'a' * 64}`" in pull["body"]
    assert f"## What changed since {VERSION}\n\n- Give pods a second more in 7.0.0\n\n" in pull["body"]
    assert "2 of 2 services follow the library and move" in pull["body"]
    cd = propose.checkout("library/base-7.0.0", tmp_path / "checkout")
    run(cd / "scripts/vendor", "--check", cwd=cd)
    assert (cd / "library/base").readlink() == Path("base-7.0.0")
    changed = run("git", "diff", "--name-only", "origin/main", cwd=cd).stdout.splitlines()
    assert {path.split("/")[0] for path in changed} == {"library"}
    assert run("git", "log", "-1", "--format=%an", cwd=cd).stdout == "octo-cat\n"


def test_a_second_run_renews_the_text_and_pushes_nothing(propose: Proposer) -> None:
    release_library(propose.ci, "7.0.0")
    propose()
    heads = propose.heads()
    propose()
    assert propose.heads() == heads
    assert [pull["open"] for pull in propose.pulls] == [True]


def test_what_somebody_added_to_the_branch_stays(propose: Proposer, tmp_path: Path) -> None:
    release_library(propose.ci, "7.0.0")
    propose()
    cd = propose.checkout("library/base-7.0.0", tmp_path / "checkout")
    (cd / "services/orders/values.yaml").open("a").write("# Ready for 7.0.0\n")
    added = commit(cd, "Make orders ready")
    run("git", "push", "--quiet", "origin", "library/base-7.0.0", cwd=cd)
    propose()
    assert f"library/base-7.0.0 {added}" in propose.heads()


def test_a_service_that_stays_does_not_move(propose: Proposer, tmp_path: Path) -> None:
    run("git", "switch", "--quiet", "main", cwd=propose.cd)
    hold_back(propose.cd, "orders")
    commit(propose.cd, "Hold orders back")
    run("git", "switch", "--quiet", "--detach", cwd=propose.cd)
    release_library(propose.ci, "7.0.0")

    propose()

    assert (
        f"1 of 2 services follow the library and move when this is merged.\n- orders stays on {VERSION}\n"
        in (propose.pulls[0]["body"])
    )
    cd = propose.checkout("library/base-7.0.0", tmp_path / "checkout")
    run(cd / "scripts/vendor", "--check", cwd=cd)
    used = {service: (cd / f"services/{service}/charts/base").resolve().name for service in ("catalog", "orders")}
    assert used == {"catalog": "base-7.0.0", "orders": f"base-{VERSION}"}


def test_nothing_is_proposed_that_cd_repo_has(propose: Proposer) -> None:
    heads = propose.heads()
    assert f"cd-repo has version {VERSION} of the library chart" in propose()
    raise_version(propose.ci, "0.9.0")
    commit(propose.ci, "Be older than cd-repo, as an old run is")
    assert "0.9.0 is no news" in propose()
    assert (propose.heads(), propose.pulls) == (heads, [])


def test_a_newer_version_takes_the_place_of_an_older_proposal(propose: Proposer) -> None:
    release_library(propose.ci, "7.0.0")
    propose()
    raise_version(propose.ci, "7.1.0")
    commit(propose.ci, "Raise it again")
    propose()
    assert [(pull["title"], pull["open"]) for pull in propose.pulls] == [
        ("Library chart 7.0.0", False),
        ("Library chart 7.1.0", True),
    ]
    assert propose.pulls[0]["comment"] == "Library chart 7.1.0 takes its place."
    assert "- Raise it again\n- Give pods a second more in 7.0.0\n" in propose.pulls[1]["body"]


def test_a_proposal_that_cd_repo_has_by_another_way_is_closed(propose: Proposer) -> None:
    release_library(propose.ci, "7.0.0")
    propose()
    # As `triptych apply` does, which brings the library along.
    run("git", "branch", "--force", "main", "library/base-7.0.0", cwd=propose.cd)
    assert "7.0.0 is no news" in propose()
    assert propose.pulls[0]["comment"] == "The library chart 7.0.0 of main takes its place."


def test_the_charts_changelog_says_what_changed(propose: Proposer) -> None:
    (propose.ci / LIBRARY / "CHANGELOG.md").write_text(
        "# Changes\n\n## [Unreleased]\n\n- Not yet\n\n## [7.0.0] - 2026-11-25\n\n- Pods may take a second more\n\n"
        f"## 6.5.0\n\n- Before that\n\n## [{VERSION}] - 2026-11-01\n\n- Known already\n"
    )
    release_library(propose.ci, "7.0.0")
    propose()
    body = propose.pulls[0]["body"]
    assert "### [7.0.0] - 2026-11-25\n\n- Pods may take a second more\n\n### 6.5.0\n\n- Before that\n\n## Which" in body
    assert "Not yet" not in body
    assert "Known already" not in body


def test_a_dry_run_shows_the_text_and_pushes_nothing(propose: Proposer) -> None:
    release_library(propose.ci, "7.0.0")
    heads = propose.heads()
    assert "# Library chart 7.0.0\n" in propose("--dry-run")
    assert (propose.heads(), propose.pulls) == (heads, [])


def test_the_token_is_on_no_command_line(propose: Proposer, tools: Toolbox) -> None:
    release_library(propose.ci, "7.0.0")
    propose.env["CD_REPO_TOKEN"] = "ghs_secret"  # noqa: S105 (a token of nobody)
    propose()
    assert "ghs_secret" not in json.dumps(tools.calls) + (propose.cd / ".git/config").read_text()
