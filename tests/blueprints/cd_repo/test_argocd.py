"""Argo CD's objects: what it would deploy, from where, to where."""

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.blueprints.cd_repo import addons
from tests.blueprints.cd_repo.support import (
    Object,
    build,
    by_kind,
    environments_of,
    objects,
    release,
    rendered,
    services_of,
    with_values,
)
from tests.blueprints.cd_repo.test_manifests import every_object, variants
from tests.platform import Platform, answers_of
from tests.tools import run, tool


def cluster(name: str, **labels: str) -> dict[str, Any]:
    """Return what the cluster generator yields for a cluster with these labels."""
    return {
        "name": name,
        "nameNormalized": re.sub("[^a-z0-9.-]", "-", name.lower()),
        "server": f"https://{name}.example",
        "project": "",
        "metadata": {"labels": {f"acme/{key}": value for key, value in labels.items()}, "annotations": {}},
    }


CLUSTER = cluster("cluster-1", region="eu-central-1")
# The only uses of a parameter that are more than its value: labels, and whether Argo CD itself runs there.
LABEL = r'index \.(metadata)\.labels "[a-z0-9/-]+"( \| default "none")?'
SERVER = r'eq \.(server) "https://kubernetes\.default\.svc"'


def load(file: Path) -> Object:
    document: Object = yaml.safe_load(file.read_text())
    return document


def expand(template: Object, parameters: list[dict[str, Any]], folder: Path) -> list[Object]:
    """Fill a template of an ApplicationSet once for each set of parameters with the same Go templates, Helm's `tpl`."""
    text = re.sub(r"\{\{.*?\}\}", lambda reference: json.loads(f'"{reference[0]}"'), json.dumps(template))
    # Helm writes nothing for a key that is missing, where Argo CD fails.
    for reference in re.findall(r"\{\{ (.*?) \}\}", text):
        found = next(filter(None, (re.fullmatch(form, reference) for form in (LABEL, SERVER, r"\.(\w+)"))), None)
        assert found is not None, reference
        assert all(found[1] in one for one in parameters), f"no parameter for {reference}"
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("{apiVersion: v2, name: expand, version: 1.0.0}")
    (folder / "templates/all.yaml").write_text(
        "{{ range .Values.parameters }}\n---\n{{ tpl $.Values.text . }}\n{{ end }}"
    )
    (folder / "values.json").write_text(json.dumps({"text": text, "parameters": parameters}))
    return objects(run(tool("helm"), "template", folder, f"--values={folder / 'values.json'}").stdout)


def parameters_of(
    repository: Path, generators: list[Object], clusters: tuple[dict[str, Any], ...] = (CLUSTER,)
) -> list[dict[str, Any]]:
    """Return what the generators of an ApplicationSet yield for this repository and these clusters."""
    (generator,) = generators
    if "clusters" in generator:
        return list(clusters)
    git, selected = generator["matrix"]["generators"]
    assert list(selected) == ["clusters"]
    (files,) = git["git"]["files"]
    assert set(load(repository / "registry/releases/dev/orders.yaml")) & set(CLUSTER) == set()
    return [load(file) | one for file in sorted(repository.glob(files["path"])) for one in clusters]


@cache
def projects_of(repository: Path) -> dict[str, Object]:
    files = (repository / "argocd").rglob("project.yaml")
    return {project["metadata"]["name"]: project for project in map(load, files)}


def allows(project: Object, item: Object) -> bool:
    group, kind = str(item["apiVersion"]).rpartition("/")[0], item["kind"]
    if kind == "Namespace":
        allowed = project["spec"]["clusterResourceWhitelist"]
        return {"group": group, "kind": kind, "name": item["metadata"]["name"]} in allowed
    namespaces = {destination["namespace"] for destination in project["spec"]["destinations"]}
    known = {"group": group, "kind": kind} in project["spec"]["namespaceResourceWhitelist"]
    return known and item["metadata"]["namespace"] in namespaces


def applications_of(repository: Path, folder: Path, *clusters: dict[str, Any]) -> dict[str, Object]:
    """Return the Applications that Argo CD would make where each environment is in all these clusters, by name."""
    made: dict[str, Object] = {}
    for number, file in enumerate(sorted(repository.glob("argocd/environments/*/*.yaml"))):
        document = load(file)
        if document["kind"] == "ApplicationSet":
            spec = document["spec"]
            parameters = parameters_of(repository, spec["generators"], clusters)
            for application in expand(spec["template"], parameters, folder / str(number)):
                assert application["metadata"]["name"] not in made
                made[application["metadata"]["name"]] = application
    return made


