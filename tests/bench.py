"""How fast Triptych is, against stock Copier and against bare Jinja2, in one run: `make bench`.

Every figure is a whole job over the three repositories. Stock Copier does the same job on the same templates and
answers, without what `generator.acceleration` replaces. "Bare Jinja2" compiles each template once and writes each file:
what no tool that renders these files with Jinja2 can be faster than.

Seconds depend on the machine; the ratios of one run are what to compare.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import jinja2
from copier._jinja_ext import YieldExtension, get_yield_context

from generator.projection import Repository, repositories
from generator.rendering import renderer
from generator.spec import load_spec
from generator.template import Template, find_template
from tests.tools import ROOT
from tests.workbench import git, triptych

SIZES = (10, 100, 300)


def spec_of(size: int) -> str:
    """Return a spec of so many services, each calling the one before it."""
    rows = [
        f"  - {{name: service-{number:03}, language: python"
        + (f", dependsOn: [service-{number - 1:03}]" if number else "")
        + "}\n"
        for number in range(size)
    ]
    return "apiVersion: triptych/v1\nplatform: {name: acme, github: {organization: acme}}\nservices:\n" + "".join(rows)


class Bench:
    """The four jobs, for one size, in one temporary folder."""

    def __init__(self, folder: Path, size: int) -> None:
        """Make the spec and a copy of the template that a second version can be added to."""
        self.folder, self.size = folder, size
        self.template = folder / "template"
        self.template.mkdir()
        shutil.copy2(ROOT / "copier.yml", self.template)
        shutil.copytree(ROOT / "blueprints", self.template / "blueprints", symlinks=True)
        git(self.template, "init", "--quiet")
        self._commit("v1.0.0")
        self.spec = folder / "services.yaml"
        self.spec.write_text(spec_of(size))

    def _commit(self, tag: str) -> None:
        git(self.template, "add", "--all")
        git(self.template, "-c", "user.name=x", "-c", "user.email=x@x.invalid", "commit", "--quiet", "--message", tag)
        git(self.template, "tag", tag)

    def change_spec(self) -> None:
        """Change one line of the spec: the port of one service, which all three repositories see."""
        self.spec.write_text(
            self.spec.read_text().replace(
                "{name: service-005, language: python", "{name: service-005, language: python, port: 9005"
            )
        )

    def change_template(self) -> None:
        """Add a line to one template of each repository, one of them in every service."""
        for readme in self.template.glob("blueprints/*/README.md.jinja"):
            readme.write_text(readme.read_text() + "\nA newer template.\n")
        dockerfile = next(path for path in (self.template / "blueprints/app-repo/services").rglob("Dockerfile*"))
        dockerfile.write_text(dockerfile.read_text() + "# A newer template.\n")
        self._commit("v2.0.0")

    def apply(self) -> None:
        """Run `triptych apply`."""
        result = triptych("apply", "-f", self.spec, "-o", self.folder / "triptych", "--template", self.template)
        if result.code:
            raise SystemExit(result.err)

    def stock_create(self) -> None:
        """Create the three repositories with stock Copier, and commit."""
        template = find_template(str(self.template))
        with renderer(template, self.folder, accelerated=False) as render:
            for repository in self._repositories():
                folder = self.folder / "stock" / repository.name
                render.render(repository.answers, template.commit, folder)
                git(folder, "init", "--quiet")
                self._commit_all(folder)

    def stock_update(self) -> None:
        """Update the three repositories with stock Copier, and commit."""
        with renderer(find_template(str(self.template)), self.folder, accelerated=False) as render:
            for repository in self._repositories():
                folder = self.folder / "stock" / repository.name
                render.update(repository.answers, folder)
                self._commit_all(folder)

    def _commit_all(self, folder: Path) -> None:
        git(folder, "add", "--all", "--force")
        git(
            folder, "-c", "user.name=x", "-c", "user.email=x@x.invalid", "commit", "--quiet", "--allow-empty", "-m", "x"
        )

    def bare(self) -> int:
        """Render every file of the three repositories with nothing but Jinja2; return how many there are."""
        template = find_template(str(self.template))
        return sum(
            _bare(template, repository, self.template, self.folder / "bare") for repository in self._repositories()
        )

    def _repositories(self) -> list[Repository]:
        return repositories(load_spec(self.spec))


def _bare(template: Template, repository: Repository, source: Path, target: Path) -> int:
    environment = jinja2.Environment(  # noqa: S701 -- it renders no HTML
        loader=jinja2.FileSystemLoader(source),
        variable_start_string="[[", variable_end_string="]]", block_start_string="[%", block_end_string="%]",
        comment_start_string="[#", comment_end_string="#]", trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, extensions=["jinja2_ansible_filters.AnsibleCoreFiltersExtension", YieldExtension],
    )  # fmt: skip
    recorded = {"_commit": template.version, "_src_path": template.url, **repository.answers}
    context = repository.answers | {
        "_copier_conf": {"answers_file": ".copier-answers.yml"},
        "_copier_answers": recorded,
    }
    root = source / "blueprints" / repository.blueprint
    files = 0
    for path in sorted(root.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        for name, extra in _paths(environment, path.relative_to(root).parts, context):
            files += 1
            file = target / repository.name / name.removesuffix(".jinja")
            file.parent.mkdir(parents=True, exist_ok=True)
            if path.is_symlink():
                file.symlink_to(path.readlink())
            elif path.suffix == ".jinja":
                file.write_text(environment.get_template(str(path.relative_to(source))).render(context | extra))
            else:
                shutil.copyfile(path, file)
    return files


def _paths(
    environment: jinja2.Environment, parts: tuple[str, ...], context: dict[str, object]
) -> list[tuple[str, dict[str, object]]]:
    """Return each path that the parts render to, with the variables of its loops."""
    done: list[tuple[str, dict[str, object]]] = [("", {})]
    for part in parts:
        following = []
        template = environment.from_string(part) if "[" in part else None
        for prefix, extra in done:
            if template is None:
                following.append((f"{prefix}/{part}".lstrip("/"), extra))
                continue
            loop = get_yield_context(environment)
            loop.yield_name = loop.yield_iterable = None
            rendered = template.render(context | extra)
            values: list[dict[str, object]] = (
                [{loop.yield_name: value} for value in loop.yield_iterable or ()] if loop.yield_name else [{}]
            )
            for value in values:
                loop.yield_name = loop.yield_iterable = None
                name = template.render(context | extra | value) if value else rendered
                if name and name != ".jinja":
                    following.append((f"{prefix}/{name}".lstrip("/"), extra | value))
        done = following
    return done


def _seconds(job: Callable[[], object]) -> float:
    started = time.perf_counter()
    job()
    return time.perf_counter() - started


def measure(size: int) -> list[str]:
    """Run all jobs for one size and return the rows of the table."""
    with TemporaryDirectory(prefix="triptych-bench-") as temporary:
        bench = Bench(Path(temporary), size)
        files = bench.bare()
        shutil.rmtree(bench.folder / "bare")
        bare = _seconds(bench.bare)
        ours = {"create": _seconds(bench.apply)}
        stock = {"create": _seconds(bench.stock_create)}
        ours["nothing changed"] = _seconds(bench.apply)
        stock["nothing changed"] = _seconds(bench.stock_update)
        bench.change_spec()
        ours["one line of the spec"] = _seconds(bench.apply)
        stock["one line of the spec"] = _seconds(bench.stock_update)
        bench.change_template()
        ours["newer template"] = _seconds(bench.apply)
        stock["newer template"] = _seconds(bench.stock_update)
    return [
        f"| {size} | {files} | {job} | {ours[job]:.2f} s | {stock[job]:.2f} s | "
        f"{stock[job] / ours[job]:.1f}x | {ours[job] / bare:.1f}x |"
        for job in ("create", "one line of the spec", "newer template", "nothing changed")
    ]


def main() -> None:
    """Print the table, for the sizes on the command line or the usual ones."""
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}\n")
    print("| services | files | job | triptych | stock Copier | times as fast | against bare Jinja2 |")
    print("|---|---|---|---|---|---|---|")
    for size in map(int, sys.argv[1:]) if sys.argv[1:] else SIZES:
        for row in measure(size):
            print(row, flush=True)


if __name__ == "__main__":
    main()
