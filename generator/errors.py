"""The errors that a user can meet. Only `generator.main` turns them into output and exit codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class TriptychError(Exception):
    """A failure that the user can act on; its text says what happened and what to do next."""

    exit_code = 1


class RefusedError(TriptychError):
    """The request would lose or mix up something; every repository is as it was."""


class GitError(TriptychError):
    """A git command failed in a way that Triptych does not expect."""


class TemplateError(TriptychError):
    """The template cannot be had, or does not render."""


class InputError(TriptychError):
    """What the user gave is wrong; nothing was written."""

    exit_code = 2


def in_words(error: OSError) -> str:
    """Return what the system says of a file, and which one."""
    places = " and ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    return f"{places + ': ' if places else ''}{error.strerror or error}."


@dataclass(frozen=True, order=True)
class Problem:
    """One fault of a spec.

    Attributes:
        line: Line of the fault, from 1.
        column: Column of the fault, from 1, in characters.
        path: Place in the spec, such as `services[3].autoscaling.min`; empty where there is none.
        message: What was found, what is allowed, and what to do.
    """

    line: int
    column: int
    path: str
    message: str


class SpecError(InputError):
    """A spec that cannot be used.

    Attributes:
        file: The spec's file.
        problems: All its faults, in the order of the file; never empty.
    """

    def __init__(self, file: Path, problems: Sequence[Problem]) -> None:
        """Keep the faults sorted by their place in the file, each once."""
        self.file = file
        self.problems = sorted(set(problems))
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """Return one line a fault: `file:line:column: path: message`."""
        lines = [
            f"{self.file}:{p.line}:{p.column}: {p.path + ': ' if p.path else ''}{p.message}" for p in self.problems
        ]
        return [line.replace("\n", "\\n") for line in lines]
