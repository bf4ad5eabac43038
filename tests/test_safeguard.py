"""Edits that are no text, which Copier cannot carry over, are not lost."""

import os
import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from generator import safeguard
from tests.tools import ROOT, run
from tests.workbench import PER_SERVICE, Workbench, git

ABOUT = f"blueprints/app-repo/{PER_SERVICE}/about.txt.jinja"
BINARY = bytes(range(256)) * 20


def _upgrade(bench: Workbench) -> None:
    bench.template.edit(ABOUT, "line 18\n", "line 18, newer\n")
    bench.template.release("v1.1.0")


@pytest.mark.parametrize("path", ["logo.png", "services/orders/logo.png"])
def test_a_binary_file_that_the_user_added_stays_and_so_do_edits_beside_it(bench: Workbench, path: str) -> None:
    (bench.app / path).write_bytes(BINARY)
    bench.commit(bench.app / path)
    bench.change_file(bench.app / "services/orders/about.txt", "line 3\n", "line 3, ours\n")
    _upgrade(bench)

    bench.apply()

    assert (bench.app / path).read_bytes() == BINARY
    text = (bench.app / "services/orders/about.txt").read_text()
    assert "line 3, ours" in text
    assert "line 18, newer" in text


@pytest.mark.parametrize("how", ["content", "attribute"])
def test_a_generated_file_that_became_binary_stays_what_the_user_made_of_it(bench: Workbench, how: str) -> None:
    readme = bench.app / "README.md"
    if how == "content":
        readme.write_bytes(BINARY)
    else:
        (bench.app / ".gitattributes").write_text("*.md -diff\n")
        readme.write_text(readme.read_text().replace("line 3\n", "line 3, ours\n"))
    bench.commit(readme)
    before = readme.read_bytes()
    _upgrade(bench)

    result = bench.apply()

    assert readme.read_bytes() == before
    assert "  README.md" not in result.out


def test_a_binary_file_that_both_sides_changed_is_a_conflict(bench: Workbench) -> None:
    about = bench.app / "services/orders/about.txt"
    about.write_bytes(BINARY)
    bench.commit(about)
    _upgrade(bench)
    before = bench.heads()

    refused = bench.run("apply")

    assert refused.code == 1
    assert "conflict               services/orders/about.txt" in refused.out
    assert bench.heads() == before

    bench.run("apply", "--keep-conflicts")
    assert about.read_bytes() == BINARY
    assert "UU services/orders/about.txt" in git(bench.app, "status", "--porcelain").splitlines()


def test_an_edit_that_the_new_template_holds_too_is_no_conflict(bench: Workbench) -> None:
    bench.change_file(bench.app / "services/orders/about.txt", "line 3\n", "line 3, better\n")
    bench.template.edit(ABOUT, "line 3\n", "line 3, better\n")
    _upgrade(bench)

    bench.apply()

    assert "line 18, newer" in (bench.app / "services/orders/about.txt").read_text()


def test_a_service_that_leaves_takes_its_links_with_it(bench: Workbench) -> None:
    link = bench.template.folder / "blueprints/cd-repo" / PER_SERVICE / "link"
    link.symlink_to("about.txt")
    dangling = link.with_name("dangling")
    dangling.symlink_to("../../nowhere")
    bench.template.release("v1.1.0")
    bench.apply()
    assert (bench.cd / "services/catalog/link").is_symlink()
    bench.change_spec("  - {name: catalog, language: python}\n", "")

    bench.apply()

    assert "services/catalog" not in git(bench.cd, "ls-files")


@pytest.mark.parametrize("inside", [False, True])
def test_nothing_is_written_through_a_link_that_took_a_folders_place(
    bench: Workbench, tmp_path: Path, inside: bool
) -> None:
    service = bench.app / "services/orders"
    elsewhere = bench.app / "elsewhere" if inside else tmp_path / "elsewhere"
    shutil.copytree(service, elsewhere)
    shutil.rmtree(service)
    service.symlink_to("../elsewhere" if inside else elsewhere)
    bench.commit(service)
    before = (elsewhere / "about.txt").read_text()
    _upgrade(bench)

    for command in ("plan", "apply"):
        result = bench.run(command)
        assert result.code == 1
        assert "services/orders is a link in your repository and a folder in the template" in result.err
    assert (elsewhere / "about.txt").read_text() == before


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("known", [True, False])
def test_a_link_in_the_place_of_a_file_does_not_hide_what_the_template_changes(
    bench: Workbench, tmp_path: Path, inside: bool, known: bool
) -> None:
    link = bench.app / ("README.md" if known else "NEWS.md")
    target = (bench.app if inside else tmp_path) / "elsewhere.md"
    target.write_text("mine\n")
    link.unlink(missing_ok=True)
    link.symlink_to("elsewhere.md" if inside else target)
    bench.commit(link)
    bench.template.edit("blueprints/app-repo/README.md.jinja", "line 18\n", "line 18, newer\n")
    bench.template.write("blueprints/app-repo/NEWS.md", "News\n")
    bench.template.release("v1.1.0")
    before = bench.heads()

    assert f"conflict               {link.name}" in bench.run("plan").out
    assert bench.run("apply").code == 1
    assert bench.heads() == before

    bench.run("apply", "--keep-conflicts")
    assert f"{'U' if known else 'A'}{'U' if known else 'A'} {link.name}" in git(bench.app, "status", "--porcelain")
    assert link.is_symlink()
    for repository in bench.repositories:
        git(repository, "add", "--all")
        git(repository, "commit", "--quiet", "--message", "Keep the link")
    bench.apply()
    assert link.is_symlink()
    assert target.read_text() == "mine\n"