@pytest.fixture(scope="session")
def applications(released_example: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Object]:
    """The Applications that Argo CD would make for one cluster, by name."""
    return applications_of(released_example, tmp_path_factory.mktemp("expand"), CLUSTER)


def test_each_release_becomes_one_application(released_example: Path, applications: dict[str, Object]) -> None:
    expected = {
        f"{part}.{environment['name']}.cluster-1"
        for environment in environments_of(released_example)
        for part in ("environment", *services_of(released_example))
    }
    assert set(applications) == expected


def test_each_cluster_of_an_environment_has_applications_of_its_own(released_example: Path, tmp_path: Path) -> None:
    clusters = (cluster("eu", region="eu-central-1"), cluster("US_1", region="us-east-1"))
    made = applications_of(released_example, tmp_path, *clusters)
    parts = len(services_of(released_example)) + 1
    assert len(made) == 2 * parts * len(environments_of(released_example))
    eu, us = (made[f"orders.prod.{name}"] for name in ("eu", "us-1"))
    assert [one["spec"]["destination"]["name"] for one in (eu, us)] == ["eu", "US_1"]
    assert [one["spec"]["source"]["helm"]["valueFiles"][2] for one in (eu, us)] == [
        "/environments/prod/regions/eu-central-1.yaml",
        "/environments/prod/regions/us-east-1.yaml",
    ]
    for application in made.values():
        # Names of Kubernetes, and none that Argo CD would have to change.
        assert re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", application["metadata"]["name"])
        assert set(application["spec"]["destination"]) == {"name", "namespace"}


def test_an_application_renders_what_the_scripts_render(
    released_example: Path, applications: dict[str, Object]
) -> None:
    for environment in environments_of(released_example):
        seen: dict[str, Object] = {}
        for service in services_of(released_example):
            spec = applications[f"{service}.{environment['name']}.cluster-1"]["spec"]
            helm = spec["source"]["helm"]
            present = [name for name in helm["valueFiles"] if (released_example / name.lstrip("/")).is_file()]
            assert helm["ignoreMissingValueFiles"] is True
            assert helm["valueFiles"][-1] in present
            assert helm["skipTests"] is True
            text = run(
                *(tool("helm"), "template", "--skip-tests", helm["releaseName"], spec["source"]["path"]),
                *(f"--namespace={spec['destination']['namespace']}", *(f"--values=.{name}" for name in present)),
                cwd=released_example,
            ).stdout
            seen |= by_kind(objects(text))
        assert seen == by_kind(rendered(released_example, environment["name"]))


def test_values_are_read_in_the_documented_order(applications: dict[str, Object]) -> None:
    assert applications["orders.prod.cluster-1"]["spec"]["source"]["helm"]["valueFiles"] == [
        "/environments/prod/values.yaml",
        "/environments/prod/custom.yaml",
        "/environments/prod/regions/eu-central-1.yaml",
        "/services/orders/values-prod.yaml",
        "/services/orders/custom/values.yaml",
        "/services/orders/custom/prod.yaml",
        "/registry/releases/prod/orders.yaml",
    ]


def test_a_sync_leaves_the_live_version_of_a_blue_green_service_where_it_is(
    platform: Platform,
) -> None:
    for environment in answers_of(platform.name, "cd-repo")["environments"]:
        spec = load(platform.cd / f"argocd/environments/{environment['name']}/services.yaml")["spec"]["template"][
            "spec"
        ]
        # The active service and the one for the preview: the controller writes into the selectors of both.
        assert {"kind": "Service", "jsonPointers": ["/spec/selector/rollouts-pod-template-hash"]} in spec[
            "ignoreDifferences"
        ]
        # Without this option the field is left out of the comparison only, and every sync still overwrites it.
        assert "RespectIgnoreDifferences=true" in spec["syncPolicy"]["syncOptions"]


