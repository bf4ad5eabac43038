"""scripts/detect-changes plans exactly what differs from what the registry says was built."""

import json
import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.blueprints.ci_repo.machine import commit
from tests.tools import run


@dataclass
class Pipeline:
    """Plans builds of app-repo and remembers in a registry what was built."""

    scripts: Path
    source: Path
    folder: Path
    minutes: int = 0

    @property
    def registry(self) -> Path:
        path = self.folder / "deployed.json"
        if not path.exists():
            path.write_text("{}")
        return path

    def plan(self, *args: str) -> dict[str, Any]:
        path = self.folder / "plan.json"
        run(
            self.scripts / "detect-changes",
            f"--source={self.source}",
            f"--deployed={self.registry}",
            f"--output={path}",
            *args,
        )
        plan: dict[str, Any] = json.loads(path.read_text())
        return plan

    def affected(self, *args: str) -> list[str]:
        return sorted(self.plan(*args)["services"])

    def build(self, *, failing: str = "") -> list[str]:
        """Build what is planned; what succeeds is registered."""
        plan = self.plan()
        registry = json.loads(self.registry.read_text())
        for service, source in plan["services"].items():
            if service != failing:
                entry = {key: plan[key] for key in ("commit", "committed_at", "version")}
                registry.setdefault(service, {})["dev"] = {**entry, "source": source}
        self.registry.write_text(json.dumps(registry))
        return sorted(plan["services"])

    def edit(self, path: str, text: str = "changed\n") -> str:
        file = self.source / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return commit(self.source, f"Change {path!r}", when=self.tick())

    def tick(self) -> str:
        """Return the time of the next commit: a minute after the one before."""
        self.minutes += 1
        return f"2026-11-23T{11 + self.minutes // 60}:{self.minutes % 60:02}:00+02:00"

    def git(self, *args: str) -> str:
        when = self.tick()
        dates = {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
        return run("git", *args, cwd=self.source, env=dates).stdout.strip()

    def rename_service(self, old: str, new: str) -> None:
        """Rename a service in app-repo, and in the graph as `triptych apply` does."""
        self.git("mv", f"services/{old}", f"services/{new}")
        self.git("commit", "--quiet", "--message", f"Rename {old}")
        path = self.scripts.parent / "config/graph.json"
        graph = json.loads(path.read_text())
        graph["services"][new] = {**graph["services"].pop(old), "path": f"services/{new}"}
        path.write_text(json.dumps(graph))


@pytest.fixture
def pipeline(scripts: Path, source: Path, tmp_path: Path) -> Pipeline:
    return Pipeline(scripts, source, tmp_path)


def test_the_first_push_builds_everything(pipeline: Pipeline) -> None:
    assert pipeline.affected() == ["catalog", "orders"]


def test_a_redelivered_event_builds_nothing(pipeline: Pipeline) -> None:
    pipeline.build()
    assert pipeline.affected() == []


def test_a_change_of_one_service_builds_it_alone(pipeline: Pipeline) -> None:
    pipeline.build()
    pipeline.edit("services/orders/hello")
    assert pipeline.affected() == ["orders"]


def test_a_change_of_a_shared_library_builds_all_that_use_it(pipeline: Pipeline) -> None:
    pipeline.build()
    pipeline.edit("shared/python/kit.py")
    assert pipeline.affected() == ["catalog", "orders"]


def test_a_change_of_what_the_images_may_hold_builds_everything(pipeline: Pipeline) -> None:
    pipeline.build()
    pipeline.edit(".dockerignore")
    assert pipeline.affected() == ["catalog", "orders"]


def test_a_change_of_documentation_builds_nothing(pipeline: Pipeline) -> None:
    pipeline.build()
    pipeline.edit("README.md")
    assert pipeline.affected() == []


def test_a_failed_build_is_made_up_for_by_the_next_push_elsewhere(pipeline: Pipeline) -> None:
    pipeline.build()
    pipeline.edit("services/orders/hello")
    pipeline.build(failing="orders")
    pipeline.edit("services/catalog/hello")
    assert pipeline.affected() == ["catalog", "orders"]


def test_a_file_that_moves_between_services_builds_both(pipeline: Pipeline) -> None:
    pipeline.build()
    (pipeline.source / "services/orders/hello").rename(pipeline.source / "services/catalog/greeting")
    commit(pipeline.source, "Move")
    assert pipeline.affected() == ["catalog", "orders"]


def test_a_deleted_service_is_not_built_and_is_reported(pipeline: Pipeline) -> None:
    pipeline.build()
    run("git", "rm", "-r", "--quiet", "services/orders", cwd=pipeline.source)
    commit(pipeline.source, "Delete orders")
    result = run(
        pipeline.scripts / "detect-changes",
        f"--source={pipeline.source}",
        f"--deployed={pipeline.registry}",
        f"--output={pipeline.folder / 'plan.json'}",
    )
    assert "Nothing to build" in result.stdout
    assert "services/orders is gone" in result.stderr


def test_a_service_whose_team_brings_its_code_waits_for_its_dockerfile(pipeline: Pipeline) -> None:
    path = pipeline.scripts.parent / "config/graph.json"
    graph = json.loads(path.read_text())
    graph["services"]["legacy"] = {"path": "services/legacy", "language": "other", "inputs": []}
    path.write_text(json.dumps(graph))
    pipeline.build()
    pipeline.edit("services/legacy/README.md")
    assert pipeline.affected() == []
    pipeline.edit("services/legacy/Dockerfile", "FROM scratch\n")
    assert pipeline.affected() == ["legacy"]


def test_a_folder_that_no_spec_knows_is_reported_and_stops_nobody(pipeline: Pipeline) -> None:
    pipeline.edit("services/payments/main.py")
    result = run(
        pipeline.scripts / "detect-changes",
        f"--source={pipeline.source}",
        f"--deployed={pipeline.registry}",
        f"--output={pipeline.folder / 'plan.json'}",
    )
    assert "2 of 2 services planned" in result.stdout
    assert "'services/payments' is not in config/graph.json" in result.stderr


@pytest.mark.parametrize(
    "name", ["$(touch pwned)", "`touch pwned`", "a\nb", "; touch pwned", "ü", "--output=x", "${{ github.token }}"]
)
def test_hostile_file_names_are_content_like_any_other(pipeline: Pipeline, name: str) -> None:
    pipeline.build()
    pipeline.edit(f"services/orders/{name}")
    (pipeline.source / "services" / name).mkdir()
    pipeline.edit(f"services/{name}/file")
    assert pipeline.affected() == ["orders"]
    assert not list(pipeline.folder.rglob("pwned"))


def test_a_force_push_builds_the_difference_to_what_was_built(pipeline: Pipeline) -> None:
    pipeline.build()
    pipeline.edit("services/orders/hello", "one\n")
    pipeline.build()
    run("git", "reset", "--quiet", "--hard", "HEAD~1", cwd=pipeline.source)
    pipeline.edit("services/catalog/hello", "two\n")
    assert pipeline.affected() == ["catalog", "orders"]


def test_a_shallow_clone_is_enough(pipeline: Pipeline) -> None:
    pipeline.build()
    pipeline.edit("services/orders/hello")
    shallow = pipeline.folder / "shallow"
    run("git", "clone", "--quiet", "--depth=1", f"file://{pipeline.source}", shallow)
    assert Pipeline(pipeline.scripts, shallow, pipeline.folder).affected() == ["orders"]


def test_a_clone_without_the_contents_of_old_files_is_enough(pipeline: Pipeline) -> None:
    earlier = pipeline.edit(".dockerignore", "one\n")
    pipeline.build()
    pipeline.edit(".dockerignore", "two\n")
    run("git", "config", "uploadpack.allowFilter", "true", cwd=pipeline.source)
    partial = pipeline.folder / "partial"
    run("git", "clone", "--quiet", "--filter=blob:none", f"file://{pipeline.source}", partial)
    pipeline.source.rename(pipeline.folder / "out-of-reach")
    clone = Pipeline(pipeline.scripts, partial, pipeline.folder)
    assert clone.affected(f"--commit={earlier}") == []
    assert clone.affected() == ["catalog", "orders"]


def test_the_plan_says_what_and_when(pipeline: Pipeline) -> None:
    head = run("git", "rev-parse", "HEAD", cwd=pipeline.source).stdout.strip()
    plan = pipeline.plan()
    assert plan["environment"] == "dev"
    assert plan["commit"] == head
    assert plan["committed_at"] == "2026-11-23T08:15:00Z"
    assert plan["version"] == f"20261123.081500-{head[:12]}"
    assert all(len(key) == 64 for key in plan["services"].values())


def test_somebody_may_ask_for_one_service(pipeline: Pipeline) -> None:
    pipeline.build()
    assert pipeline.affected("--only=orders") == ["orders"]
    assert pipeline.affected("--only=services/orders") == ["orders"]
    result = run(
        pipeline.scripts / "detect-changes",
        f"--source={pipeline.source}",
        "--only=$(id)",
        check=False,
        cwd=pipeline.folder,
    )
    assert result.returncode == 1
    assert "no service '$(id)'; it has catalog, orders" in result.stderr


def test_an_earlier_commit_of_the_branch_may_be_built(pipeline: Pipeline) -> None:
    earlier = run("git", "rev-parse", "HEAD", cwd=pipeline.source).stdout.strip()
    pipeline.build()
    pipeline.edit("services/orders/hello")
    assert pipeline.affected(f"--commit={earlier}") == []


def test_a_commit_that_is_not_on_the_branch_is_refused(pipeline: Pipeline) -> None:
    run("git", "switch", "--quiet", "--create", "fork", cwd=pipeline.source)
    stranger = pipeline.edit("services/orders/hello")
    run("git", "switch", "--quiet", "develop", cwd=pipeline.source)
    for bad in (stranger, "0" * 40, "develop", "HEAD;id", "--help=x"):
        result = run(
            pipeline.scripts / "detect-changes",
            f"--source={pipeline.source}",
            f"--deployed={pipeline.registry}",
            f"--commit={bad}",
            check=False,
            cwd=pipeline.folder,
        )
        assert result.returncode == 1, bad
        assert "not on the branch" in result.stderr or "not a commit" in result.stderr


@pytest.mark.parametrize("text", ["", "[]", '{"orders": []}', '{"services": {"orders": {"dev": {"source": "x"}}}}'])
def test_a_registry_that_cannot_be_read_stops_the_run(pipeline: Pipeline, text: str) -> None:
    pipeline.registry.write_text(text)
    result = run(
        pipeline.scripts / "detect-changes",
        f"--source={pipeline.source}",
        f"--deployed={pipeline.registry}",
        check=False,
        cwd=pipeline.folder,
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr


Steps = Callable[[Pipeline], object]


def two_pushes(pipeline: Pipeline) -> None:
    """Nobody builds the first: its run was superseded by that of the second."""
    pipeline.edit("services/orders/hello")
    pipeline.edit("services/catalog/hello")


def merge_of_a_branch(pipeline: Pipeline) -> None:
    """A branch changes orders; meanwhile catalog changes on develop and is built."""
    pipeline.git("switch", "--quiet", "--create", "feature")
    pipeline.edit("services/orders/hello")
    pipeline.git("switch", "--quiet", "develop")
    pipeline.edit("services/catalog/hello")
    assert pipeline.build() == ["catalog"]
    pipeline.git("merge", "--quiet", "--no-ff", "--message", "Merge", "feature")


def new_branch(pipeline: Pipeline) -> None:
    """The environment's branch is made anew, from an older commit, with a change."""
    pipeline.edit("README.md")
    pipeline.build()
    pipeline.git("switch", "--quiet", "--create", "trunk", "HEAD~1")
    pipeline.edit("services/orders/hello")


def orphan_branch(pipeline: Pipeline) -> None:
    """A history that shares nothing with what was built, and the same content but for one service."""
    pipeline.git("switch", "--quiet", "--orphan", "rewritten")
    pipeline.git("checkout", "develop", "--", ".")
    pipeline.edit("services/orders/hello")


def mode_change(pipeline: Pipeline) -> None:
    (pipeline.source / "services/orders/hello").chmod(0o755)
    commit(pipeline.source, "Make it executable", when=pipeline.tick())


def edit_and_take_back(pipeline: Pipeline) -> None:
    """What was not built needs no build to go back."""
    pipeline.edit("services/orders/hello")
    pipeline.git("revert", "--no-edit", "HEAD")


def build_and_take_back(pipeline: Pipeline) -> None:
    pipeline.edit("services/orders/hello")
    pipeline.build()
    pipeline.git("revert", "--no-edit", "HEAD")


def change_ci_repo(pipeline: Pipeline) -> None:
    """Another pipeline builds the next push; it rebuilds nothing by itself."""
    (pipeline.scripts / "sign-image.sh").write_text("#!/usr/bin/env bash\n")
    (pipeline.scripts.parent / "README.md").write_text("Changed\n")


def raise_the_keys(pipeline: Pipeline) -> None:
    """What asks for a rebuild of everything."""
    path = pipeline.scripts / "_source.py"
    text = path.read_text()
    assert 'KEY_VERSION = "1"' in text
    path.write_text(text.replace('KEY_VERSION = "1"', 'KEY_VERSION = "2"'))


def add_a_service(pipeline: Pipeline) -> None:
    """The pull request of app-repo comes first, then that of ci-repo."""
    pipeline.edit("services/payments/Dockerfile")
    path = pipeline.scripts.parent / "config/graph.json"
    graph = json.loads(path.read_text())
    graph["services"]["payments"] = {"path": "services/payments", "inputs": []}
    path.write_text(json.dumps(graph))


@pytest.mark.parametrize(
    ("steps", "affected"),
    [
        pytest.param(two_pushes, ["catalog", "orders"], id="two pushes in quick succession"),
        pytest.param(merge_of_a_branch, ["orders"], id="merge"),
        pytest.param(new_branch, ["orders"], id="new branch"),
        pytest.param(orphan_branch, ["orders"], id="rewritten history"),
        pytest.param(lambda p: p.git("commit", "--allow-empty", "--message", "Empty"), [], id="empty commit"),
        pytest.param(lambda p: p.edit("services/orders/deep/er/file"), ["orders"], id="new folder"),
        pytest.param(mode_change, ["orders"], id="mode of a file"),
        pytest.param(edit_and_take_back, [], id="change and revert in one push"),
        pytest.param(build_and_take_back, ["orders"], id="revert of what was built"),
        pytest.param(lambda p: p.rename_service("orders", "sales"), ["sales"], id="renamed service"),
        pytest.param(add_a_service, ["payments"], id="new service"),
        pytest.param(change_ci_repo, [], id="change of ci-repo"),
        pytest.param(raise_the_keys, ["catalog", "orders"], id="change of ci-repo that rebuilds"),
    ],
)
def test_exactly_what_differs_from_what_was_built_is_planned(
    pipeline: Pipeline, steps: Steps, affected: list[str]
) -> None:
    assert pipeline.build() == ["catalog", "orders"]
    steps(pipeline)
    assert pipeline.affected() == affected
    pipeline.build()
    assert pipeline.affected() == []


def test_an_older_push_that_arrives_last_builds_nothing_old(pipeline: Pipeline) -> None:
    older = pipeline.edit("services/orders/hello", "one\n")
    pipeline.edit("services/orders/hello", "two\n")
    pipeline.build()
    result = run(
        pipeline.scripts / "detect-changes",
        f"--source={pipeline.source}",
        f"--deployed={pipeline.registry}",
        f"--output={pipeline.folder / 'plan.json'}",
        f"--commit={older}",
    )
    assert "Nothing to build" in result.stdout
    assert "not built, since a newer commit was built already: orders" in result.stderr
    assert "not built, since a newer commit was built already: orders" in result.stdout, "the run's page says it"


def test_a_commit_from_the_future_holds_back_nothing_that_is_built_on_it(pipeline: Pipeline) -> None:
    (pipeline.source / "services/orders/hello").write_text("from a wrong clock\n")
    commit(pipeline.source, "Tomorrow", when="2027-01-01T00:00:00Z")
    assert pipeline.build() == ["catalog", "orders"]
    (pipeline.source / "services/orders/hello").write_text("from a right one\n")
    head = commit(pipeline.source, "Today", when="2026-11-25T00:00:00Z")
    plan = pipeline.plan()
    assert list(plan["services"]) == ["orders"]
    assert plan["committed_at"] == "2027-01-01T00:00:00Z", "cd-repo would skip an older build"
    assert plan["version"] == f"20261125.000000-{head[:12]}"


def grow(repository: Path, services: int, files: int, text: str) -> None:
    """Commit many services with many files each, fast."""
    paths = [f"services/s{number}/app/file{file}" for number in range(services) for file in range(files)]
    stream = ["commit refs/heads/develop\ncommitter A <a@acme.example> 1795500000 +0000\ndata 4\nGrow\nfrom HEAD\n"]
    stream += [f"M 100644 inline {path}\ndata {len(text + path)}\n{text}{path}\n" for path in paths]
    run("git", "fast-import", "--quiet", cwd=repository, stdin="".join(stream))


def test_a_thousand_services_take_less_than_a_second_and_fit_into_matrices(
    pipeline: Pipeline, ci: Path, tmp_path: Path
) -> None:
    names = [f"s{number}" for number in range(1000)]
    graph = {"services": {n: {"path": f"services/{n}", "inputs": ["shared/python"]} for n in names}, "global": []}
    (ci / "config" / "graph.json").write_text(json.dumps(graph))
    grow(pipeline.source, 1000, 10, "one")
    assert len(pipeline.build()) == 1000
    grow(pipeline.source, 1000, 10, "three")
    outputs = tmp_path / "outputs"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(
        pipeline.scripts / "detect-changes",
        *(f"--source={pipeline.source}", f"--deployed={pipeline.registry}", f"--output={tmp_path / 'plan.json'}"),
        env={"GITHUB_OUTPUT": str(outputs)},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Of the processor's time: a busy machine takes longer by the clock.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1
    values = dict(line.split("=", 1) for line in outputs.read_text().splitlines())
    chunks = [json.loads(chunk["services"]) for chunk in json.loads(values["chunks"])]
    assert values["count"] == "1000"
    assert max(len(chunk) for chunk in chunks) <= 256
    assert sorted(name for chunk in chunks for name in chunk) == sorted(names)
