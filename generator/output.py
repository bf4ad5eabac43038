"""Write to the terminal: plain text where it is piped, colours and progress where somebody is watching."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import click

# Control characters except line ends and tabs, those that change the direction of writing, and halves of characters.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def line(text: str = "", *, label: str = "") -> None:
    """Write one line to standard output.

    Args:
        text: What a terminal may not take for commands is written as an escape.
        label: Styled text to go before it.
    """
    click.echo(label + visible(text), file=sys.stdout)


def raw(text: str) -> None:
    """Write text for programs to standard output, as it is."""
    click.echo(text, nl=False, color=True, file=sys.stdout)


def patch(text: str) -> None:
    """Write changed lines to standard output: as they are for programs, harmless for a terminal."""
    raw((visible(text) if sys.stdout.isatty() else text) + "\n")


def note(text: str) -> None:
    """Write one line to standard error, for what is not the result."""
    click.echo(visible(text), file=sys.stderr)


def notes(texts: Iterable[str]) -> None:
    """Write notes to standard error."""
    for text in texts:
        click.echo(click.style("note: ", fg="yellow", bold=True) + visible(text), file=sys.stderr)


def error(text: str) -> None:
    """Write a failure to standard error."""
    click.echo(click.style("error: ", fg="red", bold=True) + visible(text), file=sys.stderr)


def visible(text: str) -> str:
    """Return text with the characters that would steer a terminal, or turn the text around, as escapes."""
    return _STEERING.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Show what is being done on a terminal; say nothing where standard error is piped."""
    from rich.console import Console  # noqa: PLC0415 -- most commands have no progress to show

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("reading") as status:
        yield status.update