def test_a_link_in_the_place_of_a_file_that_is_no_longer_generated_is_named_first(bench: Workbench) -> None:
    readme = bench.app / "README.md"
    readme.unlink()
    readme.symlink_to("services/orders/about.txt")
    bench.commit(readme)
    (bench.template.folder / "blueprints/app-repo/README.md.jinja").unlink()
    bench.template.release("v1.1.0")

    result = bench.run("apply")

    assert result.code == 1
    assert "removed though edited  README.md" in result.out
    assert readme.is_symlink()


def test_a_folder_where_the_template_has_a_file_is_told(bench: Workbench) -> None:
    readme = bench.app / "README.md"
    readme.unlink()
    bench.add_file(readme / "mine.txt", "mine\n")
    _upgrade(bench)

    result = bench.run("apply")

    assert result.code == 1
    assert "README.md is a folder in your repository and a file in the template" in result.err


@pytest.mark.parametrize("line", [3, 18])
def test_an_edit_in_another_encoding_keeps_its_bytes(bench: Workbench, line: int) -> None:
    about = bench.app / "services/orders/about.txt"
    edited = f"line {line} für uns\n".encode("latin-1")
    about.write_bytes(about.read_bytes().replace(f"line {line}\n".encode(), edited))
    bench.commit(about)
    _upgrade(bench)

    result = bench.run("apply")

    assert edited in about.read_bytes()
    if line == 18:
        assert "conflict               services/orders/about.txt" in result.out
    else:
        assert result.code == 0
        assert b"line 18, newer\n" in about.read_bytes()


def test_a_submodule_of_the_user_stays(bench: Workbench, tmp_path: Path) -> None:
    other = tmp_path / "other"
    git(tmp_path, "init", "--quiet", str(other))
    git(other, "commit", "--quiet", "--allow-empty", "--message", "Empty")
    git(bench.app, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "vendor/other")
    git(bench.app, "commit", "--quiet", "--message", "Add a submodule")
    before = git(bench.app, "rev-parse", "HEAD:vendor/other")
    _upgrade(bench)

    result = bench.apply()

    assert "vendor" not in result.out
    assert git(bench.app, "rev-parse", "HEAD:vendor/other") == before
    bench.heads()


def test_folders_of_the_user_beside_the_repositories_stay(bench: Workbench) -> None:
    notes = bench.folder / ".triptych-notes"
    notes.mkdir()
    (notes / "keep").write_text("mine\n")

    bench.apply()

    assert (notes / "keep").read_text() == "mine\n"


def test_what_copier_may_not_render_over_may_not_go_either() -> None:
    kept = yaml.safe_load((ROOT / "copier.yml").read_text())["_skip_if_exists"]

    assert kept
    assert [pattern for pattern in kept if not pattern.startswith(safeguard.STATE)] == []


def test_a_record_that_was_deleted_can_be_brought_back(bench: Workbench) -> None:
    record = bench.ci / ".copier-answers.yml"
    record.unlink()
    bench.commit(record)

    refused = bench.run("apply")

    assert refused.code == 1
    command = refused.err.split("Bring it back with `")[1].split("`")[0]
    run(*shlex.split(command))
    bench.commit(record)
    bench.apply()


def test_a_file_whose_name_copier_cannot_read_is_told(bench: Workbench) -> None:
    name = os.fsdecode(b"caf\xe9.txt")
    (bench.app / name).write_text("Closed on Mondays.\n")
    bench.commit(bench.app / name)
    _upgrade(bench)
    before = bench.heads()

    refused = bench.run("apply")

    assert refused.code == 1
    assert r"rename the file: caf\xe9.txt" in refused.err
    assert bench.heads() == before
