"""compose.yaml of app-repo: the whole platform on one machine, with what its services have in a cluster."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from generator.resolve import local_ports
from generator.spec import load_spec, parse_spec
from tests.platform import MORE_NAMES, NAMES, Platform, copy_of, render_spec, spec_of
from tests.tools import exhaustive_tool, run, system_tool, tool

PINNED = re.compile(r"[a-z0-9.-]+\.[a-z]+/[a-z0-9./-]+:[\w.-]+@sha256:[0-9a-f]{64}")
DASHBOARD = "platform/kube-prometheus-stack/dashboards/service.json"
IMAGE = ("--set-string=image.tag=1", f"--set=image.digest=sha256:{0:064}")


def compose(app: Path) -> Any:
    return yaml.safe_load((app / "compose.yaml").read_text())


def services(app: Path) -> dict[str, Any]:
    """Those of the platform; what has a dot in its name, or stands behind another, is no service of its own."""
    return {name: container for name, container in compose(app)["services"].items() if "build" in container}


def urls_of(probe: dict[str, Any]) -> list[str]:
    return [part for part in probe["healthcheck"]["test"] if part.startswith("http://")]


def test_every_service_is_there_and_built_as_the_pipeline_builds_it(platform: Platform) -> None:
    folders = {path.name for path in (platform.app / "services").iterdir()}
    found = services(platform.app)
    assert found.keys() == folders
    for name, container in found.items():
        assert container["build"] == {"context": ".", "dockerfile": f"services/{name}/Dockerfile"}


def test_containers_have_no_rights_and_only_this_machine_reaches_them(platform: Platform) -> None:
    published = []
    for name, container in compose(platform.app)["services"].items():
        assert container["read_only"] is True, name
        assert container["cap_drop"] == ["ALL"], name
        assert container["security_opt"] == ["no-new-privileges:true"], name
        assert not container.keys() & {"privileged", "cap_add", "network_mode", "pid", "devices"}, name
        assert "docker.sock" not in str(container), name
        for port in container.get("ports", []):
            match = re.fullmatch(r"127\.0\.0\.1:(\d+):\d+", port)
            assert match, f"{name}: {port}"
            published.append(int(match[1]))
        assert "build" in container or PINNED.fullmatch(container["image"]), name
    assert len(published) == len(set(published))
    assert all(1024 <= port <= 65535 for port in published)


def test_every_container_is_asked_whether_it_is_well(platform: Platform) -> None:
    containers = compose(platform.app)["services"]
    probe = "probe.compose"
    probed = {url.split("/")[2].split(":")[0] for url in urls_of(containers[probe])}
    well = {name for name, container in containers.items() if "healthcheck" in container}
    # What code of a team's own has in its image is not known.
    own = {name for name, container in containers.items() if "profiles" in container}
    assert well | probed | own == containers.keys()
    assert not well & probed
    for name, container in services(platform.app).items():
        if name in probed:
            assert f"http://{name}:{container['environment']['PORT']}/readyz" in urls_of(containers[probe])


def test_a_service_has_the_variables_that_it_has_in_a_cluster(example: Platform) -> None:
    chart = example.cd / "services/orders"
    files = ("values.yaml", "values-dev.yaml")
    values = [f"--values={chart / name}" for name in files if (chart / name).exists()]
    values.append(f"--values={example.cd / 'environments/dev/values.yaml'}")
    rendered = run(
        tool("helm"), "template", "orders", chart, *values, "--set=global.tracing.enabled=true", *IMAGE
    ).stdout
    objects = [one for one in yaml.safe_load_all(rendered) if one]
    (pod,) = (
        one["spec"]["template"]["spec"]
        for one in objects
        if one["kind"] == "Rollout" and one["metadata"]["name"] == "orders"
    )
    (container,) = (one for one in pod["containers"] if one["name"] == "orders")
    cluster = {variable["name"] for variable in container["env"]}
    for source in container.get("envFrom", []):
        (data,) = (
            one["data"]
            for one in objects
            if one["kind"] == "ConfigMap" and one["metadata"]["name"] == source["configMapRef"]["name"]
        )
        cluster |= data.keys()
    secrets = json.loads((example.app / "compose/secrets.json").read_text())["orders"]
    assert services(example.app)["orders"]["environment"].keys() | set(secrets) == cluster


def test_a_service_is_given_what_it_calls_and_where_it_stores(example: Platform) -> None:
    environment = services(example.app)["orders"]["environment"]
    assert environment["CATALOG_URL"] == "http://catalog:8080"
    assert environment["REDIS_URL"] == "redis://orders-redis:6379/0"
    assert environment["DATABASE_URL"] == "postgresql://app@orders-postgres-rw:5432/app"
    assert environment["LOG_LEVEL"] == "debug"  # as the first environment has it
    assert {"orders-redis", "orders-postgres-rw"} <= compose(example.app)["services"].keys()
    assert "CATALOG_URL" not in services(example.app)["catalog"]["environment"]


def test_prometheus_asks_every_service_where_it_listens(platform: Platform) -> None:
    jobs = yaml.safe_load((platform.app / "compose/prometheus.yaml").read_text())["scrape_configs"]
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in jobs}
    assert targets.pop("collector.compose") == ["collector.compose:8888"]
    expected = {name: [f"{name}:{c['environment']['PORT']}"] for name, c in services(platform.app).items()}
    assert targets == expected


def test_grafana_has_the_dashboard_of_the_cluster_and_what_it_reads(example: Platform) -> None:
    grafana = example.app / "compose/grafana"
    dashboard = json.loads((grafana / "dashboards/service.json").read_text())
    assert dashboard == json.loads((example.cd / DASHBOARD).read_text())
    sources = yaml.safe_load((grafana / "datasources/compose.yaml").read_text())["datasources"]
    read = set(re.findall(r'"datasource": \{[^}]*"uid": "([a-z]+)"', json.dumps(dashboard)))
    assert read - {source["uid"] for source in sources} <= {"grafana"}
    containers = compose(example.app)["services"]
    for source in sources:
        host, port = source["url"].removeprefix("http://").split(":")
        assert f"127.0.0.1:{port}:{port}" in containers[host]["ports"]
    provider = yaml.safe_load((grafana / "dashboards/compose.yaml").read_text())["providers"][0]
    mounts = dict(mount.split(":")[:2] for mount in containers["grafana.compose"]["volumes"])
    assert mounts["./compose/grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./compose/grafana/datasources"] == "/etc/grafana/provisioning/datasources"


def test_secrets_are_made_once_and_stay_out_of_git(example: Platform, tmp_path: Path) -> None:
    app = copy_of(example.app, tmp_path)
    said = run("scripts/local-secrets", cwd=app).stdout
    assert said == "orders gets a value for DB_PASSWORD in compose/secrets/orders.env\n"
    file = app / "compose/secrets/orders.env"
    assert re.fullmatch("DB_PASSWORD=[0-9a-f]{32}\n", file.read_text())
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("DB_PASSWORD=mine\nEXTRA=1")
    (app / "compose/secrets.json").write_text('{"orders": ["DB_PASSWORD", "TOKEN"]}')
    assert "TOKEN" in run("scripts/local-secrets", cwd=app).stdout
    assert re.fullmatch("DB_PASSWORD=mine\nEXTRA=1\nTOKEN=[0-9a-f]{32}\n", file.read_text())
    run("git", "checkout", "compose/secrets.json", cwd=app)
    assert run("git", "status", "--short", cwd=app).stdout == ""


def test_up_starts_what_has_a_dockerfile(example: Platform, tmp_path: Path) -> None:
    app = copy_of(example.app, tmp_path)
    (app / "services/catalog/Dockerfile").unlink()
    fake = tmp_path / "compose"
    fake.write_text('#!/bin/sh\necho "[$COMPOSE_PROFILES] $*"\n')
    fake.chmod(0o755)
    said = run("make", "up", f"COMPOSE={fake}", cwd=app).stdout
    assert "[with-orders] up --build --detach --remove-orphans --wait" in said
    fake.write_text('#!/bin/sh\ntest "$1" != up\n')
    failed = run("make", "up", f"COMPOSE={fake}", cwd=app, check=False)
    assert failed.returncode
    assert "logs NAME" in failed.stderr
    fake.write_text('#!/bin/sh\necho "$*"\n')
    assert run("make", "down", f"COMPOSE={fake}", cwd=app).stdout == "down --remove-orphans\n"
    assert run("make", "down", "volumes=1", f"COMPOSE={fake}", cwd=app).stdout.endswith("--volumes\n")


def test_a_port_that_two_would_have_follows_from_the_name() -> None:
    spec = """