def test_a_sync_leaves_the_weights_of_a_canary_where_they_are(released_example: Path) -> None:
    spec = load(released_example / "argocd/environments/prod/services.yaml")["spec"]["template"]["spec"]
    (ignored,) = (one for one in spec["ignoreDifferences"] if one["kind"] == "HTTPRoute")
    (path,) = ignored["jqPathExpressions"]
    label, value = '.metadata.labels["app.kubernetes.io/component"]', "canary"
    assert path == f'select({label} == "{value}") | .spec.rules[].backendRefs[].weight'
    route = {"host": "a.example", "path": "/v1"}

    def route_of(**values: Any) -> Object:
        made = with_values(released_example, "catalog", "prod", **values).values()
        (found,) = (item for item in made if item["kind"] == "HTTPRoute")
        return found

    # Only routes that Argo Rollouts writes into are taken from the cluster: of all others, git alone decides.
    canary = route_of(rollout="canary", route=route)
    assert canary["metadata"]["labels"]["app.kubernetes.io/component"] == value
    for rollout in ("rolling", "blueGreen"):
        assert "app.kubernetes.io/component" not in route_of(rollout=rollout, route=route)["metadata"]["labels"]
    # What a sync takes from there is the whole list (argoproj/argo-cd#25284), so a route's rules never change under its
    # name; what is no rule may.
    for change, other in (({"path": "/v2"}, True), ({"host": "b.example"}, False)):
        changed = route_of(rollout="canary", route=route | change)
        assert (changed["metadata"]["name"] != canary["metadata"]["name"]) == other
        assert (changed["spec"]["rules"] != canary["spec"]["rules"]) == other
    workload = with_values(released_example, "catalog", "prod", rollout="canary", route=route)["Rollout/catalog"]
    plugins = workload["spec"]["strategy"]["canary"]["trafficRouting"]["plugins"]
    assert plugins["argoproj-labs/gatewayAPI"]["httpRoute"] == canary["metadata"]["name"]


def test_a_cluster_without_a_region_has_no_file_of_one(released_example: Path, tmp_path: Path) -> None:
    template = load(released_example / "argocd/environments/prod/services.yaml")["spec"]["template"]
    here = cluster("cluster-1")
    (made,) = expand(template, [load(released_example / "registry/releases/prod/orders.yaml") | here], tmp_path / "one")
    assert made["spec"]["source"]["helm"]["valueFiles"][2] == "/environments/prod/regions/none.yaml"


def test_manifests_are_made_anew_only_when_they_can_differ(
    released_example: Path, applications: dict[str, Object]
) -> None:
    application = applications["orders.prod.cluster-1"]
    paths = application["metadata"]["annotations"]["argocd.argoproj.io/manifest-generate-paths"].split(";")
    assert all((released_example / path.lstrip("/")).exists() for path in paths)
    folder = application["spec"]["source"]["path"]
    inputs = [*application["spec"]["source"]["helm"]["valueFiles"], f"/{folder}", "/library"]
    assert all(any(name == path or name.startswith(f"{path}/") for path in paths) for name in inputs)


def test_the_namespace_comes_from_its_file(released_example: Path, applications: dict[str, Object]) -> None:
    source = applications["environment.dev.cluster-1"]["spec"]["source"]
    # Argo CD reads braces as a shell does.
    assert source["directory"]["include"] == "{namespace,quota}.yaml"
    files = [released_example / source["path"] / f"{name}.yaml" for name in ("namespace", "quota")]
    kinds = [item["kind"] for file in files for item in objects(file.read_text())]
    assert kinds == ["Namespace", "NetworkPolicy", "ResourceQuota", "LimitRange"]


def test_a_release_makes_an_application(cd: Path, tmp_path: Path) -> None:
    spec = load(cd / "argocd/environments/dev/services.yaml")["spec"]
    pattern = spec["generators"][0]["matrix"]["generators"][0]["git"]["files"][0]["path"]
    assert list(cd.glob(pattern)) == []
    release(cd, "dev", [build("orders")])
    (made,) = expand(spec["template"], [load(file) | CLUSTER for file in cd.glob(pattern)], tmp_path / "expand")
    assert made["metadata"]["name"] == "orders.dev.cluster-1"


