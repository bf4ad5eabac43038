"""Make Copier fast: replace the internals that do the same work again and again.

Measured with Copier 9.19 on 1,000 small files, nearly all of its time goes into compiling each path part of each file
anew, into one `git config` process a file, and into cloning and rendering the same version of the template up to six
times. Each replacement does that work once and gives the same result, byte for byte.

The internals are Copier's own affair and may change with any release. `missing_internals` looks for them first: where
one is gone, Copier runs as it is, only slower; `tests/test_acceleration.py` says which.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from packaging.version import Version

from generator.git import git

_WORKER = "copier._main.Worker"
_TEMPLATE = "copier._template.Template"

# Where a worker keeps the variables that its templates see, and the path of its answers file.
_CONTEXT = "_triptych_context"
_ANSWERS_PATH = "_triptych_answers_path"

# What Jinja made of a text, by the language it is in (delimiters, extensions), its name, and the text itself.
_compiled: dict[tuple[str, str | None, str], Any] = {}

# What is replaced or called below, as `module.object`.
INTERNALS = (
    f"{_WORKER}.answers_relpath",
    f"{_WORKER}.jinja_env",
    f"{_WORKER}._render_context",
    f"{_WORKER}._render_template",
    f"{_WORKER}._sync_git_index_executable_bit",
    f"{_TEMPLATE}._raw_config",
    f"{_TEMPLATE}.commit",
    f"{_TEMPLATE}.local_abspath",
    f"{_TEMPLATE}.url_expanded",
    f"{_TEMPLATE}.version",
    f"{_TEMPLATE}.vcs",
    "copier._subproject.load_answersfile_data",
    "copier._main.TemporaryDirectory",
    "copier._main.is_git_available",
    "copier._vcs.get_git",
    "copier._jinja_ext.get_yield_context",
    "copier._types.Phase",
)


def missing_internals() -> list[str]:
    """Return those of `INTERNALS` that the installed Copier lacks."""
    return [name for name in INTERNALS if _lookup(name) is None]


@contextmanager
def accelerate(pristine: Path) -> Iterator[None]:
    """Run Copier with its slow parts replaced, or as it is where they are not there.

    Args:
        pristine: What is rendered under this folder is left as it is meanwhile, so that it can be copied.
    """
    if missing_internals():
        yield
        return
    with ExitStack() as stack:
        clones = Path(stack.enter_context(TemporaryDirectory(prefix="triptych-clones-", ignore_cleanup_errors=True)))
        for target, replacement in {
            f"{_TEMPLATE}._raw_config": _once_a_checkout("_raw_config"),
            f"{_TEMPLATE}.commit": _once_a_checkout("commit"),
            f"{_TEMPLATE}.local_abspath": _checked_out_once(clones),
            f"{_TEMPLATE}.version": _versions_alike(),
            f"{_WORKER}.answers_relpath": _answers_path_once(),
            f"{_WORKER}.jinja_env": _compiled_once(),
            f"{_WORKER}._render_context": _context_once_a_render(),
            f"{_WORKER}._render_template": _rendered_once(pristine),
            f"{_WORKER}._sync_git_index_executable_bit": _asked_once(),
            "copier._subproject.load_answersfile_data": _parsed_fast(),
            "copier._main.TemporaryDirectory": _removed_meanwhile(stack.enter_context(ThreadPoolExecutor(1))),
            "copier._main.is_git_available": cache(_lookup("copier._main.is_git_available")),
        }.items():
            stack.enter_context(_replaced(target, replacement))
        yield


@contextmanager
def _replaced(name: str, replacement: Any) -> Iterator[None]:
    """Let the dotted name lead to `replacement` for a while."""
    owner_name, _, attribute = name.rpartition(".")
    owner = _lookup(owner_name)
    original = vars(owner)[attribute]
    setattr(owner, attribute, replacement)
    try:
        yield
    finally:
        setattr(owner, attribute, original)


def _lookup(name: str) -> Any:
    """Return the object that a dotted name leads to, or None."""
    parts = name.split(".")
    module = __import__(".".join(parts[:2]), fromlist=[parts[1]])
    found: Any = module
    for part in parts[2:]:
        found = getattr(found, part, None)
    return found


def _named(name: str, function: Callable[[Any], Any]) -> Any:
    """Return `function` as a cached property that stands in for the attribute `name`."""
    attribute = cached_property(function)
    attribute.__set_name__(type("", (), {}), name)
    return attribute


def _checked_out_once(folder: Path) -> Any:
    """Check a commit of a template out once, by whatever names it is asked for, and however often.

    It comes straight from the history that stands for the template's address on this machine; Copier would copy all of
    that first.
    """
    from copier._template import Template  # noqa: PLC0415

    original = Template.__dict__["local_abspath"].func
    histories: dict[str, Path] = {}

    @cache
    def commit_of(url: str, reference: str) -> str:
        if url not in histories:
            histories[url] = folder / f"history-{len(histories)}"
            git(None, "clone", "--quiet", "--mirror", "--shared", "--", url, str(histories[url]))
        return git(histories[url], "rev-parse", "--verify", "--quiet", f"{reference}^{{commit}}").strip()

    @cache
    def checked_out(url: str, commit: str) -> Path:
        place = histories[url].with_name(f"{histories[url].name}-{commit}")
        git(histories[url], "worktree", "add", "--quiet", "--detach", "--", str(place), commit)
        if (place / ".gitmodules").is_file():
            git(place, "submodule", "--quiet", "update", "--init", "--recursive")
        return place.resolve()

    def local_abspath(template: Any) -> Path:
        if template.vcs != "git" or not template.ref:
            return original(template)  # type: ignore[no-any-return]
        url = template.url_expanded
        return checked_out(url, commit_of(url, template.ref))

    return _named("local_abspath", local_abspath)


def _versions_alike() -> Any:
    """Leave the refusal of downgrades to `generator.planning`.

    Copier guesses from version numbers, which go wrong between commits that no tag tells apart; we ask the history.
    """
    return _named("version", lambda template: Version("1") if template.commit else None)


def _compiled_once() -> Any:
    """Share one Jinja environment per checked-out template, and compile each path part and each file once.

    Files hardly differ between the two versions of a template that an update renders, so what was compiled for one
    serves the other.
    """
    from copier._main import Worker  # noqa: PLC0415

    original = Worker.__dict__["jinja_env"].func
    known: dict[Path, Any] = {}

    def jinja_env(worker: Any) -> Any:
        key = worker.template.local_abspath
        if key in known:
            return known[key]
        known[key] = environment = original(worker)
        compiled: dict[str, Any] = {}
        compile_string = environment.from_string

        def from_string(source: Any, *arguments: Any, **options: Any) -> Any:
            if not isinstance(source, str) or arguments or options:
                return compile_string(source, *arguments, **options)
            _forget_yield(environment)
            if source not in compiled:
                compiled[source] = compile_string(source)
            return compiled[source]

        environment.compile = _compile_once(environment, worker.template.envops)
        environment.from_string = from_string
        environment.auto_reload = False
        return environment

    return _named("jinja_env", jinja_env)


def _compile_once(environment: Any, options: Mapping[str, Any]) -> Callable[..., Any]:
    """Return `environment.compile`, which looks first whether a text was compiled under the same options before."""
    compile_text = environment.compile
    language = json.dumps([options, sorted(environment.extensions)], default=str, sort_keys=True)

    def compile_once(source: Any, name: str | None = None, filename: str | None = None, **others: Any) -> Any:
        if not isinstance(source, str) or others:
            return compile_text(source, name, filename, **others)
        key = (language, name, source)
        if key not in _compiled:
            _compiled[key] = compile_text(source, name, filename)
        return _compiled[key]

    return compile_once


def _context_once_a_render() -> Callable[[Any], dict[str, Any]]:
    """Build the variables that templates see once for each run of the renderer: no answer changes meanwhile."""
    from copier._main import Worker  # noqa: PLC0415
    from copier._types import Phase  # noqa: PLC0415

    original = Worker._render_context

    def render_context(worker: Any) -> dict[str, Any]:
        if Phase.current() is not Phase.RENDER:
            return dict(original(worker))
        if _CONTEXT not in worker.__dict__:
            worker.__dict__[_CONTEXT] = original(worker)
        return dict(worker.__dict__[_CONTEXT])

    return render_context


def _answers_path_once() -> Any:
    """Work out the name of the answers file once a worker.

    Copier blanks a part of the variables to do so; they must not be the ones that the templates see. It also compiles
    a string, which has the effect that `_compiled_once` speaks of.
    """
    from copier._main import Worker  # noqa: PLC0415

    original = Worker.__dict__["answers_relpath"].fget

    def answers_relpath(worker: Any) -> Path:
        if _ANSWERS_PATH not in worker.__dict__:
            kept = worker.__dict__.pop(_CONTEXT, None)
            worker.__dict__[_ANSWERS_PATH] = Path(original(worker))
            worker.__dict__.pop(_CONTEXT, None)
            if kept is not None:
                worker.__dict__[_CONTEXT] = kept
        _forget_yield(worker.jinja_env)
        return worker.__dict__[_ANSWERS_PATH]  # type: ignore[no-any-return]

    return property(answers_relpath)


def _forget_yield(environment: Any) -> None:
    """Do what compiling a string does beside compiling: forget the loop of the path part before."""
    from copier._jinja_ext import get_yield_context  # noqa: PLC0415

    context = get_yield_context(environment)
    context.yield_name = context.yield_iterable = None


def _rendered_once(pristine: Path) -> Callable[[Any], None]:
    """Copy what lies under `pristine` where the same version with the same answers is rendered again."""
    from copier._main import Worker  # noqa: PLC0415

    original = Worker._render_template
    known: dict[str, Path] = {}

    def render_template(worker: Any) -> None:
        destination = worker.subproject.local_abspath
        answers = {name: value for name, value in worker.answers.combined.items() if not callable(value)}
        answers.pop("_external_data", None)
        origin = str(worker.template.local_abspath)
        key = json.dumps([origin, answers, worker.all_exclusions], default=str, sort_keys=True)
        if key in known and worker.overwrite and not worker.pretend and not _ignores_mode(destination):
            _copy_over(known[key], destination, worker.match_skip)
            return
        empty = not destination.exists() or not any(destination.iterdir())
        original(worker)
        if empty and destination.is_relative_to(pristine):
            known[key] = destination

    return render_template


def _copy_over(source: Path, destination: Path, skips: Callable[[Path], bool]) -> None:
    """Copy a render into a folder as Copier renders into it: what is equal stays, and so does what is to be skipped.

    In a folder that is empty, Copier only reads and deletes files, so there a second name for the same file will do.
    """
    put = _copy if destination.exists() and any(destination.iterdir()) else _link
    for folder, folders, files in os.walk(source):
        relative = Path(folder).relative_to(source)
        target = destination / relative
        target.mkdir(parents=True, exist_ok=True)
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in files + links:
            file, copied = Path(folder, name), target / name
            if put is _link or not os.path.lexists(copied):
                put(file, copied)
            elif not _equal(file, copied) and not skips(relative / name):
                copied.unlink()
                put(file, copied)


def _copy(file: Path, target: Path) -> None:
    shutil.copy2(file, target, follow_symlinks=False)


def _link(file: Path, target: Path) -> None:
    try:
        os.link(file, target, follow_symlinks=False)
    except OSError:  # another file system, or one without links
        _copy(file, target)


def _equal(one: Path, other: Path) -> bool:
    if one.is_symlink() or other.is_symlink():
        return one.is_symlink() and other.is_symlink() and one.readlink() == other.readlink()
    alike = (one.stat().st_mode & 0o111) == (other.stat().st_mode & 0o111)
    return alike and one.read_bytes() == other.read_bytes()


def _removed_meanwhile(remover: Executor) -> type[TemporaryDirectory[str]]:
    """Remove Copier's temporary folders beside the work that follows."""

    class Removed(TemporaryDirectory):  # type: ignore[type-arg]
        def cleanup(self) -> None:
            if self._finalizer.detach():  # type: ignore[attr-defined]
                remover.submit(shutil.rmtree, self.name, ignore_errors=True)

    return Removed