apiVersion: triptych/v1
platform: {name: acme, github: {organization: acme}}
services:
  - {name: orders, language: go}
  - {name: catalog, language: go}
  - {name: basket, language: go, port: 9000}
  - {name: metrics, language: go, port: 9090}
"""
    ports = local_ports(parse_spec(Path("services.yaml"), spec))
    assert ports["basket"] == 9000
    moved = {ports[name] for name in ("orders", "catalog", "metrics")}
    assert len(moved) == 3
    assert all(20000 <= port < 30000 for port in moved)
    more = local_ports(parse_spec(Path("services.yaml"), f"{spec}  - {{name: billing, language: go}}\n"))
    assert {name: more[name] for name in ports} == ports


def config(app: Path, **environment: str) -> Any:
    """What Docker Compose makes of it, by Docker Compose's own library."""
    run("scripts/local-secrets", cwd=app)
    return json.loads(run(exhaustive_tool("bin/compose"), cwd=app, env=environment).stdout)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", [*NAMES, *MORE_NAMES])
def test_compose_takes_it(rendered: Any, name: str, tmp_path: Path) -> None:
    app = copy_of(rendered(name).app, tmp_path)
    profiles = ",".join(f"with-{service}" for service in services(app))
    found = config(app, COMPOSE_PROFILES=profiles)["services"]
    assert found.keys() == compose(app)["services"].keys()
    text = (app / "compose.yaml").read_text()
    (app / "compose.yaml").write_text(text.replace("read_only: true", "readonly: true", 1))
    refused = run(exhaustive_tool("bin/compose"), cwd=app, check=False)
    assert refused.returncode
    assert "readonly" in refused.stderr


@pytest.mark.exhaustive
def test_settings_come_out_as_they_were_written(tmp_path: Path) -> None:
    value = "${HOME} $$ $(id) 'x' \"y\" # : 100% \\ Grüße"
    spec = tmp_path / "services.yaml"
    text = yaml.safe_load(spec_of("minimal").read_text())
    text["services"][0]["config"] = {"GREETING": value, "NO": "no", "NUMBER": "1.10"}
    spec.write_text(yaml.safe_dump(text))
    app = render_spec(spec, tmp_path / "out").app
    (name,) = (service.name for service in load_spec(spec).services)
    environment = config(app)["services"][name]["environment"]
    assert (environment["GREETING"], environment["NO"], environment["NUMBER"]) == (value, "no", "1.10")


@pytest.mark.exhaustive
def test_the_collector_takes_its_configuration(example: Platform) -> None:
    result = run(exhaustive_tool("bin/otelcol"), "validate", "--config", example.app / "compose/collector.yaml")
    assert "deprecated" not in result.stderr


@pytest.mark.exhaustive
def test_prometheus_takes_its_configuration(platform: Platform) -> None:
    program = system_tool("promtool", package="prometheus")
    run(program, "check", "config", platform.app / "compose/prometheus.yaml")
