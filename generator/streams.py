"""Standard output and standard error, which may be closed, full, or too small for the characters that come.

Click and Rich write to `sys.stdout` and `sys.stderr` in their own ways and end the process in others, so these
themselves are replaced by streams that tell a failure in one way.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class OutputError(BaseException):
    """What was to be said could not be written.

    Not an `Exception`: nothing between the write and `generator.main` may take it for a failure of its own.

    Attributes:
        reader_left: Whether somebody read as much as they wanted, as in `triptych plan | head`.
        reason: What the system says.
    """

    def __init__(self, error: OSError) -> None:
        """Remember why."""
        self.reader_left = isinstance(error, BrokenPipeError)
        self.reason = error.strerror
        super().__init__(str(error))


class _Stream(io.TextIOWrapper):
    def write(self, text: str) -> int:
        with self._told():
            return super().write(text)

    def flush(self) -> None:
        with self._told():
            super().flush()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # What is left in the buffer goes nowhere, or Python complains about it when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            raise OutputError(error) from None


def prepare() -> None:
    """Replace this process's standard streams where they lead to files, pipes or terminals."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # A file opened later would become standard output, of this process and of each git process.
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif type(stream) is io.TextIOWrapper:
            errors = stream.errors
            if errors == "strict":
                errors = "surrogateescape" if stream.encoding == "utf-8" else "replace"
            lines = stream.line_buffering
            setattr(sys, name, _Stream(stream.buffer, encoding=stream.encoding, errors=errors, line_buffering=lines))
