"""Work out what an apply would do: in scratch copies, down to the last byte, without touching a repository.

`apply` lands exactly what was planned here, so a plan cannot promise anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, Literal

from generator import git, library
from generator.changes import AnswerChange, Change, Kind, answer_changes, file_changes, names_in
from generator.errors import InputError, RefusedError
from generator.existing import commit_to_update, read_answers, refuse_renamed
from generator.leftovers import leftovers
from generator.projection import Repository
from generator.renames import follow_renames
from generator.rendering import Renderer, renderer
from generator.safeguard import restore_edits
from generator.template import Template

Action = Literal["create", "update", "unchanged"]


@dataclass
class RepositoryPlan:
    """What an apply does to one repository.

    Attributes:
        repository: What the spec asks for.
        folder: Where it is, or will be.
        action: Whether it is created, updated, or left alone.
        before: Commit that is checked out now; empty for one that is created.
        changes: Each file that changes.
        answers: Each answer that changes; empty for one that is created.
        added: Services that come.
        removed: Services that go.
        template_before: Version of the template until now; empty for one that is created.
        template_after: Version of the template from now on.
        scratch: A repository with the result in its work tree; None where nothing changes.
    """

    repository: Repository
    folder: Path
    action: Action
    before: str = ""
    changes: list[Change] = field(default_factory=list)
    answers: list[AnswerChange] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    template_before: str = ""
    template_after: str = ""
    scratch: Path | None = None

    def of_kind(self, kind: Kind) -> list[str]:
        """Return the files to which `kind` happens."""
        return [change.path for change in self.changes if change.kind is kind]


@dataclass
class Plan:
    """What an apply does to all repositories of a spec.

    Attributes:
        repositories: What it does to each.
        leftovers: What it leaves to people, a sentence each.
    """

    repositories: list[RepositoryPlan]
    leftovers: list[str] = field(default_factory=list)

    @property
    def changes_something(self) -> bool:
        """Tell whether an apply would write anything."""
        return any(plan.action != "unchanged" for plan in self.repositories)

    def of_kind(self, kind: Kind) -> list[str]:
        """Return, as `repository/path`, the files to which `kind` happens."""
        return [f"{plan.repository.name}/{path}" for plan in self.repositories for path in plan.of_kind(kind)]


Progress = Callable[[str], None]


@contextmanager
def planned(
    repositories: list[Repository], output: Path, template: Template, *, progress: Progress = lambda _: None
) -> Iterator[Plan]:
    """Work out a plan and keep its scratch copies for as long as the context lasts.

    Args:
        repositories: What the spec asks for.
        output: Folder in which the repositories lie or will lie.
        template: The template to render.
        progress: Called with a few words before each longer step.

    Raises:
        InputError: A folder is in the way.
        RefusedError: A repository is not in a state that can be updated.
        TemplateError: The template does not render.
    """
    _refuse_unusable(output)
    plans = [_survey(repository, output, template) for repository in repositories]
    _survey_library(plans)
    with TemporaryDirectory(prefix="triptych-plan-", ignore_cleanup_errors=True) as temporary:
        pending = [plan for plan in plans if plan.action != "unchanged"]
        if pending:
            with renderer(template, Path(temporary)) as render:
                for plan in pending:
                    progress(f"rendering {plan.repository.name}")
                    work = Path(temporary) / plan.repository.name
                    work.mkdir()
                    if plan.action == "create":
                        _plan_creation(plan, render, work, plans)
                    else:
                        _plan_update(plan, render, work, plans)
        cd = _of_blueprint(plans, "cd-repo")
        yield Plan(plans, leftovers(cd.folder, cd.repository.answers) if cd else [])


def _refuse_unusable(output: Path) -> None:
    try:
        there = next(folder for folder in (output, *output.parents) if folder.exists())
    except OSError as error:
        raise InputError(f"{output} cannot be made: {error.strerror}. Choose another --output.") from None
    if not there.is_dir():
        raise InputError(f"{output} cannot be made: {there} is a file. Choose another --output.")


def _survey(repository: Repository, output: Path, template: Template) -> RepositoryPlan:
    """Look at one repository and say what is to be done, without rendering anything."""
    folder = output / repository.name
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is in the way: it is a file. Move it, or choose another --output.")
    if not folder.exists() or not any(folder.iterdir()):
        refuse_renamed(repository, output, template)
        return RepositoryPlan(
            repository,
            folder,
            "create",
            added=sorted(names_in(repository.answers, "services")),
            template_after=template.version,
        )
    before = commit_to_update(repository, folder)
    recorded = read_answers(folder)
    version = str(recorded["_commit"])
    answers = {key: value for key, value in recorded.items() if not key.startswith("_")}
    if answers.get("blueprint") != repository.blueprint:
        raise RefusedError(
            f"{folder} was made from the blueprint {answers.get('blueprint')}, not {repository.blueprint}. "
            "Check the repositories' names in the spec."
        )
    base = _base(folder, recorded, template)
    return RepositoryPlan(
        repository,
        folder,
        "unchanged" if base == template.commit and answers == repository.answers else "update",
        before=before,
        answers=answer_changes(answers, repository.answers),
        added=sorted(names_in(repository.answers, "services") - names_in(answers, "services")),
        removed=sorted(names_in(answers, "services") - names_in(repository.answers, "services")),
        template_before=version,
        template_after=template.version,
    )


def _survey_library(plans: list[RepositoryPlan]) -> None:
    """See whether cd-repo has to follow a library chart that was changed in ci-repo, and nothing else changes."""
    ci, cd = _of_blueprint(plans, "ci-repo"), _of_blueprint(plans, "cd-repo")
    if ci and cd and ci.action == cd.action == "unchanged" and not library.in_step(ci.folder, cd.folder):
        cd.action = "update"


def _of_blueprint(plans: list[RepositoryPlan], blueprint: str) -> RepositoryPlan | None:
    return next((plan for plan in plans if plan.repository.blueprint == blueprint), None)


def _base(folder: Path, recorded: dict[str, Any], template: Template) -> str:
    """Return the commit of the template that the repository was last rendered from."""
    if recorded["_src_path"] != template.url:
        raise RefusedError(
            f"{folder} was made from the template {recorded['_src_path']}, this one is {template.url}. "
            "Name the right one with --template."
        )
    base = template.resolve(str(recorded["_commit"]))
    if base is None:
        raise RefusedError(
            f"{folder} was rendered from version {recorded['_commit']} of the template, which this Triptych "
            f"({template.version}) does not know. Install the newest Triptych, or fetch the template's whole history."
        )
    if template.is_older_than(base):
        raise RefusedError(
            f"{folder} was rendered from version {recorded['_commit']} of the template; this Triptych has the older "
            f"{template.version}. Install the newest Triptych."
        )
    return base


def _plan_creation(plan: RepositoryPlan, render: Renderer, work: Path, plans: list[RepositoryPlan]) -> None:
    scratch = work / "result"
    render.render(plan.repository.answers, render.template.commit, scratch)
    git.git(scratch, "init", "--quiet", f"--initial-branch={plan.repository.branch}")
    _vendor(plan, scratch, plans)
    git.git(scratch, "add", "--all", "--force")
    plan.changes = [Change(path, Kind.NEW) for path in sorted(git.staged(scratch))]
    plan.scratch = scratch


def _plan_update(plan: RepositoryPlan, render: Renderer, work: Path, plans: list[RepositoryPlan]) -> None:
    scratch = work / "result"
    git.git(
        None, "clone", "--quiet", "--shared", "--no-tags", "--single-branch",
        f"--branch={plan.repository.branch}", "--", str(plan.folder.resolve()), str(scratch),
    )  # fmt: skip
    recorded = read_answers(scratch)
    render.render(recorded, str(recorded["_commit"]), work / "base")
    base = git.tree_of_folder(scratch, work / "base", work / "base.index")
    head = git.tree(scratch)
    made = library.derived(scratch, head) if plan.repository.blueprint == "cd-repo" else {}
    # Copier merges with this render too, and copies it where it finds it.
    render.render(plan.repository.answers, render.template.commit, work / "new")
    new = git.tree_of_folder(scratch, work / "new", work / "new.index")
    _refuse_other_shape(plan.folder, head, base | new)
    render.update(plan.repository.answers, scratch)
    rejected = [path for path in git.changed_files(scratch) if path.endswith(".rej")]
    for path in rejected:
        (scratch / path).unlink()
    torn = restore_edits(scratch, work, head=head, base=base, new=new)
    follow_renames(scratch, work, head=head, base=base, new=new)
    conflicts = {*git.unmerged_files(scratch), *(path.removesuffix(".rej") for path in rejected), *torn}
    _vendor(plan, scratch, plans, edited=head.keys() - base.keys() - made.keys())
    base |= made
    # The files that a user added to a service go with its folder.
    doomed = [
        path for path in head if path not in base and any(path.startswith(f"services/{name}/") for name in plan.removed)
    ]
    for path in doomed:
        (scratch / path).unlink(missing_ok=True)
    result = git.tree_to_commit(scratch, work / "result.index")
    plan.changes = file_changes(head=head, base=base, result=result, conflicts=conflicts, doomed=doomed)
    plan.scratch = scratch
    _refuse_in_the_way(plan)


def _vendor(plan: RepositoryPlan, scratch: Path, plans: list[RepositoryPlan], edited: Iterable[str] = ()) -> None:
    """Bring the library chart of ci-repo, which was planned before, into the scratch copy of cd-repo."""
    ci = _of_blueprint(plans, "ci-repo")
    if plan.repository.blueprint != "cd-repo" or ci is None:
        return
    if any(path.startswith(f"{library.SOURCE}/") for path in ci.of_kind(Kind.CONFLICT)):
        return  # what the library will be is not settled; the next apply brings it
    services = {service["name"]: service.get("base") for service in plan.repository.answers["services"]}
    library.vendor(ci.scratch or ci.folder, scratch, services, edited)


def _refuse_other_shape(folder: Path, head: git.Tree, rendered: git.Tree) -> None:
    """Refuse a file or link where the template has a folder, and the reverse.

    Copier would write through such a link, to wherever it leads.
    """
    folders = {str(parent) for path in rendered for parent in PurePosixPath(path).parents}
    for path in sorted(head.keys() & folders):
        kind = "link" if head[path][0] == git.LINK else "file"
        raise RefusedError(f"{folder / path} is a {kind} in your repository and a folder in the template. Move it.")
    folders = {str(parent) for path in head for parent in PurePosixPath(path).parents}
    for path in sorted(rendered.keys() & folders):
        raise RefusedError(f"{folder / path} is a folder in your repository and a file in the template. Move it.")


def _refuse_in_the_way(plan: RepositoryPlan) -> None:
    """Refuse to write over files that git does not track, such as ignored ones."""
    for path in plan.of_kind(Kind.NEW):
        file = plan.folder / path
        if file.exists() or file.is_symlink():
            raise RefusedError(f"{file} is in the way: git ignores it, and the template now has such a file. Move it.")
