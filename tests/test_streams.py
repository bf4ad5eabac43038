"""What the command does where its output cannot go, or not as it is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workbench import SPEC, Workbench, triptych

COMMAND = [sys.executable, "-m", "generator.main"]


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    file = tmp_path / "services.yaml"
    file.write_text(SPEC)
    return file


def _run(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, text=True, check=False, **{"stderr": subprocess.PIPE, **options})  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("arguments", [["schema"], ["--help"], [], ["validate", "--file"]])
def test_a_reader_that_has_left_ends_the_command_quietly(arguments: list[str], spec: Path) -> None:
    """As in `triptych schema | head -1`."""
    reading, writing = os.pipe()
    os.close(reading)

    done = _run(*arguments, *([spec] if "--file" in arguments else []), stdout=writing)

    os.close(writing)
    assert done.returncode == 128 + 13
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("arguments", [["schema"], ["--help"], ["validate", "--file"]])
def test_a_full_disk_is_told(arguments: list[str], spec: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = _run(*arguments, *([spec] if "--file" in arguments else []), stdout=full)

    assert done.returncode == 1
    assert (
        done.stderr == "error: The output cannot be written: No space left on device. What the command did is done.\n"
    )


@pytest.mark.parametrize(("closed", "code"), [(">&-", 0), ("2>&-", 0), ("<&- >&- 2>&-", 0)])
def test_without_standard_streams_the_exit_code_tells(empty_bench: Workbench, closed: str, code: int) -> None:
    apply = [*COMMAND, "apply", "-f", str(empty_bench.spec), "--template", str(empty_bench.template.folder)]

    done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *apply], check=False)

    assert done.returncode == code
    empty_bench.heads()


@pytest.mark.parametrize(
    "settings", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_a_terminal_that_lacks_a_character_gets_another(spec: Path, settings: dict[str, str]) -> None:
    spec.write_text(SPEC.replace("orders", "bestellübersicht→"))

    done = _run("validate", "-f", spec, env={**os.environ, **settings}, stdout=subprocess.PIPE)

    assert done.returncode == 2
    assert done.stderr.isascii()
    assert "Traceback" not in done.stderr
    assert f"{spec}:4:12: services[0].name: found 'bestell" in done.stderr


def test_a_plan_is_shown_where_there_are_no_arrows(bench: Workbench) -> None:
    bench.template.release("v1.1.0")

    done = _run(
        "plan", "-f", bench.spec, "--template", bench.template.folder,
        env={**os.environ, "PYTHONIOENCODING": "ascii"}, stdout=subprocess.PIPE,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "template v1.0.0 ? v1.1.0" in done.stdout


@pytest.mark.parametrize(
    "text", ["\\e]0;title\\a", "\\x9b2J", "\\u202egnp.exe", "a\\nservices.yaml:1:1: all is well", "\\r"]
)
@pytest.mark.parametrize("place", ["key", "value"])
def test_what_stands_in_a_spec_does_not_steer_the_terminal(spec: Path, text: str, place: str) -> None:
    wrong = f'"{text}": 1' if place == "key" else f'language: "{text}"'
    spec.write_text(SPEC.replace("language: python", wrong))

    result = triptych("validate", "-f", spec)

    assert result.code == 2
    assert all(
        line.startswith(("error: ", "1 fault", "2 faults", "3 faults", "4 faults")) for line in result.err.splitlines()
    ), result.err
    assert result.err.replace("\n", "").isprintable()
