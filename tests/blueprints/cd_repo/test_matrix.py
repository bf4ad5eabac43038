"""Values in combination: every pair of choices, each switch off and alone on, and a platform of many services."""

import json
import random
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from generator.models import Features
from tests.blueprints.cd_repo.schemas import (
    CORE_GROUPS,
    KUBERNETES,
    VALIDATOR,
    as_deployment,
    assert_core_kinds,
    checkov,
    custom_problems,
    group_of,
    write,
)
from tests.blueprints.cd_repo.support import (
    Object,
    by_kind,
    environments_of,
    helm_template,
    objects,
    release_everything,
    script,
    services_of,
)
from tests.tools import BIN, run
from tests.workbench import triptych

AMOUNTS = {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"cpu": 1, "memory": "1Gi"}}
# What can be chosen in a chart's values; the first choice is the one of a service that says nothing.
CHOICES: dict[str, list[dict[str, Any]]] = {
    "rollout": [{"rollout": "rolling"}, {"rollout": "canary"}, {"rollout": "blueGreen"}],
    "pods": [{"autoscaling": {"min": low, "max": high}} for low, high in ((2, 10), (1, 1), (1000, 1000), (1, 1000))],
    "triggers": [
        {},
        {"autoscaling": {"triggers": [{"cron": {"start": "0 8 * * *", "end": "0 18 * * *", "pods": 4}}]}},
        {"autoscaling": {"triggers": [{"prometheus": {"query": 'x{a="$namespace"}', "threshold": 0.5}}]}},
    ],
    "route": [{"route": {}}, {"route": {"host": "a.example", "path": "/"}}, {"route": {"host": "b.a", "path": "/v1"}}],
    "config": [{"config": {}}, {"config": {"A": "", "B": "x: {{ y }} \"'", "C": "1"}}],
    "secrets": [{"secrets": []}, {"secrets": [{"name": "TOKEN", "path": "a/b", "property": "c"}]}],
    "jobs": [{"jobs": {}}, {"jobs": {"j": {"schedule": "@daily", "args": ["j"]}}}],
    "redis": [{"redis": {}}, {"redis": {"memory": "64Mi"}}],
    "postgres": [{"postgres": {}}, {"postgres": {"instances": 3, "storage": "1Gi", "resources": AMOUNTS}}],
    "backup": [{"global": {"backup": {"destination": ""}}}, {"global": {"backup": {"destination": "s3://acme"}}}],
    "calls": [{"dependsOn": []}, {"dependsOn": [{"name": "price-list", "port": 1024}]}],
    "callers": [{"callers": []}, {"callers": ["web"]}],
    "egress": [{"egress": []}, {"egress": [{"ports": [{"port": 443, "protocol": "TCP"}]}]}],
    "experiments": [{}, {"chaos": True}],
    "team": [{"team": ""}, {"team": "payments"}],
    "metrics": [{}, {"global": {"monitoring": {"enabled": False}}}],
    "traces": [{}, {"global": {"tracing": {"enabled": False}}}],
    "recommendations": [{}, {"global": {"verticalPodAutoscaler": False}}],
    "spot": [{}, {"global": {"spot": True}}, {"global": {"spot": False}}],
    "pull secrets": [{}, {"global": {"imagePullSecrets": ["ghcr"]}}],
}

Combination = dict[str, int]


def pairwise() -> list[Combination]:
    """Return combinations in which every pair of choices occurs; each takes the most of the pairs that are left."""
    sizes = {name: len(choices) for name, choices in CHOICES.items()}
    left = {
        frozenset({(one, i), (other, j)})
        for one, other in combinations(sizes, 2)
        for i in range(sizes[one])
        for j in range(sizes[other])
    }
    dice = random.Random(1)  # noqa: S311 (the same combinations in every run)
    found = []
    while left:
        combination = dict(sorted(min(left, key=sorted)))
        names = [name for name in sizes if name not in combination]
        dice.shuffle(names)
        for name in names:
            new = [
                sum(frozenset({(name, choice), pair}) in left for pair in combination.items())
                for choice in range(sizes[name])
            ]
            combination[name] = new.index(max(new))
        left -= {frozenset(pair) for pair in combinations(combination.items(), 2)}
        found.append(combination)
    return found


