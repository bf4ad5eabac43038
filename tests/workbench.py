"""A folder to try the `triptych` command in: a spec, a small template, and the repositories that come of them."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from generator.main import main
from tests.tools import ROOT, run

SPEC = """\
apiVersion: triptych/v1
platform: {name: acme, github: {organization: acme}}
services:
  - {name: orders, language: python}
  - {name: catalog, language: python}
"""

ANSWERS = "[[ _copier_conf.answers_file ]].jinja"
PER_SERVICE = "services/[% yield service from services %][[ service.name ]][% endyield %]"
LINES = "".join(f"line {number}\n" for number in range(1, 21))


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str


def triptych(*arguments: str | Path) -> Result:
    """Run the command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    with patch.object(sys, "argv", ["triptych", *map(str, arguments)]), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    return Result(code, out.getvalue(), err.getvalue())


def git(folder: Path, *arguments: str) -> str:
    """Run git and return what it prints, without the line end."""
    return run("git", *arguments, cwd=folder).stdout.strip()


@dataclass(frozen=True)
class TinyTemplate:
    """A template of a few files, in a git repository of its own, with the project's own copier.yml."""

    folder: Path

    @classmethod
    def at(cls, folder: Path) -> "TinyTemplate":
        template = cls(folder)
        folder.mkdir(parents=True)
        git(folder, "init", "--quiet")
        template.write("copier.yml", (ROOT / "copier.yml").read_text())
        for blueprint in ("app-repo", "ci-repo", "cd-repo"):
            template.write(f"blueprints/{blueprint}/{ANSWERS}", "[[ _copier_answers | to_nice_yaml -]]\n")
            template.write(f"blueprints/{blueprint}/README.md.jinja", f"# {blueprint} of [[ platform.name ]]\n{LINES}")
            template.write(f"blueprints/{blueprint}/{PER_SERVICE}/about.txt.jinja", f"[[ service.name ]]\n{LINES}")
        template.release("v1.0.0")
        return template

    def write(self, path: str, text: str) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.folder / path
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def release(self, tag: str) -> None:
        git(self.folder, "add", "--all")
        git(self.folder, "commit", "--quiet", "--allow-empty", "--message", tag)
        git(self.folder, "tag", tag)


@dataclass(frozen=True)
class Workbench:
    """A spec, a template, and the folder of the generated repositories."""

    folder: Path
    template: TinyTemplate

    @property
    def spec(self) -> Path:
        return self.folder / "services.yaml"

    @property
    def app(self) -> Path:
        return self.folder / "app-repo"

    @property
    def ci(self) -> Path:
        return self.folder / "ci-repo"

    @property
    def cd(self) -> Path:
        return self.folder / "cd-repo"

    @property
    def repositories(self) -> tuple[Path, Path, Path]:
        return self.app, self.ci, self.cd

    def run(self, command: str, *options: str | Path) -> Result:
        return triptych(command, "--file", self.spec, "--template", self.template.folder, *options)

    def apply(self, *options: str | Path) -> Result:
        """Apply, which must work."""
        result = self.run("apply", *options)
        assert result.code == 0, result.err + result.out
        return result

    def change_spec(self, old: str, new: str) -> None:
        text = self.spec.read_text()
        assert old in text
        self.spec.write_text(text.replace(old, new))

    def change_file(self, file: Path, old: str, new: str) -> None:
        """Edit a file in a generated repository and commit it, as a team does."""
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))
        self.commit(file)

    def add_file(self, file: Path, text: str) -> None:
        """Add a file to a generated repository and commit it, as a team does."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        self.commit(file)

    def commit(self, file: Path) -> None:
        repository = next(folder for folder in self.repositories if file.is_relative_to(folder))
        git(repository, "add", "--all")
        git(repository, "commit", "--quiet", "--message", f"Change {file.name}")

    def heads(self) -> list[str]:
        """Return the commit of each repository, and prove that none has uncommitted changes."""
        for repository in self.repositories:
            assert git(repository, "status", "--porcelain") == ""
        return [git(repository, "rev-parse", "HEAD") for repository in self.repositories]
