"""Writers of a registry that run at once: processes that release as scripts/release does, each in a clone of its own.

A process writes many times, so that a test measures git and the registry more than the start of Python.
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What a writer runs: it reads writes from standard input, a line each, and answers with what they took.
_PROGRAM = """
import contextlib, importlib.machinery, importlib.util, io, json, sys, time
scripts, start = sys.argv[1], float(sys.argv[2])
sys.path.insert(0, scripts)
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("release", scripts + "/release")
release = importlib.util.module_from_spec(importlib.util.spec_from_loader("release", loader))
sys.modules["release"] = release
loader.exec_module(release)
from lib import errors
for line in sys.stdin:
    write = json.loads(line)
    time.sleep(max(0, start + write["at"] - time.time()))
    begun, out, err = time.monotonic(), io.StringIO(), io.StringIO()
    sys.argv = ["release", "--environment", write["environment"], "--builds", write["builds"], "--push", "--json"]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = errors.run(release.main)
    took, retries = time.monotonic() - begun, err.getvalue().count("another writer was first")
    outcome = json.loads(out.getvalue() or "{}").get("outcome")
    print(json.dumps({"code": code, "outcome": outcome, "seconds": took, "retries": retries, "error": err.getvalue()}))
"""


@dataclass(frozen=True)
class Write:
    """One call of scripts/release, so many seconds after the start."""

    builds: list[dict[str, str]]
    at: float = 0
    environment: str = "dev"


@dataclass(frozen=True)
class Written:
    """What became of a write; an error is what the script said."""

    code: int
    outcome: str | None
    seconds: float
    retries: int
    error: str


def run_at_once(clones: list[Path], writes: list[list[Write]]) -> list[Written]:
    """Let each clone make its writes, one after the other, all clones at once."""
    # Late enough for every process to be there.
    start = time.time() + 1 + 0.1 * len(clones)
    processes = []
    for clone, own in zip(clones, writes, strict=True):
        command = [sys.executable, "-c", _PROGRAM, str(clone / "scripts"), str(start)]
        processes.append(subprocess.Popen(command, cwd=clone, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        lines = [_line(clone, number, write) for number, write in enumerate(own)]
        stdin = processes[-1].stdin
        assert stdin is not None
        stdin.write("".join(lines))
        stdin.close()
    answers: list[dict[str, Any]] = []
    for process in processes:
        assert process.stdout is not None
        answers += [json.loads(line) for line in process.stdout]
        assert process.wait() == 0
    return [Written(**answer) for answer in answers]


def percentile(values: list[float], part: float) -> float:
    """Return the value that so great a part of all values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def _line(clone: Path, number: int, write: Write) -> str:
    file = clone.parent / f"builds-{number}.json"
    file.write_text(json.dumps(write.builds), encoding="utf-8")
    return json.dumps({"at": write.at, "environment": write.environment, "builds": str(file)}) + "\n"
