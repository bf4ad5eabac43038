"""A team worked on its service, and a newer template changes the same files: both are there, and it works."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.blueprints.app_repo.languages import LANGUAGES, programs
from tests.tools import BIN, ROOT, run
from tests.workbench import TinyTemplate, Workbench, git

pytestmark = pytest.mark.exhaustive

UPGRADES = ROOT / "tests/specs/upgrades"
SPEC = """\
apiVersion: triptych/v1
platform: {{name: acme, github: {{organization: acme}}}}
services:
  - {{name: orders, language: {language}}}
"""


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    """A copy of this project's template, and an empty folder."""
    template = tmp_path / "template"
    for name in run("git", "ls-files", "-z", "copier.yml", "blueprints", cwd=ROOT).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (template / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, template / name, follow_symlinks=False)
    git(template, "init", "--quiet")
    bench = Workbench(tmp_path / "platform", TinyTemplate(template))
    bench.template.release("v1.0.0")
    bench.folder.mkdir()
    return bench


def edit(folder: Path, edits: list[dict[str, str]]) -> None:
    """Replace texts in files or their templates; a block's end, which YAML gives a text, is no part of it."""
    for one in edits:
        file = next(path for path in (folder / one["file"], folder / f"{one['file']}.jinja") if path.exists())
        find, put = (one[key].rstrip("\n") for key in ("find", "put"))
        text = file.read_text()
        assert text.count(find) == 1, f"{one['file']} has not once {find!r}"
        file.write_text(text.replace(find, put))


def rename(folder: Path, how: dict[str, str]) -> None:
    """Give a file another name, and say so wherever it is named."""
    git(folder, "mv", how["from"], how["to"])
    for name in git(folder, "ls-files", ".").splitlines() if "find" in how else ():
        file = folder / name
        if file.suffix in {".py", ".go", ".ts", ".java"}:
            file.write_text(file.read_text().replace(how["find"], how["put"]))


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_team_did_and_what_a_newer_template_does_work_together(bench: Workbench, language: str) -> None:
    work: Any = yaml.safe_load((UPGRADES / f"{language}.yaml").read_text())
    blueprint = f"[% yield service from services %][% if service.language == '{language}' %][[ service.name ]]"
    (templates,) = (
        path
        for path in (bench.template.folder / "blueprints/app-repo/services").iterdir()
        if path.name.startswith(blueprint)
    )
    service = bench.app / "services/orders"
    bench.spec.write_text(SPEC.format(language=language))
    bench.apply()

    edit(service, work["team"])
    rename(service, work["rename"])
    for command in work["commands"]:
        found = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
        run(*command, *(programs() if command[0] == "make" else ()), cwd=service, env=found)
    bench.commit(service)
    edit(templates, work["template"])
    bench.template.release("v2.0.0")
    result = bench.apply()

    assert "conflict" not in result.out
    assert not (service / work["rename"]["from"]).exists()
    for file, texts in work["kept"].items():
        assert [text for text in texts if text not in (service / file).read_text()] == [], file
    run("make", "setup", *programs(), cwd=bench.app)
    said = run("make", "test", "svc=orders", *programs(), cwd=bench.app).stdout
    assert "== services/orders" in said
    assert "Plan: nothing changes." in bench.apply().out
