"""How much the namespace of an environment may hold: what the spec lets its services grow to, and a margin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from generator import resolve
from generator.models import ResourceAmounts, Service, ServiceOverride, Spec
from generator.names import amount

# For tests, for what is being replaced, and for people who look into something.
MARGIN = Decimal("1.25")
GIB = Decimal(2**30)
# What the library chart gives a cache besides its memory, and the sidecar that backs a database up.
CACHE_CPU = ("50m", "500m")
SIDECAR = (ResourceAmounts(cpu="50m", memory="128Mi"), ResourceAmounts(cpu="500m", memory="512Mi"))


@dataclass(frozen=True)
class Demand:
    """Pods of one size, as many as there can be at one time, and the volume that each has."""

    pods: int
    requests: ResourceAmounts
    limits: ResourceAmounts
    storage: str = "0"


def quota(spec: Spec, environment: str) -> dict[str, str]:
    """Return the hard limits of the ResourceQuota of `environment`."""
    demands = [demand for service in spec.services for demand in _demands(spec, service, environment)]
    hard = {"pods": str(_with_margin(Decimal(sum(demand.pods for demand in demands))))}
    for side in ("requests", "limits"):
        cpu = sum((demand.pods * amount(getattr(demand, side).cpu) for demand in demands), Decimal(0))
        memory = sum((demand.pods * amount(getattr(demand, side).memory) for demand in demands), Decimal(0))
        hard[f"{side}.cpu"] = str(_with_margin(cpu))
        hard[f"{side}.memory"] = f"{_with_margin(memory / GIB)}Gi"
    if storage := sum((demand.pods * amount(demand.storage) for demand in demands), Decimal(0)):
        hard["requests.storage"] = f"{_with_margin(storage / GIB)}Gi"
    # Services are reached through the gateway alone.
    return hard | {"services.loadbalancers": "0", "services.nodeports": "0"}


def _demands(spec: Spec, service: Service, environment: str) -> Iterator[Demand]:
    override = service.environments.get(environment, ServiceOverride())
    size = resolve.sizing(spec.defaults, service, override)
    pods = size.autoscaling.max or 1
    rollout = override.rollout or resolve.rollout(spec, service)
    # A canary with a share of the requests, not of the pods, leaves the old version all of its own until it is done.
    if rollout == "blueGreen" or (
        rollout == "canary" and spec.features.rollouts and resolve.route_of(service, environment)
    ):
        pods *= 2
    else:
        pods += -(-pods // 4)  # maxSurge: 25%
    yield Demand(pods, size.requests, size.limits)
    for job in service.jobs:
        own = ServiceOverride(resources=job.resources)
        size = resolve.sizing(spec.defaults, service, override, own)
        yield Demand(1 if job.concurrency == "Forbid" else 2, size.requests, size.limits)
    if service.uses.redis:
        memory = resolve.cache(spec.defaults, service, override).memory
        requests, limits = (ResourceAmounts(cpu=cpu, memory=memory) for cpu in CACHE_CPU)
        yield Demand(1, requests, limits)
    if service.uses.postgres:
        last = environment == spec.environments[-1].name
        database = resolve.database(spec.defaults, service, override, last=last)
        # One more joins before an old one goes.
        instances = (database.postgres.instances or 1) + 1
        yield Demand(instances, database.requests, database.limits, database.postgres.storage or "0")
        if spec.features.backup.destination:
            yield Demand(instances, *SIDECAR)


def _with_margin(number: Decimal) -> int:
    return int((number * MARGIN).to_integral_value(ROUND_CEILING))
