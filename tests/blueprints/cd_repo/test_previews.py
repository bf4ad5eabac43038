"""Previews of pull requests: what runs in them, within which bounds, and that they go."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import platform as platforms
from tests.blueprints.cd_repo.schemas import custom_problems
from tests.blueprints.cd_repo.support import Object, build, by_kind, objects, release, script
from tests.blueprints.cd_repo.test_argocd import CLUSTER, allows, expand, load, projects_of
from tests.platform import Platform, copy_of
from tests.tools import run, tool
from tests.workbench import triptych


@pytest.fixture(scope="session")
def platform_with_previews(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    folder = tmp_path_factory.mktemp("previews")
    spec = platforms.with_features("example", "previews: true", folder)
    return platforms.render_spec(spec, folder / "out")


@pytest.fixture
def cd(platform_with_previews: Platform, tmp_path: Path) -> Path:
    return copy_of(platform_with_previews.cd, tmp_path)


def write(cd: Path, number: int, services: list[str], *args: str, check: bool = True) -> Any:
    file = cd.parent / f"builds-{number}.json"
    file.write_text(json.dumps([build(service, number) for service in services]))
    options = (f"--pull-request={number}", f"--builds={file}", *args)
    return script(cd, "preview", "write", *options, check=check)


def parameters(cd: Path, number: int) -> list[dict[str, Any]]:
    """Return what the generators yield for one open pull request and one cluster."""
    files = sorted(cd.glob(f"registry/previews/{number}/*.yaml"))
    return [{"number": str(number), **load(file), **CLUSTER} for file in files]


def applications(cd: Path, number: int, folder: Path) -> dict[str, Object]:
    sets = {name: load(cd / f"argocd/previews/{name}.yaml")["spec"] for name in ("namespaces", "services")}
    made = [
        *expand(sets["namespaces"]["template"], [{"number": str(number), **CLUSTER}], folder / "namespaces"),
        *expand(sets["services"]["template"], parameters(cd, number), folder / "services"),
    ]
    return {one["metadata"]["name"]: one for one in made}


def rendered(cd: Path, application: Object) -> dict[str, Object]:
    """Return what Helm makes of an Application."""
    source, namespace = application["spec"]["source"], application["spec"]["destination"]["namespace"]
    place = cd / source["path"]
    names = [cd / name.lstrip("/") if name.startswith("/") else place / name for name in source["helm"]["valueFiles"]]
    values = [f"--values={name}" for name in names if name.is_file()]
    objects_ = json.dumps(source["helm"].get("valuesObject", {}))
    over = cd.parent / "over.json"
    over.write_text(objects_)
    tests = f"--skip-tests={str(source['helm'].get('skipTests', False)).lower()}"
    command = [
        tool("helm"),
        "template",
        tests,
        source["helm"]["releaseName"],
        place,
        f"--namespace={namespace}",
        *values,
    ]
    return by_kind(objects(run(*command, f"--values={over}").stdout))


def test_there_are_none_by_default(example: Platform) -> None:
    assert not (example.cd / "argocd/previews").exists()
    assert not (example.cd / "previews").exists()
    assert "previews" not in json.loads((example.cd / "config/platform.json").read_text())
    result = script(example.cd, "preview", "remove", "--pull-request=1", check=False)
    assert result.returncode == 1
    assert "set features.previews in services.yaml" in result.stderr


def test_a_pull_request_gets_a_namespace_and_its_services(cd: Path, tmp_path: Path) -> None:
    release(cd, "dev", [build("catalog")])
    write(cd, 12, ["orders"], "--with=catalog")
    made = applications(cd, 12, tmp_path / "expand")
    assert set(made) == {
        "environment.previews.12.cluster-1",
        "orders.previews.12.cluster-1",
        "catalog.previews.12.cluster-1",
    }
    project = projects_of(cd)["acme-previews"]
    pattern = project["spec"]["destinations"][0]["namespace"]
    assert pattern == project["spec"]["clusterResourceWhitelist"][0]["name"] == "acme-preview-*"
    bound = json.loads(json.dumps(project).replace(pattern, "acme-preview-12"))
    for application in made.values():
        assert application["spec"]["project"] == "acme-previews"
        assert application["spec"]["destination"] == {"name": "cluster-1", "namespace": "acme-preview-12"}
        for item in rendered(cd, application).values():
            assert allows(bound, item), item["kind"]
            assert item["metadata"].get("namespace", item["metadata"]["name"]) == "acme-preview-12"


def test_what_is_called_is_there_as_the_first_environment_has_it(cd: Path) -> None:
    assert "left out: catalog is called, but not released to dev" in write(cd, 12, ["orders"], "--with-called").stdout
    assert [file.stem for file in cd.glob("registry/previews/12/*.yaml")] == ["orders"]
    release(cd, "dev", [build("catalog", 3), build("orders", 3)])
    write(cd, 12, ["orders"], "--with-called")
    digests = {file.stem: load(file)["image"]["digest"] for file in cd.glob("registry/previews/12/*.yaml")}
    assert digests == {"orders": build("orders", 12)["digest"], "catalog": build("catalog", 3)["digest"]}
    # Catalog calls nobody; who calls it is not needed.
    write(cd, 12, ["catalog"], "--with-called")
    assert [file.stem for file in cd.glob("registry/previews/12/*.yaml")] == ["catalog"]


def test_what_is_called_by_what_is_called_is_looked_for_once(cd: Path) -> None:
    path = cd / "config/addresses.json"
    known = json.loads(path.read_text())
    known["services"]["catalog"]["calls"] = ["ledger"]
    known["services"]["ledger"] = {"port": 80, "routes": {}, "calls": ["orders"]}
    path.write_text(json.dumps(known))
    assert "left out: ledger is called" in write(cd, 12, ["orders"], "--with-called").stdout


def test_a_service_runs_once_with_the_image_of_the_pull_request(cd: Path, tmp_path: Path) -> None:
    write(cd, 12, ["orders"])
    made = rendered(cd, applications(cd, 12, tmp_path / "expand")["orders.previews.12.cluster-1"])
    workload = made["Deployment/orders"]
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    assert container["image"].endswith(f"{build('orders', 12)['version']}@{build('orders', 12)['digest']}")
    assert workload["spec"]["replicas"] == 1
    assert made["HTTPRoute/orders"]["spec"]["hostnames"] == ["orders-12.preview.acme.example"]
    # Nobody is woken by a preview, and it claims nothing of what the environment has.
    kinds = {item["kind"] for item in made.values()}
    assert kinds.isdisjoint(
        {"PrometheusRule", "ServiceMonitor", "AnalysisTemplate", "HorizontalPodAutoscaler", "ScheduledBackup"}
    )


def test_the_namespace_has_bounds(cd: Path, tmp_path: Path) -> None:
    made = rendered(cd, applications(cd, 7, tmp_path / "expand")["environment.previews.7.cluster-1"])
    assert set(made) == {
        "Namespace/acme-preview-7",
        "NetworkPolicy/default-deny",
        "ResourceQuota/preview",
        "LimitRange/preview",
    }
    assert made["Namespace/acme-preview-7"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert made["NetworkPolicy/default-deny"]["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert {"pods", "limits.cpu", "limits.memory"} <= set(made["ResourceQuota/preview"]["spec"]["hard"])
    file = tmp_path / "core.yaml"
    file.write_text("".join(f"---\n{json.dumps(item)}\n" for item in made.values()))
    run(tool("kubernetes-validate"), "--strict", "--kubernetes-version", "1.35", file)


def test_a_preview_goes_with_its_pull_request(cd: Path) -> None:
    for name in ("namespaces", "services"):
        spec = load(cd / f"argocd/previews/{name}.yaml")["spec"]
        assert spec["syncPolicy"] == {"preserveResourcesOnDeletion": False}
        first, clusters = spec["generators"][0]["matrix"]["generators"]
        pulls = first.get("pullRequest") or first["matrix"]["generators"][0]["pullRequest"]
        assert pulls["github"]["labels"] == ["preview"]
        assert (pulls["github"]["owner"], pulls["github"]["repo"]) == ("acme", "app-repo")
        assert clusters["clusters"]["selector"]["matchLabels"] == {"acme/previews": "true"}
    assert custom_problems([load(file) for file in (cd / "argocd/previews").glob("*.yaml")]) == []


def test_writing_again_changes_only_what_differs(cd: Path) -> None:
    write(cd, 12, ["orders", "catalog"])
    assert "nothing to do" in write(cd, 12, ["orders", "catalog"]).stdout
    assert "removed: registry/previews/12/catalog.yaml" in write(cd, 12, ["orders"]).stdout
    script(cd, "preview", "remove", "--pull-request=12")
    assert not (cd / "registry/previews/12").exists()
    assert "nothing to do" in script(cd, "preview", "remove", "--pull-request=12").stdout
    script(cd, "validate")


def test_previews_are_pushed_as_releases_are(cd: Path, tmp_path: Path) -> None:
    bare = tmp_path / "server.git"
    run("git", "clone", "--quiet", "--bare", cd, bare)
    run("git", "remote", "add", "origin", f"file://{bare}", cwd=cd)
    before = run("git", "rev-parse", "HEAD", cwd=cd).stdout
    assert "dry run" in write(cd, 3, ["orders"], "--push", "--dry-run").stdout
    assert run("git", "rev-parse", "main", cwd=bare).stdout == before
    write(cd, 3, ["orders"], "--push", "--by=robot[bot]")
    assert run("git", "rev-parse", "main~1", cwd=bare).stdout == before
    assert run("git", "log", "-1", "--format=%s", "main", cwd=bare).stdout == "preview(3): write\n"
    # The working tree is as it was.
    assert run("git", "status", "--porcelain", cwd=cd).stdout == ""
    assert not (cd / "registry/previews").exists()


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--with=catalog"], 2, "--with catalog: it is not released to dev"),
        (["--pull-request=0"], 2, "GitHub counts from 1"),
    ],
)
def test_bad_input_is_told(cd: Path, args: list[str], code: int, said: str) -> None:
    result = write(cd, 12, ["orders"], *args, check=False)
    assert (result.returncode, said in result.stderr) == (code, True)
    assert run("git", "status", "--porcelain", cwd=cd).stdout == ""


def test_a_service_without_a_chart_is_refused(cd: Path) -> None:
    result = write(cd, 12, ["unheard-of"], check=False)
    assert result.returncode == 1
    assert "there is no chart in services/ for unheard-of" in result.stderr


def test_names_that_previews_need_are_kept_free(tmp_path: Path) -> None:
    spec = tmp_path / "services.yaml"
    data = {
        "apiVersion": "triptych/v1",
        "platform": {"name": "p" * 50, "github": {"organization": "acme"}},
        "environments": [{"name": "preview-1"}, {"name": "prod"}],
        "features": {"previews": True},
        "services": [{"name": "orders", "language": "python"}],
    }
    spec.write_text(yaml.safe_dump(data))
    result = triptych("validate", "--file", spec)
    assert result.code == 2
    assert "the namespace of a preview" in result.err
    assert "`preview-1` is reserved" in result.err
