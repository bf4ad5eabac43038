"""A missing program is named together with what to do about it."""

import sys

import pytest

from tests.tools import run, system_tool, tool


def test_a_tool_of_make_tools_is_found() -> None:
    assert run(tool("helm"), "version", "--short").stdout.startswith("v4.")


def test_a_missing_tool_asks_for_make_tools() -> None:
    with pytest.raises(pytest.fail.Exception, match="run `make tools`"):
        tool("no-such-tool")


def test_a_missing_system_tool_skips_the_test_of_a_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="install the package some-package"):
        system_tool("no-such-tool", package="some-package")


def test_a_missing_system_tool_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="install the package some-package"):
        system_tool("no-such-tool", package="some-package")


def test_a_failed_run_shows_what_was_printed() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"exit code 3: (.|\n)*out\n(.|\n)*err"):
        run(sys.executable, "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
