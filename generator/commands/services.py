"""`triptych add` and `triptych remove`: edit the list of services in a spec."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from generator import output
from generator.document import parse_document, read_text
from generator.edit import add_service, remove_service
from generator.errors import InputError
from generator.spec import parse_spec

_MARK = "\ufeff"


def add(file: Path, service: Mapping[str, Any]) -> int:
    """Add a service to the spec in `file`.

    Args:
        file: The spec.
        service: Keys of the service, as in the spec.

    Raises:
        SpecError: The spec is faulty before, or would be after; it is not written.
    """
    text = read_text(file)
    data = parse_document(file, text).data
    # A list that is still empty is a fault that this very edit mends.
    if not isinstance(data, dict) or data.get("services", "missing") not in ([], None):
        spec = parse_spec(file, text)
        if service["name"] in [other.name for other in spec.services]:
            raise InputError(f"{file} has a service `{service['name']}` already.")
    edited = add_service(text, service)
    parse_spec(file, edited)
    _write(file, edited)
    output.line(f"Added {service['name']} to {file}. See what it changes with `triptych plan`.")
    return 0


def remove(file: Path, name: str) -> int:
    """Take a service out of the spec in `file`.

    Raises:
        InputError: There is no such service, or others depend on it.
        SpecError: The spec is faulty before, or would be after; it is not written.
    """
    text = read_text(file)
    spec = parse_spec(file, text)
    callers = [service.name for service in spec.services if name in service.depends_on]
    if callers:
        verb = "depends" if len(callers) == 1 else "depend"
        raise InputError(f"{', '.join(callers)} {verb} on `{name}`; take it out of `dependsOn` there first.")
    edited = remove_service(text, name)
    parse_spec(file, edited)
    _write(file, edited)
    output.line(f"Removed {name} from {file}. See what it changes with `triptych plan`.")
    return 0


def _write(file: Path, text: str) -> None:
    """Replace the spec in one step, keeping its byte order mark and its mode."""
    mark = _MARK if file.read_bytes().startswith(_MARK.encode()) else ""
    target = file.resolve()
    draft = target.with_name(f".{target.name}.triptych")
    try:
        draft.write_bytes((mark + text).encode("utf-8"))
        draft.chmod(target.stat().st_mode)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
