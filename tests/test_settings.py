"""What a user has set for git, and what a hook sets around the command, changes nothing of what is made."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest

from tests.test_update import ABOUT
from tests.workbench import Workbench, git

CONFIG = """
[user] useConfigOnly = true
[apply] whitespace = error
[branch] autoSetupMerge = always
[clone] rejectShallow = true, defaultRemoteName = upstream
[color] ui = always
[column] ui = always
[commit] cleanup = strip, gpgSign = true, template = /nonexistent
[core] autocrlf = true, commentChar = C, eol = crlf, fsmonitor = /nonexistent, hooksPath = /nonexistent
[core] quotePath = false, safecrlf = true, splitIndex = true
[diff] context = 0, external = false, noprefix = true, orderFile = /nonexistent, renames = copies
[fetch] fsckObjects = true
[gpg] program = false
[i18n] commitEncoding = latin1, logOutputEncoding = UTF-16
[init] defaultBranch = trunk, templateDir = /nonexistent
[log] showSignature = true
[merge] conflictStyle = diff3, ff = false, verifySignatures = true
[protocol] allow = never
[protocol "file"] allow = never
[pull] rebase = true
[safe] bareRepository = explicit
[status] branch = true, short = true, showStash = true, showUntrackedFiles = no
[submodule] recurse = true
[tag] gpgSign = true
[url "git@github.com:"] insteadOf = https://github.com/
"""

ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": "https",
    "GIT_CONFIG": "/nonexistent",
    "GIT_DEFAULT_HASH": "sha256",
    "GIT_DIFF_OPTS": "--unified=0",
    "GIT_DIR": "/nonexistent",
    "GIT_EXTERNAL_DIFF": "false",
    "GIT_INDEX_FILE": "/nonexistent",
    "GIT_NOGLOB_PATHSPECS": "1",
    "GIT_OBJECT_DIRECTORY": "/nonexistent",
    "GIT_PREFIX": "docs/",
    "GIT_QUARANTINE_PATH": "/nonexistent",
    "GIT_TEMPLATE_DIR": "/nonexistent",
    "GIT_WORK_TREE": "/nonexistent",
}


FACTS = ("log --format=%T%n%an%n%B", "ls-tree -r HEAD", "branch", "status --porcelain")


def _first_days(bench: Workbench, hostile: Callable[[], AbstractContextManager[object]] = nullcontext) -> list[str]:
    """Create a platform, change its spec, and upgrade; return the commits with their messages, and the branches."""
    git(bench.template.folder, "checkout", "--quiet", "v1.0.0")
    with hostile():
        bench.apply()
    git(bench.template.folder, "checkout", "--quiet", "v1.1.0")
    bench.change_spec("catalog", "billing")
    bench.change_file(bench.cd / "services/orders/about.txt", "line 3\n", "line 3, ours\n")
    with hostile():
        assert bench.run("plan", "--diff").code == 0
        bench.apply()
    return [git(repository, *fact.split()) for repository in bench.repositories for fact in FACTS]


@pytest.mark.parametrize("how", ["configured", "in the environment"])
def test_git_settings_change_nothing(
    empty_bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    empty_bench.template.edit(ABOUT, "line 18\n", "line 18, newer\n")
    empty_bench.template.write("blueprints/cd-repo/run.sh", "#!/bin/sh  \n\n\n")
    empty_bench.template.release("v1.1.0")
    config = tmp_path / "config"
    identity = "[user]\nname = Test\nemail = test@acme.example\n"
    config.write_text(CONFIG.replace("] ", "]\n").replace(", ", "\n") + identity)
    settings = {"GIT_CONFIG_GLOBAL": str(config)} if how == "configured" else ENVIRONMENT
    other = Workbench(tmp_path / "as-usual", empty_bench.template)
    shutil.copytree(empty_bench.folder, other.folder)

    @contextmanager
    def hostile() -> Iterator[None]:
        with monkeypatch.context() as patch:
            for name, value in settings.items():
                patch.setenv(name, value)
            yield

    assert _first_days(empty_bench, hostile) == _first_days(other)
