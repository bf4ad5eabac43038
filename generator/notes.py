"""What a valid spec leaves out that somebody may count on."""

from __future__ import annotations

from generator.models import Spec


def notes(spec: Spec) -> list[str]:
    """Return one sentence for each thing that `spec` does without and people may take for granted."""
    databases = [service.name for service in spec.services if service.uses.postgres]
    if not databases or spec.features.backup.destination:
        return []
    return [
        f"features.backup.destination: the database of {' and '.join(databases)} is not backed up; name a bucket, "
        "such as s3://acme-backups/postgres."
    ]
