"""What may run in the environments: each policy with what it lets pass and what it does not."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.blueprints.cd_repo.addons import load, own_objects
from tests.blueprints.cd_repo.policies import GROUP, cases, changed, kyverno, objections, pods, pods_of, policies_of
from tests.blueprints.cd_repo.support import environments_of, helm_tests, rendered, services_of, with_values
from tests.platform import Platform
from tests.tools import run, tool

POLICIES = ("probes", "resource-limits", "restricted-pods", "trusted-images")
IMAGE = "ghcr.io/acme/orders:1@sha256:" + 64 * "a"


def test_each_policy_has_cases(example: Platform) -> None:
    assert set(cases()["policies"]) == set(POLICIES)
    modes = {f"{name}{mode}" for name in POLICIES for mode in ("", "-audit")}
    assert set(policies_of(example.cd)) == modes
    assert set(policies_of(example.cd, "ImageValidatingPolicy")) == {"signed-images", "signed-images-audit"}


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_lets_pass_what_it_should_and_nothing_else(example: Platform, policy: str) -> None:
    policies = policies_of(example.cd)
    for name in (policy, f"{policy}-audit"):
        assert objections([policies[name]], pods(policy, "passes")) == []
        failing = pods(policy, "fails")
        found = {objection["object"] for objection in objections([policies[name]], failing)}
        assert found == {pod["metadata"]["name"] for pod in failing}


def test_the_first_of_several_environments_watches_and_the_others_deny(platform: Platform) -> None:
    environments = environments_of(platform.cd)
    namespaces = [environment["namespace"] for environment in environments]
    watched, guarded = (namespaces[:1], namespaces[1:]) if len(namespaces) > 1 else ([], namespaces)
    items = own_objects(platform.cd, "policies")
    assert {item["apiVersion"] for item in items} == {GROUP}
    expected = {"": ("Deny", "Fail", guarded), "-audit": ("Audit", "Ignore", watched)}
    for item in items:
        name, spec = item["metadata"]["name"], item["spec"]
        action, failure, chosen = expected["-audit" if name.endswith("-audit") else ""]
        (expression,) = spec["matchConstraints"]["namespaceSelector"]["matchExpressions"]
        assert spec["validationActions"] == [action]
        assert spec["failurePolicy"] == failure
        # No other namespace is asked: not kube-system, and not the add-ons'.
        assert expression == {"key": "kubernetes.io/metadata.name", "operator": "In", "values": sorted(chosen)}
    assert any(item["metadata"]["name"].endswith("-audit") for item in items) == bool(watched)


def test_everything_that_the_platform_runs_passes(released: Path) -> None:
    policies = [item for name, item in policies_of(released).items() if not name.endswith("-audit")]
    for environment in environments_of(released):
        running = list(pods_of(rendered(released, environment["name"])))
        for service in services_of(released):
            running += pods_of(helm_tests(released, service, environment["name"]).values())
        assert running
        assert objections(policies, running) == []


@pytest.mark.parametrize("rollout", ["rolling", "canary", "blueGreen"])
def test_jobs_and_caches_pass_as_well(released_example: Path, rollout: str) -> None:
    policies = [item for name, item in policies_of(released_example).items() if not name.endswith("-audit")]
    values: dict[str, Any] = {
        "rollout": rollout,
        "redis": {"memory": "64Mi"},
        "jobs": {"tidy": {"schedule": "@daily", "args": ["tidy"]}},
    }
    running = list(pods_of(with_values(released_example, "orders", "prod", **values).values()))
    assert {pod["metadata"]["name"] for pod in running} >= {"orders", "orders-redis", "orders-tidy"}
    assert objections(policies, running) == []


def test_images_that_the_library_runs_are_trusted(platform: Platform) -> None:
    """Databases are made by an operator from an image that is named here; what is listed is needed."""
    trusted = load(platform.cd / "policies/values.yaml")["images"]["others"]
    for environment in environments_of(platform.cd):
        images = load(platform.cd / f"environments/{environment['name']}/values.yaml")["global"]["images"].values()
        for image in images:
            assert any(image.startswith(name) for name in trusted), image
        assert all(any(image.startswith(name) for image in images) for name in trusted)


def test_the_policy_trusts_who_signs(platform: Platform) -> None:
    """config/signatures.json is what promotions are verified by: clusters must ask for the same."""
    rules = json.loads((platform.cd / "config/signatures.json").read_text())
    pipeline = json.loads((platform.ci / "config/platform.json").read_text())["signer"]
    assert rules["signer"] == pipeline
    types = {"cyclonedx": "https://cyclonedx.org/bom", "slsaprovenance1": "https://slsa.dev/provenance/v1"}
    values = load(platform.cd / "policies/values.yaml")
    assert values["signer"]["repository"] == f"https://github.com/{pipeline['repository']}"
    assert values["signer"]["ref"] == pipeline["ref"]
    for policy in policies_of(platform.cd, "ImageValidatingPolicy").values():
        spec = policy["spec"]
        (attestor,) = spec["attestors"]
        identity = {"issuer": pipeline["issuer"], "subject": pipeline["identity"]}
        assert attestor["cosign"]["keyless"]["identities"] == [identity]
        assert {one["intoto"]["type"] for one in spec["attestations"]} == {types[one] for one in rules["attestations"]}
        assert spec["validationConfigurations"] == {"mutateDigest": False, "verifyDigest": True, "required": True}
        registry = json.loads((platform.cd / "config/platform.json").read_text())["imageRegistry"]
        assert spec["matchImageReferences"] == [{"glob": f"{registry}/*"}]


def signature(platform: Platform, **changes: Any) -> dict[str, Any]:
    """Return what the pipeline says of an image."""
    pipeline = json.loads((platform.cd / "config/signatures.json").read_text())["signer"]
    workflow = {"repository": f"https://github.com/{pipeline['repository']}", "ref": pipeline["ref"]}
    provenance = {"predicate": {"buildDefinition": {"externalParameters": {"workflow": workflow}}}}
    payloads = {"https://cyclonedx.org/bom": {}, "https://slsa.dev/provenance/v1": provenance}
    return {"issuer": pipeline["issuer"], "subject": pipeline["identity"], "payloads": payloads, **changes}


def refusals(platform: Platform, pod: dict[str, Any], signed: dict[str, Any]) -> list[str]:
    policy = policies_of(platform.cd, "ImageValidatingPolicy")["signed-images"]
    return [objection["message"] for objection in objections([policy], [pod], signed)]


def test_what_the_pipeline_signed_and_attested_may_run(example: Platform) -> None:
    assert refusals(example, changed("signed", {}), {IMAGE: signature(example)}) == []


def test_what_is_not_the_platforms_need_not_be_signed(example: Platform) -> None:
    assert refusals(example, changed("cache", {"spec.containers.0.image": "docker.io/valkey/valkey:9"}), {}) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": "https://github.com/acme/ci-repo/.github/workflows/shared-pipeline.yml@refs/heads/x"},
        {"subject": "https://github.com/evil/ci-repo/.github/workflows/shared-pipeline.yml@refs/heads/main"},
        {"issuer": "https://accounts.google.com"},
    ],
)
def test_what_somebody_else_signed_may_not_run(example: Platform, changes: dict[str, str]) -> None:
    (said,) = refusals(example, changed("foreign", {}), {IMAGE: signature(example, **changes)})
    assert "did not sign an image" in said


@pytest.mark.parametrize(
    ("missing", "what"), [("cyclonedx", "what is in an image"), ("slsa", "how an image came to be")]
)
def test_what_is_not_attested_may_not_run(example: Platform, missing: str, what: str) -> None:
    whole = signature(example)
    whole["payloads"] = {kind: one for kind, one in whole["payloads"].items() if missing not in kind}
    (said,) = refusals(example, changed("unattested", {}), {IMAGE: whole})
    assert what in said


@pytest.mark.parametrize(("key", "value"), [("repository", "https://github.com/acme/other"), ("ref", "refs/heads/x")])
def test_what_another_repository_built_with_our_workflow_may_not_run(example: Platform, key: str, value: str) -> None:
    built = signature(example)
    provenance = built["payloads"]["https://slsa.dev/provenance/v1"]
    provenance["predicate"]["buildDefinition"]["externalParameters"]["workflow"][key] = value
    (said,) = refusals(example, changed("elsewhere", {}), {IMAGE: built})
    assert "not of the pipeline's repository" in said


def test_every_container_is_asked_for_its_signature(example: Platform) -> None:
    for kind in ("initContainers", "ephemeralContainers"):
        unsigned = [{"name": "first", "image": IMAGE.replace("orders", "unsigned")}]
        (said,) = refusals(example, changed("more", {f"spec.{kind}": unsigned}), {IMAGE: signature(example)})
        assert "did not sign" in said


def test_an_action_that_is_none_is_refused(example: Platform) -> None:
    wrong = ("--set", "environments.acme-dev=Warn")
    result = run(tool("helm"), "template", "policies", example.cd / "policies", *wrong, check=False)
    assert result.returncode != 0
    assert "environments.acme-dev: Warn is neither Deny nor Audit" in result.stderr


@pytest.mark.exhaustive
@pytest.mark.parametrize("policy", POLICIES)
def test_kyverno_itself_judges_the_cases_alike(example: Platform, tmp_path: Path, policy: str) -> None:
    policies = list(policies_of(example.cd).values())
    passing, failing = pods(policy, "passes"), pods(policy, "fails")
    judged = kyverno(policies, passing, tmp_path / "passes")
    # A job is none of the business of `probes`.
    assert {judged[policy, pod["metadata"]["name"]] for pod in passing} <= {"pass", "skip"}
    judged = kyverno(policies, failing, tmp_path / "fails")
    assert {judged[policy, pod["metadata"]["name"]] for pod in failing} == {"fail"}
    # Nobody is asked in a namespace that is not an environment's, and the first environment only reports.
    elsewhere = [{**pod, "metadata": {**pod["metadata"], "namespace": "kube-system"}} for pod in failing]
    assert kyverno(policies, elsewhere, tmp_path / "elsewhere") == {}
    watched = [{**pod, "metadata": {**pod["metadata"], "namespace": "acme-dev"}} for pod in failing]
    assert {name for name, _ in kyverno(policies, watched, tmp_path / "watched")} == {
        f"{name}-audit" for name in POLICIES
    }


@pytest.mark.exhaustive
def test_kyverno_itself_lets_everything_run_that_the_platform_runs(released_example: Path, tmp_path: Path) -> None:
    running = [item for item in rendered(released_example, "prod") if item["kind"] in {"Deployment", "CronJob"}]
    # Kyverno knows the pods of Rollouts when they come.
    running += pods_of(item for item in rendered(released_example, "prod") if item["kind"] == "Rollout")
    for service in services_of(released_example):
        running += [item for item in helm_tests(released_example, service, "prod").values() if item["kind"] == "Pod"]
    judged = kyverno(policies_of(released_example).values(), running, tmp_path / "running")
    assert {name for _, name in judged} == {item["metadata"]["name"] for item in running}
    assert set(judged.values()) <= {"pass", "skip"}


@pytest.mark.exhaustive
def test_kyverno_itself_lets_nothing_run_whose_signature_it_cannot_see(example: Platform, tmp_path: Path) -> None:
    policies = policies_of(example.cd, "ImageValidatingPolicy").values()
    foreign = changed("foreign", {"spec.containers.0.image": "docker.io/valkey/valkey:9"})
    judged = kyverno(policies, [changed("own", {}), foreign], tmp_path / "signatures")
    assert judged["signed-images", "own"] in {"fail", "error"}
    assert judged.get(("signed-images", "foreign"), "pass") in {"pass", "skip"}
