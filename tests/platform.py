"""Rendered platforms that the tests of the blueprints look at."""

import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import copier
import yaml
from copier.errors import DirtyLocalWarning

from tests.tools import ROOT, run

ANSWERS = Path(__file__).parent / "answers"
NAMES = ("example", "minimal", "one-environment", "five-environments", "hostile")


@dataclass(frozen=True)
class Platform:
    """The three repositories of one platform.

    All tests of a worker share them: read them, and change only what `copy_of` returns.
    """

    name: str
    app: Path
    ci: Path
    cd: Path

    @property
    def repositories(self) -> tuple[Path, Path, Path]:
        return self.app, self.ci, self.cd


def render(name: str, directory: Path) -> Platform:
    """Render the platform called `name` into three git repositories below `directory`."""
    return Platform(
        name=name,
        app=_render(name, "app-repo", directory),
        ci=_render(name, "ci-repo", directory),
        cd=_render(name, "cd-repo", directory),
    )


def answers_of(name: str, blueprint: str) -> dict[str, Any]:
    """Return the answers that a platform's repository is rendered from, as in tests/answers."""
    answers: dict[str, Any] = yaml.safe_load((ANSWERS / name / f"{blueprint}.yml").read_text(encoding="utf-8"))
    return answers


def copy_of(repository: Path, directory: Path) -> Path:
    """Copy a rendered repository with its history, for a test that changes files or commits."""
    return Path(shutil.copytree(repository, directory / repository.name, symlinks=True))


def _render(name: str, blueprint: str, directory: Path) -> Path:
    answers = answers_of(name, blueprint)
    repository = directory / blueprint
    with warnings.catch_warnings():
        # The tests are about this checkout as it is, committed or not.
        warnings.simplefilter("ignore", DirtyLocalWarning)
        copier.run_copy(str(ROOT), repository, data=answers, vcs_ref="HEAD", defaults=True, unsafe=False, quiet=True)
    branch = answers["environments"][0]["branch"] if blueprint == "app-repo" else "main"
    run("git", "init", "--quiet", f"--initial-branch={branch}", cwd=repository)
    run("git", "add", "--all", cwd=repository)
    run("git", "commit", "--quiet", "--message", "Create the repository", cwd=repository)
    return repository