def values_of(combination: Combination) -> dict[str, Any]:
    """Return the values that are chosen; several of them say something of the environment."""
    values: dict[str, Any] = {}
    for name, choice in combination.items():
        for key, value in CHOICES[name][choice].items():
            values[key] = values[key] | value if key in {"global", "autoscaling"} and key in values else value
    return values


def expected_kinds(values: dict[str, Any]) -> set[str]:
    """Return the kinds that a service has with these values, said a second time and in other words."""
    environment = values.get("global", {})
    watched = environment.get("monitoring", {}).get("enabled", True)
    kinds = {"ServiceAccount", "Service", "NetworkPolicy", "PodDisruptionBudget", "Job"}
    kinds |= {"Deployment"} if values["rollout"] == "rolling" or values["redis"] else set()
    if values["rollout"] != "rolling":
        kinds |= {"Rollout"} | ({"AnalysisTemplate"} if watched or values["rollout"] == "blueGreen" else set())
    scaling = values["autoscaling"]
    scaler = {"ScaledObject"} if scaling.get("triggers") else {"HorizontalPodAutoscaler"}
    kinds |= scaler if scaling["min"] < scaling["max"] else set()
    kinds |= {"VerticalPodAutoscaler"} if environment.get("verticalPodAutoscaler", True) else set()
    kinds |= {"ServiceMonitor", "PrometheusRule"} if watched else set()
    kinds |= {"HTTPRoute"} if values["route"] else set()
    kinds |= {"ConfigMap"} if values["config"] else set()
    kinds |= {"ExternalSecret"} if values["secrets"] else set()
    kinds |= {"CronJob"} if values["jobs"] else set()
    kinds |= {"Schedule"} if values.get("chaos") else set()
    if values["postgres"]:
        kinds |= {"Cluster"} | ({"PodMonitor"} if watched else set())
        kinds |= {"ObjectStore", "ScheduledBackup"} if environment["backup"]["destination"] else set()
    return kinds


def assert_valid(items: list[Object], folder: Path) -> None:
    """Hold objects against the schemas at hand."""
    assert_core_kinds(items, folder)
    assert custom_problems([item for item in items if group_of(item) not in CORE_GROUPS]) == []
    if VALIDATOR.is_file():
        run(BIN / "python", VALIDATOR, "--kubernetes", KUBERNETES, write(items, folder / "all.yaml"))


def test_every_pair_of_choices_renders_and_is_valid(released_example: Path, tmp_path: Path) -> None:
    items: list[Object] = []
    for combination in pairwise():
        values = values_of(combination)
        made = objects(helm_template(released_example, "catalog", "staging", values, "--skip-tests=false").stdout)
        assert {item["kind"] for item in made} == expected_kinds(values), values
        assert len(by_kind(made)) == len(made), values
        items += made
    assert_valid(items, tmp_path)


def switches(fields: dict[str, Any] | None = None) -> Iterator[tuple[str, ...]]:
    """Yield the path of each switch of the spec's `features` that has to do with cd-repo."""
    tree = Features().model_dump(by_alias=True) if fields is None else fields
    for name, value in tree.items():
        if isinstance(value, dict) and name != "scanning":
            yield from ((name, *rest) for rest in switches(value))
        elif isinstance(value, bool):
            yield (name,)


def features(on: frozenset[tuple[str, ...]]) -> dict[str, Any]:
    """Return `features` with these switches on, and all others off."""
    tree: dict[str, Any] = {}
    for *folders, name in switches():
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = (*folders, name) in on
    if ("vault", "pipeline") in on:
        # Runners have to reach it.
        tree["vault"]["address"] = "https://vault.acme.example"
    return tree


def choices() -> Iterator[Any]:
    """Yield which switches are on: none, all; and for the long tests all but one, and one alone."""
    every = frozenset(switches())
    yield pytest.param(frozenset(), id="none")
    yield pytest.param(every, id="all")
    for switch in sorted(every):
        name = ".".join(switch)
        yield pytest.param(every - {switch}, id=f"{name} off", marks=pytest.mark.exhaustive)
        yield pytest.param(frozenset({switch}), id=f"{name} alone", marks=pytest.mark.exhaustive)


