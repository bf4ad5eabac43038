"""scripts/detect-changes plans exactly what differs from what the registry says was built."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.blueprints.ci_repo.conftest import commit
from tests.tools import run


@dataclass
class Pipeline:
    """Plans builds of app-repo and remembers in a registry what was built."""

    scripts: Path
    source: Path
    folder: Path

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
        for service, key in plan["services"].items():
            if service != failing:
                registry.setdefault(service, {})["dev"] = {"source": key, "version": plan["version"]}
        self.registry.write_text(json.dumps(registry))
        return sorted(plan["services"])

    def edit(self, path: str, text: str = "changed\n") -> str:
        file = self.source / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return commit(self.source, f"Change {path!r}")


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


def test_a_folder_that_no_spec_knows_is_reported_and_stops_nobody(pipeline: Pipeline) -> None:
    pipeline.edit("services/payments/main.py")
    result = run(
        pipeline.scripts / "detect-changes",
        f"--source={pipeline.source}",
        f"--deployed={pipeline.registry}",
        f"--output={pipeline.folder / 'plan.json'}",
    )
    assert "2 of 2 services to build" in result.stdout
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


def test_a_thousand_services_fit_into_matrices(pipeline: Pipeline, ci: Path, tmp_path: Path) -> None:
    names = [f"s{number}" for number in range(1000)]
    graph = {"services": {n: {"path": f"services/{n}", "inputs": ["shared/python"]} for n in names}, "global": []}
    (ci / "config" / "graph.json").write_text(json.dumps(graph))
    for name in names:
        (pipeline.source / "services" / name).mkdir()
        (pipeline.source / "services" / name / "main.py").write_text(name)
    commit(pipeline.source, "Grow")
    outputs = tmp_path / "outputs"
    run(
        *("timeout", "10", pipeline.scripts / "detect-changes"),
        *(f"--source={pipeline.source}", f"--deployed={pipeline.registry}", f"--output={tmp_path / 'plan.json'}"),
        env={"GITHUB_OUTPUT": str(outputs)},
    )
    values = dict(line.split("=", 1) for line in outputs.read_text().splitlines())
    chunks = [json.loads(chunk["services"]) for chunk in json.loads(values["chunks"])]
    assert values["count"] == "1000"
    assert max(len(chunk) for chunk in chunks) <= 256
    assert sorted(name for chunk in chunks for name in chunk) == sorted(names)