def _once_a_checkout(name: str) -> Any:
    """Work an attribute of a template out once for each version that is checked out."""
    from copier._template import Template  # noqa: PLC0415

    original = Template.__dict__[name].func
    known: dict[Path, Any] = {}

    def attribute(template: Any) -> Any:
        key = template.local_abspath
        if key not in known:
            known[key] = original(template)
        return copy.deepcopy(known[key])

    return _named(name, attribute)


def _parsed_fast() -> Callable[..., Any]:
    """Read answers files with libyaml, where PyYAML has it; Copier reads them with Python, a dozen times an update."""
    from copier._user_data import load_answersfile_data as original  # noqa: PLC0415

    loader = getattr(yaml, "CSafeLoader", None)

    def load(folder: Any, file: Any, *, warn_on_missing: bool = False) -> Any:
        path = Path(folder, file)
        if loader is None or not path.is_file():
            return original(folder, file, warn_on_missing=warn_on_missing)
        return yaml.load(path.read_bytes(), Loader=loader)  # noqa: S506 -- a safe loader

    return load


def _asked_once() -> Callable[[Any, Path, int], None]:
    """Ask once a repository, not once a file, whether git ignores the executable bit there."""
    from copier._main import Worker  # noqa: PLC0415

    original = Worker._sync_git_index_executable_bit
    ignores_mode = cache(_ignores_mode)

    def sync(worker: Any, path: Path, mode: int) -> None:
        if ignores_mode(worker.subproject.local_abspath):
            original(worker, path, mode)

    return sync


def _ignores_mode(folder: Path) -> bool:
    """Tell whether git ignores the executable bit in `folder`, which need not be a repository."""
    if not (folder / ".git").exists():
        return False
    from copier._vcs import get_git  # noqa: PLC0415

    setting = get_git(context_dir=folder)("config", "--type=bool", "--get", "core.fileMode", retcode=None)
    return bool(setting.strip() == "false")