@pytest.mark.parametrize("on", list(choices()))
def test_with_these_switches_on_all_is_valid(on: frozenset[tuple[str, ...]], tmp_path: Path) -> None:
    spec = {
        "apiVersion": "triptych/v1",
        "platform": {"name": "acme", "domain": "acme.example", "github": {"organization": "acme"}},
        "environments": [{"name": "prod"}],
        "features": features(on),
        "services": [
            {"name": "orders", "language": "python", "uses": {"redis": True, "postgres": True}, "rollout": "canary"}
        ],
    }
    repository = apply(spec, tmp_path)
    assert " 0 failed\n" in script(repository, "validate").stdout
    values = repository / "environments/prod/values.yaml"
    command = ("--values", values, "--set-string", f"image.tag=x,image.digest=sha256:{'0' * 64}")
    made = objects(run(BIN / "helm", "template", "orders", repository / "services/orders", *command).stdout)
    assert_valid(made, tmp_path)
    kinds = {item["kind"] for item in made}
    assert ("ServiceMonitor" in kinds) == (("observability", "metrics") in on)
    assert ("VerticalPodAutoscaler" in kinds) == (("scaling", "verticalPodAutoscaler") in on)


def apply(spec: dict[str, Any], folder: Path) -> Path:
    """Make the repositories of a spec and return its cd-repo."""
    file = folder / "services.yaml"
    file.write_text(yaml.safe_dump(spec))
    result = triptych("apply", "--file", file, "--output", folder / "platform")
    assert result.code == 0, result.err
    return folder / "platform/cd-repo"


def many_services(number: int) -> dict[str, Any]:
    """Return a spec in which services are as different as they may be, and call each other."""
    services = []
    for index in range(number):
        service: dict[str, Any] = {
            "name": f"service-{index:03}",
            "language": "python",
            "rollout": ("rolling", "canary", "blueGreen")[index % 3],
            "dependsOn": [f"service-{other:03}" for other in {index // 2, index // 3} - {index}],
            "uses": {"redis": index % 4 == 0, "postgres": index % 5 == 0},
            "config": {"LOG_LEVEL": "info"} if index % 2 else {},
            "secrets": [{"name": "TOKEN", "vault": "a/b#c"}] if index % 3 == 0 else [],
            "jobs": [{"name": "tidy", "schedule": "@daily", "args": ["tidy"]}] if index % 7 == 0 else [],
            "environments": {"prod": {"autoscaling": {"min": 3}}} if index % 6 == 0 else {},
        }
        services.append(service | ({"route": {}} if index % 10 == 0 else {}))
    return {
        "apiVersion": "triptych/v1",
        "platform": {"name": "acme", "domain": "acme.example", "github": {"organization": "acme"}},
        "features": {"backup": {"destination": "s3://acme-backups"}},
        "services": services,
    }


@pytest.mark.exhaustive
def test_a_hundred_services_are_valid_and_safe_in_every_environment(tmp_path: Path) -> None:
    (tmp_path / "released").mkdir()
    repository = release_everything(apply(many_services(100), tmp_path), tmp_path / "released")
    (tmp_path / "checkov").mkdir()
    items: list[Object] = []
    for environment in environments_of(repository):
        whole = objects(script(repository, "render", f"--environment={environment['name']}", "--umbrella").stdout)
        assert len(by_kind(whole)) == len(whole) >= 8 * len(services_of(repository))
        items += whole
    parts = objects(script(repository, "render", "--environment=prod").stdout)
    assert by_kind(parts) == by_kind(whole)
    assert_valid(items, tmp_path)
    write([as_deployment(item) for item in items], tmp_path / "checkov" / "all.yaml")
    report = checkov(tmp_path / "checkov")
    assert report["results"]["failed_checks"] == []
    assert {check["check_id"] for check in report["results"]["skipped_checks"]} == {"CKV_K8S_35"}
    assert report["summary"]["passed"] > 30_000
    print(json.dumps({"objects": len(items), **report["summary"]}))
