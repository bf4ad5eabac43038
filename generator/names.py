"""What a name, address, or quantity of the spec may look like.

Each pattern is checked before its value reaches a path, a shell, a template, or YAML; `MEANINGS` says it in words.
Patterns are written so that Python, Rust (pydantic), and ECMAScript (JSON Schema in editors) read them alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

# RFC 1035 label, as Kubernetes asks of a Service: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
LABEL = "^[a-z]([a-z0-9-]*[a-z0-9])?$"
HOST = "^([a-z0-9]([a-z0-9-]*[a-z0-9])?[.])+[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
URL_PATH = "^/[A-Za-z0-9._~/-]*$"
BRANCH = "^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$"
ORGANIZATION = "^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$"
REPOSITORY = "^[A-Za-z0-9][A-Za-z0-9._-]*$"
GITHUB_TEAM = "^@[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?/[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?$"
# Such as acme:payments, payments@acme.example, or an id; nothing that a policy of Casbin would split or quote.
GROUP = "^[A-Za-z0-9]([A-Za-z0-9 ._@:/-]*[A-Za-z0-9])?$"
CHANNEL = "^[a-z0-9][a-z0-9_-]*$"
ADDRESS = "^https?://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*$"
# One recipient, as certificate authorities take it: no name before it, no quotes.
EMAIL = "^[A-Za-z0-9._%+-]+@([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?[.])+[A-Za-z]{2,}$"
IMAGE_REGISTRY = "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+([._-][a-z0-9]+)*)*$"
RUNNER_LABEL = "^[A-Za-z0-9][A-Za-z0-9._-]*$"
VARIABLE = "^[A-Z][A-Z0-9_]*$"
VAULT = "^[A-Za-z0-9][A-Za-z0-9_-]*(/[A-Za-z0-9][A-Za-z0-9_-]*)*#[A-Za-z0-9][A-Za-z0-9_.-]*$"
SEAL_KEY = "^[A-Za-z0-9]([A-Za-z0-9:/_-]*[A-Za-z0-9])?$"
UUID = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
VAULT_ADDRESS = "^https://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$"
CERTIFICATES = "^(-----BEGIN CERTIFICATE-----\n([A-Za-z0-9+/=]{1,76}\n)+-----END CERTIFICATE-----\n?)+$"
CPU = "^([0-9]+m|[0-9]+([.][0-9]{1,3})?)$"
MEMORY = "^[0-9]+(k|M|G|T|Ki|Mi|Gi|Ti)?$"
# https://semver.org without build metadata, which an OCI tag cannot hold.
LIBRARY_VERSION = (
    "^(latest|(0|[1-9][0-9]*)[.](0|[1-9][0-9]*)[.](0|[1-9][0-9]*)(-[0-9A-Za-z][0-9A-Za-z-]*([.][0-9A-Za-z-]+)*)?)$"
)
DURATION = "^[1-9][0-9]{0,3}[mhd]$"
# From 00:00 to 24:00, the end of a day.
CLOCK = "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"


# A name of the time zone database; that it is there is checked in `generator.checks`.
# A schedule of cron, as Kubernetes reads it: https://pkg.go.dev/github.com/robfig/cron/v3#hdr-CRON_Expression_Format
def _field(value: str) -> str:
    part = f"([*?]|({value})(-({value}))?)(/[1-9][0-9]?)?"
    return f"{part}(,{part})*"


_MONTHS = "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC"
_FIELDS = ("[0-5]?[0-9]", "[01]?[0-9]|2[0-3]", "0?[1-9]|[12][0-9]|3[01]", f"0?[1-9]|1[0-2]|{_MONTHS}")
_DAYS = "[0-6]|SUN|MON|TUE|WED|THU|FRI|SAT"
_TIMES = " ".join(map(_field, (*_FIELDS, _DAYS)))
SCHEDULE = f"^(@(hourly|daily|midnight|weekly|monthly|yearly|annually)|{_TIMES})$"
# KEDA knows no names of schedules: https://keda.sh/docs/latest/scalers/cron/
CRON = f"^{_TIMES}$"
# Names that AWS gives to clusters on EKS and to queues, and to roles.
EKS_CLUSTER = "^[A-Za-z0-9][A-Za-z0-9_-]*$"
IAM_ROLE = "^[A-Za-z0-9+=,.@_-]+$"
# A bucket of S3, of Google Cloud Storage, or a container of Azure, and a path in it.
LOG_BUCKET = "^((s3|gs)://[a-z0-9][a-z0-9._-]*[a-z0-9]|https://[a-z0-9]+[.]blob[.]core[.]windows[.]net/[a-z0-9-]+)$"
BACKUP = (
    "^((s3|gs)://[a-z0-9][a-z0-9._-]*[a-z0-9]|https://[a-z0-9]+[.]blob[.]core[.]windows[.]net/[a-z0-9-]+)"
    "(/[A-Za-z0-9][A-Za-z0-9._-]*)*$"
)
# The form in which Cosign names keys that others keep.
SIGNING_KEY = "^(awskms:///|azurekms://|gcpkms://|hashivault://)[A-Za-z0-9][A-Za-z0-9:/._-]*$"
PUBLIC_KEY = "^-----BEGIN PUBLIC KEY-----\\n([A-Za-z0-9+/=]{1,76}\\n)+-----END PUBLIC KEY-----\\n?$"
# As whom and where a job is let in by GitHub's OIDC token; `generator.registries` tells what each cloud takes.
CLOUD_IDENTITY = "^[A-Za-z0-9][A-Za-z0-9:/@+=,._-]*$"
CLOUD_PROVIDER = "^[A-Za-z0-9][A-Za-z0-9/._-]*$"
ENDPOINT = "^https?://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$"
ANNOTATION = "^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"
# https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
LABEL_VALUE = "^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?$"
TIMEZONE = "^[A-Za-z]+([+-][0-9]+)?(/[A-Za-z0-9_+-]+)*$"
# One line of printable text. Control and bidirectional characters would let text act on its surroundings.
TEXT = "^[^\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069\\ufeff\\ufffe\\uffff]*$"

MEANINGS = {
    LABEL: "lower-case letters, digits and `-`, beginning with a letter and ending with a letter or digit",
    HOST: "a host name in lower case, such as orders.acme.example",
    URL_PATH: "a path that begins with `/` and holds letters, digits and `. _ ~ / -`",
    BRANCH: "a git branch of letters, digits and `. _ - /`",
    ORGANIZATION: "a GitHub organization: letters, digits and `-`",
    REPOSITORY: "a repository's name without its organization: letters, digits and `. _ -`",
    GITHUB_TEAM: "a GitHub team such as @acme/payments",
    GROUP: "a group such as acme:payments: letters, digits, spaces and `. _ @ : / -`",
    CHANNEL: "a channel without `#`: small letters, digits, `-` and `_`",
    ADDRESS: "an address such as https://grafana.acme.example, without a `/` at its end",
    EMAIL: "an address of mail such as platform@acme.example",
    IMAGE_REGISTRY: "a registry and path in lower case without a scheme, such as ghcr.io/acme",
    RUNNER_LABEL: "a runner's label: letters, digits and `. _ -`",
    VARIABLE: "an environment variable in capitals, such as DB_PASSWORD",
    VAULT: "a path in Vault and a property, such as orders/db#password",
    SEAL_KEY: "a name of letters, digits and `: / _ -`",
    UUID: "an id such as 11111111-2222-3333-4444-555555555555",
    VAULT_ADDRESS: "an address without a path such as https://vault.acme.example:8200",
    CERTIFICATES: "certificates in PEM, from BEGIN CERTIFICATE to END CERTIFICATE, and nothing else",
    CPU: "cores such as 500m, 1 or 0.5",
    MEMORY: "bytes such as 256Mi or 1Gi",
    LIBRARY_VERSION: "a version such as 1.2.0, or `latest`",
    DURATION: "minutes, hours or days such as 30m, 24h or 2d",
    CLOCK: "a time of day such as 09:00",
    SCHEDULE: "minute, hour, day, month, and day of the week (0 is Sunday), such as `30 3 * * *` or `@daily`",
    CRON: "minute, hour, day, month, and day of the week (0 is Sunday), such as `0 8 * * 1-5`",
    LOG_BUCKET: "a bucket such as s3://acme-logs, gs://… or https://<account>.blob.core.windows.net/…, without a path",
    EKS_CLUSTER: "a name on AWS: letters, digits, `-` and `_`",
    IAM_ROLE: "the name of an IAM role, not its ARN",
    BACKUP: "a bucket and a path such as s3://acme-backups/postgres, gs://… or https://<account>.blob.core.windows.net/…",
    SIGNING_KEY: "a key such as awskms:///alias/acme, azurekms://…, gcpkms://… or hashivault://…, as Cosign takes it",
    PUBLIC_KEY: "a public key in PEM, as `cosign public-key --key <key>` prints it",
    CLOUD_IDENTITY: "ARN of an IAM role, address of a service account, or id of an application on Azure",
    CLOUD_PROVIDER: "a workload identity provider of Google Cloud, `projects/<number>/…`, or a tenant's id on Azure",
    ENDPOINT: "an address such as https://s3.acme.example:9000, without a path",
    ANNOTATION: "a key of an annotation or a label such as eks.amazonaws.com/role-arn",
    LABEL_VALUE: "the value of a label: letters, digits and `. _ -`, beginning and ending with a letter or digit",
    TIMEZONE: "a time zone such as Europe/Berlin",
    TEXT: "one line of printable text",
}

# ClusterIssuers that the platform makes itself; all others are there already.
LETS_ENCRYPT = "letsencrypt"
SELF_SIGNED = "self-signed"
# Secrets that a listener of a Gateway can name.
MAX_CERTIFICATES = 64

# GitHub's limits: 39 characters for an account, 100 for a repository.
MAX_ORGANIZATION = 39
MAX_REPOSITORY = 100
# Kubernetes: names of Services and label values.
MAX_LABEL = 63
MAX_HOST = 253
MAX_TEXT = 200
# A CronJob's name gets 11 characters more for each run.
MAX_CRON_JOB = 52
# CloudNativePG allows 50 characters; a Deployment's pods carry a hash of 10 behind its name.
MAX_STORE = {"postgres": 50, "redis": 52}

# Folders of these names cannot be checked out on Windows.
_DEVICES = frozenset(
    {"aux", "con", "nul", "prn", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
)

# Names that a service's folder, chart, workflow or object would share with something that is not a service.
RESERVED_SERVICES = frozenset(
    {
        "app-push",  # the receiver's workflow
        "addons",  # Argo CD's Application of a cluster's add-ons
        "base",  # the library chart
        *(f"base-{language}" for language in ("go", "java", "node", "python")),  # the shared base images
        "default",  # the ServiceAccount that Kubernetes makes in each namespace
        "default-deny",  # the network policy of each namespace
        "environment",  # Argo CD's Application of an environment's namespace
        "global",  # Helm's own key of an umbrella's values
        "library",
        "localhost",  # what calls it by this name reaches itself
        "platform",
        "registry",
        "shared",  # shared-pipeline.yml
        "tags",  # Helm's own key of an umbrella's values
        "umbrella",
        *_DEVICES,
    }
)
RESERVED_ENVIRONMENTS = frozenset({"base", "global", "platform", "schema", "shared", *_DEVICES})
# The namespaces and Applications of previews are called so.
RESERVED_PREVIEWS = re.compile("previews?(-[0-9]+)?")
# Kubernetes keeps the namespaces that begin so for itself.
RESERVED_PLATFORMS = re.compile("kube(-.*)?")

# Environment variables that a service has without asking, and what gives them; a secret may not take their place.
VARIABLES_IN_USE = {
    "PORT": "the chart",
    "SERVICE_REVISION": "the image",
    "SERVICE_VERSION": "the image",
    "PATH": "the image",
    "PYTHONDONTWRITEBYTECODE": "the image",
    "PYTHONUNBUFFERED": "the image",
    "HOME": "the container runtime",
    "HOSTNAME": "the container runtime",
    "HOST": "the shared library, as the address to listen on",
    "SERVICE_DESCRIPTION": "the service's own service.toml",
    "SERVICE_NAME": "the service's own service.toml",
}
VARIABLES_OF_STORES = {"postgres": "DATABASE_URL", "redis": "REDIS_URL"}
VARIABLE_OF_TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT"
# Kubernetes tells each container of its API in variables that begin so.
VARIABLES_OF_KUBERNETES = "KUBERNETES_"

# Registries that keep images below an account, and how deep a name may go there; None for as deep as one likes.
ACCOUNTS = {"docker.io": 1, "ghcr.io": None}
# Other names of Docker Hub; tools look up a login by the one above.
DOCKER_HUB = frozenset({"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com", "hub.docker.com"})

_UNITS = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
}


@dataclass(frozen=True)
class DerivedName:
    """A name that is put together from names of the spec and must fit into `limit` characters."""

    what: str
    form: str
    limit: int


# What the chart puts behind a service's name for objects of its own.
SUFFIXES = (
    "-helm-test",
    "-helm-test-access",
    "-canary",
    "-preview",
    "-stable",
    "-redis",
    "-postgres",
    "-postgres-backup",
    "-postgres-r",
    "-postgres-ro",
    "-postgres-rw",
)

# Every name that templates put together; the templates of `blueprints/cd-repo` use these forms and no other.
DERIVED_OF_SERVICE = (
    DerivedName("Service of a blue-green preview", "{service}-preview", MAX_LABEL),
    # A pod's name is cut by Kubernetes, but a ReplicaSet's hash of 10 characters becomes part of a label's value.
    DerivedName("ReplicaSet", "{service}-0123456789", MAX_LABEL),
)
DERIVED_OF_PREVIEWS = (DerivedName("namespace of a preview", "{platform}-preview-000000", MAX_LABEL),)
DERIVED_OF_ENVIRONMENT = (DerivedName("namespace", "{platform}-{environment}", MAX_LABEL),)


def address_variable(service: str) -> str:
    """Return the environment variable with the address of `service`, as the chart names it for those that call it."""
    return f"{service.upper().replace('-', '_')}_URL"


def is_branch(name: str) -> bool:
    """Tell whether git and GitHub let a branch be called `name`, a string that matches `BRANCH`.

    What that pattern leaves open of https://git-scm.com/docs/git-check-ref-format; GitHub refuses what looks like a
    commit or like a reference in full.
    """
    return not (
        name == "HEAD"
        or ".." in name
        or name.endswith(".")
        or any(part.endswith(".lock") for part in name.split("/"))
        or name.startswith("refs/")
        or re.fullmatch("[0-9a-f]{40}", name)
    )


def amount(quantity: str) -> Decimal:
    """Return a Kubernetes quantity as a number of cores or bytes.

    Args:
        quantity: A string that matches `CPU` or `MEMORY`.
    """
    number = quantity.rstrip("mkKMGTi")
    return Decimal(number) * _UNITS[quantity[len(number) :]]