def test_projects_allow_what_is_rendered_and_nothing_else(released: Path) -> None:
    for environment in environments_of(released):
        project = projects_of(released)[environment["namespace"]]
        folder = released / "environments" / environment["name"]
        extra = [item for file in ("namespace", "quota") for item in objects((folder / f"{file}.yaml").read_text())]
        refused = [
            f"{i['kind']}/{i['metadata']['name']}"
            for i in [*rendered(released, environment["name"]), *extra]
            if not allows(project, i)
        ]
        assert refused == []
        others = [e["namespace"] for e in environments_of(released) if e != environment]
        assert not any(
            allows(project, {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": n}}) for n in others
        )
        assert not allows(project, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"}})
        assert not allows(
            project, {"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": environment["namespace"]}}
        )


def test_no_kind_is_allowed_that_nothing_makes(released_example: Path) -> None:
    made = {
        (str(item["apiVersion"]).rpartition("/")[0], item["kind"])
        for item in (*every_object(released_example), *variants(released_example))
    }
    allowed = projects_of(released_example)["acme-dev"]["spec"]["namespaceResourceWhitelist"]
    assert {(kind["group"], kind["kind"]) for kind in allowed} <= made


def test_the_root_application_keeps_everything_and_may(platform: Platform) -> None:
    root = load(platform.cd / "argocd/root.yaml")
    project = projects_of(platform.cd)[root["spec"]["project"]]
    assert (root["spec"]["source"]["path"], root["spec"]["source"]["directory"]) == ("argocd", {"recurse": True})
    for file in (platform.cd / "argocd").rglob("*.yaml"):
        assert allows(project, load(file)), file


def test_the_project_of_the_add_ons_takes_them_from_this_repository_alone(platform: Platform) -> None:
    applications = addons.applications_of(platform.cd).values()
    for application in applications:
        project = projects_of(platform.cd)[application["spec"]["project"]]
        assert project["spec"]["sourceRepos"] == [application["spec"]["source"]["repoURL"]]
        assert project["spec"]["clusterResourceWhitelist"] == [{"group": "*", "kind": "*"}]
    # The Applications themselves are objects of the root's project.
    spec = load(platform.cd / "argocd/platform/addons.yaml")["spec"]["template"]["spec"]
    root = projects_of(platform.cd)[spec["project"]]
    assert all(allows(root, application) for application in applications)
    assert spec["destination"] in root["spec"]["destinations"]


def test_each_cluster_has_an_application_of_its_add_ons(released_example: Path, tmp_path: Path) -> None:
    spec = load(released_example / "argocd/platform/addons.yaml")["spec"]
    clusters = (
        cluster("in-cluster", cluster="dev") | {"server": "https://kubernetes.default.svc"},
        cluster("US_1", cluster="prod", region="us-east-1"),
    )
    (generator,) = spec["generators"]
    assert generator["clusters"]["selector"]["matchExpressions"] == [{"key": "acme/cluster", "operator": "Exists"}]
    here, there = expand(spec["template"], list(clusters), tmp_path / "expand")
    assert [one["metadata"]["name"] for one in (here, there)] == ["addons.in-cluster", "addons.us-1"]
    values = [one["spec"]["source"]["helm"]["valuesObject"]["cluster"] for one in (here, there)]
    assert values == [
        {"name": "in-cluster", "normalized": "in-cluster", "label": "dev", "region": "none", "hub": "true"},
        {"name": "US_1", "normalized": "us-1", "label": "prod", "region": "us-east-1", "hub": "false"},
    ]


def test_everything_points_at_this_repository(platform: Platform) -> None:
    answers = answers_of(platform.name, "cd-repo")["platform"]
    url = f"https://github.com/{answers['organization']}/{answers['cdRepo']}.git"
    text = "".join(file.read_text() for file in (platform.cd / "argocd").rglob("*.yaml"))
    assert set(re.findall(r'"(https://github[^"]*)"', text)) == {url}


def test_environments_select_clusters_by_their_label(platform: Platform) -> None:
    answers = answers_of(platform.name, "cd-repo")
    for environment in answers["environments"]:
        folder = platform.cd / "argocd/environments" / environment["name"]
        label = {f"{answers['platform']['name']}/cluster": environment["cluster"]}
        services, namespace = load(folder / "services.yaml")["spec"], load(folder / "environment.yaml")["spec"]
        assert services["generators"][0]["matrix"]["generators"][1]["clusters"]["selector"]["matchLabels"] == label
        assert namespace["generators"][0]["clusters"]["selector"]["matchLabels"] == label
        for spec in (services, namespace):
            # A project that is written out lets Argo CD check where commits come from.
            assert spec["template"]["spec"]["project"] == f"{answers['platform']['name']}-{environment['name']}"


def test_whatever_becomes_of_applications_what_runs_stays(platform: Platform) -> None:
    for file in (platform.cd / "argocd").rglob("*.yaml"):
        # What previews ran goes with them (test_previews.py).
        if (document := load(file))["kind"] == "ApplicationSet" and file.parent.name != "previews":
            assert document["spec"]["syncPolicy"] == {"preserveResourcesOnDeletion": True}, file


def test_argo_cd_changes_nothing_by_itself_outside_the_windows_of_an_environment(
    rendered: Callable[[str], Platform],
) -> None:
    folder = rendered("five-environments").cd / "argocd/environments"
    assert load(folder / "live/project.yaml")["spec"]["syncWindows"] == [
        {
            "kind": "allow",
            "schedule": "0 9 * * mon,tue,wed,thu,fri",
            "duration": "8h0m",
            "timeZone": "Europe/Berlin",
            "applications": ["*"],
            "manualSync": True,
        },
        {
            "kind": "allow",
            "schedule": "0 22 * * sat",
            "duration": "2h0m",
            "timeZone": "UTC",
            "applications": ["*"],
            "manualSync": True,
        },
    ]
    assert "syncWindows" not in load(folder / "uat/project.yaml")["spec"]
