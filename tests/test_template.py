"""Where the template comes from: a checkout, an installed wheel without a network, or an address with tags."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from generator.errors import InputError
from generator.template import Template, canonical_url, find_template
from hatch_build import make_bundle
from tests.tools import ROOT, run
from tests.workbench import SPEC, TinyTemplate, Workbench, git


@pytest.fixture
def template(tmp_path: Path) -> TinyTemplate:
    return TinyTemplate.at(tmp_path / "template")


def test_a_checkout_stands_for_the_canonical_address(template: TinyTemplate) -> None:
    found = find_template(str(template.folder))

    assert found.url == canonical_url()
    assert found.version == "v1.0.0"
    assert found.commit == git(template.folder, "rev-parse", "HEAD")


def test_what_is_not_committed_yet_counts_and_is_kept_beside_the_branches(template: TinyTemplate) -> None:
    template.write("blueprints/app-repo/new.txt", "not committed\n")
    before = git(template.folder, "status", "--porcelain")

    first, second = find_template(str(template.folder)), find_template(str(template.folder))

    assert first == second, "the same content makes the same commit"
    assert git(template.folder, "show", f"{first.commit}:blueprints/app-repo/new.txt") == "not committed"
    assert git(template.folder, "status", "--porcelain") == before
    assert git(template.folder, "branch", "--contains", first.commit) == ""


def test_drafts_of_a_template_follow_each_other(bench: Workbench) -> None:
    """Whoever works on the template applies one uncommitted draft after the other, in any order of commit ids."""
    for number in range(3):
        bench.template.write("blueprints/app-repo/draft.txt", f"{number}\n")
        bench.apply()
        assert (bench.app / "draft.txt").read_text() == f"{number}\n"
    bench.template.release("v1.1.0")
    bench.apply()
    assert "_commit: v1.1.0" in (bench.app / ".copier-answers.yml").read_text()


def test_an_address_gives_its_newest_release(template: TinyTemplate) -> None:
    template.release("v1.1.0")
    template.release("v2.0.0rc1")
    address = f"file://{template.folder}"

    assert find_template(address).version == "v1.1.0"
    assert find_template(address).url == address
    assert find_template(f"{address}@v2.0.0rc1").version == "v2.0.0rc1"


def test_a_reference_that_is_not_there_is_told(template: TinyTemplate) -> None:
    with pytest.raises(InputError, match="no commit, tag or branch `v9`"):
        find_template(f"{template.folder}@v9")


@pytest.mark.slow
def test_an_installed_wheel_works_without_a_network_and_updates_what_a_checkout_made(
    tmp_path: Path,
) -> None:
    """What a colleague made from a checkout of the same commit is up to date for the wheel."""
    clone, platform = tmp_path / "clone", tmp_path / "platform"
    git(tmp_path, "clone", "--quiet", str(ROOT), str(clone))
    site = _installed(clone, tmp_path)
    platform.mkdir()
    spec = platform / "services.yaml"
    spec.write_text(SPEC)
    command = [sys.executable, "-m", "generator.main"]

    checkout = _run([*command, "apply", "-f", str(spec)], clone)
    assert checkout.returncode == 0, checkout.stderr
    # A proxy that nobody listens at: any way to the network fails.
    wheel_run = _run([*command, "apply", "-f", str(spec)], site, https_proxy="http://127.0.0.1:9")
    assert wheel_run.returncode == 0, wheel_run.stderr
    assert wheel_run.stdout.endswith("Plan: nothing changes.\n")
    spec.write_text(SPEC.replace("catalog", "billing"))
    updated = _run([*command, "apply", "-f", str(spec)], site, https_proxy="http://127.0.0.1:9")
    assert updated.returncode == 0, updated.stderr
    assert "name: billing" in (platform / "app-repo/.copier-answers.yml").read_text()


@pytest.mark.exhaustive
def test_a_wheel_from_a_partial_clone_works_without_a_network(tmp_path: Path) -> None:
    """As pip makes it of `git+https://…`."""
    server, clone, platform = tmp_path / "server", tmp_path / "clone", tmp_path / "platform"
    git(tmp_path, "clone", "--quiet", "--bare", str(ROOT), str(server))
    _clone_lacking("--filter=blob:none", server, clone)
    server.rename(tmp_path / "gone")
    site = _installed(clone, tmp_path)
    platform.mkdir()
    spec = platform / "services.yaml"
    command = [sys.executable, "-m", "generator.main", "apply", "-f", str(spec)]

    for text in (SPEC, SPEC.replace("catalog", "billing")):
        spec.write_text(text)
        applied = _run(command, site, https_proxy="http://127.0.0.1:9")
        assert applied.returncode == 0, applied.stderr
    assert "name: billing" in (platform / "app-repo/.copier-answers.yml").read_text()


@pytest.mark.parametrize("how", ["--filter=blob:none", "--depth=1"])
@pytest.mark.parametrize("reachable", [True, False])
def test_a_bundle_has_as_much_history_as_can_be_had(
    template: TinyTemplate, tmp_path: Path, how: str, reachable: bool
) -> None:
    template.edit("blueprints/app-repo/README.md.jinja", "line 2\n", "line 2, newer\n")
    template.release("v1.1.0")
    commit = git(template.folder, "rev-parse", "HEAD")
    _clone_lacking(how, template.folder, tmp_path / "clone")
    if not reachable:
        template.folder.rename(tmp_path / "gone")

    info = make_bundle(tmp_path / "clone", tmp_path)

    assert info == {"commit": commit, "version": "v1.1.0", "shallow": [] if reachable else [commit]}
    bundled = Template(canonical_url(), commit, "v1.1.0", str(tmp_path / "bundle"), tuple(info["shallow"]))
    assert "line 2, newer" in git(bundled.repository, "show", "v1.1.0:blueprints/app-repo/README.md.jinja")
    assert (bundled.resolve("v1.0.0") is not None) == reachable
    git(bundled.repository, "fsck")


def _clone_lacking(how: str, origin: Path, clone: Path) -> None:
    """Clone without the contents of older commits, or without these commits."""
    git(origin, "config", "uploadpack.allowFilter", "true")
    git(origin.parent, "clone", "--quiet", how, f"file://{origin}", str(clone))


def _installed(clone: Path, folder: Path) -> Path:
    """Build a wheel from `clone` and return the folder that it is installed in."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder / "wheels", clone)
    (wheel,) = (folder / "wheels").glob("triptych-*.whl")
    run(*pip, "install", "--no-deps", "--no-index", "--target", folder / "site", wheel)
    return folder / "site"


def _run(command: list[str], path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(path), **variables}
    return subprocess.run(command, cwd=path.parent, env=environment, capture_output=True, text=True, check=False)
