"""Which image registries let a job in by GitHub's OIDC token, and what they must know of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from generator import names


@dataclass(frozen=True)
class Cloud:
    """A registry of a cloud.

    Attributes:
        name: What people call it.
        hosts: Pattern of its hosts.
        identity: Pattern of as whom one logs in, and the same in words.
        provider: Pattern of where that identity is, and the same in words; None where nobody asks.
    """

    name: str
    hosts: str
    identity: tuple[str, str]
    provider: tuple[str, str] | None = None


_POOL = "projects/[0-9]+/locations/global/workloadIdentityPools/[a-z0-9-]+/providers/[a-z0-9-]+"

CLOUDS = (
    Cloud(
        "Amazon ECR",
        r"[0-9]{12}\.dkr\.ecr(-fips)?\.[a-z0-9-]+\.amazonaws\.com(\.cn)?",
        ("arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@/_-]+", "the ARN of an IAM role"),
    ),
    Cloud(
        "Google Artifact Registry",
        r"[a-z0-9-]+-docker\.pkg\.dev",
        (r"[a-z0-9-]+@[a-z0-9.-]+\.gserviceaccount\.com", "the address of a service account"),
        (_POOL, "`projects/<number>/locations/global/workloadIdentityPools/<pool>/providers/<name>`"),
    ),
    Cloud(
        "Azure Container Registry",
        r"[a-z0-9-]+\.azurecr\.io",
        (names.UUID, "the id of an application"),
        (names.UUID, "the id of the tenant"),
    ),
)


def cloud_of(image_registry: str) -> Cloud | None:
    """Return whose registry an address is in, such as `acme.azurecr.io/shop`; None for one of no cloud."""
    host = image_registry.split("/", maxsplit=1)[0]
    return next((cloud for cloud in CLOUDS if re.fullmatch(cloud.hosts, host)), None)
