"""The `triptych` command: parse arguments, call the command, turn errors into messages and exit codes."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click

from generator import output, streams
from generator.errors import SpecError, TriptychError, in_words

# As a shell tells of a program that a closed pipe has ended: 128 and the number of the signal.
_READER_LEFT = 141

_Command = TypeVar("_Command", bound=Callable[..., Any])

_file = click.option(
    "-f", "--file", type=click.Path(path_type=Path), default=Path("services.yaml"), show_default=True, help="The spec."
)
_output = click.option(
    "-o", "--output", "folder", type=click.Path(path_type=Path, file_okay=False),
    help="Folder in which the repositories lie.  [default: the spec's folder]",
)  # fmt: skip
_template = click.option(
    "--template",
    metavar="SOURCE",
    help="Folder or address of another template's git repository, `@` and a tag or branch may follow."
    "  [default: the one that came with Triptych]",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="triptych", prog_name="triptych")
def cli() -> None:
    """One services.yaml becomes an app-repo, a ci-repo and a cd-repo, and they stay in step with it.

    Exit codes: 0 done; 1 refused or failed, every repository is as it was; 2 bad input; 3 `plan --exit-code` found
    changes.
    """


@cli.command()
@_file
@click.option("--name", help="Name of the platform.")
@click.option("--organization", help="GitHub organization that owns the repositories.")
@click.option("--service", help="Name of the first service.")
@click.option("--language", help="Language of the first service.  [default: python]")
def init(file: Path, **answers: str | None) -> int:
    """Write a first spec, from flags or a short dialogue.

    Example: triptych init --name acme --organization acme --service orders
    """
    from generator.commands import init as command  # noqa: PLC0415 -- each command loads only what it needs

    return command.run(file, **answers)


@cli.command()
@_file
def validate(file: Path) -> int:
    """Check the spec and name every fault in it.

    Example: triptych validate -f services.yaml
    """
    from generator.notes import notes  # noqa: PLC0415
    from generator.spec import load_spec  # noqa: PLC0415

    spec = load_spec(file)
    output.notes(notes(spec))
    counts = [_count(len(spec.services), "service"), _count(len(spec.environments), "environment")]
    output.line(f"{file} is valid: {', '.join(counts)}.")
    return 0


@cli.command()
@_file
@_output
@_template
@click.option("--diff", is_flag=True, help="Show the changed lines too.")
@click.option("--json", "as_json", is_flag=True, help="Write the plan as JSON.")
@click.option("--exit-code", is_flag=True, help="Exit with 3 where something would change.")
def plan(file: Path, folder: Path | None, template: str | None, **options: bool) -> int:
    """Say what `apply` would do to each file of each repository; write nothing.

    Example: triptych plan --diff
    """
    from generator.commands import plan as command  # noqa: PLC0415

    return command.run(file, folder or file.parent, template, **options)


@cli.command()
@_file
@_output
@_template
@click.option("--prune", is_flag=True, help="Let go of files that are no longer generated though you edited them.")
@click.option(
    "--keep-conflicts", is_flag=True, help="Leave conflicts between markers in the work trees; commit nothing."
)
def apply(file: Path, folder: Path | None, template: str | None, **options: bool) -> int:
    """Create the repositories, or bring them in step with the spec and the template: all of them, or none.

    Example: triptych apply -f services.yaml -o ~/platform
    """
    from generator.commands import apply as command  # noqa: PLC0415

    return command.run(file, folder or file.parent, template, **options)


@cli.command()
@click.argument("name")
@_file
@click.option("--language", default="python", show_default=True, help="Language of its code.")
@click.option("--team", help="Team that owns it.")
@click.option("--description", help="One line for people.")
@click.option("--port", type=int, help="Port on which it listens.")
@click.option("--depends-on", multiple=True, metavar="SERVICE", help="A service that it calls; may be repeated.")
@click.option("--host", help="Host under which the world reaches it.")
@click.option("--rollout", help="How a new version replaces the old one: rolling, canary or blueGreen.")
def add(name: str, file: Path, **options: Any) -> int:
    """Add a service to the spec; comments, order and quoting stay.

    Example: triptych add catalog --team payments --depends-on orders
    """
    from generator.commands import services  # noqa: PLC0415

    service = {
        "name": name,
        "language": options["language"],
        "description": options["description"],
        "team": options["team"],
        "port": options["port"],
        "dependsOn": list(options["depends_on"]),
        "route": {"host": options["host"]} if options["host"] else None,
        "rollout": options["rollout"],
    }
    return services.add(file, {key: value for key, value in service.items() if value})


@cli.command()
@click.argument("name")
@_file
def remove(name: str, file: Path) -> int:
    """Take a service out of the spec; comments, order and quoting stay.

    Example: triptych remove catalog
    """
    from generator.commands import services  # noqa: PLC0415

    return services.remove(file, name)


@cli.command()
def schema() -> int:
    """Print the spec's JSON Schema.

    Example: triptych schema > services.schema.json
    """
    from generator.schema import schema_text  # noqa: PLC0415

    output.raw(schema_text())
    return 0


def main() -> None:
    """Run the command line and exit."""
    streams.prepare()
    try:
        code = _run()
        sys.stdout.flush()
    except streams.OutputError as error:
        code = _READER_LEFT
        if not error.reader_left:
            code = 1
            with contextlib.suppress(streams.OutputError):
                output.error(f"The output cannot be written: {error.reason}. What the command did is done.")
    sys.exit(code)


def _run() -> int:
    """Run the command line and return the exit code; what went wrong is told."""
    try:
        return int(cli.main(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        output.error("Interrupted. Every repository is as it was.")
        return 130
    except SystemExit as end:  # help for a command line without a command
        return int(end.code or 0)
    except SpecError as error:
        for fault in error.lines():
            output.error(fault)
        output.note(f"{_count(len(error.problems), 'fault')} in {error.file}. Nothing was written.")
        return error.exit_code
    except TriptychError as error:
        output.error(str(error))
        return error.exit_code
    except OSError as error:
        output.error(in_words(error))
        return 1
    except Exception as error:  # no traceback ever reaches a user
        return _unexpected(error)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _unexpected(error: Exception) -> int:
    """Keep the details of a fault of ours in a file, and say where."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="triptych-", suffix=".log", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as log:
            log.write("".join(traceback.format_exception(error)))
        details = f"The details are in {log.name}."
    except OSError:
        details = str(error)
    output.error(f"Triptych failed in a way that it should not: {type(error).__name__}. {details}")
    return 1


if __name__ == "__main__":
    main()
