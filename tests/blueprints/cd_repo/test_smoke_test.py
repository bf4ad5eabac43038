"""scripts/smoke-test against services on loopback: what passes, what fails, and what nobody could ask."""

import json
import os
import time
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml

from tests.blueprints.cd_repo.services import Kubectl, Service, certificate_for, serve
from tests.blueprints.cd_repo.support import LOADER, PATH, build, environments_of, release, script, services_of
from tests.platform import Platform

HOST = "orders.dev.acme.example"
VERSION = build("orders")["version"]
QUICK = ("--environment=dev", "--timeout=0.5", "--interval=0.1")


@pytest.fixture
def deployed(cd: Path) -> Path:
    """A cd-repo with orders, which has a route, released to dev; catalog, which has none, is not."""
    release(cd, "dev", [build("orders")])
    return cd


@pytest.fixture
def kubectl(tmp_path: Path) -> Kubectl:
    return Kubectl(tmp_path / "kubectl")


def ask(cd: Path, *args: str | Path, kubectl: Kubectl | None = None, **env: str) -> CompletedProcess[str]:
    path = f"{kubectl.folder}{os.pathsep}{PATH['PATH']}" if kubectl else PATH["PATH"]
    return script(cd, "smoke-test", *QUICK, *args, check=False, env={"PATH": path, **env})


def test_a_service_passes_by_its_route(deployed: Path, tmp_path: Path) -> None:
    certificate = certificate_for(HOST, tmp_path)
    service = Service("orders", VERSION)
    with serve(service, certificate) as port:
        result = ask(deployed, f"--gateway=127.0.0.1:{port}", SSL_CERT_FILE=str(certificate))
    assert result.stdout == f"passed: orders {VERSION} in dev: https://{HOST}\n"
    assert result.returncode == 0
    assert service.asked == ["/readyz", "/"]


def test_a_certificate_that_nobody_trusts_is_no_answer(deployed: Path, tmp_path: Path) -> None:
    with serve(Service("orders", VERSION), certificate_for(HOST, tmp_path)) as port:
        result = ask(deployed, f"--gateway=127.0.0.1:{port}")
    assert result.returncode == 1
    assert result.stdout.startswith(f"unreachable: orders {VERSION} in dev: https://{HOST} has no TLS")
    assert "self-signed certificate" in result.stdout or "self signed certificate" in result.stdout


def test_a_certificate_of_another_host_is_no_answer(deployed: Path, tmp_path: Path) -> None:
    certificate = certificate_for("other.acme.example", tmp_path)
    with serve(Service("orders", VERSION), certificate) as port:
        result = ask(deployed, f"--gateway=127.0.0.1:{port}", SSL_CERT_FILE=str(certificate))
    assert result.returncode == 1
    assert result.stdout.startswith("unreachable: orders")


def test_a_gateway_that_is_not_there_says_nothing_of_the_service(deployed: Path) -> None:
    # Otherwise a runner outside a private network would find every deployment broken.
    result = ask(deployed, "--via=route", "--gateway=127.0.0.1:1")
    assert result.returncode == 1
    assert result.stdout.startswith(f"unreachable: orders {VERSION} in dev: no connection to 127.0.0.1:1:")


def by_kubectl(deployed: Path, kubectl: Kubectl, service: Service, *args: str) -> CompletedProcess[str]:
    with serve(service) as port:
        kubectl.leads_to({"orders": port})
        return ask(deployed, "--via=kubectl", *args, kubectl=kubectl)


def test_a_service_passes_through_the_cluster(deployed: Path, kubectl: Kubectl) -> None:
    result = by_kubectl(deployed, kubectl, Service("orders", VERSION), "--context=dev-eu")
    assert result.stdout == f"passed: orders {VERSION} in dev: http://orders.acme-dev:9000\n"
    assert result.returncode == 0
    assert all(call[:2] == ["--context=dev-eu", "--namespace=acme-dev"] for call in kubectl.calls)
    assert kubectl.calls[-1][2:] == ["port-forward", "--address=127.0.0.1", "service/orders", ":9000"]


def test_another_version_fails(deployed: Path, kubectl: Kubectl) -> None:
    result = by_kubectl(deployed, kubectl, Service("orders", "20251231.000000-old"))
    assert result.returncode == 1
    assert result.stdout == (
        f"failed: orders {VERSION} in dev: http://orders.acme-dev:9000/ is version '20251231.000000-old', "
        f"not {VERSION}\n"
    )


def test_another_service_fails(deployed: Path, kubectl: Kubectl) -> None:
    result = by_kubectl(deployed, kubectl, Service("catalog", VERSION))
    assert "failed: orders" in result.stdout
    assert "is service 'catalog', not orders" in result.stdout


def test_a_service_that_is_not_ready_fails(deployed: Path, kubectl: Kubectl) -> None:
    result = by_kubectl(deployed, kubectl, Service("orders", VERSION, status=500))
    assert result.returncode == 1
    assert result.stdout.endswith("http://orders.acme-dev:9000/readyz answers 500 Internal Server Error\n")


@pytest.mark.parametrize("body", ["hello", "[]", "{}", '{"service": "orders"}', "\x00"])
def test_an_answer_that_says_no_version_fails(deployed: Path, kubectl: Kubectl, body: str) -> None:
    result = by_kubectl(deployed, kubectl, Service("orders", VERSION, body=body))
    assert result.returncode == 1
    assert "does not say which service and version it is" in result.stdout
    assert result.stderr == ""


