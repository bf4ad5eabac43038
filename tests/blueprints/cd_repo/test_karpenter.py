"""Nodes on AWS: which clusters have pools of them, and whose pods run on spot nodes."""

import json
from pathlib import Path

import pytest

from generator.addons import wanted
from generator.spec import load_spec
from tests import platform as platforms
from tests.blueprints.cd_repo.addons import HUB, applications_of, load
from tests.blueprints.cd_repo.schemas import KUBERNETES, VALIDATOR, custom_problems, write
from tests.blueprints.cd_repo.support import Object, by_kind, objects, pod_of, release_everything, with_values
from tests.platform import Platform
from tests.tools import BIN, run, tool

ROLE = {"eks.amazonaws.com/role-arn": "arn:aws:iam::0:role/karpenter"}
CLUSTERS = {
    "dev": {"cluster": "acme-dev", "role": "nodes-dev", "identity": ROLE},
    "prod": {"cluster": "acme-prod", "role": "nodes-prod", "queue": "interruptions"},
}


@pytest.fixture(scope="module")
def cd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("karpenter")
    spec = platforms.with_features("example", f"scaling: {{karpenter: {json.dumps(CLUSTERS)}}}", folder)
    return platforms.render_spec(spec, folder / "platform").cd


def pools(cd: Path, cluster: str, tmp_path: Path) -> dict[str, Object]:
    """Return the objects of our own in a cluster with this label."""
    folder = cd / "platform/karpenter"
    chart = tmp_path / "karpenter"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("{apiVersion: v2, name: karpenter, version: 1.0.0}\n")
    (chart / "templates/pools.yaml").write_text((folder / "templates/pools.yaml").read_text())
    values = [f"--values={folder / name}" for name in ("values.yaml", f"values-{cluster}.yaml")]
    made = objects(run(tool("helm"), "template", "karpenter", chart, *values).stdout)
    assert custom_problems(made) == []
    if VALIDATOR.is_file():
        run(BIN / "python", VALIDATOR, "--kubernetes", KUBERNETES, write(made, tmp_path / "pools.yaml"))
    return by_kind(made)


def test_spot_nodes_are_where_an_environment_may_have_them(cd: Path, tmp_path: Path) -> None:
    dev, prod = (pools(cd, name, tmp_path / name) for name in ("dev", "prod"))
    assert set(dev) == {"EC2NodeClass/default", "NodePool/on-demand", "NodePool/spot"}
    assert set(prod) == {"EC2NodeClass/default", "NodePool/on-demand"}
    assert dev["EC2NodeClass/default"]["spec"]["role"] == "nodes-dev"
    assert dev["EC2NodeClass/default"]["spec"]["subnetSelectorTerms"] == [
        {"tags": {"karpenter.sh/discovery": "acme-dev"}}
    ]
    assert dev["NodePool/spot"]["spec"]["weight"] > dev["NodePool/on-demand"]["spec"]["weight"]


def test_pods_tolerate_and_prefer_the_nodes_of_the_spot_pool(cd: Path, tmp_path: Path) -> None:
    pool = pools(cd, "dev", tmp_path / "dev")["NodePool/spot"]["spec"]["template"]["spec"]
    pod = pod_of(with_values(release_everything(cd, tmp_path), "catalog", "dev")["Deployment/catalog"])
    (taint,) = pool["taints"]
    assert {**taint, "operator": "Equal"} in pod["tolerations"]
    (label,) = (one for one in pool["requirements"] if one["key"] == "karpenter.sh/capacity-type")
    preferred = pod["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert [label] in [term["preference"]["matchExpressions"] for term in preferred]


def test_each_cluster_is_known_by_its_own_name(cd: Path) -> None:
    settings = {name: load(cd / f"platform/karpenter/values-{name}.yaml")["karpenter"] for name in CLUSTERS}
    assert settings["dev"]["settings"] == {"clusterName": "acme-dev", "interruptionQueue": "acme-dev"}
    assert settings["dev"]["serviceAccount"] == {"annotations": ROLE}
    assert settings["prod"]["settings"] == {"clusterName": "acme-prod", "interruptionQueue": "interruptions"}


def test_only_clusters_that_are_named_have_it(cd: Path, example: Platform) -> None:
    assert "karpenter" in applications_of(cd)
    assert "karpenter" not in applications_of(cd, **{**HUB, "label": "staging"})
    assert "karpenter" not in applications_of(example.cd)
    assert "On AWS (dev, prod), Karpenter" in (cd / "README.md").read_text()
    assert "Karpenter" not in (example.cd / "README.md").read_text()
    assert not (example.cd / "platform/karpenter").exists()
    assert "karpenter" not in {addon.name for addon in wanted(load_spec(platforms.spec_of("example")))}


def test_services_know_spot_nodes_by_the_marks_of_the_provider_and_of_the_platform(tmp_path: Path) -> None:
    marks = "spotNodes: {provider: azure, labels: {pool: cheap}, taints: {dedicated: cheap}}"
    cd = platforms.render_spec(
        platforms.with_features("example", f"scaling: {{{marks}}}", tmp_path), tmp_path / "platform"
    ).cd
    pod = pod_of(with_values(release_everything(cd, tmp_path), "catalog", "dev")["Deployment/catalog"])
    preferred = pod["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    azure = "kubernetes.azure.com/scalesetpriority"
    assert {taint["key"]: taint["value"] for taint in pod["tolerations"]} == {azure: "spot", "dedicated": "cheap"}
    assert [term["preference"]["matchExpressions"][0]["key"] for term in preferred] == [azure, "pool"]
