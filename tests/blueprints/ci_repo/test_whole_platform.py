"""All of app-repo in containers by the clock: every night from end to end, every week with parts of it gone."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.blueprints.cd_repo.services import Service, serve
from tests.blueprints.ci_repo.github import GitHub
from tests.blueprints.ci_repo.machine import commit
from tests.blueprints.ci_repo.test_scan_deployed import GH
from tests.blueprints.ci_repo.toolbox import Toolbox
from tests.platform import Platform
from tests.tools import run

# Says that one service runs, on a port of this machine; what FAIL names fails.
DOCKER = """
command = args[1]
if command == os.environ.get("FAIL"):
    sys.exit("it does not " + command)
if command == "config":
    ports = [{"host_ip": "127.0.0.1", "target": 9000, "published": os.environ["ORDERS"]}]
    print(json.dumps({"services": {"orders": {"ports": ports}}}))
if command == "logs":
    print("orders said this")
"""
WORKFLOWS = {"nightly": "e2e", "chaos": "chaos"}


@pytest.fixture
def orders() -> Iterator[int]:
    with serve(Service("orders", "1", body="no document")) as port:
        yield port


@pytest.fixture
def report(scripts: Path, tools: Toolbox, tmp_path: Path) -> Any:
    """Reports a result; returns the issues."""
    tools.add("gh", GH)
    state = tmp_path / "issues.json"
    address = {"GITHUB_REPOSITORY": "acme/ci-repo", "FAKE_GH_STATE": str(state)}

    def report(result: str, *options: str, run_id: str = "7") -> Any:
        what = ("--label", "nightly", "--what", "The nightly run", "--result", result)
        run(scripts / "report-run", *what, *options, env={**tools.env, **address, "GITHUB_RUN_ID": run_id})
        return json.loads(state.read_text()) if state.exists() else []

    return report


def test_an_issue_is_open_for_as_long_as_it_fails(report: Any) -> None:
    assert report("success") == []
    assert report("failure", "--dry-run") == []
    (issue,) = report("failure")
    assert (issue["open"], issue["label"], issue["title"]) == (True, "nightly", "The nightly run fails")
    assert "| `7` | https://github.com/acme/ci-repo/actions/runs/7 |" in issue["body"]
    (issue,) = report("failure", run_id="8")
    assert issue["comments"] == ["New: `8`"]
    (issue,) = report("cancelled")
    assert (issue["open"], len(issue["comments"])) == (True, 1)
    (issue,) = report("success")
    assert issue["open"] is False
    assert [issue["open"] for issue in report("failure")] == [False, True]


def test_a_result_or_label_that_is_none_is_refused(scripts: Path) -> None:
    for label, result in (("nightly", "$(id)"), ("--body", "failure"), ("a b", "failure")):
        options = (f"--label={label}", "--what=It", f"--result={result}")
        assert run(scripts / "report-run", *options, check=False).returncode == 2


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_first_environment_s_branch_is_asked(platform: Platform, name: str) -> None:
    workflow = yaml.safe_load((platform.ci / f".github/workflows/{name}.yml").read_text())
    branch = re.search(r"branch: *(.+)", (platform.app / ".copier-answers.yml").read_text())
    assert branch
    steps = workflow["jobs"]["run"]["steps"]
    checked_out = [step["with"]["ref"] for step in steps if "ref" in step.get("with", {})]
    assert checked_out == [yaml.safe_load(branch[1])]
    assert f"make --directory app {WORKFLOWS[name]}" in [step.get("run") for step in steps]
    assert re.search(rf"^{WORKFLOWS[name]}: up ", (platform.app / "Makefile").read_text(), re.MULTILINE)
    writing = {job: list(one["permissions"]) for job, one in workflow["jobs"].items()}
    assert writing == {"run": ["contents"], "report": ["contents", "issues"]}, "a team's code writes nothing"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nightly", pytest.param("chaos", marks=pytest.mark.exhaustive)])
def test_the_workflow_runs_everything_and_tells_when_it_fails(
    github: GitHub, tools: Toolbox, example: Platform, orders: int, name: str
) -> None:
    names = ("Makefile", "compose.yaml", "compose/secrets.json", ".github/graph.json")
    for file in (*names, *(f"scripts/{path.name}" for path in (example.app / "scripts").glob("[_a-z]*"))):
        if (example.app / file).is_file():
            (github.source / file).parent.mkdir(parents=True, exist_ok=True)
            (github.source / file).write_bytes((example.app / file).read_bytes())
            (github.source / file).chmod((example.app / file).stat().st_mode)
    commit(github.source, "Run it all")
    github.push()
    tools.add("docker", DOCKER)
    tools.add("gh", GH)
    state = github.folder / "issues.json"
    env = {"PATH": tools.env["PATH"], "FAKE_GH_STATE": str(state), "ORDERS": str(orders)}

    failed = github.act("schedule", f"{name}.yml", {}, {**env, "FAIL": "up"})
    assert not failed.succeeded
    (issue,) = json.loads(state.read_text())
    assert (issue["open"], issue["label"]) == (True, name)
    (logs,) = github.folder.glob("artifacts/**/logs.txt")
    assert logs.read_text() == "orders said this\n"
    assert ["docker", "compose", "down", "--remove-orphans", "--volumes"] in tools.calls

    done = github.act("schedule", f"{name}.yml", {}, env)
    assert done.succeeded, done.output
    assert done.jobs == {"Run", "Report"}
    assert name == "chaos" or f"ok    orders is ready at http://127.0.0.1:{orders}" in done.output
    assert json.loads(state.read_text())[0]["open"] is False
