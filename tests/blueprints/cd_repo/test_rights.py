"""Who may do what in the clusters: teams in each environment, and service accounts."""

from collections.abc import Iterable
from itertools import product
from pathlib import Path

from tests import platform as platforms
from tests.blueprints.cd_repo.addons import addons_of
from tests.blueprints.cd_repo.support import Object, environments_of, objects, rendered
from tests.platform import Platform, answers_of
from tests.tools import run, tool

# What Kubernetes' own role `view` lets one do, of what is asked here.
VIEW = {("get", "pods"), ("get", "pods/log"), ("get", "configmaps"), ("list", "deployments")}
DEBUG = {("create", "pods/exec"), ("create", "pods/portforward"), ("patch", "pods/ephemeralcontainers")}
NEVER = {
    *product(("get", "list"), ("secrets",)),
    *product(("create", "update", "patch", "delete"), ("pods", "deployments", "rolebindings", "roles")),
    ("create", "serviceaccounts/token"),
}


def rights(cd: Path, *options: str) -> list[Object]:
    """Return the objects of the add-on, those of all environments unless a cluster is named."""
    return objects(run(tool("helm"), "template", "access", cd / "platform/access", *options).stdout)


def may(items: Iterable[Object], group: str, namespace: str) -> set[tuple[str, str]]:
    """Return what a group may do in a namespace, by the objects of the add-on and the role that Kubernetes has."""
    found = set()
    local = [item for item in items if item["metadata"]["namespace"] == namespace]
    roles = {item["metadata"]["name"]: item["rules"] for item in local if item["kind"] == "Role"}
    for item in local:
        if item["kind"] != "RoleBinding" or group not in {subject["name"] for subject in item["subjects"]}:
            continue
        role = item["roleRef"]
        if role["kind"] == "ClusterRole":
            assert role["name"] == "view"
            found |= VIEW
            continue
        for rule in roles[role["name"]]:
            found |= set(product(rule["verbs"], rule["resources"]))
    return found


def test_teams_see_everything_but_secrets_and_debug_where_nobody_depends_on_it(platform: Platform) -> None:
    teams = answers_of(platform.name, "cd-repo")["argocd"]["teams"]
    assert ("access" in addons_of(platform.cd)) == bool(teams)
    if not teams:
        return
    items = rights(platform.cd)
    environments = environments_of(platform.cd)
    for team, environment in product(teams, environments):
        allowed = may(items, team["group"], environment["namespace"])
        assert allowed >= VIEW
        assert not allowed & NEVER
        assert (allowed & DEBUG == DEBUG) == (environment is not environments[-1])
    # Nobody else, and nowhere else.
    groups = {subject["name"] for item in items for subject in item.get("subjects", [])}
    assert groups == {team["group"] for team in teams}
    assert {item["metadata"]["namespace"] for item in items} == {one["namespace"] for one in environments}
    assert {item["kind"] for item in items} <= {"Role", "RoleBinding"}


def test_a_cluster_gets_the_rights_of_its_environments_alone(example: Platform) -> None:
    items = rights(example.cd, "--set-string=cluster.label=prod")
    assert {item["metadata"]["namespace"] for item in items} == {"acme-prod"}


def test_a_platform_without_teams_gives_no_rights(tmp_path: Path) -> None:
    assert answers_of("minimal", "cd-repo")["argocd"]["teams"] == []
    made = platforms.render("minimal", tmp_path)
    assert not (made.cd / "platform/access").exists()


def test_no_service_account_has_a_token(released: Path) -> None:
    for environment in environments_of(released):
        items = rendered(released, environment["name"])
        accounts = [item for item in items if item["kind"] == "ServiceAccount"]
        assert accounts
        assert all(item["automountServiceAccountToken"] is False for item in accounts)
        # A project must not let a service's chart give rights.
        project = (released / f"argocd/environments/{environment['name']}/project.yaml").read_text()
        assert "rbac.authorization.k8s.io" not in project
