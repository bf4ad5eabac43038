"""What a valid spec leaves out that somebody may count on."""

from __future__ import annotations

from collections.abc import Iterator

from generator import resolve
from generator.models import Spec


def notes(spec: Spec) -> list[str]:
    """Return one sentence for each thing that `spec` does without and people may take for granted."""
    return [*_backups(spec), *_experiments(spec)]


def _backups(spec: Spec) -> Iterator[str]:
    databases = [service.name for service in spec.services if service.uses.postgres]
    if databases and not spec.features.backup.destination:
        yield (
            f"features.backup.destination: the database of {' and '.join(databases)} is not backed up; name a bucket, "
            "such as s3://acme-backups/postgres."
        )


def _experiments(spec: Spec) -> Iterator[str]:
    agreed = [service.name for service in spec.services if service.chaos]
    if agreed and spec.features.chaos and not resolve.chaos_clusters(spec):
        yield (
            f"services[].chaos: {' and '.join(agreed)} would be experimented with, and no cluster has experiments; "
            "they need `features.observability.metrics`, `features.certManager`, and a cluster that the last "
            "environment does not share."
        )
