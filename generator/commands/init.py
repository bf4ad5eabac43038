"""`triptych init`: write a first spec."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from generator import output
from generator.edit import flow
from generator.errors import InputError, RefusedError, in_words
from generator.schema import SCHEMA_FILE, schema_text
from generator.spec import parse_spec

_SPEC = """\
# yaml-language-server: $schema=./{schema}
apiVersion: triptych/v1
platform:
  name: {name}
  github: {{organization: {organization}}}
services:
  - name: {service}
    language: {language}
"""


def run(file: Path, *, name: str | None, organization: str | None, service: str | None, language: str | None) -> int:
    """Write a spec, asking for what the flags do not say if somebody is there to answer.

    Raises:
        RefusedError: The file exists.
        InputError: Something is not said and nobody can be asked.
        SpecError: What was said makes no valid spec; nothing is written.
    """
    try:
        there = file.exists() or file.is_symlink()
    except OSError as error:
        raise InputError(in_words(error)) from None
    if there:
        raise RefusedError(f"{file} exists, and `init` never writes over a file. Choose another with --file.")
    if not file.parent.is_dir():
        raise InputError(f"{file.parent} does not exist. Make the folder first.")
    name = name or _ask("--name", "Name of the platform")
    organization = organization or _ask("--organization", "GitHub organization", default=name)
    service = service or _ask("--service", "Name of the first service")
    text = _SPEC.format(
        schema=SCHEMA_FILE,
        name=flow(name),
        organization=flow(organization),
        service=flow(service),
        language=flow(language or "python"),
    )
    parse_spec(file, text)
    with file.open("x", encoding="utf-8") as new:
        new.write(text)
    schema = file.parent / SCHEMA_FILE
    if not schema.exists():
        schema.write_text(schema_text(), encoding="utf-8")
    output.line(f"Wrote {file}. See what it makes with `triptych plan`, then `triptych apply`.")
    return 0


def _ask(flag: str, question: str, default: str | None = None) -> str:
    if not sys.stdin.isatty():
        raise InputError(f"{flag} is missing, and there is no terminal to ask at.")
    return str(click.prompt(question, default=default, err=True))
