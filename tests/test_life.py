"""The life of a platform in any order: no byte of a user's is lost, a plan is what the apply does, once is enough.

Hypothesis plays the team, the robots, and the authors of the template. What each of them wrote is marked with a number
that is there only once, so that it can be looked for afterwards.
"""

import json
import shutil
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.workbench import LINES, PER_SERVICE, TinyTemplate, Workbench, git

SERVICES = ("billing", "catalog", "orders")
ENVIRONMENTS = ("dev", "staging", "prod")
PER_ENVIRONMENT = "[% yield environment from environments %][[ environment.name ]][% endyield %]"
STATUS = {"new": "A", "changed": "M", "merged with edits": "M", "removed": "D", "removed though edited": "D"}
STATE = ("registry/", "umbrella-chart/")

# Two of three, and few services and lines: so that team, template and robots meet now and then.
some_blueprint = st.sampled_from(("app-repo", "cd-repo"))
some_service = st.sampled_from(SERVICES)
some_environment = st.sampled_from(ENVIRONMENTS)
some_line = st.sampled_from((4, 18))


class Life(RuleBasedStateMachine):
    """A spec, a template and three repositories, with what is known of each file that somebody touched."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="triptych-life-"))
        self.bench = Workbench(self.folder / "platform", TinyTemplate.at(self.folder / "template"))
        self.bench.folder.mkdir()
        self.numbers = count(1)
        self.services = {"orders": 8080, "catalog": 8080}
        self.environments = list(ENVIRONMENTS)
        # Whether the spec or the template changed since the last apply.
        self.pending = False
        # Marks of the team and the robots by file; None for a file that the team deleted.
        self.marks: dict[Path, set[bytes] | None] = {}

    @initialize()
    def create(self) -> None:
        template = self.bench.template
        template.write("blueprints/cd-repo/registry/versions.yaml", "services: {}\n")
        template.write(f"blueprints/cd-repo/umbrella-chart/values-{PER_ENVIRONMENT}.yaml", "{}\n")
        template.write(f"blueprints/cd-repo/environments/{PER_ENVIRONMENT}/values.yaml", LINES)
        template.write(
            f"blueprints/app-repo/{PER_SERVICE}/port.txt.jinja", f"[[ service.port ]]\n{LINES}[[ service.port ]]\n"
        )
        template.release("v1.1.0")
        self._write_spec()
        self.bench.apply()

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    # What a team does with the spec.

    @rule(name=some_service, port=st.sampled_from((8080, 9090)))
    def add_or_change_service(self, name: str, port: int) -> None:
        self.services[name] = port
        self._write_spec()

    @precondition(lambda self: len(self.services) > 1)
    @rule(data=st.data())
    def remove_service(self, data: Any) -> None:
        del self.services[data.draw(st.sampled_from(sorted(self.services)))]
        self._write_spec()

    @rule(name=st.sampled_from(("staging", "prod")))
    def add_or_remove_environment(self, name: str) -> None:
        if name not in self.environments:
            self.environments.append(name)
        elif len(self.environments) > 2:  # the only one would have another branch
            self.environments.remove(name)
        self._write_spec()

    # What a team does in a repository.

    @rule(data=st.data(), line=some_line)
    def edit_file(self, data: Any, line: int) -> None:
        file = self._some_file(data)
        lines = file.read_text().splitlines(keepends=True)
        if len(lines) > line:
            mark = self._mark()
            # Who edits a line again takes back what he wrote there before.
            begin, *ends = lines[line].strip().split(", ")
            self.marks[file] = (self.marks.get(file) or set()) - {end.encode() for end in ends} | {mark}
            lines[line] = f"{begin}, {mark.decode()}\n"
            file.write_text("".join(lines))
            self.bench.commit(file)

    @rule(data=st.data())
    def delete_file(self, data: Any) -> None:
        file = self._some_file(data)
        file.unlink()
        self.marks[file] = None
        self.bench.commit(file)

    @rule(blueprint=some_blueprint, service=some_service, binary=st.booleans(), name=st.sampled_from(("mine", "about")))
    def add_file(self, blueprint: str, service: str, name: str, *, binary: bool) -> None:
        file = self.bench.folder / blueprint / "services" / service / f"{name}.txt"
        if not file.exists() and file not in self.marks:
            file.parent.mkdir(parents=True, exist_ok=True)
            mark = self._mark()
            file.write_bytes(mark + (bytes(range(256)) if binary else b"\n"))
            self.marks[file] = {mark}
            self.bench.commit(file)

    # What robots do in cd-repo.

    @rule(service=some_service, environment=some_environment)
    def release(self, service: str, environment: str) -> None:
        mark = self._mark()
        for path in (f"registry/releases/{environment}/{service}.yaml", f"umbrella-chart/values-{environment}.yaml"):
            file = self.bench.cd / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(mark + b": {}\n")
            self.marks[file] = {mark}
        self.bench.commit(file)

    # What the authors of the template do.

    @rule(blueprint=some_blueprint, line=some_line, file=st.sampled_from(("README.md", "about.txt")))
    def change_template(self, blueprint: str, line: int, file: str) -> None:
        folder = "" if file == "README.md" else f"{PER_SERVICE}/"
        template = self.bench.template.folder / f"blueprints/{blueprint}/{folder}{file}.jinja"
        lines = template.read_text().splitlines(keepends=True)
        lines[line] = f"{lines[line].strip().split(', ')[0]}, newer {next(self.numbers)}\n"
        template.write_text("".join(lines))
        self._release_template()

    @rule(blueprint=some_blueprint, name=st.sampled_from(("mine.txt", "extra.txt")))
    def add_or_drop_template_file(self, blueprint: str, name: str) -> None:
        file = self.bench.template.folder / f"blueprints/{blueprint}/{PER_SERVICE}/{name}"
        if file.exists():
            file.unlink()
        else:
            file.write_text(f"theirs {next(self.numbers)}\n")
        self._release_template()

    # What everybody waits for.

    @precondition(lambda self: self.pending)
    @rule()
    def apply(self) -> None:
        before = self.bench.heads()
        plan = self.bench.run("plan", "--json")
        assert plan.code == 0, plan
        assert self.bench.heads() == before
        kinds = self._kinds(json.loads(plan.out))
        refused = {"conflict", "removed though edited"} & set(kinds.values())

        result = self.bench.run("apply")

        if refused:
            assert result.code == 1, result
            assert self.bench.heads() == before
            self._settle(kinds)
        else:
            assert result.code == 0, result
            self._compare(before, kinds)
        self._forget_what_is_gone(kinds)
        self._look_for_marks()
        once = self.bench.heads()
        again = self.bench.run("apply")
        assert again.code == 0, again
        assert "Plan: nothing changes." in again.out
        assert self.bench.heads() == once
        self.pending = False

    def _settle(self, kinds: dict[Path, str]) -> None:
        """Prune what has to go, and resolve conflicts so that both sides stay."""
        before = self.bench.heads()
        conflicts = [file for file, kind in kinds.items() if kind == "conflict"]
        result = self.bench.run("apply", "--prune", "--keep-conflicts")
        if not conflicts:
            assert result.code == 0, result
            self._compare(before, kinds)
            return
        assert result.code == 1, result
        for file in conflicts:
            lines = file.read_bytes().splitlines(keepends=True)
            file.write_bytes(b"".join(x for x in lines if not x.startswith((b"<<<<<<<", b"=======", b">>>>>>>"))))
        for repository in self.bench.repositories:
            git(repository, "add", "--all")
            git(repository, "commit", "--quiet", "--allow-empty", "--message", "Merge")

    def _compare(self, before: list[str], kinds: dict[Path, str]) -> None:
        """Hold what the apply did against what the plan had said."""
        done = {}
        for repository, commit in zip(self.bench.repositories, before, strict=True):
            for entry in git(repository, "diff", "--no-renames", "--name-status", commit, "HEAD").splitlines():
                status, path = entry.split("\t")
                done[repository / path] = status
        assert done == {file: STATUS[kind] for file, kind in kinds.items()}

    def _look_for_marks(self) -> None:
        for file, marks in self.marks.items():
            if marks is None:
                assert not file.exists(), f"{file} came back"
            else:
                assert file.is_file(), f"{file} is lost"
                content = file.read_bytes()
                assert all(mark in content for mark in marks), f"{file} lost {marks}"

    def _forget_what_is_gone(self, kinds: dict[Path, str]) -> None:
        """A file that goes with its service, or with the template, may come back as new."""
        for file, kind in kinds.items():
            if kind in {"removed", "removed though edited"}:
                assert not self._is_state(file) or file not in self.marks, f"{file} is the robots'"
                self.marks.pop(file, None)
        for file in [file for file, marks in self.marks.items() if marks is None]:
            path = file.relative_to(self.bench.folder).parts
            gone = path[1] == "services" and path[2] not in self.services
            gone |= path[1] == "environments" and path[2] not in self.environments
            if gone or path[-1] in {"mine.txt", "extra.txt"}:
                del self.marks[file]

    def _is_state(self, file: Path) -> bool:
        return file.is_relative_to(self.bench.cd) and file.relative_to(self.bench.cd).as_posix().startswith(STATE)

    def _some_file(self, data: Any) -> Path:
        files = [
            repository / path
            for repository in self.bench.repositories
            for path in git(repository, "ls-files").splitlines()
            if path.endswith((".txt", ".md", "environments/dev/values.yaml", "environments/prod/values.yaml"))
        ]
        files = [file for file in files if b"\0" not in file.read_bytes()]
        return data.draw(st.sampled_from(sorted(files)), label="file")  # type: ignore[no-any-return]

    def _kinds(self, plan: Any) -> dict[Path, str]:
        return {
            Path(repository["folder"]) / file["path"]: file["change"]
            for repository in plan["repositories"]
            for file in repository["files"]
        }

    def _mark(self) -> bytes:
        return b"mark%04d" % next(self.numbers)

    def _write_spec(self) -> None:
        self.pending = True
        environments = ", ".join(f"{{name: {name}}}" for name in self.environments)
        services = "".join(
            f"  - {{name: {name}, language: python, port: {port}}}\n" for name, port in self.services.items()
        )
        self.bench.spec.write_text(
            "apiVersion: triptych/v1\nplatform: {name: acme, github: {organization: acme}}\n"
            f"environments: [{environments}]\nservices:\n{services}"
        )

    def _release_template(self) -> None:
        self.pending = True
        self.bench.template.release(f"v2.0.{next(self.numbers)}")


@pytest.mark.slow
def test_any_life_of_a_platform_keeps_its_promises() -> None:
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=4, stateful_step_count=14, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
