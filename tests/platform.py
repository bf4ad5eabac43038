"""Rendered platforms that the tests of the blueprints look at."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from generator.projection import Answers, repositories
from generator.spec import load_spec
from tests.tools import ROOT
from tests.workbench import triptych

SPECS = Path(__file__).parent / "specs" / "platforms"
# `shop` is the one that `make demo` makes.
NAMES = ("example", "hostile", "languages")
# Asked in the long tests alone: services.example.yaml, the smallest one, and other numbers of environments.
MORE_NAMES = ("shop", "minimal", "one-environment", "five-environments")


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
    """Apply the spec called `name` below `directory`."""
    return render_spec(spec_of(name), directory, name)


def render_spec(spec: Path, directory: Path, name: str = "") -> Platform:
    """Apply a spec below `directory`."""
    result = triptych("apply", "--file", spec, "--output", directory)
    assert result.code == 0, result.err
    # Tests know the repositories by their blueprints, whatever the spec calls them.
    for repository in repositories(load_spec(spec)):
        if repository.name != repository.blueprint:
            (directory / repository.name).rename(directory / repository.blueprint)
    return Platform(name=name, app=directory / "app-repo", ci=directory / "ci-repo", cd=directory / "cd-repo")


def spec_of(name: str) -> Path:
    """Return the file of the spec called `name`."""
    return ROOT / "services.example.yaml" if name == "shop" else SPECS / f"{name}.yaml"


def with_features(name: str, features: str, directory: Path) -> Path:
    """Write the spec called `name` below `directory`, with further features; `features` is YAML."""
    data = yaml.safe_load(spec_of(name).read_text())
    _merge(data.setdefault("features", {}), yaml.safe_load(features))
    spec = directory / "services.yaml"
    spec.write_text(yaml.safe_dump(data, sort_keys=False))
    return spec


def _merge(below: dict[str, Any], above: dict[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _merge(below[key], value)
        else:
            below[key] = value


def answers_of(name: str, blueprint: str) -> Answers:
    """Return what a platform's repository is rendered from."""
    (answers,) = (
        repository.answers for repository in repositories(load_spec(spec_of(name))) if repository.blueprint == blueprint
    )
    return answers


def copy_of(repository: Path, directory: Path) -> Path:
    """Copy a rendered repository with its history, for a test that changes files or commits."""
    return Path(shutil.copytree(repository, directory / repository.name, symlinks=True))