def test_a_pod_that_never_comes_up_fails_within_the_bound(deployed: Path, kubectl: Kubectl) -> None:
    start = time.monotonic()
    result = ask(deployed, "--via=kubectl", kubectl=kubectl)
    assert time.monotonic() - start < 5
    assert result.returncode == 1
    assert result.stdout.startswith(f"failed: orders {VERSION} in dev: no pod can be asked: error: unable to forward")
    assert len(result.stdout.splitlines()) == 1


def test_a_pod_that_hangs_up_fails(deployed: Path, kubectl: Kubectl) -> None:
    kubectl.leads_to({"orders": 1})
    result = ask(deployed, "--via=kubectl", kubectl=kubectl)
    assert result.returncode == 1
    assert "/readyz gives no answer:" in result.stdout


def test_a_service_may_take_its_time(deployed: Path, kubectl: Kubectl) -> None:
    service = Service("orders", VERSION, wrong=2)
    result = by_kubectl(deployed, kubectl, service, "--timeout=20")
    assert result.returncode == 0, result.stdout
    assert service.asked == ["/readyz", "/readyz", "/readyz", "/"]


def test_what_has_no_route_is_asked_through_the_cluster(deployed: Path, kubectl: Kubectl, tmp_path: Path) -> None:
    release(deployed, "dev", [build("catalog")])
    certificate = certificate_for(HOST, tmp_path)
    catalog = Service("catalog", build("catalog")["version"])
    with serve(Service("orders", VERSION), certificate) as gateway, serve(catalog) as pod:
        kubectl.leads_to({"catalog": pod})
        result = ask(deployed, f"--gateway=127.0.0.1:{gateway}", kubectl=kubectl, SSL_CERT_FILE=str(certificate))
    assert result.returncode == 0, result.stdout
    assert [line.rpartition(" ")[2] for line in result.stdout.splitlines()] == [
        "http://catalog.acme-dev:8080",
        f"https://{HOST}",
    ]


def test_without_access_to_the_cluster_nobody_is_asked(deployed: Path, kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl.may_forward(False)
    results = tmp_path / "results.json"
    result = ask(deployed, "--via=kubectl", f"--results={results}", kubectl=kubectl)
    assert result.returncode == 1
    assert result.stdout == f"unreachable: orders {VERSION} in dev: kubectl may not forward ports in acme-dev: no\n"
    one = {"message": "kubectl may not forward ports in acme-dev: no", "outcome": "unreachable", "version": VERSION}
    assert json.loads(results.read_text()) == {
        "environment": "dev",
        "moves": [],
        "results": {"orders": {**one, "digest": build("orders")["digest"]}},
    }


def test_what_passed_may_be_promoted(deployed: Path, kubectl: Kubectl, tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    by_kubectl(deployed, kubectl, Service("orders", VERSION), f"--results={results}")
    assert json.loads(results.read_text())["moves"] == [{"service": "orders", "digest": build("orders")["digest"]}]


def test_the_context_is_that_of_the_environments_cluster(deployed: Path, kubectl: Kubectl) -> None:
    kubectl.has_context("dev")
    assert by_kubectl(deployed, kubectl, Service("orders", VERSION)).returncode == 0
    assert all(call[0] == "--context=dev" for call in kubectl.calls if call[0] != "config")


def test_nobody_waits_long_for_what_cannot_be_asked(deployed: Path, kubectl: Kubectl) -> None:
    kubectl.may_forward(False)
    smoke = deployed / "scripts/smoke-test"
    smoke.write_text(smoke.read_text().replace("UNREACHABLE = 60", "UNREACHABLE = 0.5"))
    start = time.monotonic()
    result = ask(deployed, "--via=kubectl", "--timeout=600", kubectl=kubectl)
    assert time.monotonic() - start < 60
    assert result.stdout.startswith("unreachable: orders")


def test_only_those_that_are_named_are_asked(deployed: Path, kubectl: Kubectl) -> None:
    release(deployed, "dev", [build("catalog")])
    result = ask(deployed, "--via=kubectl", "--service=catalog", kubectl=kubectl)
    assert [line.split()[1] for line in result.stdout.splitlines()] == ["catalog"]


def test_an_environment_without_releases_passes(cd: Path) -> None:
    result = ask(cd)
    assert (result.returncode, result.stdout) == (0, "No service is released to dev yet.\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--service=catalog"], "error: catalog is not released to dev"),
        (["--gateway=nowhere"], "error: --gateway is 'nowhere', but must be of the form HOST:PORT"),
        (["--timeout=0"], "argument --timeout: 0 is not between 0 and 86400"),
        (["--via=telepathy"], "invalid choice: 'telepathy'"),
    ],
)
def test_bad_input_is_refused(deployed: Path, arguments: list[str], message: str) -> None:
    result = ask(deployed, *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_addresses_are_those_of_the_charts(platform: Platform) -> None:
    # The script reads no YAML; what it reads must say the same.
    known = json.loads((platform.cd / "config/addresses.json").read_text())["services"]
    assert sorted(known) == services_of(platform.cd)
    for service, address in known.items():
        folder = platform.cd / "services" / service
        values = yaml.load((folder / "values.yaml").read_text(), LOADER)  # noqa: S506 (the safe one, in C)
        assert address["port"] == values["port"]
        assert address["calls"] == [called["name"] for called in values["dependsOn"]]
        for environment in environments_of(platform.cd):
            override = folder / f"values-{environment['name']}.yaml"
            over = yaml.load(override.read_text(), LOADER) if override.is_file() else {}  # noqa: S506 (the safe one, in C)
            assert address["routes"][environment["name"]] == ({**values, **over}["route"] or None)
