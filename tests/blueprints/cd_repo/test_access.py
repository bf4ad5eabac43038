"""Who may do what in Argo CD: computed from the generated policy, for every team, service, action, environment."""

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import pytest

from tests.blueprints.cd_repo.addons import addons_of, load
from tests.blueprints.cd_repo.support import environments_of, services_of
from tests.platform import Platform, answers_of

# What Argo CD itself brings: the lines of its built-in policy for `role:readonly`.
READONLY = {
    *((resource, "get") for resource in ("applications", "applicationsets", "certificates", "clusters")),
    *(
        (resource, "get")
        for resource in ("repositories", "write-repositories", "projects", "accounts", "gpgkeys", "logs")
    ),
}
LOOKS = ("get",)
OPERATES = (
    "sync",
    "action/argoproj.io/Rollout/abort",
    "action/argoproj.io/Rollout/retry",
    "action/argoproj.io/Rollout/resume",
    "action/apps/Deployment/restart",
    "action/external-secrets.io/ExternalSecret/refresh",
)
EDITS = (
    "create",
    "update",
    "delete",
    "override",
    "update/apps/Deployment/acme-prod/orders",
    "delete//Pod/acme-prod/orders",
    "action/argoproj.io/Rollout/promote-full",
    "action/apps/Deployment/scale",
)


@dataclass
class Policy:
    """A policy as Argo CD reads it: Casbin, where one `deny` outweighs every `allow`, with the globs of gobwas/glob."""

    rules: list[list[str]] = field(default_factory=list)
    roles: dict[str, set[str]] = field(default_factory=dict)
    default: str = ""

    @classmethod
    def of(cls, cd: Path) -> "Policy":
        rbac = load(cd / "platform/argocd/values.yaml")["argo-cd"]["configs"]["rbac"]
        policy = cls(default=rbac["policy.default"])
        for row in csv.reader(rbac["policy.csv"].splitlines(), skipinitialspace=True):
            kind, *rest = [cell.strip() for cell in row]
            assert kind in {"p", "g"}
            if kind == "p":
                assert len(rest) == 5
                policy.rules.append(rest)
            else:
                subject, role = rest
                policy.roles.setdefault(subject, set()).add(role)
        return policy

    def allows(self, groups: set[str], resource: str, action: str, name: str) -> bool:
        if self.default == "role:readonly" and (resource, action) in READONLY:
            return True
        subjects = groups.union(*(self.roles.get(group, set()) for group in groups))
        effects = {
            effect
            for subject, of, does, what, effect in self.rules
            if subject in subjects and matches(of, resource) and matches(does, action) and matches(what, name)
        }
        return "allow" in effects and "deny" not in effects


def matches(pattern: str, text: str) -> bool:
    """Match as a glob without separators: `*` is anything, `/` included, and `{a,b}` either."""
    parts = re.split(r"(\*|\{[^{}]*\})", pattern)
    expression = "".join(
        ".*"
        if part == "*"
        else "(" + "|".join(map(re.escape, part[1:-1].split(","))) + ")"
        if part.startswith("{")
        else re.escape(part)
        for part in parts
    )
    return re.fullmatch(expression, text) is not None


def applications(cd: Path) -> Iterator[tuple[str, str, str]]:
    """Yield service, environment, and name of the Application in rules, for two clusters."""
    for service, environment, cluster in product(services_of(cd), environments_of(cd), ("in-cluster", "eu.1")):
        name = environment["name"]
        yield service, name, f"{environment['namespace']}/{service}.{name}.{cluster}"


def test_every_pair_of_team_and_service_has_the_rights_of_the_spec(platform: Platform) -> None:
    answers = answers_of(platform.name, "cd-repo")
    policy = Policy.of(platform.cd)
    by_hand = {e["name"] for e in answers["environments"] if e["deploy"] != "approval"}
    owners = {service["name"]: service["owner"] for service in answers["services"]}
    groups = {team["group"]: "@" + team["group"].replace(":", "/") for team in answers["argocd"]["teams"]}
    platform_team = answers["platform"]["owner"]
    decisions = 0
    for (group, handle), (service, environment, name) in product(groups.items(), applications(platform.cd)):
        own, platforms = owners[service] == handle, handle == platform_team
        for action in (*LOOKS, *OPERATES, *EDITS):
            expected = (
                action in LOOKS
                or (action in OPERATES and (own or platforms))
                or (action in EDITS and platforms and environment in by_hand)
            )
            assert policy.allows({group}, "applications", action, name) == expected, (group, action, name)
            decisions += 1
    assert decisions > 0 or not groups


def test_nobody_edits_where_deployments_are_approved(rendered: Callable[[str], Platform]) -> None:
    cd = rendered("example").cd
    policy = Policy.of(cd)
    everyone = {*policy.roles, *(role for roles in policy.roles.values() for role in roles)}
    for service in services_of(cd):
        for action in EDITS:
            assert not policy.allows(everyone, "applications", action, f"acme-prod/{service}.prod.in-cluster"), action


def test_whoever_is_in_no_team_only_looks(platform: Platform) -> None:
    policy = Policy.of(platform.cd)
    for _, _, name in applications(platform.cd):
        assert policy.allows({"strangers"}, "applications", "get", name)
        assert not any(policy.allows({"strangers"}, "applications", action, name) for action in (*OPERATES, *EDITS))


def test_a_service_whose_name_begins_alike_is_another_one(example: Platform) -> None:
    policy = Policy.of(example.cd)
    assert policy.allows({"acme:payments"}, "applications", "sync", "acme-dev/catalog.dev.in-cluster")
    assert not policy.allows({"acme:payments"}, "applications", "sync", "acme-dev/catalog-api.dev.in-cluster")
    assert not policy.allows({"acme:payments"}, "applications", "sync", "acme-dev/my-catalog.dev.in-cluster")


@pytest.mark.parametrize("action", ["sync", "update", "delete"])
def test_add_ons_are_for_the_platform_s_team_and_changed_in_git(example: Platform, action: str) -> None:
    policy = Policy.of(example.cd)
    for addon in addons_of(example.cd):
        name = f"acme-platform/{addon}.addons.in-cluster"
        assert policy.allows({"acme:platform"}, "applications", action, name) == (action == "sync")
        assert not policy.allows({"acme:payments"}, "applications", action, name)


def test_nobody_runs_commands_in_pods_or_changes_projects(platform: Platform) -> None:
    policy = Policy.of(platform.cd)
    for resource, action in product(
        ("exec", "projects", "accounts", "applicationsets"), ("create", "update", "delete")
    ):
        assert not policy.allows(set(policy.roles), resource, action, "acme-dev/orders.dev.in-cluster")


def test_no_team_is_called_like_a_role_of_argo_cd(platform: Platform) -> None:
    assert all(role.startswith("role:team-") for roles in Policy.of(platform.cd).roles.values() for role in roles)
