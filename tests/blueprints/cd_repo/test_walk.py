"""The README's walk, as its reader takes it: the blocks are read from the README and run."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.blueprints.cd_repo.support import PATH, environments_of, services_of
from tests.platform import Platform, answers_of, copy_of
from tests.tools import run


def walk(cd: Path) -> list[str]:
    """Return the blocks of the walk."""
    readme = (cd / "README.md").read_text()
    section = readme.split("\n### Try it on a laptop\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["example", "five-environments", "hostile", "one-environment"])
def test_the_walk_of_the_readme_goes_as_it_says(rendered: Callable[[str], Platform], tmp_path: Path, name: str) -> None:
    cd = copy_of(rendered(name).cd, tmp_path)
    blocks = walk(cd)
    text = "\n".join(f"echo '--- block {number}'\n{block}" for number, block in enumerate(blocks))
    done = run("bash", "-euo", "pipefail", "-c", text, cwd=cd, env=PATH, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"

    service, names = services_of(cd)[0], [one["name"] for one in environments_of(cd)]
    entries = json.loads(run(tmp_path / "walk/scripts/registry", "--json", env=PATH).stdout)[service]
    last = entries.pop(names[-1])
    assert {entry["version"] for entry in entries.values()} <= {"1.1.0"}
    assert set(entries) == set(names[:-1])
    assert (last["version"], last["pinned"]["reason"]) == ("1.0.0", "1.1 is too slow, 1.2 perhaps as well")
    # The last but one block is the one that is refused.
    assert f"{service} is pinned to 1.0.0 in {names[-1]}" in done.stdout + done.stderr
    history = done.stdout.rpartition("--- block")[2]
    said = ["release", "rollback", "pin", *(["promote"] if len(names) > 1 else [])]
    assert all(kind in history for kind in said), history
    assert run("git", "status", "--porcelain", cwd=cd).stdout == ""


def test_github_is_asked_for_what_the_workflows_rely_on(platform: Platform) -> None:
    settings = json.loads((platform.cd / "config/github.json").read_text())
    environments = {one["name"]: one for one in settings["environments"]}
    approvals = [one for one in answers_of(platform.name, "cd-repo")["environments"] if one["deploy"] == "approval"]
    assert set(environments) == {"delivery", *(one["name"] for one in approvals)}
    assert environments["delivery"]["branches"] == ["main"], "a branch that anybody pushes must not get the App's key"
    for one in approvals:
        assert environments[one["name"]]["reviewers"] == one["approvers"]
    (ruleset,) = settings["rulesets"]
    (checks,) = (rule for rule in ruleset["rules"] if rule["type"] == "required_status_checks")
    assert checks["parameters"]["required_status_checks"] == [{"context": "gate"}]
    (reviews,) = (rule for rule in ruleset["rules"] if rule["type"] == "pull_request")
    assert "rebase" in reviews["parameters"]["allowed_merge_methods"], "as scripts/deliver asks auto-merge to"
    assert settings["repository"]["allow_auto_merge"]
