"""Copier with its slow parts replaced gives what Copier gives as it is."""

from pathlib import Path
from typing import Any

import copier
import pytest

from generator import acceleration
from generator.projection import repositories
from generator.rendering import renderer
from generator.spec import load_spec
from generator.template import find_template
from tests.workbench import PER_SERVICE, Workbench, git


def test_this_copier_has_every_internal_that_is_replaced() -> None:
    missing = acceleration.missing_internals()

    assert not missing, (
        f"Copier {copier.__version__} lacks {', '.join(missing)}. Triptych still works with it, but slowly: adapt "
        "generator/acceleration.py, and only then raise the bound in pyproject.toml."
    )


def test_without_them_copier_runs_as_it_is(empty_bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceleration, "INTERNALS", (*acceleration.INTERNALS, "copier._main.Worker.no_such_thing"))

    assert acceleration.missing_internals() == ["copier._main.Worker.no_such_thing"]
    empty_bench.apply()
    empty_bench.change_spec("services:\n", "services:\n  - {name: billing, language: python}\n")
    empty_bench.apply()
    assert (empty_bench.cd / "services/billing/about.txt").is_file()


def test_the_originals_are_back_afterwards(tmp_path: Path) -> None:
    before = {name: acceleration._lookup(name) for name in acceleration.INTERNALS}

    with acceleration.accelerate(tmp_path):
        assert any(acceleration._lookup(name) is not original for name, original in before.items())

    assert {name: acceleration._lookup(name) for name in acceleration.INTERNALS} == before


@pytest.mark.slow
def test_the_real_blueprints_render_byte_for_byte_alike(tmp_path: Path) -> None:
    spec = load_spec(Path(__file__).parent / "specs/valid/every-key.yaml")
    template = find_template()
    for accelerated in (False, True):
        with renderer(template, tmp_path, accelerated=accelerated) as render:
            for repository in repositories(spec):
                target = tmp_path / str(accelerated) / repository.name
                render.render(repository.answers, template.commit, target)

    assert content_of(tmp_path / "True") == content_of(tmp_path / "False")


def test_an_update_merges_alike(bench: Workbench, tmp_path: Path) -> None:
    """Edits, conflicts, deletions, executable bits, and symbolic links."""
    template = bench.template
    about = bench.app / "services/orders/about.txt"
    bench.change_file(about, "line 3\n", "line 3, ours\n")
    bench.change_file(bench.app / "services/catalog/about.txt", "line 9\n", "line 9, ours\n")
    template.edit(f"blueprints/app-repo/{PER_SERVICE}/about.txt.jinja", "line 9\n", "line 9, theirs\n")
    template.write("blueprints/app-repo/run.sh", "#!/bin/sh\n")
    (template.folder / "blueprints/app-repo/run.sh").chmod(0o755)
    (template.folder / "blueprints/app-repo/link").symlink_to("run.sh")
    git(template.folder, "rm", "--quiet", "blueprints/app-repo/README.md.jinja")
    template.release("v1.1.0")
    spec = load_spec(bench.spec)
    results: dict[bool, Any] = {}
    for accelerated in (False, True):
        clone = tmp_path / str(accelerated)
        git(tmp_path, "clone", "--quiet", str(bench.app), str(clone))
        with renderer(find_template(str(template.folder)), tmp_path, accelerated=accelerated) as render:
            render.update(repositories(spec)[0].answers, clone)
        results[accelerated] = (content_of(clone), git(clone, "ls-files", "--stage"))

    assert results[True] == results[False]
    assert "<<<<<<< before updating" in results[True][0]["services/catalog/about.txt"][1].decode()


def content_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return the mode and content of each file; a link's content is where it leads."""
    return {
        str(path.relative_to(folder)): (
            (0, str(path.readlink()).encode()) if path.is_symlink() else (path.stat().st_mode, path.read_bytes())
        )
        for path in sorted(folder.rglob("*"))
        if ".git" not in path.relative_to(folder).parts and not path.is_dir()
    }
