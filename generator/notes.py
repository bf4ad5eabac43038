"""What a valid spec says that has no effect yet, so that nobody counts on it."""

from __future__ import annotations

from generator.models import Spec


def notes(spec: Spec) -> list[str]:
    """Return one sentence for each part of `spec` that is read but not acted on by this version."""
    found = []
    for index, service in enumerate(spec.services):
        for name in ("redis", "postgres"):
            if getattr(service.uses, name):
                found.append(
                    f"services[{index}].uses.{name}: {service.name} gets no {name} from this version of Triptych; "
                    "nothing is generated for it yet."
                )
    return found
