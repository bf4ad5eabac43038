"""Copier alone, with nothing of Triptych around it, renders what Triptych renders."""

from pathlib import Path

import pytest
from pytest_copie.plugin import Copie

from generator.projection import repositories
from generator.rendering import ANSWERS_FILE, renderer
from generator.spec import load_spec
from generator.template import find_template
from tests.platform import spec_of
from tests.test_acceleration import content_of
from tests.tools import ROOT


@pytest.mark.slow
@pytest.mark.parametrize("blueprint", ["app-repo", "ci-repo", "cd-repo"])
def test_copier_alone_renders_the_same(copie: Copie, tmp_path: Path, blueprint: str) -> None:
    (repository,) = (r for r in repositories(load_spec(spec_of("shop"))) if r.blueprint == blueprint)
    template = find_template()
    with renderer(template, tmp_path) as render:
        render.render(repository.answers, template.commit, tmp_path / "ours")

    result = copie.copy(extra_answers=repository.answers, template_dir=ROOT)

    assert result.exception is None
    assert result.project_dir is not None
    theirs, ours = content_of(result.project_dir), content_of(tmp_path / "ours")
    # Only where the template came from differs: Copier was given a folder.
    assert {name for name in theirs.keys() | ours.keys() if theirs.get(name) != ours.get(name)} <= {ANSWERS_FILE}
